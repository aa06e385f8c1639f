"""Bytes that are no HTTP, too many of them, or none at all: refused or cut off, and others are served all the while."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fakes.api_world import NODE, World
from zlh_api.web import request_body
from zlh_api.web.connections import ConnectionLimits

TOKEN = b"Authorization: Bearer owner-token\r\n"
JSON = b"Content-Type: application/json\r\n"
# Short, so that the tests are; nothing here depends on how quick this machine is.
LIMITS = ConnectionLimits(head_s=1.0, idle_s=2.0, lingering_s=1.0, connections=20)
WAIT_S = 20


@pytest.fixture
async def port(world: World) -> AsyncIterator[int]:
    """Where an API listens that has little patience."""
    world.limits = LIMITS
    async with world.client() as client:
        assert client.port is not None
        yield client.port
        # Whatever was sent, it lives and serves.
        assert (await client.get("/api/version")).status == 200


@asynccontextmanager
async def opened(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Lend a connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def say(port: int, raw: bytes) -> bytes:
    """Return all that is answered to some bytes until the connection is closed."""
    async with asyncio.timeout(WAIT_S), opened(port) as (reader, writer):
        try:
            writer.write(raw)
            await writer.drain()
        except ConnectionError:
            return b""
        try:
            return await reader.read()
        except ConnectionError:
            return b""


def check_refused(answer: bytes, *codes: str) -> None:
    """Fail unless the first answer is a problem with one of these codes; nothing at all is a closed connection."""
    if not answer:
        return
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert 400 <= status < 500, answer[:500]
    assert b"application/problem+json" in head, answer[:500]
    assert json.loads(body)["code"] in codes, answer[:500]
    assert b"Traceback" not in answer


POST = b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\n"
NONSENSE = {
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "no method": b"\r\n\r\n\r\nfoo\r\n\r\n",
    "bare line feeds": b"GET /api/version HTTP/1.1\nHost: a\nX: \x01\n\n",
    "no version": b"GET /api/version\r\nHost: a\r\n\r\n",
    "version 9": b"GET /api/version HTTP/9.9\r\nHost: a\r\n\r\n",
    "NUL in a header": b"GET /api/version HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "a blank before the colon": b"GET /api/version HTTP/1.1\r\nHost : a\r\n\r\n",
    "folded header": b"GET /api/version HTTP/1.1\r\nHost: a\r\nX: a\r\n\x01b\r\n\r\n",
    "CL and TE": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
    "a length below nothing": POST + b"Content-Length: -1\r\n\r\n{}",
    "a length in hex": POST + b"Content-Length: 0x10\r\n\r\n{}",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked is not last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
}  # fmt: skip


async def test_what_is_no_http_is_refused_and_cut_off(port: int) -> None:
    """With a problem document where there is a request at all; what follows is never taken for another request."""
    for what, raw in NONSENSE.items():
        answer = await say(port, raw + b"GET /api/version HTTP/1.1\r\nHost: a\r\n\r\n")
        check_refused(answer, "request_refused")
        assert b'"protocolVersion"' not in answer, what


CHUNKS = {
    "no size": b"zz\r\n{}\r\n0\r\n\r\n",
    "a size without end": b"f" * 40 + b"\r\n{}\r\n0\r\n\r\n",
    "a negative size": b"-2\r\n{}\r\n0\r\n\r\n",
    "more than it says": b"1\r\n{}{}{}\r\n0\r\n\r\n",
}


async def test_chunks_that_are_none_are_refused(port: int) -> None:
    """The request had a head, so its sender is told."""
    head = b"POST /api/containers HTTP/1.1\r\nHost: a\r\n" + TOKEN + JSON + b"Transfer-Encoding: chunked\r\n\r\n"
    for chunks in CHUNKS.values():
        check_refused(await say(port, head + chunks), "request_refused", "invalid_body")


async def test_a_body_that_is_cut_off_makes_nothing(world: World, port: int) -> None:
    """Who hangs up half-way has asked for nothing."""
    body = json.dumps(NODE).encode()
    head = b"POST /api/containers HTTP/1.1\r\nHost: a\r\n" + TOKEN + JSON
    async with opened(port) as (_, writer):
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:-1])
        await writer.drain()
    assert await world.fetch("select 1 from containers") == []


TOO_MUCH = {
    "a long header": (b"/api/version", b"X: " + b"x" * 2**20 + b"\r\n", "headers_too_large"),
    "a long line": (b"/api/version?" + b"x" * 2**20, b"", "headers_too_large"),
    "many headers": (b"/api/version", b"X: y\r\n" * 10**5, "headers_too_large"),
    "many parameters": (b"/api/containers?" + b"&".join([b"a=1"] * 10**5), TOKEN, "headers_too_large"),
    "unknown parameters": (b"/api/containers?" + b"&".join([b"a"] * 3000), TOKEN, "query_unknown"),
    "one parameter often": (b"/api/containers?" + b"&".join([b"limit=1"] * 900), TOKEN, "query_invalid"),
}


async def test_what_is_too_much_is_refused(port: int) -> None:
    """The limits are named in the answer, if the client still listens."""
    for path, headers, code in TOO_MUCH.values():
        head = b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        check_refused(await say(port, head + headers + b"\r\n"), code)


# A request line, and headers in which bytes stand that are no text: (it, the code).
NO_TEXT = (
    (b"POST /api/tokens", b"Cookie: zlh_session=a\r\nOrigin: \xff\xfe\r\n" + JSON, "origin_refused"),
    (b"POST /api/invitations/look", b"Origin: https://\xed\xa0\x80\r\n" + JSON, "origin_refused"),
    (b"POST /api/tokens", TOKEN + b"Content-Type: a/\xff\r\n", "content_type_refused"),
    (b"POST /api/tokens", TOKEN + b"Content-Type: application/json; charset=\xff\r\n", "content_type_refused"),
    (b"POST /api/tokens", TOKEN + JSON + b"Content-Encoding: \xff\r\n", "content_encoding_refused"),
    (b"GET /api/me", b"Authorization: Bearer \xff\xfe\r\n", "not_signed_in"),
    (b"GET /api/me", b"Cookie: zlh_session=\xff\xfe\r\n", "not_signed_in"),
    (b"GET /api/containers/1/console", b"Sec-WebSocket-Protocol: zlh.ticket.\xff\r\n", "ticket_invalid"),
)


@pytest.mark.parametrize(("line", "headers", "code"), NO_TEXT, ids=[case[2] for case in NO_TEXT])
async def test_a_header_that_is_no_text_is_refused(port: int, line: bytes, headers: bytes, code: str) -> None:
    """Whatever of it is said again: by a problem that is JSON, and not by breaking."""
    head = line + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n"
    check_refused(await say(port, head + headers + b"\r\n{}"), code)


async def test_who_sends_a_head_byte_by_byte_is_cut_off(port: int) -> None:
    """Ten at once, and somebody else is served meanwhile."""
    head = b"GET /api/version HTTP/1.1\r\nHost: a\r\n"

    async def trickle() -> bytes:
        async with opened(port) as (reader, writer):
            for number in range(10_000):
                if reader.at_eof():
                    break
                writer.write(head[number : number + 1] or b"X")
                await asyncio.sleep(0.1)
            return await reader.read()

    async with asyncio.timeout(WAIT_S):
        slow = [asyncio.create_task(trickle()) for _ in range(10)]
        answer = await say(port, b"GET /api/version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in answer
        for ended in await asyncio.gather(*slow, return_exceptions=True):
            assert ended == b"" or isinstance(ended, ConnectionError)


async def test_who_sends_a_body_byte_by_byte_is_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time for a body, with the reason."""
    monkeypatch.setattr(request_body, "BODY_TIMEOUT_S", 1.0)
    head = b"POST /api/containers HTTP/1.1\r\nHost: a\r\n" + TOKEN + JSON + b"Content-Length: 1000\r\n\r\n"
    async with asyncio.timeout(WAIT_S), opened(port) as (reader, writer):
        writer.write(head)
        answer = asyncio.create_task(reader.read())
        while not answer.done():
            writer.write(b" ")
            await asyncio.sleep(0.1)
        check_refused(await answer, "body_too_slow")
        assert b"Connection: close" in answer.result()


