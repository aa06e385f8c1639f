"""Asks a port once what it speaks. A program that listens is asked as a browser would ask it, and is told who asks."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from zlh_agent.ports.diag_wire import Address
from zlh_common.schema.ports import PortKind

CONNECT_S = 1.0
# A server that speaks first, as SSH, SMTP and databases do, has spoken by then.
GREETING_S = 0.2
ANSWER_S = 3.0
_MOST_BYTES = 512
# Answered by every server of HTTP, with whatever status, and by none with a page that has to be made first.
_QUESTION = b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: zlh-port-probe\r\nConnection: close\r\n\r\n"
# Its certificate is not what is asked for.
_CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_CONTEXT.check_hostname, _CONTEXT.verify_mode = False, ssl.CERT_NONE


async def find_kind(address: Address, port: int) -> PortKind:
    """Return what is spoken there; UNKNOWN where nobody takes the connection."""
    try:
        answer = await _ask(address, port)
    except OSError:
        return PortKind.UNKNOWN
    if answer is None:
        return PortKind.TCP
    is_http = answer.startswith(b"HTTP/")
    # A server of HTTPS answers a plain request by nothing, by an alert, or by a page that says what it wants.
    may_speak_tls = not is_http or answer[8:13] == b" 400 "
    if may_speak_tls and await _speaks_tls(address, port):
        return PortKind.HTTPS
    return PortKind.HTTP if is_http else PortKind.TCP


async def _ask(address: Address, port: int) -> bytes | None:
    """Return the beginning of the answer to a plain request, or None from a server that speaks first."""
    async with asyncio.timeout(CONNECT_S):
        reader, writer = await asyncio.open_connection(str(address), port)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GREETING_S):
                return None if await reader.read(_MOST_BYTES) else b""
        with contextlib.suppress(OSError):
            writer.write(_QUESTION)
            async with asyncio.timeout(ANSWER_S):
                return await reader.read(_MOST_BYTES)
        return b""
    finally:
        writer.transport.abort()


async def _speaks_tls(address: Address, port: int) -> bool:
    with contextlib.suppress(OSError):
        async with asyncio.timeout(ANSWER_S):
            _, writer = await asyncio.open_connection(str(address), port, ssl=_CONTEXT)
        writer.transport.abort()
        return True
    return False
