"""Limits of rates and counts over HTTP: by credential, by customer and by address, and what they leave to others."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from statistics import median
from typing import Any

import pytest
from aiohttp import ClientResponse

from component.api.people_world import OWNER, STRANGER, VIEWER, by
from component.api.test_http import CONTAINERS, Client, create, problem
from component.api.test_quotas import create as create_for_owner
from fakes.api_world import ANY_RATES, PORTAL, World
from fakes.clock import FakeClock
from zlh_api.customers.callers import MAX_TICKETS, Callers, TooManyTickets
from zlh_api.customers.secret import token_digest
from zlh_api.web.open_calls import OpenSettings
from zlh_api.web.rate_limits import Rates, RateSettings
from zlh_api.web.token_buckets import Rate
from zlh_common.names import Vmid

ME = "/api/me"
FEW = Rates(Rate(1.0, 5), Rate(0.5, 3))


@pytest.fixture
def clock(world: World) -> FakeClock:
    """A clock of the limits that stands still."""
    made = FakeClock()
    world.rates_clock = made
    return made


def limit(
    world: World,
    *,
    credential: Rates = ANY_RATES,
    customer: Rates = ANY_RATES,
    address: Rates = ANY_RATES,
    wait_s: float = 0.0,
) -> None:
    """Let so much through, and keep refusals back for so long."""
    world.rates = RateSettings(credential, customer, address, refusal_wait_s=wait_s)


async def statuses(client: Client, count: int, path: str = ME, **how: Any) -> Counter[int]:
    """Ask so often, one after the other; return how often each status was answered."""
    return Counter([(await client.get(path, **how)).status for _ in range(count)])


def told(response: ClientResponse) -> tuple[str, str, str]:
    """Return what an answer says of where one stands."""
    names = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
    return (response.headers[names[0]], response.headers[names[1]], response.headers[names[2]])


async def test_a_token_is_counted_and_told_where_it_stands(world: World, clock: FakeClock) -> None:
    """The refusal says truly when to come again, and another token goes on."""
    limit(world, credential=FEW)
    async with world.client() as client:
        # The first is counted for the address, since nobody knows the token yet.
        assert (await client.get(ME, headers=OWNER)).status == 200
        answer = await client.get(ME, headers=OWNER)
        assert told(answer) == ("5", "4", "1")
        assert await statuses(client, 5, headers=OWNER) == {200: 4, 429: 1}
        refused = await client.get(ME, headers=OWNER)
        body = await problem(refused, 429, "rate_limited")
        assert (body["by"], body["limit"], body["retryAfterS"]) == ("credential", 5, 1)
        assert (refused.headers["Retry-After"], *told(refused)) == ("1", "5", "0", "5")
        assert (await client.get(ME, headers=STRANGER)).status == 200
        clock.advance(0.5)
        assert await statuses(client, 2, headers=OWNER) == {429: 2}
        clock.advance(0.5)
        assert await statuses(client, 2, headers=OWNER) == {200: 1, 429: 1}


async def test_what_changes_something_is_counted_apart(world: World, clock: FakeClock) -> None:
    """Whoever has used up the one may still do the other, operators no less held to it than others."""
    limit(world, credential=FEW)
    async with world.client() as client:
        for who in (OWNER, by("operator-token")):
            await client.get(ME, headers=who)
            answers = [(await client.delete(f"{CONTAINERS}/999", headers=who)).status for _ in range(4)]
            assert Counter(answers) == {404: 3, 429: 1}
            refused = await client.delete(f"{CONTAINERS}/999", headers=who)
            assert refused.headers["Retry-After"] == "2"
            assert (await client.get(ME, headers=who)).status == 200


async def test_tokens_of_one_customer_do_not_add_up(world: World, clock: FakeClock) -> None:
    """Whoever of its people they belong to; another customer has its own."""
    limit(world, customer=FEW)
    async with world.client() as client:
        for who in (OWNER, VIEWER, STRANGER):
            await client.get(ME, headers=who)
        assert await statuses(client, 3, headers=OWNER) == {200: 3}
        assert await statuses(client, 3, headers=VIEWER) == {200: 2, 429: 1}
        body = await problem(await client.get(ME, headers=OWNER), 429, "rate_limited")
        assert body["by"] == "customer"
        assert await statuses(client, 5, headers=STRANGER) == {200: 5}


async def test_a_customer_that_floods_stops_nobody_from_working_for_another(world: World, clock: FakeClock) -> None:
    """Who belongs to both goes on until both have no room, and takes nothing of the one that has none."""
    limit(world, customer=FEW)
    await world.fetch(
        "insert into memberships select m.customer_id, u.id, 'viewer' from users u, memberships m join users o "
        "on o.id = m.user_id where u.email = 'stranger@example.org' and o.email = 'owner@example.org' returning 1"
    )
    async with world.client() as client:
        for who in (OWNER, STRANGER):
            await client.get(ME, headers=who)
        assert await statuses(client, 50, headers=OWNER) == {200: 5, 429: 45}
        assert await statuses(client, 7, headers=STRANGER) == {200: 5, 429: 2}
        clock.advance(1.0)
        assert await statuses(client, 2, headers=OWNER) == {200: 1, 429: 1}


async def test_a_refused_call_costs_nobody_else(world: World, clock: FakeClock) -> None:
    """A token that floods takes no more of its customer's than it was let have."""
    limit(world, credential=FEW, customer=Rates(Rate(1.0, 10), Rate(1.0, 10)))
    async with world.client() as client:
        for who in (OWNER, VIEWER):
            await client.get(ME, headers=who)
        assert await statuses(client, 50, headers=OWNER) == {200: 5, 429: 45}
        assert await statuses(client, 6, headers=VIEWER) == {200: 5, 429: 1}


