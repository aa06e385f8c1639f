"""How the database answers what is asked of it often, with ten thousand containers in it: never by reading them all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from fakes.api_world import World
from zlh_api.agents import links, reports
from zlh_api.containers import store as containers
from zlh_api.customers import credential_store as credentials
from zlh_api.customers.rules import SESSION_IDLES
from zlh_api.reconcile import journal, store
from zlh_api.reconcile.plan import PROVISIONING_STEPS

COUNT = 10_000
HOLDER = UUID(int=1)
_CONTAINERS = """
insert into containers (owner, customer_id, kind, name, spec, guest, address, provisioned_at, wake_at, link_holder)
select gen_random_uuid(), (select id from customers limit 1), 'dev', 'n' || number, '{}', 'running',
    '127.64.0.1'::inet + number, now(), now() + interval '1 minute', $1
from generate_series(1, $2::integer) as number returning 1
"""
_STEPS = """
insert into steps (owner, position, name, state)
select c.owner, s.position, s.name, 'done' from containers c, unnest($1::text[]) with ordinality as s(name, position)
returning 1
"""
BIG = {"containers", "steps", "happenings", "samples"}


@pytest.fixture
async def owner(world: World) -> UUID:
    """Fill the database; returns one of the many."""
    await world.fetch(_CONTAINERS, HOLDER, COUNT)
    await world.fetch(_STEPS, PROVISIONING_STEPS)
    await world.fetch("insert into link_holders values ($1, now() + interval '1 minute') returning 1", HOLDER)
    async with world.database.connection() as connection:
        await connection.execute("analyze")
    (row,) = await world.fetch("select owner from containers where vmid = (select max(vmid) - 5 from containers)")
    found: UUID = row["owner"]
    return found


def statements(owner: UUID) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """Yield what is asked often, by name, with its values."""
    select = containers._SELECT
    yield "one by VMID", f"{select} where c.vmid = $1", (5000,)
    yield "one by mark", f"{select} where c.owner = $1", (owner,)
    yield "some by mark", f"{select} where c.owner = any($1)", ([owner] * 100,)
    yield "page of an operator", containers._PAGE, (5000, None, 101)
    yield "caller by session", credentials._BY_SESSION, (b"x", SESSION_IDLES)
    yield "caller by token", credentials._BY_API_TOKEN, (b"x",)
    yield "claim", store._CLAIM, (HOLDER, 16, 10.0, [])
    yield "release", "update containers set lease_until = null where owner = $1 and fence = $2", (owner, 1)
    yield "step begins", journal._START, (owner, "start-guest", 100, 0, True)
    yield "step ends", journal._FINISH, (owner, "start-guest", 0)
    yield "claim of links", links._CLAIM, (HOLDER, 256)
    yield "report", reports._REPORT, (owner, 0, "{}", None, "x")
    yield "reports", reports._REPORTS, ([owner], [0], ["{}"], [0.0])
    yield "addresses", store._UNUSABLE, (["127.64.0.9"],)


def scans(plan: dict[str, Any]) -> Iterator[str]:
    """Yield the tables that a plan reads from their beginning to their end."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for part in plan.get("Plans", []):
        yield from scans(part)


async def test_nothing_that_is_asked_often_reads_all_containers(world: World, owner: UUID) -> None:
    """Each statement finds its rows through an index."""
    wrong = {}
    for name, sql, values in statements(owner):
        (row,) = await world.fetch(f"explain (format json) {sql}", *values)
        if found := BIG.intersection(scans(json.loads(row[0])[0]["Plan"])):
            wrong[name] = found
    assert not wrong


async def test_a_change_of_many_steps_is_announced_once(world: World, owner: UUID) -> None:
    """Who watches hears of a container once for each transaction, and its version grows with what is seen of it."""
    heard: list[str] = []
    async with world.database.connection() as connection:
        listener = connection
        await listener.add_listener("container_changed", lambda *told: heard.append(told[-1]))
        async with world.database.transaction() as changing:
            await changing.execute("update steps set message = 'm' where owner = $1", owner)
            await changing.execute("delete from steps where owner = $1 and position > 5", owner)
        await listener.fetch("select 1")
        assert len(heard) == 1
        (before,) = await world.fetch("select version from containers where owner = $1", owner)
        await world.fetch(
            "update containers set wake_at = now(), fence = fence + 1 where owner = $1 returning 1", owner
        )
        await world.fetch("update containers set link_holder = $2 where owner = $1 returning 1", owner, uuid4())
        (after,) = await world.fetch("select version from containers where owner = $1", owner)
        assert after == before
        await world.fetch("update containers set guest = 'stopped' where owner = $1 returning 1", owner)
        (seen,) = await world.fetch("select version from containers where owner = $1", owner)
        assert seen["version"] == after["version"] + 1
        await listener.fetch("select 1")
        assert len(heard) == 2
        await listener.reset()
