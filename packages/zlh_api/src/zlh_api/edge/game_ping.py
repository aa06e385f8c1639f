"""The question that players' programs ask before they join, asked through the proxy's own port for a game server."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from zlh_api.edge.port import GameNotAnswering
from zlh_common.status_ping import MAX_STATUS_BYTES, NotAServer, parse_status, render_status_request

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class PublicPort:
    """Where players are: the name that they type, and the proxy's machine and port that it leads to."""

    host: str
    address: str
    port: int


async def check_game(at: PublicPort) -> None:
    """Return once the server has told its status; raise GameNotAnswering."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await _ask(at)
    except TimeoutError as exc:
        raise GameNotAnswering(host=at.host, port=at.port, reason=f"no answer within {TIMEOUT_S:.0f} s") from exc
    except (NotAServer, OSError) as exc:
        raise GameNotAnswering(host=at.host, port=at.port, reason=str(exc) or type(exc).__name__) from exc


async def _ask(at: PublicPort) -> None:
    reader, writer = await asyncio.open_connection(at.address, at.port)
    try:
        writer.write(render_status_request(at.host, at.port))
        await writer.drain()
        answer = b""
        while parse_status(answer) is None:
            data = await reader.read(4096)
            answer += data
            if not data:
                raise NotAServer("it closes the connection without a status")
            if len(answer) > 2 * MAX_STATUS_BYTES:
                raise NotAServer("its status has no end")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