async def test_who_is_not_known_is_counted_by_address(world: World, clock: FakeClock) -> None:
    """Made-up tokens, each another, are no more than none; and whoever is known goes on from the same address."""
    limit(world, address=FEW)
    async with world.client() as client:
        assert (await client.get(ME, headers=OWNER)).status == 200
        made_up = [(await client.get(ME, headers=by(f"made-up-{number}"))).status for number in range(6)]
        assert Counter(made_up) == {401: 4, 429: 2}
        assert await statuses(client, 2, "/api/version") == {429: 2}
        assert (await client.get(ME, headers=OWNER)).status == 200
        login = {"email": "nobody@example.org", "password": "wrong"}
        for who in (OWNER, {}):
            for _ in range(2):
                await client.post("/api/auth/login", json=login, headers={**who, "Origin": PORTAL})
        # Guessing passwords is counted by address, whoever's token is sent along.
        refused = await client.post("/api/auth/login", json=login, headers={**OWNER, "Origin": PORTAL})
        assert (await problem(refused, 429, "rate_limited"))["by"] == "address"


async def test_a_token_that_is_good_no_more_is_a_strangers(world: World, clock: FakeClock) -> None:
    """From its first refusal on."""
    limit(world, address=FEW)
    async with world.client() as client:
        assert await statuses(client, 10, headers=OWNER) == {200: 10}
        await world.fetch("delete from api_tokens where token_sha256 = $1 returning 1", token_digest("owner-token"))
        assert await statuses(client, 10, headers=OWNER) == {401: 5, 429: 5}


async def test_a_ticket_makes_no_cookie_good(world: World, clock: FakeClock) -> None:
    """What is sent beside a ticket is not what the call was let in by."""
    limit(world, address=FEW)
    async with world.client() as client:
        vmid = (await create(client))["vmid"]
        made = await client.post(f"{CONTAINERS}/{vmid}/tickets", headers=OWNER)
        ticket = (await made.json())["ticket"]
        headers = {"Cookie": "zlh_session=made-up"}
        path = f"{CONTAINERS}/{vmid}/console?ticket={ticket}"
        await client.get(path, headers=headers)
        assert await statuses(client, 10, headers=headers) == {401: 4, 429: 6}


async def test_a_flood_leaves_the_database_alone(world: World, clock: FakeClock) -> None:
    """What is refused has asked it nothing."""
    limit(world, credential=FEW, address=FEW)
    async with world.client() as client:
        await statuses(client, 8, headers=OWNER)
        await statuses(client, 8)
        await world.database.close()
        world.database._dsn = "postgresql:///nowhere?host=/nonexistent"
        assert await statuses(client, 3, headers=OWNER) == {429: 3}
        assert await statuses(client, 3, headers=by("made-up")) == {429: 3}
        assert await statuses(client, 3, "/api/version") == {429: 3}


