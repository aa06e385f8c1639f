"""The bytes of files between who has called and an agent: taken block by block, and never for who may no longer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence

import aiohttp
from aiohttp import web

from zlh_api.agents import patience_rules
from zlh_api.agents.client import AgentUnreachable
from zlh_api.agents.patience_rules import Patience
from zlh_api.agents.transfers import Transfer, TransferBroken
from zlh_api.files.refusals import BodyCutOff, TransferTooSlow
from zlh_api.files.rules import FileHead, Malformed, pick_headers
from zlh_api.web.endpoint import Call
from zlh_api.web.problems import RequestRefused
from zlh_common.schema.file_refusals import BodyStalled

# So much is handed to the connection at a time, that somebody slow is seen to take it.
PART_BYTES = 60 * 1024
# What the kernel may hold that is not sent yet; more would hide for minutes that nobody reads.
UNSENT_BYTES = 256 * 1024


def read_headers(call: Call, *names: str) -> dict[str, str]:
    """Return those of these headers that a request has, checked; raise RequestRefused."""
    try:
        return pick_headers({name: call.request.headers.getall(name, []) for name in names}, names)
    except Malformed as error:
        raise RequestRefused(f"its header {error}") from None


async def read_blocks(call: Call) -> AsyncIterator[bytes]:
    """Yield the body of a request as it comes; raise BodyStalled, TransferTooSlow, BodyCutOff."""
    request, loop, patience = call.request, asyncio.get_running_loop(), Patience()
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The answer has not begun by that.
        request.writer.output_size = 0
    while True:
        began = loop.time()
        try:
            async with asyncio.timeout(patience_rules.SILENCE_S):
                block = await request.content.readany()
        except TimeoutError:
            raise BodyStalled(silence_s=patience_rules.SILENCE_S) from None
        except (aiohttp.ClientError, web.RequestPayloadError, ConnectionError):
            raise BodyCutOff from None
        if not block:
            return
        patience = _count(patience, loop.time() - began, len(block))
        await call.wait_certain()
        yield block


async def send_blocks(call: Call, head: FileHead, transfer: Transfer) -> web.StreamResponse:
    """Answer with the bytes of a transfer; raise what ends it, after which the connection has to be cut."""
    if not transfer.has_end:
        raise AgentUnreachable("its answer has no end that could be told from a break")
    response = web.StreamResponse(status=head.status, headers=head.headers)
    if "Content-Length" in head.headers:
        response.content_length = int(head.headers["Content-Length"])
    await response.prepare(call.request)
    _hold_little(call.request.transport)
    patience = Patience()
    try:
        async for block in transfer.blocks():
            await call.wait_certain()
            for at in range(0, len(block), PART_BYTES):
                patience = await _write(response, block[at : at + PART_BYTES], patience)
    except TransferBroken as error:
        raise AgentUnreachable(str(error)) from error
    await response.write_eof()
    return response


async def _write(response: web.StreamResponse, part: bytes, patience: Patience) -> Patience:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(patience_rules.SILENCE_S):
            await response.write(part)
    except TimeoutError:
        # A part is no more than what has to be taken in that time.
        raise TransferTooSlow(patience.moved_bytes) from None
    return _count(patience, loop.time() - began, len(part))


def _count(patience: Patience, waited_s: float, moved_bytes: int) -> Patience:
    """Return what is left of it; raise TransferTooSlow."""
    left = patience.after(waited_s, moved_bytes)
    if left.is_spent:
        raise TransferTooSlow(left.moved_bytes)
    return left


def _hold_little(transport: asyncio.Transport | None) -> None:
    held = None if transport is None else transport.get_extra_info("socket")
    if held is not None:
        with contextlib.suppress(OSError):
            held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def announce_length(call: Call, type_: str) -> dict[str, str]:
    """Return how a body is announced to the agent: with its length where that is known, else bit by bit."""
    length = call.request.content_length
    return {"Content-Type": type_, **({} if length is None else {"Content-Length": str(length)})}


def one_word(values: Sequence[str]) -> str | None:
    """Return a header that may stand once; None where it is absent or stands twice."""
    return values[0] if len(values) == 1 else None
