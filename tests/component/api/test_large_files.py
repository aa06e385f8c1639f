"""Large bodies, which pass by the parser: every byte of them, and all that can happen on the way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientError, web

from component.api.files_site import OWNER, Site, opened_site
from fakes.api_world import World
from zlh_api.agents import patience_rules, transfers
from zlh_api.direct_bytes import BLOCK_BYTES, DIRECT_FROM_BYTES

SIZE = 5 * 1024 * 1024 + 12_345
BODY = random.Random(7).randbytes(SIZE)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def site(world: World, tmp_path: Path) -> AsyncIterator[Site]:
    """See `opened_site`."""
    async with opened_site(world, tmp_path) as site:
        yield site


@asynccontextmanager
async def calling(site: Site, *more: str, length: int = SIZE, name: str = "big") -> AsyncIterator[Streams]:
    """Open a connection and send the head of a write."""
    assert site.client.server.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", site.client.server.port, limit=2**20)
    head = [f"PUT {site.url}/content?path={name} HTTP/1.1", "Host: api", f"Content-Length: {length}"]
    head += [f"Authorization: {OWNER['Authorization']}", *more]
    writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the answer that comes next."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
    return int(status.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", "0")))


@pytest.mark.parametrize("size", [DIRECT_FROM_BYTES - 1, DIRECT_FROM_BYTES, 4 * BLOCK_BYTES, 8 * BLOCK_BYTES + 1, SIZE])
async def test_every_byte_arrives_and_comes_back(site: Site, size: int) -> None:
    """Below and above the size from which on bodies are large, and at the edges of blocks."""
    body = BODY[:size]
    put = await site.client.put(f"{site.url}/content?path=big", data=io.BytesIO(body), headers=OWNER)
    assert put.status == 201
    assert site.agent.files["big"] == body
    got = await site.client.get(f"{site.url}/content?path=big", headers=OWNER)
    assert hashlib.sha256(await got.read()).digest() == hashlib.sha256(body).digest()
    part = await site.client.get(f"{site.url}/content?path=big", headers={**OWNER, "Range": "bytes=7-"})
    assert await part.read() == body[7:]


@pytest.mark.parametrize("piece", [BLOCK_BYTES - 1, 100_003, 3 * BLOCK_BYTES + 1])
async def test_a_body_arrives_however_it_is_cut_into_pieces(site: Site, piece: int) -> None:
    """Its beginning may have come with the head; each piece is sent once the last one was taken."""
    async with calling(site) as (reader, writer):
        for at in range(0, SIZE, piece):
            writer.write(BODY[at : at + piece])
            await writer.drain()
        status, headers, _ = await read_answer(reader)
    assert (status, headers["connection"]) == (201, "close")
    assert site.agent.files["big"] == BODY


async def test_what_follows_a_large_body_is_no_request(site: Site) -> None:
    """The connection ends with the answer, whatever was sent behind the body; the agent hears nothing of it."""
    async with calling(site) as (reader, writer):
        writer.write(BODY)
        writer.write(f"GET {site.url}/content?path=hidden HTTP/1.1\r\nHost: api\r\n\r\n".encode())
        assert (await read_answer(reader))[0] == 201
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    assert [path for _, path in site.agent.asked if "hidden" in path] == []


async def test_a_small_body_leaves_the_connection_open(site: Site) -> None:
    """It is read by the parser, which knows where the next request begins."""
    async with calling(site, length=5) as (reader, writer):
        writer.write(b"hello")
        first = await read_answer(reader)
        writer.write(f"GET {site.url}/content?path=big HTTP/1.1\r\nHost: api\r\n".encode())
        writer.write(f"Authorization: {OWNER['Authorization']}\r\n\r\n".encode())
        assert (first[0], (await read_answer(reader))[2]) == (201, b"hello")


async def test_a_client_that_asks_first_is_told_to_go_on(site: Site) -> None:
    """`Expect: 100-continue` is answered when the body is wanted."""
    async with calling(site, "Expect: 100-continue") as (reader, writer):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await read_answer(reader))[0] == 201
    assert site.agent.files["big"] == BODY


async def test_a_client_that_goes_away_has_the_agents_body_cut(site: Site) -> None:
    """What has come until then has arrived, and no file is made of it."""
    async with calling(site) as (_, writer):
        writer.write(BODY[: SIZE // 2])
        await writer.drain()
        async with asyncio.timeout(60):
            while site.agent.taken_bytes < SIZE // 2:
                await asyncio.sleep(0.01)
    async with asyncio.timeout(60):
        await site.agent.was_cut.wait()
    assert site.agent.files == {}


async def test_who_loses_the_right_is_cut_off_in_a_large_body(site: Site) -> None:
    """An upload ends with the refusal, and the agent sees a body that was cut."""
    async with calling(site) as (reader, writer):
        writer.write(BODY[: SIZE // 2])
        async with asyncio.timeout(60):
            while site.agent.taken_bytes < SIZE // 2:
                await asyncio.sleep(0.01)
        await site.world.fetch("update memberships set role = 'viewer' where role = 'owner' returning 1")
        await site.agent.was_cut.wait()
        status, _, body = await read_answer(reader)
    assert (status, json.loads(body)["code"]) == (403, "role_missing")
    assert site.agent.files == {}


async def test_a_large_body_that_pauses_has_stalled(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes any more in the middle of it."""
    monkeypatch.setattr(patience_rules, "SILENCE_S", 0.5)
    async with calling(site) as (reader, writer):
        writer.write(BODY[: SIZE // 2])
        status, _, body = await read_answer(reader)
    assert (status, json.loads(body)["code"]) == (408, "body_stalled")
    assert site.agent.files == {}


async def test_a_large_body_that_trickles_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes come, and too few of them."""
    monkeypatch.setattr(patience_rules, "WINDOW_S", 0.2)

    async def trickle(writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.02)

    async with calling(site) as (reader, writer):
        trickling = asyncio.create_task(trickle(writer))
        try:
            status, _, body = await read_answer(reader)
        finally:
            trickling.cancel()
            await asyncio.wait({trickling})
    assert (status, json.loads(body)["code"]) == (408, "transfer_too_slow")


async def test_a_refusal_in_the_middle_is_told(site: Site) -> None:
    """The agent wants no more of a body that goes on to come."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        await request.content.readexactly(SIZE // 3)
        document = {"code": "no_room_on_disk", "detail": "There is no room.", "status": 507}
        return web.json_response(document, status=507, content_type="application/problem+json")

    site.agent.instead = refuse
    async with calling(site) as (reader, writer):
        writer.write(BODY[: SIZE - 100])
        status, headers, body = await read_answer(reader)
    assert (status, json.loads(body)["code"]) == (507, "no_room_on_disk")
    assert headers["connection"] == "close"


async def test_a_large_download_that_breaks_off_does_not_look_whole(site: Site) -> None:
    """The connection breaks with the agent's, after what had come until then."""

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(SIZE)})
        await response.prepare(request)
        await response.write(BODY[: SIZE // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    site.agent.instead = half
    got = bytearray()
    async with site.client.get(f"{site.url}/content?path=x", headers=OWNER) as answer:
        try:
            while part := await answer.content.readany():
                got += part
        except ClientError:
            is_broken = True
        else:
            is_broken = False
    assert is_broken
    assert bytes(got) == BODY[: SIZE // 2]


async def test_what_an_agent_sends_behind_a_large_file_is_dropped(site: Site) -> None:
    """It belongs to no answer, and the next one has a connection of its own."""

    async def more(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"
        request.transport.write(head.encode() + BODY + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        await asyncio.Event().wait()
        raise AssertionError

    site.agent.files["true"] = b"true"
    site.agent.instead = more
    got = await site.client.get(f"{site.url}/content?path=x", headers=OWNER)
    assert await got.read() == BODY
    site.agent.instead = None
    assert await (await site.client.get(f"{site.url}/content?path=true", headers=OWNER)).read() == b"true"


async def test_an_agent_that_stops_in_a_large_file_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes for so long, and the connection of whoever waits for it breaks."""
    monkeypatch.setattr(transfers, "SILENCE_S", 0.5)
    has_ended = asyncio.Event()

    async def stop(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(SIZE)})
        await response.prepare(request)
        await response.write(BODY[: SIZE // 2])
        try:
            await asyncio.Event().wait()
        finally:
            has_ended.set()
        raise AssertionError

    site.agent.instead = stop
    with pytest.raises(ClientError):
        async with site.client.get(f"{site.url}/content?path=x", headers=OWNER) as answer:
            await answer.read()
    async with asyncio.timeout(60):
        await has_ended.wait()


async def endless(request: web.Request) -> web.StreamResponse:
    """Send a file of a hundred gigabytes."""
    response = web.StreamResponse(headers={"Content-Length": str(100 * 10**9)})
    await response.prepare(request)
    while True:
        await response.write(BODY)


@pytest.mark.parametrize("does_stay", [True, False])
async def test_a_client_that_reads_no_more_has_the_agents_answer_cut(
    site: Site, monkeypatch: pytest.MonkeyPatch, *, does_stay: bool
) -> None:
    """Whether it goes away, or stays and takes nothing: the agent is let go."""
    monkeypatch.setattr(patience_rules, "SILENCE_S", 0.5)
    has_ended = asyncio.Event()

    async def send(request: web.Request) -> web.StreamResponse:
        try:
            return await endless(request)
        finally:
            has_ended.set()

    site.agent.instead = send
    answer = await site.client.get(f"{site.url}/content?path=x", headers=OWNER)
    assert len(await answer.content.readexactly(2 * BLOCK_BYTES)) == 2 * BLOCK_BYTES
    if not does_stay:
        answer.close()
    async with asyncio.timeout(60):
        await has_ended.wait()
    answer.close()