async def test_who_says_nothing_is_cut_off(port: int) -> None:
    """At the beginning, and after an answer too."""
    async with asyncio.timeout(WAIT_S):
        assert await say(port, b"") == b""
        answer = await say(port, b"GET /api/version HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_more_connections_than_there_may_be_keep_nobody_out(port: int) -> None:
    """The one that has asked for nothing for longest makes room."""
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(LIMITS.connections)]
    try:
        answer = await say(port, b"GET /api/version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in answer
        async with asyncio.timeout(WAIT_S):
            assert await idle[0][0].read() == b""
    finally:
        for _, writer in idle:
            writer.close()


async def test_many_requests_in_a_row_are_answered_in_their_order(port: int) -> None:
    """Without waiting for an answer; memory holds a few of them at a time, and the last one closes."""
    one = b"GET /api/nothing HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET /api/version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    count = 2000
    async with asyncio.timeout(120), opened(port) as (reader, writer):

        async def send() -> None:
            writer.write(one * count + last)
            await writer.drain()

        sending = asyncio.create_task(send())
        answer = await reader.read()
        await sending
    assert answer.count(b"HTTP/1.1 404 Not Found") == count
    assert answer.rindex(b"HTTP/1.1 200 OK") > answer.rindex(b"HTTP/1.1 404")


ASTRAY = [
    "//evil.example/", "/\\evil.example", "/%2f%2fevil.example", "/api//containers", "/api/containers/",
    "/api/containers/1%2fstatus", "/api/containers/1%2f..%2f..%2fme", "/api/../api/me", "/api/%2e%2e/api/me",
    "/api/containers/%00", "/api/containers/1/processes/%00", "/api/containers/1/processes/..%2f..", "/api/me%00",
    "/api/containers/%ff%fe", "/api/containers/١٢٣", "/api/containers/+1", "/api/containers/1.0",
    "/api/containers/9223372036854775808", "/api/containers/-1", "/artifacts/../etc/passwd",
    "/artifacts/%2e%2e/%2e%2e/etc/passwd", "/artifacts/%00", "/assets/..%2findex.html", "/assets/%00",
    "http://evil.example/api/me", "/api/containers/1;x=1", "/api/containers/1?limit=%00", "/api/openapi.json/..",
]  # fmt: skip


async def test_a_path_that_leads_astray_leads_nowhere(port: int) -> None:
    """4xx or what stands there anyway: no redirect, nothing of another place, no trace."""
    for path in ASTRAY:
        line = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n".encode()
        answer = await say(port, line + TOKEN + b"\r\n")
        status = int(answer.split()[1])
        assert status < 500, (path, answer[:500])
        assert not 300 <= status < 400, path
        assert b"Location:" not in answer, path
        assert b"root:" not in answer, path


async def test_a_refusal_is_quick_to_make(port: int) -> None:
    """A body of the largest size that is all brackets costs no stack and no second."""
    head = b"POST /api/containers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + TOKEN + JSON
    bodies = (
        b"[" * 10**5,
        b'{"a":' * 50_000,
        b'[{"a":' * 40_000,
        b"1" * 10**5,
        b'{"kind":"' + b"x" * 2 * 10**5 + b'"}',
    )
    for body in bodies:
        answer = await say(port, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert answer
        check_refused(answer, "invalid_body")
