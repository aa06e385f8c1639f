"""What is open when a right is taken: it ends at once, whichever way the right went, and cannot be had again."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from component.api.conftest import Postgres
from component.api.people_world import browser, by
from component.api.real_console import Console, Headers, Place, open_place
from component.console.harness import PATIENCE_S, eventually
from fakes.api_world import PORTAL, World
from zlh_api.once.service import Once
from zlh_api.web import access_watch, server
from zlh_api.web.access_watch import AccessWatch
from zlh_api.web.endpoint import Call, Endpoint, Passed, Policy
from zlh_api.web.gate import Gate
from zlh_api.web.server import Entrance, build_application
from zlh_api.web.session_cookie import SessionCookie


@pytest.fixture
async def place(world: World, tmp_path: Path) -> AsyncIterator[Place]:
    """A container whose console is open to its owner; nothing is judged again by time."""
    async with open_place(world, tmp_path) as made:
        yield made


@dataclass(frozen=True)
class Loss:
    """One way of losing the console."""

    sql: str
    reason: str
    # What the same caller is told who comes again.
    status: int
    who: str = "owner"
    by_cookie: bool = False


OWNER_ID = "(select id from users where email = 'owner@example.org')"
CUSTOMER_ID = f"(select customer_id from memberships where user_id = {OWNER_ID})"
OTHER_ID = "(select id from customers where name = 'customer 1')"
HIS = f"where user_id = {OWNER_ID}"
LOSSES = {
    "role-lowered": Loss(f"update memberships set role = 'viewer' {HIS}", "role_missing", 403),
    "role-taken": Loss(f"delete from memberships {HIS}", "not_found", 404),
    "role-given-to-another": Loss(
        f"update memberships set user_id = (select id from users where email like 'operator%') {HIS}", "not_found", 404
    ),
    "user-suspended": Loss(f"update users set suspended_at = now() where id = {OWNER_ID}", "not_signed_in", 401),
    "user-deleted": Loss(f"delete from users where id = {OWNER_ID}", "not_signed_in", 401),
    "no-operator-any-more": Loss("update users set is_operator = false", "not_found", 404, who="operator"),
    "customer-suspended": Loss(
        f"update customers set suspended_at = now() where id = {CUSTOMER_ID}", "customer_suspended", 403
    ),
    "container-deleted": Loss("delete from containers", "not_found", 404),
    "container-deleted-of-operator": Loss("delete from containers", "not_found", 404, who="operator"),
    "token-deleted": Loss(f"delete from api_tokens {HIS}", "not_signed_in", 401),
    "token-over": Loss(f"update api_tokens set expires_at = now() {HIS}", "not_signed_in", 401),
    "token-soon-over": Loss(f"update api_tokens set expires_at = now() + interval '0.4 s' {HIS}", "not_signed_in", 401),
    "token-replaced": Loss(f"update api_tokens set token_sha256 = 'x' {HIS}", "not_signed_in", 401),
    "token-narrowed": Loss(f"update api_tokens set scopes = '{{view_containers}}' {HIS}", "scope_missing", 403),
    "token-held-to-another": Loss(f"update api_tokens set customer_id = {OTHER_ID} {HIS}", "not_found", 404),
    "session-ended": Loss(f"delete from sessions {HIS}", "not_signed_in", 401, by_cookie=True),
    "session-over": Loss(f"update sessions set expires_at = now() {HIS}", "not_signed_in", 401, by_cookie=True),
    "session-soon-over": Loss(
        f"update sessions set expires_at = now() + interval '0.4 s' {HIS}", "not_signed_in", 401, by_cookie=True
    ),
    "role-lowered-by-cookie": Loss(
        f"update memberships set role = 'viewer' {HIS}", "role_missing", 403, by_cookie=True
    ),
}


async def sign(place: Place, who: str, *, with_cookie: bool = False) -> Headers:
    """Return what somebody signs requests with."""
    if not with_cookie:
        return by(f"{who}-token")
    return browser(await place.sign_in(f"{who}@example.org"))


async def open_console(place: Place, headers: Headers) -> Console:
    """Open the console and see that it works."""
    console = await place.look(headers)
    await console.run("echo he''re")
    await console.until(b"here\r\n")
    return console


async def settled(place: Place, count: int | None = None) -> None:
    """Return once nothing is left to be judged, of so many that are open."""
    watch = place.world.watch
    assert watch is not None
    await eventually(lambda: not watch._due and count in {None, watch.count})


@pytest.mark.parametrize("how", list(LOSSES))
async def test_a_console_ends_with_the_right_to_it(place: Place, how: str) -> None:
    """By what the database tells and not by time; and nothing opens it again: no ticket, no offset, no second try."""
    loss = LOSSES[how]
    headers = await sign(place, loss.who, with_cookie=loss.by_cookie)
    console, ticket = await open_console(place, headers), await place.issue_ticket(headers)
    bystander = await open_console(place, by("operator-token")) if loss.who != "operator" else None
    assert await place.world.fetch(f"{loss.sql} returning 1")
    assert await console.to_end() == (1008, loss.reason)
    seen = len(console.data)
    assert await place.refusal(headers) == loss.status
    assert await place.refusal(headers, query=f"?from={seen}") == loss.status
    # The tickets of a container are gone with it.
    told = await place.refusal({"Origin": "https://elsewhere.example"}, ticket=ticket)
    assert told == (401 if "container" in how else loss.status)
    if bystander is not None and "container" not in how:
        await bystander.run("echo st''ill")
        await bystander.until(b"still\r\n")
    if bystander is not None:
        await bystander.socket.close()


@pytest.mark.parametrize(
    "how", ["token-deleted", "token-soon-over", "user-suspended", "user-deleted", "token-replaced"]
)
async def test_the_live_stream_ends_with_its_caller(place: Place, how: str) -> None:
    """Though nothing happens that it could show."""
    async with asyncio.timeout(PATIENCE_S), place.client.get("/api/events", headers=by("owner-token")) as stream:
        assert await stream.content.readuntil(b"\n\n") == b": connected\n\n"
        assert await place.world.fetch(f"{LOSSES[how].sql} returning 1")
        assert await stream.content.read() == b""
    await settled(place, 0)


async def test_the_live_stream_tells_of_other_rights(place: Place) -> None:
    """A role that is changed or taken, and a suspension: each once, and nothing of what changes no right."""
    async with asyncio.timeout(PATIENCE_S), place.client.get("/api/events", headers=by("owner-token")) as stream:
        assert await stream.content.readuntil(b"\n\n") == b": connected\n\n"
        await settled(place)
        for change in (
            f"update memberships set role = 'viewer' {HIS}",
            f"update customers set suspended_at = now() where id = {CUSTOMER_ID}",
            f"delete from memberships {HIS}",
        ):
            assert await place.world.fetch(f"{change} returning 1")
            assert await stream.content.readuntil(b"\n\n") == b"event: rights\ndata: {}\n\n"
        assert await place.world.fetch(f"update api_tokens set expires_at = now() + interval '1 h' {HIS} returning 1")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await stream.content.readany()


async def test_a_session_that_is_prolonged_goes_on(place: Place) -> None:
    """It is judged when it would have ended, and then again at its new end; what takes nothing disturbs nobody."""
    headers = await sign(place, "owner", with_cookie=True)
    await place.world.fetch(f"update sessions set expires_at = now() + interval '3 s' {HIS} returning 1")
    console = await open_console(place, headers)
    await place.world.fetch(f"update sessions set expires_at = now() + interval '8 s' {HIS} returning 1")
    await asyncio.sleep(3.2)
    await console.run("echo st''ill")
    await console.until(b"still\r\n")
    assert await console.to_end() == (1008, "not_signed_in")


async def test_nothing_is_typed_while_it_is_not_known_whether_one_may(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the moment that a change is told; what was typed meanwhile goes on once it is known, or never."""
    watch = place.world.watch
    assert watch is not None
    owner, member = await open_console(place, by("owner-token")), await open_console(place, by("operator-token"))
    judge, may_answer, asked = watch._judge, asyncio.Event(), asyncio.Event()

    async def slowly(calls: Any) -> Any:
        asked.set()
        await may_answer.wait()
        return await judge(calls)

    monkeypatch.setattr(watch, "_judge", slowly)
    for change in ("update memberships set role = 'member'", f"{LOSSES['role-taken'].sql}"):
        asked.clear()
        may_answer.clear()
        await place.world.fetch(f"{change} returning 1")
        await asked.wait()
        await owner.run("echo ne''ver")
        await member.run("echo lat''er")
        await member.until(b"later\r\n")
        await asyncio.sleep(0.2)
        assert b"never\r\n" not in member.data
        may_answer.set()
        if "role" not in change.partition(" set ")[2]:
            assert await owner.to_end() == (1008, "not_found")
            continue
        await member.until(b"never\r\n")
        member.data.clear()
    await member.run("echo en''d")
    await member.until(b"end\r\n")
    assert b"never\r\n" not in member.data
    await member.socket.close()


