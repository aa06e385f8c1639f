"""Signing in and out, sessions and tokens, on a real database and over HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from fakes.api_world import PASSWORD, PORTAL, World
from zlh_api.customers.model import Caller, Credential
from zlh_api.customers.passwords import PasswordTooShort
from zlh_api.customers.refusals import LoginRefused, NotSignedIn, TicketInvalid
from zlh_api.customers.secret import Secret, new_api_token
from zlh_common.names import Vmid
from zlh_common.schema.spec import CreateContainer

EMAIL = "operator@example.org"


async def add_operator(world: World, *, password: str = PASSWORD, token: str = "the-token-of-ops") -> None:
    """Make sure that there is an operator."""
    await world.accounts.users.ensure_operator(
        email=EMAIL, password=Secret(password), customer_name="ops", api_token=Secret(token)
    )


async def add_container(world: World, caller: Caller) -> Vmid:
    """Wish for a container."""
    wish = CreateContainer(kind="dev", runtime="node", version="24")
    return Vmid((await world.containers.create(caller.memberships[0].customer_id, wish)).vmid)


async def test_a_session_lasts_until_it_is_signed_out(world: World) -> None:
    """The token of a login is a caller until the logout, and nobody after it."""
    await add_operator(world)
    caller, token = await world.sign_in(EMAIL.upper(), PASSWORD)
    again = await world.accounts.callers.identify(bearer=None, cookie=token.value)
    assert again == caller
    assert (again.is_operator, again.by_cookie, again.memberships[0].customer_name) == (True, True, "ops")
    await world.accounts.sessions.sign_out(token.value)
    with pytest.raises(NotSignedIn):
        await world.accounts.callers.identify(bearer=None, cookie=token.value)


async def test_a_ticket_stands_for_its_session_and_once(world: World) -> None:
    """For one container, within its time, and for nobody once the session is over."""
    await add_operator(world)
    caller, token = await world.sign_in(EMAIL, PASSWORD)
    vmid, other = [await add_container(world, caller) for _ in range(2)]

    async def issue() -> str:
        ticket, _ = await world.accounts.callers.issue_ticket(vmid, bearer=None, cookie=token.value)
        assert "***" in repr(ticket)
        return ticket.value

    ticket = await issue()
    with pytest.raises(TicketInvalid):
        await world.accounts.callers.redeem_ticket(ticket, other)
    credential = await world.accounts.callers.redeem_ticket(ticket, vmid)
    assert await world.accounts.callers.identify_credential(credential) == caller
    for used in (ticket, await issue()):
        await world.fetch("update tickets set expires_at = now() - interval '1 second' returning 1")
        with pytest.raises(TicketInvalid):
            await world.accounts.callers.redeem_ticket(used, vmid)
    late = await world.accounts.callers.redeem_ticket(await issue(), vmid)
    await world.accounts.sessions.sign_out(token.value)
    with pytest.raises(NotSignedIn):
        await world.accounts.callers.identify_credential(late)
    assert await world.fetch("select 1 from tickets") == []


async def test_many_who_take_one_ticket_get_it_once(world: World) -> None:
    """Whoever is first, on however many connections."""
    await add_operator(world)
    caller = await world.accounts.callers.identify(bearer="the-token-of-ops", cookie=None)
    vmid = await add_container(world, caller)
    ticket, _ = await world.accounts.callers.issue_ticket(vmid, bearer="the-token-of-ops", cookie=None)
    tries = (world.accounts.callers.redeem_ticket(ticket.value, vmid) for _ in range(8))
    outcomes = Counter(map(type, await asyncio.gather(*tries, return_exceptions=True)))
    assert outcomes == {Credential: 1, TicketInvalid: 7}


async def test_a_session_that_is_over_is_unknown(world: World) -> None:
    """Time ends a session, and the next login forgets its row."""
    await add_operator(world)
    _, token = await world.sign_in(EMAIL, PASSWORD)
    await world.fetch("update sessions set expires_at = now() - interval '1 second' returning 1")
    with pytest.raises(NotSignedIn):
        await world.accounts.callers.identify(bearer=None, cookie=token.value)
    await world.sign_in(EMAIL, PASSWORD)
    assert len(await world.fetch("select 1 from sessions")) == 1


@pytest.mark.parametrize(
    ("email", "password"), [(EMAIL, "wrong"), ("nobody@example.org", PASSWORD), ("a\0b", PASSWORD), (EMAIL, "a\0b")]
)
async def test_a_wrong_login_is_refused_alike(world: World, email: str, password: str) -> None:
    """Whether the address or the password is wrong is not told."""
    await add_operator(world)
    with pytest.raises(LoginRefused) as caught:
        await world.sign_in(email, password)
    assert caught.value.data == {}


async def test_a_token_that_is_over_is_unknown(world: World) -> None:
    """An API token may have an end."""
    assert not (await world.accounts.callers.identify(bearer="owner-token", cookie=None)).by_cookie
    await world.fetch("update api_tokens set expires_at = now() - interval '1 second' returning 1")
    with pytest.raises(NotSignedIn):
        await world.accounts.callers.identify(bearer="owner-token", cookie=None)


async def test_no_secret_is_stored(world: World) -> None:
    """Neither a token nor a password stands in the database."""
    await add_operator(world)
    _, token = await world.sign_in(EMAIL, PASSWORD)
    tables = [
        await world.fetch(f"select {table}::text as line from {table}") for table in ("users", "sessions", "api_tokens")
    ]
    stored = "\n".join(row["line"] for rows in tables for row in rows)
    for secret in (token.value, "the-token-of-ops", PASSWORD):
        assert secret not in stored
        assert secret.encode().hex() not in stored


async def test_an_operator_is_ensured_as_often_as_one_likes(world: World) -> None:
    """The second time changes the password and the token, and makes nobody new."""
    await add_operator(world)
    await add_operator(world, password="another long password", token="second-token")
    await world.sign_in(EMAIL, "another long password")
    assert (await world.accounts.callers.identify(bearer="second-token", cookie=None)).is_operator
    with pytest.raises(NotSignedIn):
        await world.accounts.callers.identify(bearer="the-token-of-ops", cookie=None)
    assert len(await world.fetch("select 1 from users where is_operator")) == 1


async def test_a_short_password_is_refused(world: World) -> None:
    """Twelve characters at least."""
    with pytest.raises(PasswordTooShort):
        await add_operator(world, password="elevenchars")


async def test_the_cookie_of_a_login_opens_the_portals_calls(world: World) -> None:
    """Login sets an HttpOnly cookie, which counts until the logout takes it away."""
    await add_operator(world)
    async with world.client() as client:
        answer = await client.post("/api/auth/login", json={"email": EMAIL, "password": PASSWORD})
        assert (await answer.json())["user"]["isOperator"] is True
        cookie = answer.cookies["zlh_session"]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (True, "Lax", "/", "")
        headers = {"Cookie": f"zlh_session={cookie.value}"}
        assert (await client.get("/api/me", headers=headers)).status == 200
        assert (await client.post("/api/auth/logout", headers=headers)).status == 403
        gone = await client.post("/api/auth/logout", headers={**headers, "Origin": PORTAL})
        assert (gone.status, gone.cookies["zlh_session"]["max-age"]) == (204, "0")
        assert (await client.get("/api/me", headers=headers)).status == 401


async def test_a_login_that_no_database_could_hold_is_refused(world: World) -> None:
    """A NUL character is a wrong address, not an error of ours."""
    async with world.client() as client:
        answer = await client.post("/api/auth/login", json={"email": "a\0b@example.org", "password": "x"})
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_body")


def test_secrets_do_not_show_themselves() -> None:
    """A secret in a log or a traceback is three stars."""
    token = new_api_token()
    assert repr(token) == f"{token!s}" == "***"
    assert token.value.startswith("zlh_pat_")
