"""API tokens: made, listed, used and ended; and never more than what they were made with."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import product
from typing import Any
from uuid import UUID, uuid4

from component.api.people_world import (
    OPERATOR,
    OWNER,
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
)
from fakes.api_world import World
from zlh_api.customers.tokens import MAX_TOKENS, TokenWish, TooManyTokens
from zlh_common.schema.permissions import Permission, Role

TOKENS = "/api/tokens"
ACCOUNT, VIEW = "account:manage", "containers:view"


async def make(client: Client, headers: dict[str, str], **wish: Any) -> dict[str, Any]:
    """Make a token."""
    made: dict[str, Any] = await ask(client, "POST", TOKENS, headers, {"name": "t", **wish}, status=201)
    return made


async def test_a_token_is_made_seen_used_and_ended(world: World, client: Client) -> None:
    """Its secret is shown once, and afterwards its last characters alone."""
    made = await make(client, OWNER, name="for the build", scopes=[VIEW] * 5000)
    secret, token = made["secret"], made["token"]
    assert secret.startswith("zlh_pat_")
    assert (token["hint"], token["scopes"], token["lastUsedAt"]) == (secret[-4:], [VIEW], None)
    stored = await world.fetch("select api_tokens::text as line from api_tokens")
    assert not [row for row in stored if secret in row["line"] or secret[8:] in row["line"]]
    listed = (await ask(client, "GET", TOKENS, OWNER))["items"]
    assert token in listed
    assert secret not in str(listed)
    assert (await ask(client, "GET", "/api/containers", by(secret)))["items"] == []
    await refused(client, "GET", TOKENS, by(secret), code="scope_missing")
    await ask(client, "DELETE", f"{TOKENS}/{token['id']}", OWNER, status=204)
    await refused(client, "GET", "/api/containers", by(secret), code="not_signed_in")
    await refused(client, "DELETE", f"{TOKENS}/{token['id']}", OWNER, code="not_found")


async def test_nobody_keeps_a_secret_on_its_way(client: Client) -> None:
    """What has been shown once stands in no cache."""
    response = await client.post(TOKENS, json={"name": "t"}, headers=OWNER)
    assert response.headers["Cache-Control"] == "no-store"


WRONG: list[dict[str, Any]] = [
    {},
    {"name": ""},
    {"name": "x" * 65},
    {"name": 5},
    {"name": "a\nb"},
    {"name": "a\n"},
    {"name": " a"},
    {"name": "a\u202eb"},
    {"name": "t", "scopes": ["containers:fly"]},
    {"name": "t", "scopes": ["*"]},
    {"name": "t", "scopes": VIEW},
    {"name": "t", "scopes": [None]},
    {"name": "t", "expiresInS": 59},
    {"name": "t", "expiresInS": 5 * 366 * 24 * 3600 + 1},
    {"name": "t", "expiresInS": 10**30},
    {"name": "t", "expiresInS": 60.5},
    {"name": "t", "expiresInS": True},
    {"name": "t", "customerId": 5},
    {"name": "t", "customerid": None},
    {"name": "t", "secret": "zlh_pat_mine"},
]


async def test_a_wish_that_makes_no_sense_is_refused(client: Client) -> None:
    """Each field, wrong in each way, is named."""
    for wish in WRONG:
        body = await refused(client, "POST", TOKENS, OWNER, wish, code="invalid_body")
        assert next((name for name in reversed(wish)), "name") in body["detail"], wish


async def test_an_unknown_scope_is_refused_by_name(client: Client) -> None:
    """A typing mistake must not make a token that can do less than was thought."""
    body = await refused(
        client, "POST", TOKENS, OWNER, {"name": "t", "scopes": [VIEW, "containers:fly"]}, code="invalid_body"
    )
    assert "containers:fly" in body["detail"]


async def test_a_customer_out_of_reach_is_not_found(world: World, client: Client) -> None:
    """Whether it is another's, is written in another way, or was never there."""
    own, foreign = await customer_of(world), await customer_of(world, "stranger")
    for named in (foreign, uuid4(), f"{{{own}}}", f"urn:uuid:{own}", own.hex, "nonsense", ""):
        body = await refused(client, "POST", TOKENS, OWNER, {"name": "t", "customerId": str(named)}, code="not_found")
        assert body["detail"] == "There is no such customer."


