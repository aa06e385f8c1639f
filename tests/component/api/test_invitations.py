"""Invitations: handed over, answered once, and worth no more than who sent them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from component.api.people_world import (
    OPERATOR,
    OWNER,
    STRANGER,
    VIEWER,
    Client,
    add_user,
    ask,
    browser,
    by,
    caller_by,
    customer_of,
    refused,
    sign_in,
    user_of,
)
from fakes.api_world import PASSWORD, PORTAL, World
from zlh_api.customers.invitations import MAX_WAITING, Accepted, AlreadyMember, InvitationInvalid
from zlh_api.customers.model import Client as Browser
from zlh_common.schema.permissions import Role

LOOK, ACCEPT = "/api/invitations/look", "/api/invitations/accept"
NEW, OTHER = "new@example.org", "person@example.org"


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """A client of a served API, and a person who belongs to nobody."""
    await add_user(world, OTHER)
    async with world.client() as made:
        yield made


async def invite(world: World, client: Client, email: str, role: str = "member", **more: Any) -> dict[str, Any]:
    """Invite somebody as the owner."""
    path = f"/api/customers/{await customer_of(world)}/invitations"
    made: dict[str, Any] = await ask(client, "POST", path, OWNER, {"email": email, "role": role, **more}, status=201)
    return made


async def roles_of(world: World) -> dict[str, str]:
    """Return who belongs to the owner's customer, and as what."""
    rows = await world.fetch(
        "select u.email, m.role from memberships m join users u on u.id = m.user_id where m.customer_id = $1",
        await customer_of(world),
    )
    return {row["email"]: row["role"] for row in rows}


