"""The bytes of files between who has called and an agent: taken block by block, and never for who may no longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from aiohttp import web

from zlh_api.agents import patience_rules
from zlh_api.agents.client import AgentUnreachable
from zlh_api.agents.patience_rules import Patience
from zlh_api.agents.transfers import Transfer, TransferBroken
from zlh_api.direct_bytes import Bytes, BytesCut
from zlh_api.files.refusals import BodyCutOff, TransferTooSlow
from zlh_api.files.rules import FileHead, Malformed, pick_headers
from zlh_api.files.taking import Taking
from zlh_api.web.endpoint import Call
from zlh_api.web.large_bodies import ComingBody, coming_body
from zlh_api.web.problems import RequestRefused
from zlh_common.schema.file_refusals import BodyStalled


def read_headers(call: Call, *names: str) -> dict[str, str]:
    """Return those of these headers that a request has, checked; raise RequestRefused."""
    try:
        return pick_headers({name: call.request.headers.getall(name, []) for name in names}, names)
    except Malformed as error:
        raise RequestRefused(f"its header {error}") from None


@contextmanager
def reading_body(call: Call) -> Iterator[AsyncIterator[Bytes]]:
    """Lend the body of a request, as it comes; see `read_blocks`."""
    with coming_body(call.request, silence_s=patience_rules.SILENCE_S) as body:
        yield read_blocks(call, body)


async def read_blocks(call: Call, body: ComingBody) -> AsyncIterator[Bytes]:
    """Yield the body of a request as it comes; raise BodyStalled, TransferTooSlow, BodyCutOff."""
    loop, patience = asyncio.get_running_loop(), Patience()
    while True:
        began = loop.time()
        try:
            block = await body.take()
        except TimeoutError:
            raise BodyStalled(silence_s=patience_rules.SILENCE_S) from None
        except BytesCut:
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
    taking = Taking(call.request)
    try:
        async for block in transfer.blocks():
            await call.wait_certain()
            await taking.write(block)
    except TransferBroken as error:
        raise AgentUnreachable(str(error)) from error
    finally:
        taking.close()
    await response.write_eof()
    return response


def _count(patience: Patience, waited_s: float, moved_bytes: int) -> Patience:
    """Return what is left of it; raise TransferTooSlow."""
    left = patience.after(waited_s, moved_bytes)
    if left.is_spent:
        raise TransferTooSlow(left.moved_bytes)
    return left


def announce_length(call: Call, type_: str) -> dict[str, str]:
    """Return how a body is announced to the agent: with its length where that is known, else bit by bit."""
    length = call.request.content_length
    return {"Content-Type": type_, **({} if length is None else {"Content-Length": str(length)})}


def one_word(values: Sequence[str]) -> str | None:
    """Return a header that may stand once; None where it is absent or stands twice."""
    return values[0] if len(values) == 1 else None