async def test_a_scope_is_given_by_who_has_it_alone(client: Client) -> None:
    """A viewer hands on what viewers may, an owner what owners may, and an operator all of it."""
    viewer: set[str] = {"containers:view", "customer:view", ACCOUNT}
    owner: set[str] = {*Permission} - {Permission.VIEW_PLATFORM, Permission.MANAGE_PLATFORM}
    people: list[tuple[dict[str, str], set[str]]] = [(VIEWER, viewer), (OWNER, owner), (OPERATOR, set(Permission))]
    for scope, (headers, most) in product(Permission, people):
        if scope in most:
            await make(client, headers, scopes=[scope])
        else:
            body = await refused(
                client, "POST", TOKENS, headers, {"name": "t", "scopes": [scope]}, code="scope_not_yours"
            )
            assert body["permission"] == scope


async def test_a_token_hands_on_no_more_than_it_has(client: Client) -> None:
    """Neither a scope that it lacks, nor all that its user has."""
    narrow = by((await make(client, OWNER, scopes=[ACCOUNT, VIEW]))["secret"])
    again = by((await make(client, narrow, scopes=[ACCOUNT]))["secret"])
    for maker, scopes in ((narrow, ["consoles:use"]), (narrow, None), (again, [VIEW]), (again, [ACCOUNT, VIEW])):
        wish = {"name": "t", "scopes": scopes}
        await refused(client, "POST", TOKENS, maker, wish, code="scope_not_yours")
    await refused(client, "POST", TOKENS, narrow, {"name": "t"}, code="scope_not_yours")


async def test_a_bound_token_makes_bound_ones_alone(world: World, client: Client) -> None:
    """Held to one customer, it reaches no other, nor what its user is besides."""
    own, other = await customer_of(world), await customer_of(world, "stranger")
    await add_user(world, "both@example.org", customers=[(own, Role.VIEWER), (other, Role.OWNER)])
    session = browser(await sign_in(client, "both@example.org"))
    bound = by((await make(client, session, customerId=str(own)))["secret"])
    again = await make(client, bound, customerId=str(own))
    assert again["token"]["customerId"] == str(own)
    await refused(client, "POST", TOKENS, bound, {"name": "t"}, code="token_exceeds_maker")
    await refused(client, "POST", TOKENS, bound, {"name": "t", "customerId": str(other)}, code="not_found")
    # An owner elsewhere is a viewer here.
    wish = {"name": "t", "customerId": str(own), "scopes": ["consoles:use"]}
    await refused(client, "POST", TOKENS, session, wish, code="scope_not_yours")
    assert [entry["id"] for entry in (await ask(client, "GET", "/api/customers", bound))["items"]] == [str(own)]
    assert (await ask(client, "GET", "/api/me", bound))["user"]["passwordChangedAt"] is None
    await refused(client, "GET", f"/api/customers/{other}", bound, code="not_found")


async def test_a_bound_token_of_an_operator_is_no_operators(world: World, client: Client) -> None:
    """It reaches what its user is to that customer."""
    own = await customer_of(world)
    await add_user(world, "both@example.org", customers=[(own, Role.MEMBER)], is_operator=True)
    session = browser(await sign_in(client, "both@example.org"))
    wish = {"name": "t", "customerId": str(own), "scopes": ["platform:view"]}
    await refused(client, "POST", TOKENS, session, wish, code="scope_not_yours")
    bound = by((await make(client, session, customerId=str(own)))["secret"])
    assert (await ask(client, "GET", "/api/me", bound))["user"]["isOperator"] is False
    await refused(client, "GET", "/api/users", bound, code="not_found")


