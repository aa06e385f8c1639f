"""Files through the API: documents, bytes and uploads, with an agent over TLS that keeps the contract, or does not."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientError, web
from aiohttp.web_protocol import RequestHandler

from component.api.files_site import OWNER, Site, code_of, opened_site
from fakes.api_world import PORTAL, World
from zlh_api.agents import appetite_rules, patience_rules
from zlh_api.web.connections import READ_BYTES
from zlh_api.web.problems import SECURITY_HEADERS

TUS = {**OWNER, "Tus-Resumable": "1.0.0"}
PIECE = {"Content-Type": "application/offset+octet-stream"}
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def site(world: World, tmp_path: Path) -> AsyncIterator[Site]:
    """See `opened_site`."""
    async with opened_site(world, tmp_path) as site:
        yield site


async def test_a_file_is_written_read_listed_and_read_in_part(site: Site) -> None:
    """The bytes are the same, and every header is the API's own."""
    body = bytes(range(256)) * 1000
    url = f"{site.url}/content?path=a%22b.html"
    put = await site.client.put(url, data=body, headers=OWNER)
    assert put.status == 201
    tag = put.headers["ETag"]
    got = await site.client.get(url, headers=OWNER)
    assert await got.read() == body
    assert got.headers["ETag"] == tag
    assert got.content_type == "application/octet-stream"
    assert got.headers["Content-Disposition"].startswith('attachment; filename="a_b.html"')
    assert got.headers["Content-Security-Policy"].startswith("sandbox")
    assert SECURITY_HEADERS.items() <= dict(got.headers).items()
    part = await site.client.get(url, headers={**OWNER, "Range": "bytes=10-19"})
    assert (part.status, await part.read()) == (206, body[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(body)}"
    known = await site.client.get(url, headers={**OWNER, "If-None-Match": tag})
    assert known.status == 304
    beyond = await site.client.get(url, headers={**OWNER, "Range": "bytes=9999999-"})
    assert await code_of(beyond) == (416, "range_unsatisfiable")
    assert beyond.headers["Content-Range"] == f"bytes */{len(body)}"
    head = await site.client.head(url, headers=OWNER)
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(body)))
    listed = await (await site.client.get(site.url, headers=OWNER)).json()
    assert [entry["name"] for entry in listed["entries"]] == ['a"b.html']
    missing = await site.client.get(f"{site.url}/content?path=no", headers=OWNER)
    assert await code_of(missing) == (404, "path_not_found")


async def test_an_upload_goes_on_where_it_stands(site: Site) -> None:
    """Begun, looked at, gone on with, refused at another offset, given up; its address is the API's."""
    metadata = "path " + base64.b64encode(b"big.bin").decode()
    begun = await site.client.post(
        f"{site.url}/uploads", headers={**TUS, "Upload-Length": "10", "Upload-Metadata": metadata}
    )
    assert begun.status == 201
    place = begun.headers["Location"]
    assert place.startswith(f"{site.url}/uploads/")
    piece = await site.client.patch(place, data=b"hello", headers={**TUS, **PIECE, "Upload-Offset": "0"})
    assert (piece.status, piece.headers["Upload-Offset"]) == (204, "5")
    look = await site.client.head(place, headers=TUS)
    assert (look.headers["Upload-Offset"], look.headers["Upload-Length"]) == ("5", "10")
    wrong = await site.client.patch(place, data=b"hello", headers={**TUS, **PIECE, "Upload-Offset": "0"})
    assert await code_of(wrong) == (409, "upload_offset_wrong")
    assert wrong.headers["Tus-Resumable"] == "1.0.0"
    untyped = await site.client.patch(place, data=b"x", headers={**TUS, "Upload-Offset": "5"})
    assert await code_of(untyped) == (415, "content_type_refused")
    other = await site.client.patch(place, data=b"x", headers={**OWNER, **PIECE, "Upload-Offset": "5"})
    assert await code_of(other) == (412, "tus_version_refused")
    assert other.headers["Tus-Version"] == "1.0.0"
    assert (await site.client.delete(place, headers=TUS)).status == 204
    assert (await site.client.head(place, headers=TUS)).status == 404
    offers = await site.client.options(f"{site.url}/uploads", headers=OWNER)
    assert (offers.status, offers.headers["Tus-Version"]) == (204, "1.0.0")