async def test_streams_tell_where_one_stands_and_are_counted(world: World, clock: FakeClock) -> None:
    """So many of one user at a time, however many tokens; one that ends makes room."""
    world.open_settings = OpenSettings(2, 3, *[1000] * 5)
    limit(world, credential=FEW)
    async with world.client() as client:
        await client.get(ME, headers=OWNER)
        first, second = [await client.get("/api/events", headers=OWNER) for _ in range(2)]
        assert told(first)[0] == "5"
        body = await problem(await client.get("/api/events", headers=OWNER), 429, "too_many_open")
        assert (body["what"], body["limit"], body["by"]) == ("event streams", 2, "user")
        third = await client.get("/api/events", headers=VIEWER)
        body = await problem(await client.get("/api/events", headers=STRANGER), 429, "too_many_open")
        assert (body["limit"], body["by"]) == (3, "process")
        first.close()
        async with asyncio.timeout(10):
            while (again := await client.get("/api/events", headers=STRANGER)).status == 429:
                clock.advance(1)
                await asyncio.sleep(0.01)
        assert again.status == 200
        for each in (second, third, again):
            each.close()


async def test_tickets_that_nobody_uses_are_counted(world: World) -> None:
    """By credential, exactly, however many ask at once; whoever comes again when he is told to gets one."""
    async with world.client() as client:
        vmid = Vmid((await create(client))["vmid"])
    callers = world.accounts.callers
    pools = [callers, Callers(world.another_pool(), world.accounts.last_use)]
    asked = (pools[n % 2].issue_ticket(vmid, bearer="owner-token", cookie=None) for n in range(MAX_TICKETS + 30))
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert Counter(map(type, outcomes)) == {tuple: MAX_TICKETS, TooManyTickets: 30}
    refused = next(each for each in outcomes if isinstance(each, TooManyTickets))
    assert 1 <= refused.data["retryAfterS"] <= 30
    await callers.issue_ticket(vmid, bearer="stranger-token", cookie=None)
    used = next(each for each in outcomes if isinstance(each, tuple))[0].value
    await callers.redeem_ticket(used, vmid)
    await callers.issue_ticket(vmid, bearer="owner-token", cookie=None)
    await world.fetch("update tickets set expires_at = now() where credential_sha256 = $1 returning 1",
                      token_digest("owner-token"))  # fmt: skip
    await callers.issue_ticket(vmid, bearer="owner-token", cookie=None)


async def flooded(client: Client, seen: Counter[int]) -> float:
    """Let eight connections of one token ask without a pause; return the median seconds of another's calls."""

    async def flood() -> None:
        while True:
            answer = await client.get(CONTAINERS, headers=OWNER)
            await answer.read()
            seen[answer.status] += 1

    floods = [asyncio.create_task(flood()) for _ in range(8)]
    times = []
    try:
        for _ in range(30):
            began = time.perf_counter()
            answer = await client.get(CONTAINERS, headers=STRANGER)
            assert (answer.status, (await answer.json())["items"]) == (200, [])
            times.append(time.perf_counter() - began)
    finally:
        for task in floods:
            task.cancel()
        await asyncio.gather(*floods, return_exceptions=True)
    return median(times)


async def test_one_that_floods_leaves_others_their_answers(world: World) -> None:
    """Held against the same flood without limits, in one run: others wait for less, and none of them is refused."""
    for _ in range(60):
        await create_for_owner(world)
    took: dict[str, float] = {}
    seen: dict[str, Counter[int]] = {"limited": Counter(), "unlimited": Counter()}
    for name, rates in (("unlimited", ANY_RATES), ("limited", Rates(Rate(5.0, 40), Rate(5.0, 40)))):
        limit(world, credential=rates, wait_s=0.25)
        async with world.client() as client:
            for who in (OWNER, STRANGER):
                assert (await client.get(CONTAINERS, headers=who)).status == 200
            # What the one that floods has in hand is used up.
            await asyncio.gather(*(client.get(CONTAINERS, headers=OWNER) for _ in range(45)))
            took[name] = await flooded(client, seen[name])
    assert set(seen["unlimited"]) == {200}
    assert seen["limited"][200] < seen["unlimited"][200]
    assert took["limited"] < 0.7 * took["unlimited"], (took, seen)
