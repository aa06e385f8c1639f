"""Asking a process whether it is there: one question, one answer or a reason, always within a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re

from zlh_common.schema.process import HttpProbe, PingProbe, Probe, TcpProbe
from zlh_common.status_ping import NotAServer, parse_status, render_status_request

ANSWER_TIMEOUT_S = 5.0
# A head or a status beyond this is no answer.
MAX_ANSWER_BYTES = 64 * 1024
_STATUS_LINE = re.compile(rb"HTTP/[0-9.]+ ([0-9]{3})\b")


async def ask(probe: Probe, address: str) -> str | None:
    """Return None where the process answers, else why not, in words. Never raises for an ordinary failure."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            match probe:
                case TcpProbe(port=port):
                    return await _ask_tcp(address, port)
                case HttpProbe(port=port, path=path):
                    return await _ask_http(address, port, path)
                case PingProbe(port=port):
                    return await _ask_status(address, port)
                case _:
                    return "a log probe is answered by output"
    except TimeoutError:
        return f"no answer within {ANSWER_TIMEOUT_S:.0f} s"
    except OSError as exc:
        # What asyncio writes there names the call and not the cause.
        return os.strerror(exc.errno).lower() if exc.errno else str(exc)


async def _ask_tcp(address: str, port: int) -> str | None:
    _, writer = await asyncio.open_connection(address, port)
    await _close(writer)
    return None


async def _ask_http(address: str, port: int, path: str) -> str | None:
    reader, writer = await asyncio.open_connection(address, port, limit=MAX_ANSWER_BYTES)
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: {address}:{port}\r\nUser-Agent: zlh-probe\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        line = await reader.readline()
    except ValueError:
        return "its answer has no end"
    finally:
        await _close(writer)
    found = _STATUS_LINE.match(line)
    if found is None:
        return "it does not speak HTTP"
    status = int(found[1])
    return None if status < 400 else f"it answers with status {status}"


async def _ask_status(address: str, port: int) -> str | None:
    reader, writer = await asyncio.open_connection(address, port, limit=MAX_ANSWER_BYTES)
    try:
        writer.write(render_status_request(address, port))
        await writer.drain()
        answer = b""
        while len(answer) < MAX_ANSWER_BYTES:
            data = await reader.read(4096)
            answer += data
            if parse_status(answer) is not None:
                return None
            if not data:
                return "it closes the connection without a status"
    except NotAServer as exc:
        return str(exc)
    finally:
        await _close(writer)
    return "its status has no end"


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
