"""The interface of a guest that has ended: the kernel takes it away as well, and who is first does not matter."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path

import pytest

from zlh_api.drivers.lxc.host import Host
from zlh_api.drivers.lxc.model import LxcSettings
from zlh_api.drivers.lxc.network import Network
from zlh_api.drivers.port import GuestFailed, Right

VETH = "z0001v101"


class Allowed:
    """The right to change what is there."""

    def check(self) -> None:
        """Let it be done."""


class KernelWasFaster(Host):
    """Its program finds no interface any more; and neither does whoever looks, where it has really gone."""

    def __init__(self, place: Path, *, is_gone: bool) -> None:
        self._place = place
        self._is_gone = is_gone

    async def run(self, right: Right, what: str, *command: str, stdin: bytes = b"", timeout_s: float = 60.0) -> str:
        """Fail as `ip link delete` does."""
        if self._is_gone:
            await asyncio.to_thread(self._place.unlink)
        raise GuestFailed(what=what, reason="ip ended with 1", output="Cannot find device")


async def remove(folder: Path, monkeypatch: pytest.MonkeyPatch, *, is_gone: bool) -> None:
    """Remove an interface that was there a moment ago."""
    (folder / VETH).touch()
    monkeypatch.setattr("zlh_api.drivers.lxc.network.INTERFACES", folder)
    settings = LxcSettings(folder, folder, "zlh0", ipaddress.IPv4Network("10.81.0.0/24"))
    network = Network(settings, KernelWasFaster(folder / VETH, is_gone=is_gone))
    await network.remove_interface(Allowed(), VETH)


async def test_an_interface_that_goes_by_itself_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the order."""
    await remove(tmp_path, monkeypatch, is_gone=True)


async def test_an_interface_that_stays_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is still there, so the guest is not whole."""
    with pytest.raises(GuestFailed):
        await remove(tmp_path, monkeypatch, is_gone=False)