async def test_what_is_refused_before_an_agent_is_asked(site: Site) -> None:
    """An old agent, a container that is off, a foreign page with the cookie, a body that is compressed."""
    url = f"{site.url}/content?path=x"
    packed = await site.client.put(url, data=b"x", headers={**OWNER, "Content-Encoding": "gzip"})
    assert await code_of(packed) == (415, "content_encoding_refused")
    broken = await site.client.put(url, data=b"x", headers={**OWNER, "If-Match": "nonsense"})
    assert await code_of(broken) == (400, "request_refused")
    foreign = await site.client.put(
        url, data=b"x", headers={"Cookie": "zlh_session=x", "Origin": "https://evil.example"}
    )
    assert await code_of(foreign) == (403, "origin_refused")
    ours = await site.client.put(url, data=b"x", headers={"Cookie": "zlh_session=x", "Origin": PORTAL})
    assert await code_of(ours) == (401, "not_signed_in")
    assert site.agent.asked == []
    await site.world.fetch(
        """update containers set agent_status = jsonb_set(agent_status, '{protocolVersion}', '7') returning 1"""
    )
    assert await code_of(await site.client.get(site.url, headers=OWNER)) == (409, "agent_too_old")
    await site.world.fetch("update containers set power = 'off' returning 1")
    assert await code_of(await site.client.get(site.url, headers=OWNER)) == (409, "container_off")
    assert site.agent.asked == []


async def test_a_body_of_any_size_is_passed_on_as_it_comes(site: Site) -> None:
    """A hundred megabytes arrive whole, by chunks and without a length said before."""
    site.agent.keeps = False
    block = b"z" * 1024 * 1024

    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield block

    answer = await site.client.put(f"{site.url}/content?path=big", data=body(), headers=OWNER)
    assert answer.status == 201
    assert site.agent.taken_bytes == 100 * len(block)


async def test_who_loses_the_right_is_cut_off_in_the_middle(site: Site) -> None:
    """An upload ends with the refusal, and the agent sees a body that was cut."""
    go_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        await go_on.wait()
        yield b"y"

    put = asyncio.create_task(site.client.put(f"{site.url}/content?path=x", data=body(), headers=OWNER))
    async with asyncio.timeout(60):
        while site.agent.taken_bytes < 100_000:
            await asyncio.sleep(0.01)
        await site.world.fetch("update memberships set role = 'viewer' where role = 'owner' returning 1")
        await site.agent.was_cut.wait()
        go_on.set()
        assert await code_of(await put) == (403, "role_missing")
    assert site.agent.files == {}


async def hostile_head(_request: web.Request) -> web.StreamResponse:
    """Say more headers than anybody reads."""
    return web.Response(body=b"x", headers={f"X-{number}": "y" * 4000 for number in range(200)})


async def another_range(_request: web.Request) -> web.StreamResponse:
    """Send what nobody has asked for."""
    return web.Response(status=206, body=b"abc", headers={"Content-Range": "bytes 5-7/100"})


async def packed(_request: web.Request) -> web.StreamResponse:
    """Say that it is compressed."""
    return web.Response(body=b"x", headers={"Content-Encoding": "gzip"})


async def elsewhere(_request: web.Request) -> web.StreamResponse:
    """Send whoever asks somewhere else."""
    return web.Response(status=302, headers={"Location": "https://evil.example/"})


async def cookies(_request: web.Request) -> web.StreamResponse:
    """Say a header that would be ours, with a tag that is none."""
    return web.Response(body=b"x", headers={"ETag": "<script>", "Set-Cookie": "zlh_session=x"})


