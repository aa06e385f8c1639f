"""Sessions and the password: seen, ended, idle, and what a changed password does to them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from component.api.people_world import (
    OPERATOR,
    OWNER,
    Client,
    CountedPasswords,
    add_user,
    ask,
    browser,
    by,
    caller_by,
    refused,
    sign_in,
    user_of,
)
from fakes.api_world import PASSWORD, World
from fakes.clock import FakeClock
from zlh_api.customers.last_use import REST_S, LastUse
from zlh_api.customers.password_changes import PasswordResetInvalid, PasswordWrong
from zlh_api.customers.refusals import LoginRefused
from zlh_api.customers.rules import MAX_SESSIONS, TRIES_OF_PASSWORD
from zlh_api.customers.secret import Secret

EMAIL = "person@example.org"
NEW = "an entirely new password"
SESSIONS, CHANGE = "/api/sessions", "/api/me/password"


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """A client of a served API, and one person more who can sign in."""
    await add_user(world, EMAIL)
    async with world.client() as made:
        yield made


async def sessions_of(client: Client, headers: dict[str, str]) -> list[dict[str, Any]]:
    """Return what somebody sees of their sessions."""
    items: list[dict[str, Any]] = (await ask(client, "GET", SESSIONS, headers))["items"]
    return items


async def is_in(client: Client, token: str) -> bool:
    """Tell whether a session holds."""
    return (await client.get("/api/me", headers=browser(token))).status == 200


async def test_sessions_are_seen_and_ended_one_by_one(world: World, client: Client) -> None:
    """Each by an id that opens nothing; the one that asks says so."""
    first = await sign_in(client, EMAIL, **{"User-Agent": "one"})
    second = await sign_in(client, EMAIL, **{"User-Agent": "two"})
    seen = await sessions_of(client, browser(second))
    assert [(entry["userAgent"], entry["isCurrent"], entry["address"]) for entry in seen] == [
        ("two", True, "127.0.0.1"),
        ("one", False, "127.0.0.1"),
    ]
    assert first not in str(seen)
    assert not await is_in(client, seen[1]["id"])
    await ask(client, "DELETE", f"{SESSIONS}/{seen[1]['id']}", browser(second), status=204)
    assert (await is_in(client, first), await is_in(client, second)) == (False, True)
    await refused(client, "DELETE", f"{SESSIONS}/{seen[1]['id']}", browser(second), code="not_found")
    await ask(client, "DELETE", f"{SESSIONS}/{seen[0]['id']}", browser(second), status=204)
    assert not await is_in(client, second)


async def test_all_others_are_ended_at_once(world: World, client: Client) -> None:
    """A token ends all of them, since none is its own; another's are left alone."""
    await add_user(world, "other@example.org")
    other = await sign_in(client, "other@example.org")
    tokens = [await sign_in(client, EMAIL) for _ in range(3)]
    await ask(client, "POST", f"{SESSIONS}/end-others", browser(tokens[1]), status=204)
    assert [await is_in(client, token) for token in tokens] == [False, True, False]
    made = await ask(client, "POST", "/api/tokens", browser(tokens[1]), {"name": "t"}, status=201)
    await ask(client, "POST", f"{SESSIONS}/end-others", by(made["secret"]), status=204)
    assert (await is_in(client, tokens[1]), await is_in(client, other)) == (False, True)


async def test_foreign_and_missing_sessions_look_the_same(world: World, client: Client) -> None:
    """And so does another spelling of one's own."""
    await add_user(world, "other@example.org")
    foreign = (await sessions_of(client, browser(await sign_in(client, "other@example.org"))))[0]["id"]
    token = await sign_in(client, EMAIL)
    own = (await sessions_of(client, browser(token)))[0]["id"]
    for named in (foreign, uuid4(), own.upper(), own.replace("-", ""), "x", token, f"{own}%00"):
        body = await refused(client, "DELETE", f"{SESSIONS}/{named}", browser(token), code="not_found")
        assert body["detail"] == "There is no such session."
    assert await is_in(client, token)


