"""Bytes straight from a connection: whoever takes them and the connection go on in any order, and none is lost."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

import pytest

from zlh_api import direct_bytes
from zlh_api.direct_bytes import BytesCut, DirectBytes

SMALL_BLOCK, SIZE = 16, 400
BODY = random.Random(11).randbytes(SIZE)


class Wire:
    """A connection from which some of a body comes whenever the test says so, and only while it is read."""

    def __init__(self) -> None:
        self.is_read = False
        self.sent = 0
        self.direct: DirectBytes | None = None

    def set_protocol(self, protocol: object) -> None:
        """Be taken, or given back."""
        self.direct = protocol if isinstance(protocol, DirectBytes) else None

    def pause_reading(self) -> None:
        """Bring nothing more."""
        self.is_read = False

    def resume_reading(self) -> None:
        """Bring more."""
        self.is_read = True

    def bring(self, most: int) -> None:
        """Have at most so many bytes come, as a loop does: into what it is told, of which there must be some."""
        if not self.is_read or self.direct is None:
            return
        buffer = self.direct.get_buffer(-1)
        assert len(buffer) > 0, "a loop takes that for the end of the connection"
        part = BODY[self.sent : self.sent + min(most, len(buffer))]
        buffer[: len(part)] = part
        self.sent += len(part)
        self.direct.buffer_updated(len(part))


class Before(asyncio.Protocol):
    """Whose connection it was."""

    lost = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Be told."""
        del exc
        self.lost = True


def make(wire: Wire, before: asyncio.Protocol, early: bytes = b"", *, silence_s: float = 60.0) -> DirectBytes:
    """Take a wire over which all but `early` is still to come."""
    wire.sent = len(early)
    direct = DirectBytes(cast("Any", wire), before, SIZE - len(early), early, silence_s=silence_s)
    direct.begin()
    return direct


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_bytes, "BLOCK_BYTES", SMALL_BLOCK)


@pytest.mark.parametrize("seed", range(200))
async def test_every_order_of_coming_and_taking_brings_all_of_it(seed: int) -> None:
    """Whoever takes is early or late, much or little comes at once; a block is left alone until the next one is."""
    chance, wire = random.Random(seed), Wire()
    direct, got = make(wire, Before(), BODY[: chance.choice((0, 5))]), bytearray()
    taking: asyncio.Task[direct_bytes.Bytes] | None = None
    lent, as_lent, is_whole = memoryview(b""), b"", False
    async with asyncio.timeout(60):
        while not is_whole:
            if taking is None and chance.random() < 0.5:
                taking = asyncio.create_task(cast("Any", direct.take()))
            for _ in range(chance.randrange(4)):
                wire.bring(chance.choice((1, 5, SMALL_BLOCK, 3 * SMALL_BLOCK)))
            assert taking is not None or lent == as_lent
            if chance.random() < 0.7:
                await asyncio.sleep(0)
            if taking is not None and taking.done():
                lent = memoryview(taking.result())
                as_lent, taking = bytes(lent), None
                got += lent
                is_whole = not lent
    direct.end()
    assert bytes(got) == BODY
    assert wire.direct is None


async def test_a_connection_that_is_lost_gives_what_has_come() -> None:
    """Then it is cut, for whoever waits as for whoever asks later; its owner is told."""
    wire, before = Wire(), Before()
    direct = make(wire, before)
    wire.bring(5)
    direct.connection_lost(None)
    assert bytes(await direct.take()) == BODY[:5]
    for _ in range(2):
        with pytest.raises(BytesCut):
            await direct.take()
    direct.end()
    assert before.lost


async def test_whoever_waits_is_told_that_it_is_cut() -> None:
    """The connection is lost, or given back, in the middle."""
    for end in (lambda direct: direct.connection_lost(None), DirectBytes.end):
        direct = make(Wire(), Before())
        taking = asyncio.create_task(cast("Any", direct.take()))
        await asyncio.sleep(0)
        end(direct)
        with pytest.raises(BytesCut):
            await taking
        direct.end()


async def test_silence_has_an_end() -> None:
    """Nothing comes for so long; what comes afterwards is still to be had."""
    wire = Wire()
    direct = make(wire, Before(), silence_s=0.01)
    with pytest.raises(TimeoutError):
        await direct.take()
    wire.bring(5)
    assert bytes(await direct.take()) == BODY[:5]
    direct.end()
