"""Bodies of requests that are taken bit by bit; a large one of a known length passes by aiohttp's parser.

Whatever follows that one on its connection is never read as a request, so the connection ends with the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from aiohttp import web

from zlh_api.direct_bytes import Bytes, BytesCut, DirectBytes, take_directly

# Where it stands that no further request can be read from the connection of a request.
ENDS_CONNECTION = web.RequestKey("ends_connection", bool)


class ComingBody:
    """The body of one request, for one reader."""

    def __init__(self, request: web.Request, *, silence_s: float) -> None:
        self._request = request
        self._silence_s = silence_s
        self._direct: DirectBytes | None = None
        self._has_begun = False

    async def take(self) -> Bytes:
        """Return what has come, once something has; nothing at the end. Raise BytesCut, or TimeoutError in silence.

        It may be read until the next call of this, and no longer.
        """
        try:
            if not self._has_begun:
                await self._begin()
            if self._direct is not None:
                return await self._direct.take()
            async with asyncio.timeout(self._silence_s):
                return await self._request.content.readany()
        except (aiohttp.ClientError, web.RequestPayloadError, ConnectionError) as error:
            raise BytesCut from error

    def end(self) -> None:
        """Let go of the connection."""
        if self._direct is None:
            return
        self._direct.end()
        request = self._request
        if not self._direct.left:
            # Nobody waits for the rest of it, nor reads what was sent behind it.
            request.content.feed_eof()
            request.protocol.close()
        if request.transport is not None:
            request.transport.resume_reading()

    async def _begin(self) -> None:
        self._has_begun = True
        request = self._request
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # The answer has not begun by that.
            request.writer.output_size = 0
        transport, length = request.transport, request.content_length
        if transport is None or transport.is_closing() or length is None:
            return
        self._direct = take_directly(request.content, transport, request.protocol, length, silence_s=self._silence_s)
        if self._direct is not None:
            request[ENDS_CONNECTION] = True


@contextmanager
def coming_body(request: web.Request, *, silence_s: float) -> Iterator[ComingBody]:
    """Lend the body of a request, which has stalled where nothing comes for so long."""
    body = ComingBody(request, silence_s=silence_s)
    try:
        yield body
    finally:
        body.end()