async def sign_in_raw(client: Client, user_agent: bytes) -> bytes:
    """Sign in with a header that no client library sends; return the line of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    body = b'{"email":"person@example.org","password":"correct horse battery"}'
    head = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: %d\r\nUser-Agent: " % len(body)
    writer.write(head + user_agent + b"\r\n\r\n" + body)
    line = await reader.readline()
    writer.close()
    return line


async def test_what_a_browser_calls_itself_is_short_and_harmless(world: World, client: Client) -> None:
    """Whatever stands in the header; ten megabytes do not get in at all."""
    for sent, kept in (
        (b"x" * 5000, "x" * 200),
        ("a\u202eb\U0001f600".encode(), "a\\u202eb\U0001f600"),
        (b"\xff\xed\xa0\x80x", "\\udcff\\udced\\udca0\\udc80x"),
        (b"", ""),
    ):
        assert b" 200 " in await sign_in_raw(client, sent)
        rows = await world.fetch("select user_agent from sessions order by created_at desc limit 1")
        assert rows[0]["user_agent"] == kept
    assert b" 400 " in await sign_in_raw(client, b"a\x1b[31mb")
    assert b" 431 " in await sign_in_raw(client, b"x" * 10_000_000)
    assert len(await world.fetch("select 1 from sessions")) == 4


async def test_a_session_that_nobody_uses_ends(world: World, client: Client) -> None:
    """After a week, and after two however it is used; what is listed says when."""
    token = await sign_in(client, EMAIL)
    (seen,) = await world.fetch("select expires_at - created_at > interval '13 days' as long from sessions")
    assert seen["long"]
    await world.fetch("update sessions set last_seen_at = now() - interval '6 days 23 hours' returning 1")
    assert await is_in(client, token)
    (shown,) = await sessions_of(client, browser(token))
    assert shown["expiresAt"] < str(await world.fetch("select now() + interval '2 hours'"))
    (row,) = await world.fetch("select least(expires_at, last_seen_at + interval '7 days') as at from sessions")
    assert shown["expiresAt"].startswith(row["at"].isoformat()[:19])
    await world.fetch("update sessions set last_seen_at = now() - interval '7 days 1 second' returning 1")
    assert not await is_in(client, token)
    again = await sign_in(client, EMAIL)
    assert len(await sessions_of(client, browser(again))) == 1
    assert len(await world.fetch("select 1 from sessions")) == 1


async def test_a_user_has_so_many_sessions(world: World, client: Client) -> None:
    """The one that was used longest ago makes room."""
    user = (await world.fetch("select id from users where email = $1", EMAIL))[0]["id"]
    await world.fetch(
        "insert into sessions (token_sha256, user_id, expires_at, last_seen_at) select "
        "('\\x' || lpad(n::text, 64, '0'))::bytea, $1, now() + interval '1 day', "
        "now() - make_interval(mins => n) from generate_series(1, $2::int) as n "
        "returning 1",
        user,
        MAX_SESSIONS,
    )
    token = await sign_in(client, EMAIL)
    assert len(await sessions_of(client, browser(token))) == MAX_SESSIONS
    rows = await world.fetch("select max(now() - last_seen_at) < interval '49 minutes 30 seconds' from sessions")
    assert rows[0][0]


async def test_use_is_written_about_once_a_minute(world: World) -> None:
    """The first one soon, whatever comes after with the next minute; a hundred requests are one write."""
    clock = FakeClock()
    last_use = LastUse(world.database, clock)
    caller = await caller_by(world, "owner-token")
    query = "select last_used_at is not null, now() - last_used_at < interval '1 second', xmin::text from api_tokens "
    query += "where id = $1"

    async def written() -> tuple[Any, ...]:
        (row,) = await world.fetch(query, caller.credential_id)
        return tuple(row)

    before = await written()
    for _ in range(100):
        last_use.note(caller)
    assert await written() == before
    await last_use.flush()
    first = await written()
    assert first[:2] == (True, True)
    last_use.note(caller)
    clock.advance(REST_S - 1)
    await last_use.flush()
    assert (await written())[2] == first[2]
    clock.advance(1)
    await last_use.flush()
    assert (await written())[2] != first[2]
    clock.advance(REST_S)
    await last_use.flush()
    (row,) = await world.fetch(query, caller.credential_id)
    assert row[0]


async def test_use_is_told_by_requests_and_never_goes_back(world: World, client: Client) -> None:
    """Of sessions and tokens; what another process has written later stays."""
    token = await sign_in(client, EMAIL)
    await world.fetch("update sessions set last_seen_at = now() - interval '1 day' returning 1")
    await ask(client, "GET", "/api/me", browser(token))
    await ask(client, "GET", "/api/me", OWNER)
    await world.accounts.last_use.flush()
    (row,) = await world.fetch("select now() - last_seen_at < interval '10 seconds' from sessions")
    assert row[0]
    listed = (await ask(client, "GET", "/api/tokens", OWNER))["items"]
    assert listed[0]["lastUsedAt"] is not None
    await world.fetch("update sessions set last_seen_at = now() + interval '1 hour' returning 1")
    world.accounts.last_use._written.clear()
    await ask(client, "GET", "/api/me", browser(token))
    await world.accounts.last_use.flush()
    (row,) = await world.fetch("select last_seen_at > now() + interval '59 minutes' from sessions")
    assert row[0]


async def test_the_installations_own_token_keeps_its_last_use_over_a_start(world: World, client: Client) -> None:
    """A start makes sure that it is there, and makes it no other; another secret takes its place."""

    async def start(secret: str) -> dict[str, Any]:
        await world.accounts.users.ensure_operator(
            email="ops@example.org", password=Secret(PASSWORD), customer_name="ops", api_token=Secret(secret)
        )
        await ask(client, "GET", "/api/me", by(secret))
        await world.accounts.last_use.flush()
        (listed,) = (await ask(client, "GET", "/api/tokens", by(secret)))["items"]
        return dict(listed)

    first = await start("first-token-of-tests")
    assert first["lastUsedAt"] is not None
    assert await start("first-token-of-tests") == first
    second = await start("second-token-of-tests")
    assert (second["id"] != first["id"], second["hint"]) == (True, Secret("second-token-of-tests").hint)
    await refused(client, "GET", "/api/me", by("first-token-of-tests"), code="not_signed_in")


async def password_age(client: Client, token: str) -> datetime:
    """Return when the password was changed, as its user is told."""
    me = await ask(client, "GET", "/api/me", browser(token))
    return datetime.fromisoformat(me["user"]["passwordChangedAt"])


async def test_a_changed_password_ends_every_other_session(world: World, client: Client) -> None:
    """And opens the door from then on; the current one must be known. Its age is told to whoever has it."""
    mine, other = [await sign_in(client, EMAIL) for _ in range(2)]
    body = {"currentPassword": "wrong", "newPassword": NEW}
    begun = await password_age(client, mine)
    await refused(client, "POST", CHANGE, browser(mine), body, code="password_wrong")
    assert await is_in(client, other)
    assert await password_age(client, mine) == begun
    await ask(client, "POST", CHANGE, browser(mine), {**body, "currentPassword": PASSWORD}, status=204)
    assert (await is_in(client, mine), await is_in(client, other)) == (True, False)
    assert await password_age(client, mine) > begun
    with pytest.raises(LoginRefused):
        await world.sign_in(EMAIL)
    await sign_in(client, EMAIL, NEW)


async def test_the_current_password_is_guessed_some_times_alone(world: World, client: Client) -> None:
    """By whoever has found an open browser; signing in is not hindered by it."""
    token = await sign_in(client, EMAIL)
    world.accounts.password_changes._passwords = CountedPasswords()
    body = {"currentPassword": "wrong", "newPassword": NEW}
    for _ in range(TRIES_OF_PASSWORD):
        await refused(client, "POST", CHANGE, browser(token), body, code="password_wrong")
    await refused(client, "POST", CHANGE, browser(token), body, code="too_many_tries")
    assert await is_in(client, await sign_in(client, EMAIL))


async def test_of_two_changes_at_once_one_counts(world: World, client: Client) -> None:
    """The other one knew a password that is none any more."""
    caller, _ = await world.sign_in(EMAIL)
    changes = [world.accounts.password_changes.change(caller, current=PASSWORD, new=f"{NEW} {n}") for n in range(2)]
    told = await asyncio.gather(*changes, return_exceptions=True)
    assert Counter(map(type, told)) == {type(None): 1, PasswordWrong: 1}
    await world.sign_in(EMAIL, f"{NEW} {told.index(None)}")


async def test_the_fields_of_a_new_password_wrong_in_every_way(client: Client) -> None:
    """Each is named, and nothing is changed."""
    token = await sign_in(client, EMAIL)
    good = {"currentPassword": PASSWORD, "newPassword": NEW}
    for change in (
        {"newPassword": "elevenchars"},
        {"newPassword": "x" * 1025},
        {"newPassword": None},
        {"newPassword": 5},
        {"currentPassword": ""},
        {"currentPassword": "x" * 1025},
        {"currentPassword": ["x"]},
    ):
        body = await refused(client, "POST", CHANGE, browser(token), {**good, **change}, code="invalid_body")
        assert next(iter(change)) in body["detail"]
    await refused(client, "POST", CHANGE, browser(token), {**good, "email": "x"}, code="invalid_body")
    await refused(client, "POST", CHANGE, browser(token, origin=None), good, code="origin_refused")
    await refused(client, "POST", CHANGE, browser(token, origin="https://evil.example"), good, code="origin_refused")
    await sign_in(client, EMAIL)


async def test_a_reset_opens_a_new_password_once(world: World, client: Client) -> None:
    """Handed over by an operator; every session of before is over, and the code is kept as a hash."""
    token = await sign_in(client, EMAIL)
    user = await user_of(world, "person")
    made = await ask(client, "POST", f"/api/users/{user}/password-reset", OPERATOR, status=201)
    assert made["url"] == f"http://portal.localhost:8400/password-reset#code={made['code']}"
    rows = await world.fetch("select password_resets::text as line from password_resets")
    assert made["code"] not in rows[0]["line"]
    accept = world.accounts.password_changes.accept_reset
    told = await asyncio.gather(*(accept(made["code"], f"{NEW} {n}") for n in range(8)), return_exceptions=True)
    assert Counter(map(type, told)) == {type(None): 1, PasswordResetInvalid: 7}
    assert not await is_in(client, token)
    await sign_in(client, EMAIL, f"{NEW} {told.index(None)}")


async def test_a_reset_is_worth_as_much_as_who_made_it(world: World, client: Client) -> None:
    """Replaced by the next one, over with its time, and with the operator's right."""
    user, operator = await user_of(world, "person"), await user_of(world, "operator")

    async def make() -> str:
        made = await ask(client, "POST", f"/api/users/{user}/password-reset", OPERATOR, status=201)
        code: str = made["code"]
        return code

    async def is_refused(code: str) -> None:
        body = {"code": code, "newPassword": NEW}
        await refused(client, "POST", "/api/password-resets/accept", {}, body, code="password_reset_invalid")

    first, second = await make(), await make()
    await is_refused(first)
    for spoil in (
        "update password_resets set expires_at = now() - interval '1 second' where $1::uuid is not null returning 1",
        "update users set is_operator = false where id = $1 returning 1",
        "update users set suspended_at = now(), is_operator = true where id = $1 returning 1",
    ):
        await world.fetch(spoil, operator)
        await is_refused(second)
        await world.fetch("update password_resets set expires_at = now() + interval '1 hour' returning 1")
    await world.fetch("update users set suspended_at = null where id = $1 returning 1", operator)
    await is_refused(second.upper())
    await is_refused("nonsense")
    body = {"code": second, "newPassword": NEW}
    await refused(
        client, "POST", "/api/password-resets/accept", {}, {**body, "newPassword": "short"}, code="invalid_body"
    )
    await refused(client, "POST", f"/api/users/{uuid4()}/password-reset", OPERATOR, code="not_found")
    await refused(client, "POST", f"/api/users/{user}/password-reset", OWNER, code="not_found")
    await ask(client, "POST", "/api/password-resets/accept", {}, body, status=204)
    assert isinstance(user, UUID)


async def test_a_changed_password_makes_a_reset_worth_nothing(world: World, client: Client) -> None:
    """Whoever has found their password again needs none, and whoever has found the code gets nothing."""
    token, user = await sign_in(client, EMAIL), await user_of(world, "person")
    made = await ask(client, "POST", f"/api/users/{user}/password-reset", OPERATOR, status=201)
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    await ask(client, "POST", CHANGE, browser(token), body, status=204)
    with pytest.raises(PasswordResetInvalid):
        await world.accounts.password_changes.accept_reset(made["code"], "yet another password")
