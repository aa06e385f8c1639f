"""When whoever takes a file is given up: seen at looks, between which bytes have moved or not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.http import StreamWriter

from zlh_api.agents import patience_rules
from zlh_api.alarm import Alarm
from zlh_api.files.refusals import TransferTooSlow
from zlh_api.files.taking import Taking

BLOCK = b"x" * 1_000_000


class Slow:
    """A connection that is written to, and is of so many bytes less each time that one looks; it drains at the end."""

    def __init__(self, unsent: Iterable[int], held: socket.socket) -> None:
        self.socket = held
        self.unsent: Iterator[int] = iter(unsent)
        self.drained = asyncio.Event()
        # In aiohttp's words, for its writer.
        self.writing_paused = self._paused = True
        self.transport = self

    def get_write_buffer_size(self) -> int:
        """Tell the next figure; the last one is none."""
        size = next(self.unsent, 0)
        if not size:
            self.drained.set()
        return size

    def get_extra_info(self, name: str) -> socket.socket:
        """Lend the socket, of which the kernel holds nothing."""
        assert name == "socket"
        return self.socket

    def set_write_buffer_limits(self, *, high: int) -> None:
        """Be told."""
        assert high == 0

    def is_closing(self) -> bool:
        """Be open."""
        return False

    def write(self, _data: bytes) -> None:
        """Take all of it."""

    async def _drain_helper(self) -> None:
        await self.drained.wait()


class Asked:
    """As much of a request as an answer to it needs."""

    def __init__(self, connection: Slow) -> None:
        self.protocol = self.transport = connection
        self.writer = StreamWriter(cast("Any", connection), asyncio.get_running_loop())


async def take(unsent: Iterable[int]) -> None:
    """Write a block to a connection."""
    with socket.socket() as held:
        taking = Taking(cast("web.Request", Asked(Slow(unsent, held))))
        try:
            async with asyncio.timeout(60):
                await taking.write(BLOCK)
        finally:
            taking.close()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience_rules, "SILENCE_S", 0.001)


async def test_somebody_slow_is_waited_for_as_long_as_bytes_move() -> None:
    """A block may take any number of looks, as long as enough of it is gone at each."""
    await take(range(1_000_000, 0, -61_440))


async def test_somebody_who_takes_nothing_is_given_up() -> None:
    """At the first look at which it is as much as before."""
    with pytest.raises(TransferTooSlow):
        await take([100_000, 60_000, 60_000])


async def test_somebody_who_takes_too_little_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte by byte, for so long as a kilobyte a second would have been enough."""
    monkeypatch.setattr(patience_rules, "WINDOW_S", 0.01)
    with pytest.raises(TransferTooSlow):
        await take(range(10_000_000, 0, -1))


async def test_an_alarm_rings_once_and_when_it_is_due() -> None:
    """Not for a wait that has ended, and not for the one that was begun before."""
    rung: list[str] = []
    loop, last = asyncio.get_running_loop(), asyncio.Event()
    first, second = Alarm(lambda: rung.append("first")), Alarm(lambda: rung.append("second"))
    first.begin(0.001)
    first.end()
    second.begin(1000.0)
    second.begin(0.001)
    loop.call_later(0.05, last.set)
    await last.wait()
    assert rung == ["second"]


async def test_an_alarm_that_was_put_off_rings_when_it_is_due() -> None:
    """The timer of the wait before finds that it is not due yet, and is set anew; closed, it never rings."""
    rung = asyncio.Event()
    alarm = Alarm(rung.set)
    alarm.begin(0.001)
    alarm.begin(0.02)
    await rung.wait()
    rung.clear()
    alarm.begin(0.001)
    alarm.close()
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, later.set)
    await later.wait()
    assert not rung.is_set()
