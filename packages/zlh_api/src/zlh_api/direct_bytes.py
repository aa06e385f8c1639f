"""The bytes of a large body straight from their connection into two blocks: nothing parses and nothing gathers them.

A body whose length is known needs no parser, and aiohttp's copies each byte three times and wakes its reader for each
read. So the connection is taken from aiohttp once the head was read, for as long as the body lasts. Its parser has not
seen these bytes: the connection serves no further request.
"""

from __future__ import annotations

import asyncio
import mmap

from aiohttp import StreamReader

from zlh_api.alarm import Alarm

# One is filled while the other one is passed on. More of them, or larger ones, were no faster.
BLOCK_BYTES = 256 * 1024
# A rest of less than this is not worth a connection; it is more than aiohttp may have read already.
DIRECT_FROM_BYTES = 1024 * 1024
Bytes = bytes | memoryview


class BytesCut(Exception):
    """The connection ended before the bytes did."""


class DirectBytes(asyncio.BufferedProtocol):
    """Is the protocol of a connection in the place of `before`, while `left` bytes come.

    What one block has room for comes ahead of whoever takes it, and no more.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        before: asyncio.Protocol,
        left: int,
        early: bytes = b"",
        *,
        silence_s: float,
    ) -> None:
        self._transport = transport
        self._before = before
        self._left = left
        # What had come before.
        self._early = early
        self._filling, self._given = _new_block(), _new_block()
        self._filled = 0
        # What is to be taken, in the block that was given out: whoever waits has no need of that any more.
        self._ready = self._given[:0]
        self._is_paused = self._is_lost = self._is_over = False
        self._waiter: asyncio.Future[None] | None = None
        self._silence_s, self._alarm = silence_s, Alarm(self._give_up)

    @property
    def left(self) -> int:
        """How many bytes have not come yet."""
        return self._left

    def begin(self) -> None:
        """Take the connection."""
        self._transport.set_protocol(self)
        self._transport.resume_reading()

    async def take(self) -> Bytes:
        """Return what has come, once something has; nothing at the end. Raise BytesCut, or TimeoutError in silence.

        It may be read until the next call of this, and no longer.
        """
        if self._early:
            early, self._early = self._early, b""
            return early
        if not self._ready:
            if self._filled:
                self._swap()
            elif self._left:
                await self._wait()
        ready, self._ready = self._ready, self._ready[:0]
        # What came while this one waited to be taken may have filled the other block too.
        if self._is_paused and self._left and self._filled < BLOCK_BYTES and not self._is_over:
            self._is_paused = False
            self._transport.resume_reading()
        return ready

    def end(self) -> None:
        """Give the connection back. Where not all has come, the rest is the business of who has it then."""
        if self._is_over:
            return
        self._is_over = True
        self._alarm.close()
        self._wake()
        if not self._is_lost:
            self._transport.set_protocol(self._before)
        # The alarm knows us, and we know the alarm: the memory would wait for the garbage collector.
        self._filling = self._given = self._ready = memoryview(b"")
        self._filled = 0

    async def _wait(self) -> None:
        if not self._is_lost and not self._is_over:
            self._waiter = asyncio.get_running_loop().create_future()
            self._alarm.begin(self._silence_s)
            try:
                await self._waiter
            finally:
                self._alarm.end()
                self._waiter = None
        if not self._ready:
            raise BytesCut

    def _swap(self) -> None:
        self._ready = self._filling[: self._filled]
        self._filling, self._given, self._filled = self._given, self._filling, 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _give_up(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TimeoutError())

    # ── for the connection ──

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where the next bytes go. It is not asked while reading is paused, so there is room."""
        del sizehint
        return self._filling[self._filled : self._filled + self._left]

    def buffer_updated(self, nbytes: int) -> None:
        """Count what has come."""
        self._left -= nbytes
        self._filled += nbytes
        if self._waiter is not None and not self._waiter.done():
            self._swap()
            self._waiter.set_result(None)
        if not self._left or self._filled == BLOCK_BYTES:
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Leave it to what follows: the connection is lost."""

    def pause_writing(self) -> None:
        """Pass on."""
        self._before.pause_writing()

    def resume_writing(self) -> None:
        """Pass on."""
        self._before.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and pass on."""
        self._is_lost = True
        self._alarm.close()
        self._wake()
        self._before.connection_lost(exc)


def take_directly(
    content: StreamReader, transport: asyncio.Transport, before: asyncio.Protocol, length: int, *, silence_s: float
) -> DirectBytes | None:
    """Take a connection from aiohttp while a body of this length comes, of which it may have read some.

    Return None where that is not worth it; raise what the body has failed with.
    """
    if length - content.total_bytes < DIRECT_FROM_BYTES:
        return None
    early = bytearray()
    # Reading may have aiohttp's parser give what it has held back.
    while part := content.read_nowait():
        early += part
    direct = DirectBytes(transport, before, length - content.total_bytes, bytes(early), silence_s=silence_s)
    direct.begin()
    return direct


def _new_block() -> memoryview:
    """Return memory apart from the heap, which would keep what is freed."""
    return memoryview(mmap.mmap(-1, BLOCK_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
