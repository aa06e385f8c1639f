"""How a body of raw bytes begins, whatever it is for: nothing is let come before everything was checked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from aiohttp import hdrs, web

from zlh_agent.files.blocks import Blocks
from zlh_agent.uploads.direct_body import DirectBody
from zlh_agent.uploads.receiving import Body
from zlh_agent.uploads.stream_body import StreamBody
from zlh_agent.web.server import ENDS_CONNECTION
from zlh_common.schema.file_refusals import UploadInvalid

# Makes a body that holds `blocks`, and has stalled after so many seconds without a byte.
OpenBody = Callable[[Blocks, float], Body]
# Less than this is not worth a connection, which ends with a body that is taken directly.
_DIRECT_FROM_BYTES = 1024 * 1024


def refuse_encoded(request: web.Request) -> None:
    """Raise UploadInvalid: a file comes as it is, and a few bytes must not become many here."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UploadInvalid(reason="a body is sent as it is, without Content-Encoding")


async def wait_for_checks(_request: web.Request) -> None:
    """Say nothing yet to who asks whether a body may come: `let_come` does, after the checks."""


async def let_come(request: web.Request) -> None:
    """Tell a client that has asked that its body may come."""
    if request.version >= (1, 1) and request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # It is no part of the answer that follows.
        request.writer.output_size = 0


def body_of(request: web.Request) -> OpenBody:
    """Return what opens the body of a request; to be opened once, and after `let_come`."""
    return partial(_open, request)


def _open(request: web.Request, blocks: Blocks, silence_s: float) -> Body:
    transport, length = request.transport, request.content_length
    is_there = transport is not None and not transport.is_closing() and request.content.exception() is None
    if transport is None or length is None or not is_there or length < _DIRECT_FROM_BYTES:
        return StreamBody(request.content, blocks, silence_s=silence_s)
    early = bytearray()
    # Reading may have aiohttp's parser give what it has held back.
    while part := request.content.read_nowait():
        early += part
    body = DirectBody(request, transport, length - request.content.total_bytes, blocks, silence_s=silence_s)
    body.begin(bytes(early))
    request[ENDS_CONNECTION] = True
    return body