async def test_somebody_new_joins(world: World, client: Client) -> None:
    """With a password of their own: account, membership and session are made together, and the code is used up."""
    made = await invite(world, client, NEW, "viewer")
    code = made["code"]
    assert (made["url"], code[:8]) == (f"{PORTAL}/invitation#code={code}", "zlh_inv_")
    assert made["invitation"]["invitedBy"] == "owner@example.org"
    stored = await world.fetch("select invitations::text as line from invitations")
    assert code not in stored[0]["line"]
    listed = await ask(client, "GET", f"/api/customers/{await customer_of(world)}/invitations", OWNER)
    assert (listed["items"], code in str(listed)) == ([made["invitation"]], False)
    seen = await ask(client, "POST", LOOK, {}, {"code": code})
    assert (seen["customer"], seen["email"], seen["role"], seen["hasAccount"]) == ("customer 0", NEW, "viewer", False)
    await refused(client, "POST", ACCEPT, {}, {"code": code}, code="password_missing")
    answer = await client.post(ACCEPT, json={"code": code, "password": PASSWORD}, headers={"User-Agent": "b"})
    assert (await answer.json())["customers"][0]["role"] == "viewer"
    cookie = answer.cookies["zlh_session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    sessions = await ask(client, "GET", "/api/sessions", browser(cookie.value))
    assert [entry["userAgent"] for entry in sessions["items"]] == ["b"]
    assert (await roles_of(world))[NEW] == "viewer"
    for call in (LOOK, ACCEPT):
        await refused(client, "POST", call, {}, {"code": code}, code="invitation_invalid")
    await sign_in(client, NEW)


async def test_a_user_joins_as_who_they_are(world: World, client: Client) -> None:
    """Signed in with a cookie from our own pages or with a token that may; nobody else can take it."""
    code = (await invite(world, client, OTHER.upper()))["code"]
    body = {"code": code}
    assert (await ask(client, "POST", LOOK, {}, body))["hasAccount"] is True
    token = await sign_in(client, OTHER)
    await refused(client, "POST", ACCEPT, {}, body, code="not_signed_in")
    await refused(client, "POST", ACCEPT, {}, {**body, "password": PASSWORD}, code="not_signed_in")
    await refused(client, "POST", ACCEPT, browser("nonsense"), body, code="not_signed_in")
    await refused(client, "POST", ACCEPT, by("nonsense"), body, code="not_signed_in")
    await refused(client, "POST", ACCEPT, browser(token, origin=None), body, code="origin_refused")
    await refused(client, "POST", ACCEPT, browser(token, origin="https://evil.example"), body, code="origin_refused")
    for other in (STRANGER, OPERATOR, OWNER):
        found = await refused(client, "POST", ACCEPT, other, body, code="invitation_for_another")
        assert found["email"].lower() == OTHER
    wish = {"name": "t", "scopes": ["account:manage"]}
    await refused(client, "POST", ACCEPT, browser(token), {**body, "password": PASSWORD}, code="password_not_wanted")
    me = await ask(client, "POST", ACCEPT, browser(token), body)
    assert [(entry["name"], entry["role"]) for entry in me["customers"]] == [("customer 0", "member")]
    await ask(
        client, "DELETE", f"/api/customers/{await customer_of(world)}/members/{me['user']['id']}", OWNER, status=204
    )
    code = (await invite(world, client, OTHER))["code"]
    program = by((await ask(client, "POST", "/api/tokens", browser(token), wish, status=201))["secret"])
    assert (await ask(client, "POST", ACCEPT, program, {"code": code}))["user"]["email"] == OTHER
    assert (await roles_of(world))[OTHER] == "member"


async def test_a_token_that_may_not_joins_nothing(world: World, client: Client) -> None:
    """Without the scope of the account, or held to one customer."""
    foreign = await customer_of(world, "stranger")
    person = await user_of(world, "person")
    await world.fetch("insert into memberships values ($1, $2, 'owner') returning 1", foreign, person)
    token = browser(await sign_in(client, OTHER))
    code = (await invite(world, client, OTHER))["code"]
    for wish, refusal in (
        ({"scopes": ["containers:view"]}, "scope_missing"),
        ({"customerId": str(foreign)}, "token_bound"),
    ):
        made = await ask(client, "POST", "/api/tokens", token, {"name": "t", **wish}, status=201)
        await refused(client, "POST", ACCEPT, by(made["secret"]), {"code": code}, code=refusal)
    assert OTHER not in await roles_of(world)


async def test_who_is_signed_in_makes_no_account_for_another(world: World, client: Client) -> None:
    """A browser that is somebody else's must not become the new one's unseen."""
    code = (await invite(world, client, NEW))["code"]
    token = await sign_in(client, OTHER)
    body = {"code": code, "password": PASSWORD}
    await refused(client, "POST", ACCEPT, browser(token), body, code="invitation_for_another")
    await ask(client, "POST", "/api/auth/logout", browser(token), status=204)
    # The cookie of a session that is over is nobody's.
    assert (await ask(client, "POST", ACCEPT, browser(token), body))["user"]["email"] == NEW


async def test_of_twenty_answers_at_once_one_counts(world: World, client: Client) -> None:
    """Through whichever API process: one account, one membership, one session."""
    code = (await invite(world, client, NEW))["code"]
    others = [world.another_accounts().invitations for _ in range(4)]
    answers = (
        others[number % 4].accept(code, caller=None, password=PASSWORD, client=Browser("192.0.2.1", None))
        for number in range(20)
    )
    told = Counter(map(type, await asyncio.gather(*answers, return_exceptions=True)))
    assert told == {Accepted: 1, InvitationInvalid: 19}
    assert len(await world.fetch("select 1 from users where email = $1", NEW)) == 1
    assert len(await world.fetch("select 1 from sessions")) == 1
    assert (await roles_of(world))[NEW] == "member"


async def test_of_two_customers_at_once_both_get_their_new_member(world: World, client: Client) -> None:
    """Somebody whom two invite before they have an account makes it once, and signs in for the other."""
    foreign = await customer_of(world, "stranger")
    path = f"/api/customers/{foreign}/invitations"
    second = await ask(client, "POST", path, STRANGER, {"email": NEW.upper(), "role": "owner"}, status=201)
    codes = [(await invite(world, client, NEW))["code"], second["code"]]
    answers = [await_accept(client, code) for code in codes]
    told = sorted(await asyncio.gather(*answers))
    assert told == [200, 401]
    token = browser(await sign_in(client, NEW))
    left = [code for code in codes if (await client.post(LOOK, json={"code": code})).status == 200]
    me = await ask(client, "POST", ACCEPT, token, {"code": left[0]})
    assert sorted(entry["role"] for entry in me["customers"]) == ["member", "owner"]


async def await_accept(client: Client, code: str) -> int:
    """Answer as somebody new; return the status."""
    return (await client.post(ACCEPT, json={"code": code, "password": PASSWORD})).status


async def test_an_invitation_changes_no_role(world: World, client: Client) -> None:
    """Who belongs to the customer is told so, when invited and when answering."""
    path = f"/api/customers/{await customer_of(world)}/invitations"
    for role in ("owner", "viewer"):
        found = await refused(
            client, "POST", path, OWNER, {"email": "VIEWER@example.org", "role": role}, code="already_member"
        )
        assert found["role"] == "viewer"
    code = (await invite(world, client, OTHER, "owner"))["code"]
    person = await user_of(world, "person")
    await world.fetch("insert into memberships values ($1, $2, 'viewer') returning 1", await customer_of(world), person)
    found = await refused(
        client, "POST", ACCEPT, browser(await sign_in(client, OTHER)), {"code": code}, code="already_member"
    )
    assert (found["role"], (await roles_of(world))[OTHER]) == ("viewer", "viewer")


async def test_the_next_invitation_takes_the_place_of_the_last(world: World, client: Client) -> None:
    """For one address there is one, with the role of the last; withdrawn, expired and replaced codes look the same."""
    first = await invite(world, client, NEW, "owner")
    second = await invite(world, client, NEW.upper(), "viewer")
    path = f"/api/customers/{await customer_of(world)}/invitations"
    assert (await ask(client, "GET", path, OWNER))["items"] == [second["invitation"]]
    told = [await refused(client, "POST", LOOK, {}, {"code": first["code"]}, code="invitation_invalid")]
    await ask(client, "DELETE", f"{path}/{first['invitation']['id']}", OWNER, status=404)
    await ask(client, "DELETE", f"{path}/{second['invitation']['id']}", OWNER, status=204)
    told.append(await refused(client, "POST", LOOK, {}, {"code": second["code"]}, code="invitation_invalid"))
    third = await invite(world, client, NEW)
    await world.fetch("update invitations set expires_at = now() - interval '1 second' returning 1")
    told.append(await refused(client, "POST", LOOK, {}, {"code": third["code"]}, code="invitation_invalid"))
    told.append(await refused(client, "POST", LOOK, {}, {"code": "nonsense"}, code="invitation_invalid"))
    told.append(
        await refused(
            client, "POST", ACCEPT, {}, {"code": third["code"], "password": PASSWORD}, code="invitation_invalid"
        )
    )
    assert len({str({**body, "requestId": None}) for body in told}) == 1
    assert (await ask(client, "GET", path, OWNER))["items"] == []


async def test_an_invitation_is_worth_as_much_as_who_sent_it(world: World, client: Client) -> None:
    """Whoever has lost the right to invite has seen the code, and could come back with it."""
    own, owner = await customer_of(world), await user_of(world, "owner")
    await add_user(world, "second@example.org", customers=[(own, Role.OWNER)])
    code = (await invite(world, client, NEW, "owner"))["code"]
    body = {"code": code, "password": PASSWORD}
    for spoil in (
        "update memberships set role = 'member' where user_id = $1 returning 1",
        "delete from memberships where user_id = $1 returning 1",
        "update users set suspended_at = now() where id = $1 returning 1",
    ):
        await world.fetch(spoil, owner)
        await refused(client, "POST", LOOK, {}, {"code": code}, code="invitation_invalid")
        await refused(client, "POST", ACCEPT, {}, body, code="invitation_invalid")
        await world.fetch(
            "insert into memberships values ($1, $2, 'owner') on conflict (customer_id, user_id) do update "
            "set role = 'owner' returning 1",
            own,
            owner,
        )
    await world.fetch("update users set suspended_at = null returning 1")
    path = f"/api/customers/{own}/invitations"
    second = await ask(client, "POST", path, OPERATOR, {"email": OTHER, "role": "owner"}, status=201)
    await world.fetch("update users set is_operator = false returning 1")
    await refused(client, "POST", LOOK, {}, {"code": second["code"]}, code="invitation_invalid")
    await ask(client, "POST", ACCEPT, {}, body)


async def test_nobody_joins_who_is_removed_at_the_same_time(world: World, client: Client) -> None:
    """The inviter loses the role while the invitation is answered: both happen in one order or the other."""
    own = await customer_of(world)
    await add_user(world, "second@example.org", customers=[(own, Role.OWNER)])
    second, _ = await world.sign_in("second@example.org")
    owner = await user_of(world, "owner")
    outcomes = Counter[str]()
    for number in range(4):
        code = (await invite(world, client, f"new{number}@example.org"))["code"]
        answer, removal = await asyncio.gather(
            await_accept(client, code),
            world.accounts.members.change_role(second, own, owner, Role.VIEWER),
            return_exceptions=True,
        )
        assert not isinstance(removal, Exception)
        joined = f"new{number}@example.org" in await roles_of(world)
        assert (answer == 200) == joined
        outcomes[str(answer)] += 1
        await world.fetch("update memberships set role = 'owner' where user_id = $1 returning 1", owner)
    assert set(outcomes) <= {"200", "404"}


async def test_a_suspended_customer_gets_nobody_new(world: World, client: Client) -> None:
    """Neither is anybody invited, nor does an older invitation count until it is let go on."""
    own = await customer_of(world)
    code = (await invite(world, client, NEW))["code"]
    await world.fetch("update customers set suspended_at = now() where id = $1 returning 1", own)
    body = {"code": code, "password": PASSWORD}
    await refused(client, "POST", ACCEPT, {}, body, code="customer_suspended")
    path, wish = f"/api/customers/{own}/invitations", {"email": "x@example.org", "role": "viewer"}
    await refused(client, "POST", path, OWNER, wish, code="customer_suspended")
    assert await world.fetch("select 1 from users where email = $1", NEW) == []
    await world.fetch("update customers set suspended_at = null where id = $1 returning 1", own)
    await ask(client, "POST", ACCEPT, {}, body)


async def test_so_many_invitations_wait_at_most(world: World, client: Client) -> None:
    """One that is sent again counts once, and what is over counts no more."""
    own, owner = await customer_of(world), await user_of(world, "owner")
    await world.fetch(
        "insert into invitations (id, code_sha256, customer_id, email, role, invited_by, expires_at) "
        "select gen_random_uuid(), n::text::bytea, $1, 'n' || n || '@example.org', 'viewer', $2, "
        "now() + interval '1 hour' from generate_series(1, $3::int) as n returning 1",
        own,
        owner,
        MAX_WAITING,
    )
    path = f"/api/customers/{own}/invitations"
    await refused(client, "POST", path, OWNER, {"email": NEW, "role": "viewer"}, code="too_many_invitations")
    await invite(world, client, "N7@example.org")
    await world.fetch(
        "update invitations set expires_at = now() - interval '1 s' where email = 'n8@example.org' returning 1"
    )
    await invite(world, client, NEW)
    assert len((await ask(client, "GET", path, OWNER))["items"]) == MAX_WAITING


async def test_foreign_and_missing_invitations_look_the_same(world: World, client: Client) -> None:
    """Another customer's, none, and another spelling of one's own."""
    own, foreign = await customer_of(world), await customer_of(world, "stranger")
    mine = (await invite(world, client, NEW))["invitation"]["id"]
    path = f"/api/customers/{foreign}/invitations"
    theirs = await ask(client, "POST", path, STRANGER, {"email": NEW, "role": "viewer"}, status=201)
    for named in (theirs["invitation"]["id"], uuid4(), mine.upper(), UUID(mine).hex, "x", f"{mine}%00"):
        found = await refused(client, "DELETE", f"/api/customers/{own}/invitations/{named}", OWNER, code="not_found")
        assert found["detail"] == "There is no such invitation."
    await refused(client, "DELETE", f"{path}/{mine}", OWNER, code="not_found")
    await refused(client, "GET", f"/api/customers/{own}/invitations", VIEWER, code="role_missing")
    assert len(await world.fetch("select 1 from invitations")) == 2


async def test_the_fields_of_invitations_wrong_in_every_way(world: World, client: Client) -> None:
    """Each is named, and nobody is invited."""
    path = f"/api/customers/{await customer_of(world)}/invitations"
    good = {"email": NEW, "role": "viewer"}
    emails = [
        "",
        "ab",
        "a@",
        "@b",
        "a b@c",
        "a@b@c",
        "a@b\n",
        "a@b\u200b",
        "a\u202e@b",
        "a\u00a0@b",
        "x" * 253 + "@b",
    ]
    wrong: dict[str, list[Any]] = {
        "email": [*emails, 5, None, ["a@b"]],
        "role": ["", "Owner", "operator", None, 5],
        "expiresInS": [59, 30 * 24 * 3600 + 1, -1, 10**30, "60", None, 60.5],
    }
    for field, values in wrong.items():
        for value in values:
            body = await refused(client, "POST", path, OWNER, {**good, field: value}, code="invalid_body")
            assert field in body["detail"], value
    for email in ("\U0001f984@x.y", "a..b@example.org", "a@-b", '"a"@b'):
        body = await refused(client, "POST", path, OWNER, {**good, "email": email}, code="email_invalid")
        assert "no e-mail address" in body["detail"]
    for body in ({}, {"email": NEW}, {"role": "viewer"}, {**good, "customer": "x"}):
        await refused(client, "POST", path, OWNER, body, code="invalid_body")
    answers: list[Any] = [
        {},
        {"code": ""},
        {"code": "x" * 201},
        {"code": 5},
        {"code": None},
        {"code": "x", "role": "owner"},
    ]
    for answer in answers:
        for call in (LOOK, ACCEPT):
            await refused(client, "POST", call, {}, answer, code="invalid_body")
    for password in ("elevenchars", "x" * 1025, 5):
        await refused(client, "POST", ACCEPT, {}, {"code": "x", "password": password}, code="invalid_body")
    assert await world.fetch("select 1 from invitations") == []


async def test_an_address_beyond_ascii_is_one_address(world: World, client: Client) -> None:
    """However its letters are composed, and whatever their case."""
    await invite(world, client, "J\u00d6rg@Example.org")
    code = (await invite(world, client, "jo\u0308rg@example.org"))["code"]
    assert len(await world.fetch("select 1 from invitations")) == 1
    await ask(client, "POST", ACCEPT, {}, {"code": code, "password": PASSWORD})
    await sign_in(client, "J\u00d6RG@EXAMPLE.ORG")
    caller = await caller_by(world, "owner-token")
    with pytest.raises(AlreadyMember):
        await world.accounts.invitations.invite(
            caller,
            await customer_of(world),
            email="j\u00f6rg@example.org",
            role=Role.OWNER,
            expires_in=timedelta(hours=1),
        )
