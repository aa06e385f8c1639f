"""Datagrams for systemd: real sockets, named by a path or in the abstract namespace."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from zlh_common.notify import feed_watchdog, notify


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Return the socket on which a service manager listens."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@zlh-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listener


def test_a_message_is_one_datagram(manager: socket.socket) -> None:
    """It arrives as it was said."""
    notify("READY=1")
    notify("STOPPING=1")
    assert (manager.recv(100), manager.recv(100)) == (b"READY=1", b"STOPPING=1")


def test_a_manager_that_does_not_listen_holds_nobody_up(manager: socket.socket) -> None:
    """A full queue costs a message, never a wait."""
    for _ in range(10_000):
        notify("WATCHDOG=1")
    assert manager.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("name", ["", "/nowhere/at/all", "@nobody-listens", "/" + "x" * 200])
def test_without_an_audience_nothing_happens(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket, a wrong one, a name that is none."""
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    notify("READY=1")


async def test_the_watchdog_is_fed_at_half_its_interval(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on until it is cancelled."""
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    feeding = asyncio.create_task(feed_watchdog())
    async with asyncio.timeout(10):
        for _ in range(3):
            assert await asyncio.get_running_loop().sock_recv(manager, 100) == b"WATCHDOG=1"
    feeding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await feeding


@pytest.mark.parametrize(("interval", "pid"), [("", ""), ("0", ""), ("1000000", "1"), (None, None)])
async def test_a_watchdog_of_nobody_or_of_others_is_not_fed(
    interval: str | None, pid: str | None, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an interval, or with one that is meant for another process, it ends at once."""
    for name, value in (("WATCHDOG_USEC", interval), ("WATCHDOG_PID", pid)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    await asyncio.wait_for(feed_watchdog(), 5)
    with pytest.raises(BlockingIOError):
        manager.recv(100)