@pytest.mark.parametrize("way", [hostile_head, another_range, packed, elsewhere, cookies])
async def test_a_hostile_agent_is_told_and_not_passed_on(site: Site, way: object) -> None:
    """None of what it says reaches the browser but the fact."""
    site.agent.instead = way  # type: ignore[assignment]
    got = await site.client.get(f"{site.url}/content?path=x", headers=OWNER)
    assert (await code_of(got))[1] in {"agent_nonsense", "agent_unreachable"}
    assert "Set-Cookie" not in got.headers
    assert "Location" not in got.headers


async def test_a_download_that_breaks_off_does_not_look_whole(site: Site) -> None:
    """The connection breaks with the agent's."""

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        await response.write(b"x" * 1000)
        assert request.transport is not None
        request.transport.abort()
        return response

    site.agent.instead = half
    with pytest.raises(ClientError):
        async with site.client.get(f"{site.url}/content?path=x", headers=OWNER) as got:
            await got.read()


async def test_an_unknown_refusal_stays_the_agents(site: Site) -> None:
    """A code that is none of files is `agent_refused`; a known one has the status that it has here, and one line."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        code = request.query["path"]
        document = {"code": code, "detail": "a\nb" + "c" * 5000, "status": 200}
        return web.json_response(document, status=418, content_type="application/problem+json")

    site.agent.instead = refuse
    assert await code_of(await site.client.get(f"{site.url}/stat?path=made_up", headers=OWNER)) == (
        502,
        "agent_refused",
    )
    known = await site.client.get(f"{site.url}/stat?path=is_a_folder", headers=OWNER)
    assert await code_of(known) == (409, "is_a_folder")
    detail = (await known.json())["detail"]
    assert "\n" not in detail
    assert len(detail) <= 500


async def test_a_body_that_trickles_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of which too little comes while it is waited for is refused by a code of its own."""
    monkeypatch.setattr(patience_rules, "WINDOW_S", 0.2)

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.05)
            yield b"x"

    put = await site.client.put(f"{site.url}/content?path=x", data=trickle(), headers=OWNER)
    assert await code_of(put) == (408, "transfer_too_slow")


