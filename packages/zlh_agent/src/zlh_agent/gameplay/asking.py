"""Asking a server how it is, by a status ping or the query protocol: within a time, with an answer or None."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass

from zlh_agent.gameplay.presence import Answer
from zlh_agent.gameplay.query_wire import (
    NotAnAnswer,
    parse_challenge,
    parse_full,
    render_challenge_request,
    render_full_request,
)
from zlh_agent.gameplay.status_answer import ServerStatus, read_status
from zlh_common.status_ping import MAX_STATUS_BYTES, NotAServer, parse_status, render_status_request

ANSWER_TIMEOUT_S = 5.0
# Datagrams that are no answer, before it is given up.
MAX_STRAY = 16


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """A status, and how long it took from the question to its end."""

    status: ServerStatus
    latency_ms: float


async def ask_status(address: str, port: int) -> StatusAnswer | None:
    """Return what a server says of itself; None where it says nothing that can be read."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await _ask_status(address, port)
    except (TimeoutError, OSError, NotAServer):
        return None


async def _ask_status(address: str, port: int) -> StatusAnswer | None:
    reader, writer = await asyncio.open_connection(address, port, limit=MAX_STATUS_BYTES)
    try:
        began = time.monotonic()
        writer.write(render_status_request(address, port))
        await writer.drain()
        answer = bytearray()
        while len(answer) <= MAX_STATUS_BYTES + 16:
            data = await reader.read(16 * 1024)
            answer += data
            if (status := parse_status(bytes(answer))) is not None:
                return StatusAnswer(read_status(status), (time.monotonic() - began) * 1000)
            if not data:
                return None
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return None


async def ask_query(address: str, port: int) -> Answer | None:
    """Return who plays by the query protocol; None where nothing answers."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            transport, asker = await loop.create_datagram_endpoint(_Datagrams, remote_addr=(address, port))
            try:
                return await _ask_query(transport, asker)
            finally:
                transport.close()
    except (TimeoutError, OSError):
        return None


async def _ask_query(transport: asyncio.DatagramTransport, asker: _Datagrams) -> Answer | None:
    session = secrets.randbits(32)
    transport.sendto(render_challenge_request(session))
    challenge: int | None = None
    for _ in range(MAX_STRAY):
        data = await asker.next()
        with contextlib.suppress(NotAnAnswer):
            if challenge is None:
                challenge = parse_challenge(data, session)
                transport.sendto(render_full_request(session, challenge))
            else:
                return parse_full(data, session)
    return None


class _Datagrams(asyncio.DatagramProtocol):
    """What has come, or that the kernel refuses."""

    def __init__(self) -> None:
        self._came: asyncio.Queue[bytes | Exception] = asyncio.Queue(MAX_STRAY)

    def datagram_received(self, data: bytes, _addr: tuple[str, int]) -> None:
        """See DatagramProtocol; what nobody waits for is dropped."""
        self._put(data)

    def error_received(self, exc: Exception) -> None:
        """See DatagramProtocol."""
        self._put(exc)

    def _put(self, what: bytes | Exception) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._came.put_nowait(what)

    async def next(self) -> bytes:
        """Return the next datagram; raise OSError."""
        came = await self._came.get()
        if isinstance(came, bytes):
            return came
        raise OSError(str(came))