async def test_a_bound_token_sees_and_ends_its_like_alone(client: Client, world: World) -> None:
    """What reaches further is neither shown nor ended by it; sessions and the password are out of its reach."""
    own = await customer_of(world)
    bound = await make(client, OWNER, customerId=str(own))
    wide = await make(client, OWNER)
    listed = [entry["id"] for entry in (await ask(client, "GET", TOKENS, by(bound["secret"])))["items"]]
    assert listed == [bound["token"]["id"]]
    one = f"{TOKENS}/{wide['token']['id']}"
    await refused(client, "DELETE", one, by(bound["secret"]), code="not_found")
    for method, path, body in (
        ("GET", "/api/sessions", None),
        ("DELETE", f"/api/sessions/{uuid4()}", None),
        ("POST", "/api/sessions/end-others", None),
        ("POST", "/api/me/password", {"currentPassword": "x", "newPassword": "twelve characters"}),
    ):
        await refused(client, method, path, by(bound["secret"]), body, code="token_bound")


async def test_a_token_that_ends_makes_none_that_lives_longer(client: Client) -> None:
    """Nor one without an end."""
    short = by((await make(client, OWNER, expiresInS=3600))["secret"])
    for wish in ({"expiresInS": None}, {"expiresInS": 3700}):
        body = await refused(client, "POST", TOKENS, short, {"name": "t", **wish}, code="token_exceeds_maker")
        assert body["field"] == "expiresInS"
    made = (await make(client, short))["token"]
    assert made["expiresAt"] == (await ask(client, "GET", TOKENS, OWNER))["items"][1]["expiresAt"]
    assert (await make(client, short, expiresInS=1800))["token"]["expiresAt"] < made["expiresAt"]
    endless = await make(client, OWNER, expiresInS=None)
    assert endless["token"]["expiresAt"] is None


async def test_what_a_token_has_made_ends_with_it(client: Client) -> None:
    """Whoever takes a leaked token away has taken all of it."""
    first = await make(client, OWNER)
    second = await make(client, by(first["secret"]))
    third = await make(client, by(second["secret"]))
    await ask(client, "GET", "/api/me", by(third["secret"]))
    await ask(client, "DELETE", f"{TOKENS}/{first['token']['id']}", OWNER, status=204)
    for gone in (first, second, third):
        await refused(client, "GET", "/api/me", by(gone["secret"]), code="not_signed_in")


async def test_a_token_that_is_over_opens_nothing_and_is_forgotten(world: World, client: Client) -> None:
    """It makes room for another."""
    made = await make(client, OWNER)
    await world.fetch(
        "update api_tokens set expires_at = now() - interval '1 second' where id = $1 returning 1",
        UUID(made["token"]["id"]),
    )
    await refused(client, "GET", "/api/me", by(made["secret"]), code="not_signed_in")
    assert made["token"]["id"] not in str(await ask(client, "GET", TOKENS, OWNER))
    await make(client, OWNER)
    assert not await world.fetch("select 1 from api_tokens where id = $1", UUID(made["token"]["id"]))


async def test_a_user_has_so_many_tokens_however_many_are_asked_for_at_once(world: World) -> None:
    """The count holds over every API process."""
    others = [world.another_accounts() for _ in range(3)]
    caller = await caller_by(world, "owner-token")
    wish = TokenWish("t", None, None, None)
    makers = [others[number % 3].tokens.make(caller, wish) for number in range(MAX_TOKENS + 10)]
    outcomes = Counter(map(type, await asyncio.gather(*makers, return_exceptions=True)))
    # One was there already.
    assert outcomes == {tuple: MAX_TOKENS - 1, TooManyTokens: 11}
    assert len(await world.accounts.tokens.fetch(caller)) == MAX_TOKENS


async def test_foreign_and_missing_tokens_look_the_same(client: Client) -> None:
    """And so does another spelling of one's own."""
    own, foreign = [(await make(client, who))["token"]["id"] for who in (OWNER, VIEWER)]
    for named in (foreign, uuid4(), own.upper(), own.replace("-", ""), "x", f"{own}%00"):
        body = await refused(client, "DELETE", f"{TOKENS}/{named}", OWNER, code="not_found")
        assert body["detail"] == "There is no such token."
    for named in (f"%7B{own}%7D", f"{own}%0A", f"{own}/", f"{own}%2F"):
        await refused(client, "DELETE", f"{TOKENS}/{named}", OWNER, code="not_found")
    assert len((await ask(client, "GET", TOKENS, OWNER))["items"]) == 2