async def test_a_body_that_pauses_has_stalled(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of which some has come and then nothing more is told as one that stands still, not as a slow one."""
    monkeypatch.setattr(patience_rules, "SILENCE_S", 0.5)
    never = asyncio.Event()

    async def pause() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await never.wait()

    put = await site.client.put(f"{site.url}/content?path=x", data=pause(), headers=OWNER)
    assert await code_of(put) == (408, "body_stalled")
    assert "x" not in site.agent.files


async def test_the_log_tells_which_file(site: Site) -> None:
    """A write is an entry with path and size."""
    await site.client.put(f"{site.url}/content?path=notes.txt", data=b"hello", headers=OWNER)
    (row,) = await site.world.fetch("select details from audit_entries where act = 'file.write'")
    assert row["details"] == {"path": "notes.txt", "size": "5"}
    assert hashlib.sha256(site.agent.files["notes.txt"]).hexdigest() == hashlib.sha256(b"hello").hexdigest()


async def test_an_agent_that_answers_with_megabytes_is_read_in_measure(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look could be answered with as much as a page may have; others would wait until all of it is taken apart."""
    monkeypatch.setattr(appetite_rules, "BYTES_PER_S", 1)
    monkeypatch.setattr(appetite_rules, "BURST_BYTES", 10_000)

    async def long(_request: web.Request) -> web.StreamResponse:
        entry = {"name": "x" * 8000, "kind": "file", "size": 1, "modifiedAt": "2026-01-01T00:00:00Z", "mode": "0644"}
        return web.json_response({**entry, "version": "1"})

    site.agent.instead = long
    answers = [await site.client.get(f"{site.url}/stat?path=x", headers=OWNER) for _ in range(2)]
    assert answers[0].status == 200
    assert await code_of(answers[1]) == (503, "agent_unreachable")


async def test_bytes_that_go_on_say_which_request_they_are_of(site: Site) -> None:
    """A download, an archive, a piece of an upload and the live stream have the id that was sent along, or one."""
    await site.client.put(f"{site.url}/content?path=a", data=b"content", headers=OWNER)
    metadata = "path " + base64.b64encode(b"big.bin").decode()
    begin = {**TUS, "Upload-Length": "10", "Upload-Metadata": metadata}
    place = (await site.client.post(f"{site.url}/uploads", headers=begin)).headers["Location"]
    asked = {"X-Request-Id": "request-of-a-test"}
    for method, url, more in (
        ("GET", f"{site.url}/content?path=a", {}),
        ("GET", f"{site.url}/archive?path=a", {}),
        ("PATCH", place, {**TUS, **PIECE, "Upload-Offset": "0"}),
        ("GET", "/api/events", {}),
    ):
        data = b"hello" if method == "PATCH" else None
        async with site.client.request(method, url, data=data, headers={**OWNER, **more, **asked}) as answer:
            assert answer.status in {200, 204}, (url, await answer.text())
            assert answer.headers.getall("X-Request-Id") == ["request-of-a-test"], url
    async with site.client.get(f"{site.url}/content?path=a", headers=OWNER) as answer:
        assert len(answer.headers["X-Request-Id"]) == 32


async def test_a_customer_has_so_many_transfers_at_all_containers(world: World, tmp_path: Path) -> None:
    """The next is told the numbers and when to come again; what takes no file is answered; what ends makes room."""
    world.open_settings = dataclasses.replace(world.open_settings, transfers_per_customer=1)
    may_end = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"begun"
        await may_end.wait()

    async with opened_site(world, tmp_path) as site, asyncio.TaskGroup() as group:
        first = group.create_task(site.client.put(f"{site.url}/content?path=a", data=body(), headers=OWNER))
        async with asyncio.timeout(60):
            while not site.agent.taken_bytes:
                await asyncio.sleep(0.01)
        refused = await site.client.get(f"{site.url}/content?path=a", headers=OWNER)
        told = await refused.json()
        assert (refused.status, told["code"]) == (429, "too_many_open")
        assert (told["what"], told["limit"], told["by"]) == ("file transfers", 1, "customer")
        assert int(refused.headers["Retry-After"]) > 0
        assert (await site.client.get(site.url, headers=OWNER)).status == 200
        may_end.set()
        assert (await first).status == 201
        assert await (await site.client.get(f"{site.url}/content?path=a", headers=OWNER)).read() == b"begun"


async def test_a_body_in_chunks_of_a_byte_is_taken_a_little_at_a_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much has come, little of it is taken apart before others have their turn; and all of it arrives."""
    count, turns, parsed = 40_000, 0, list[tuple[int, int, int]]()
    take, loop, has_ended = RequestHandler.data_received, asyncio.get_running_loop(), asyncio.Event()

    def turn() -> None:
        nonlocal turns
        turns += 1
        if not has_ended.is_set():
            loop.call_soon(turn)

    def taking(handler: RequestHandler, data: bytes) -> None:
        # The agent's own connection is of the same kind, and over TLS.
        if handler.transport is not None and handler.transport.get_extra_info("sslcontext") is None:
            parsed.append((id(handler), turns, len(data)))
        take(handler, data)

    async def send() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.client.server.port)
        head = f"PUT {site.url}/content?path=x HTTP/1.1\r\nHost: a\r\nAuthorization: {OWNER['Authorization']}\r\n"
        writer.write(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * count + b"0\r\n\r\n")
        try:
            return int((await reader.readline()).split()[1])
        finally:
            writer.close()

    monkeypatch.setattr(RequestHandler, "data_received", taking)
    loop.call_soon(turn)
    try:
        assert {200, 201} >= set(await asyncio.gather(*(send() for _ in range(4))))
    finally:
        has_ended.set()
    assert site.agent.files["x"] == b"x" * count
    # What is asked with nothing in it goes on with what was held back.
    each_turn = Counter[tuple[int, int]]()
    for handler, at, size in parsed:
        each_turn[handler, at] += size
    assert max(each_turn.values()) <= READ_BYTES
    assert sum(each_turn.values()) > 4 * 6 * count
