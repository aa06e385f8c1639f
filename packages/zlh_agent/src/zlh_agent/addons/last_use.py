"""Asks code-server when it was last used; the customer may have put anything in its place, so all is bounded."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec

ANSWER_TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 16 * 1024


class _Health(msgspec.Struct, rename="camel"):
    """What `/healthz` says; milliseconds since 1970, 0 for one that nobody has used yet."""

    last_heartbeat: float


def parse_last_use(answer: bytes, *, now: datetime) -> datetime | None:
    """Return when it was used last; None for never, for what is no such answer, and for a time to come."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.") or head[8:13] != b" 200 ":
        return None
    try:
        told_s = msgspec.json.decode(body, type=_Health).last_heartbeat / 1000
        at = datetime.fromtimestamp(told_s, UTC)
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError, OSError):
        return None
    # A clock that was set back a little is no reason to say nothing.
    return min(at, now) if told_s > 0 and at - now < timedelta(minutes=1) else None


async def fetch_last_use(address: str, port: int, path: str, *, now: datetime) -> datetime | None:
    """Return when it was used last, or None where that cannot be told."""
    with suppress(OSError, ValueError, TimeoutError):
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return parse_last_use(await _ask(address, port, path), now=now)
    return None


async def _ask(address: str, port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection(address, port, limit=MAX_ANSWER_BYTES)
    try:
        # As of 1.0, so that the end of the answer is the end of the connection.
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {address}:{port}\r\nUser-Agent: zlh-probe\r\n\r\n".encode())
        await writer.drain()
        said = b""
        while len(said) < MAX_ANSWER_BYTES and (block := await reader.read(4096)):
            said += block
        return said
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
