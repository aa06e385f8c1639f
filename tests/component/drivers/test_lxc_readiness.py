"""What a host may lack for real containers: told in one sentence, before anything is made."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from guards import remains
from lxc.own_host import OwnHost, made_driver, own_host
from zlh_api.drivers.lxc.model import HostUnready, LxcSettings

pytestmark = pytest.mark.real("lxc")


@pytest.fixture
async def host() -> AsyncIterator[OwnHost]:
    """One that lacks nothing."""
    async with own_host() as host:
        yield host


def behind_a_closed_door(settings: LxcSettings) -> LxcSettings:
    """A root folder that no container's root can reach."""
    closed = settings.root.parent / "closed"
    closed.mkdir(mode=0o700)
    return replace(settings, root=closed / "guests")


def of_root(settings: LxcSettings) -> LxcSettings:
    """A template that nobody has shifted."""
    template = settings.root.parent / "template"
    template.mkdir(mode=0o711)
    return replace(settings, template=template)


LACKS: dict[str, tuple[Callable[[LxcSettings], LxcSettings], str]] = {
    "a way in": (behind_a_closed_door, "must be able to pass .*/closed, .* chmod o"),
    "a template": (lambda settings: replace(settings, template=Path("/nowhere")), "template /nowhere cannot be read"),
    "a template of its users": (of_root, "belongs to user 0 and not to 100000.*--shift 100000"),
    "users": (lambda settings: replace(settings, first_id=7_000_000), "/etc/subuid lacks the line root:7000000:65536"),
    "a bridge": (lambda settings: replace(settings, bridge="lo"), "lo is an interface and no bridge"),
}


@pytest.mark.parametrize("what", LACKS)
async def test_what_a_host_lacks_is_said(host: OwnHost, what: str) -> None:
    """By what it is, and what to do."""
    change, said = LACKS[what]
    driver = await asyncio.to_thread(lambda: made_driver(change(host.settings)))
    with pytest.raises(HostUnready, match=said):
        await driver.prepare()


async def test_a_block_of_another_network_is_refused(host: OwnHost) -> None:
    """Or a container's address would be somebody's in the house."""
    other = remains.bridges_of(os.getpid())[1]
    driver = await asyncio.to_thread(made_driver, replace(host.settings, bridge=other))
    with pytest.raises(HostUnready, match="meets"):
        await driver.prepare()
    assert not await asyncio.to_thread(Path("/sys/class/net", other).exists)
