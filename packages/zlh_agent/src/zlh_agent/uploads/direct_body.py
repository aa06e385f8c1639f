"""A body straight from its connection into blocks: nothing parses it, and nothing copies it on the way.

A body of a known length needs no parser, and aiohttp's takes a third of an agent's time at a large one. So the
connection is taken from aiohttp once the head was read, and handed back after the last byte. Its parser knows nothing
of what came meanwhile, so the connection ends with the answer: `ENDS_CONNECTION` has the answer say so.
"""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from zlh_agent.files.blocks import Block, Blocks
from zlh_agent.uploads.receiving import GATHER_S, BodyCut
from zlh_common.schema.file_refusals import BodyStalled

# What comes first waits here for a block: a record of TLS at most.
_FIRST_BYTES = 16 * 1024
# So many may be filled that nobody has taken, beside the one that is being written.
_AHEAD = 1


class DirectBody(asyncio.BufferedProtocol):
    """Is the protocol of a connection while `left` bytes come; see `receiving.Body`."""

    def __init__(
        self, request: web.Request, transport: asyncio.Transport, left: int, blocks: Blocks, *, silence_s: float
    ) -> None:
        self._handler: RequestHandler = request.protocol
        self._content = request.content
        self._transport = transport
        self._left = left
        self._blocks = blocks
        self._silence_s = silence_s
        # What is being filled, which has something in it, and what is to be taken.
        self._block: Block | None = None
        self._filled: deque[Block] = deque()
        # What has come while no block could be had.
        self._first = memoryview(bytearray(_FIRST_BYTES))
        self._early: bytes | memoryview = b""
        self._is_lost = self._is_stopped = False
        self._waiter: asyncio.Future[None] | None = None

    def begin(self, early: bytes) -> None:
        """Take the connection; `early` is what aiohttp had read already."""
        self._early = early
        self._transport.set_protocol(self)
        self._go_on()

    # ── for who writes ──

    async def fill(self) -> bool:
        """Have a block to take; tell whether there is one."""
        while not self._filled:
            if self._early:
                await self._move_early()
            elif self._block is not None:
                await self._gather(self._block)
            elif self._left:
                await self._wait_first()
            else:
                return False
        return True

    def take(self) -> Block | None:
        """Return what was filled, and then what is being filled."""
        if not self._filled:
            block, self._block = self._block, None
            return block
        block = self._filled.popleft()
        self._go_on()
        return block

    def stop(self) -> None:
        """Have nothing more come."""
        self._is_stopped = True
        self._transport.pause_reading()

    def close(self) -> None:
        """Give the connection back. Whatever follows a body that was not whole is read as the rest of it, and lost."""
        if self._is_lost:
            return
        self._transport.set_protocol(self._handler)
        if not self._left:
            self._content.feed_eof()
            self._handler.close()
        self._transport.resume_reading()

    async def _move_early(self) -> None:
        block = await self._blocks.take()
        room = len(block.free)
        block.add(self._early[:room])
        self._early = self._early[room:]
        self._block = block
        self._hand_on_if_filled()
        self._go_on()

    async def _wait_first(self) -> None:
        try:
            async with asyncio.timeout(self._silence_s):
                await self._wait()
        except TimeoutError as exc:
            raise BodyStalled(silence_s=self._silence_s) from exc

    async def _gather(self, block: Block) -> None:
        try:
            async with asyncio.timeout(GATHER_S):
                while self._block is block:
                    await self._wait()
        except TimeoutError:
            self._hand_on()

    async def _wait(self) -> None:
        """Return when something has happened; raise BodyCut."""
        if not self._is_lost:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._is_lost and self._left:
            raise BodyCut

    # ── what both sides do ──

    def _go_on(self) -> None:
        """Read on, where there is something to come and room for it."""
        may_come = self._left and not self._early and len(self._filled) < _AHEAD and not self._is_stopped
        if may_come:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _hand_on_if_filled(self) -> None:
        if self._block is not None and (self._block.is_full or not self._left):
            self._hand_on()

    def _hand_on(self) -> None:
        if self._block is not None:
            self._filled.append(self._block)
            self._block = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ── for the connection ──

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where the next bytes go. It is never asked while reading is paused, so there is room."""
        del sizehint
        # Nothing may come after all, as of half a record: a block is for what is there.
        target = self._first if self._block is None else self._block.free
        return target[: self._left]

    def buffer_updated(self, nbytes: int) -> None:
        """Count what has come."""
        self._left -= nbytes
        is_first = self._block is None
        if self._block is not None:
            self._block.filled += nbytes
        elif (block := self._blocks.take_nowait()) is not None:
            block.add(self._first[:nbytes])
            self._block = block
        else:
            self._early = self._first[:nbytes]
        self._hand_on_if_filled()
        if is_first or self._block is None:
            self._go_on()
            self._wake()

    def eof_received(self) -> None:
        """Leave it to what follows: the connection is lost."""

    def pause_writing(self) -> None:
        """Pass on."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Pass on."""
        self._handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and pass on."""
        self._is_lost = True
        self._wake()
        self._handler.connection_lost(exc)