async def test_news_that_are_lost_with_the_connection_are_caught_up_with(place: Place) -> None:
    """Whoever listens was cut off while the right was taken; nobody else is closed for it."""
    console, bystander = await open_console(place, by("owner-token")), await open_console(place, by("operator-token"))
    async with place.world.database.transaction() as connection:
        cut = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'LISTEN %'"
        assert await connection.fetch(cut)
        await connection.execute("alter table memberships disable trigger user")
        await connection.execute(LOSSES["role-taken"].sql)
    assert await console.to_end() == (1008, "not_found")
    await bystander.run("echo st''ill")
    await bystander.until(b"still\r\n")
    await bystander.socket.close()


async def test_a_right_whose_loss_nobody_tells_of_ends_with_the_next_look(world: World, tmp_path: Path) -> None:
    """The second line: every call is judged once in a while."""
    async with open_place(world, tmp_path, look_again_s=0.2) as place:
        console = await open_console(place, by("owner-token"))
        await world.fetch("alter table memberships disable trigger user")
        await world.fetch(f"{LOSSES['role-taken'].sql} returning 1")
        assert await console.to_end() == (1008, "not_found")


async def test_while_the_database_is_away_nothing_ends_and_soon_after_what_must(
    place: Place, postgres: Postgres, dsn: str
) -> None:
    """A token that runs out meanwhile, and a role that was taken, end their consoles once the database is back."""
    loser, going = await open_console(place, by("owner-token")), await open_console(place, by("operator-token"))
    session = await place.sign_in("owner@example.org")
    await place.world.fetch(f"update sessions set expires_at = now() + interval '3 s' {HIS} returning 1")
    ending = await open_console(place, browser(session))
    await settled(place)
    await asyncio.to_thread(postgres.stop)
    try:
        # Longer than the session lasts, and than it takes to try again.
        await asyncio.sleep(3.2)
        for number, console in enumerate((loser, going, ending)):
            await console.run(f"echo aw''ay-{number}")
            await console.until(b"away-%d\r\n" % number)
    finally:
        await asyncio.to_thread(postgres.start)
    assert await ending.to_end() == (1008, "not_signed_in")
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(LOSSES["role-taken"].sql)
    finally:
        await connection.close()
    assert await loser.to_end() == (1008, "not_found")
    await going.run("echo st''ill")
    await going.until(b"still\r\n")
    await going.socket.close()


def connections() -> set[tuple[int, int]]:
    """Return the ports of the connections that this process holds, own end first."""
    found = psutil.Process().net_connections("tcp")
    return {(each.laddr.port, each.raddr.port) for each in found if each.raddr}


async def test_one_that_takes_nothing_is_cut_off(place: Place) -> None:
    """Neither a flood that it does not read nor a goodbye that it does not answer keeps a connection."""
    keeper = await open_console(place, by("operator-token"))
    host, port = place.client.host, place.client.port
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, (host, port))
    _, writer = await asyncio.open_connection(sock=narrow, limit=1024)
    writer.write(
        f"GET {place.path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer owner-token\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: zlh.console.v1\r\n\r\n".encode()
    )
    await settled(place, 2)
    await keeper.run("yes | head -c 8000000; echo en''d")
    await keeper.until(b"end\r\n")
    await place.world.fetch(f"{LOSSES['role-taken'].sql} returning 1")
    await settled(place, 1)
    own = writer.get_extra_info("sockname")[1]
    # Whatever the kernels still hold for it, and though it has taken nothing.
    await eventually(lambda: (port, own) not in connections())
    writer.close()
    await keeper.socket.close()


async def test_a_body_that_takes_its_time_is_acted_on_for_who_still_may(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that was begun with a right and completed without it changes nothing."""
    monkeypatch.setattr(server, "FRESH_S", 0.0)
    passed, pass_through = asyncio.Event(), Gate.pass_through

    async def note(gate: Gate, endpoint: Endpoint, request: web.Request) -> Passed:
        found = await pass_through(gate, endpoint, request)
        passed.set()
        return found

    monkeypatch.setattr(Gate, "pass_through", note)

    async def slow_body() -> AsyncIterator[bytes]:
        yield b'{"argv":'
        await passed.wait()
        assert await place.world.fetch(f"{LOSSES['role-lowered'].sql} returning 1")
        yield b'["serve"]}'

    path = f"/api/containers/{place.vmid}/processes/web"
    headers = {**by("owner-token"), "Content-Type": "application/json"}
    async with place.client.put(path, data=slow_body(), headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (403, "role_missing")
    assert await place.world.fetch("select 1 from containers where spec::text like '%serve%'") == []


async def _stream(call: Call) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(call.request)
    await response.write(b"secret")
    return response


async def _socket(call: Call) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(call.request)
    await socket.send_str("secret")
    return socket


async def _bits(_call: Call) -> web.StreamResponse:
    async def bits() -> AsyncIterator[bytes]:
        yield b"secret"

    return web.Response(body=bits())


async def test_nothing_that_goes_on_is_served_unwatched(place: Place) -> None:
    """A handler that answers bit by bit behind an endpoint that does not say so says nothing at all."""
    world = place.world
    gate = Gate(world.accounts.callers, world.accounts.customers, world.containers, None, None, frozenset({PORTAL}))  # type: ignore[arg-type]
    handlers = {"/stream": _stream, "/socket": _socket, "/bits": _bits}
    endpoints = [Endpoint("GET", path, Policy.SIGNED_IN, handler, "x") for path, handler in handlers.items()]
    headers = by("owner-token")
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    watch, limits = AccessWatch(gate.pass_again), world.call_limits(SessionCookie(has_tls=False))
    application = build_application(endpoints, Entrance(gate, watch, limits, world.audit_log, Once(world.database)))
    async with TestClient(TestServer(application)) as client:
        for path in handlers:
            async with client.get(path, headers=headers | (upgrade if path == "/socket" else {})) as answer:
                assert answer.status == 500
                assert b"secret" not in await answer.read()


def test_the_second_line_is_slower_than_the_first() -> None:
    """What these tests show within seconds is not the work of a timer."""
    assert access_watch.LOOK_AGAIN_S * 0.75 > access_watch.LET_GO_S
