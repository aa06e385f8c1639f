"""An API process that is killed before and after each statement and call of a look: nobody is lost, nobody too many."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from asyncpg import Connection
from asyncpg.transaction import Transaction

from fakes.api_world import World
from fakes.doomed import Act, run_doomed
from fakes.updating_agents import NEW, UpdatingAgents, offer_agents, run_fleet
from zlh_api.database.pool import Database
from zlh_api.rollouts.service import RolloutService
from zlh_api.rollouts.worker import RolloutWorker
from zlh_common.schema.rollouts import RolloutDetail, RolloutState, StartRollout

AT_ONCE, CONTAINERS = 3, 24
# More than one look has acts.
ACTS = 48
_BOUNDS = """
select count(*) filter (where m.state in ('updating', 'proving')) as under_way,
       count(*) filter (where m.told_at is not null and m.wave > r.wave) as early
from rollout_members m join rollouts r on r.id = m.rollout
"""


def count_acts(act: Act) -> None:
    """Have every statement, and the end of every transaction, call `act` before and after."""
    for kind, names in ((Connection, ("execute", "fetch", "fetchrow", "fetchval")), (Transaction, ("commit",))):
        for name in names:
            setattr(kind, name, _counted(getattr(kind, name), act))


def _counted(method: Any, act: Act) -> Any:
    async def call(*words: Any, **named: Any) -> Any:
        act()
        answer = await method(*words, **named)
        act()
        return answer

    return call


async def look_once(world: World, act: Act | None = None) -> None:
    """Look as a process of its own does, with a pool of its own; each call to an agent is an act too."""
    database = Database(world.dsn, max_connections=2)
    agents = UpdatingAgents(world)
    agents.database = database
    if act is not None:
        agents.call = _counted(agents.call, act)  # type: ignore[method-assign]
    try:
        await RolloutWorker(database, agents, agent_port=7443).look()
    finally:
        await database.close()


async def make_due(world: World) -> None:
    """Have the next look come now, as if the times of the one that was killed were over."""
    await world.fetch("update rollouts set due_at = now() returning 1")
    await world.fetch("update rollout_members set call_at = now() where call_at is not null returning 1")


async def test_killed_at_each_act_it_still_comes_to_its_end(world: World) -> None:
    """Whoever comes next goes on: bounds hold after each death, and in the end all are updated at the first attempt."""
    offer_agents(world, NEW)
    await run_fleet(world, CONTAINERS)
    service = RolloutService(world.database, world.catalog.agent_offers)
    wish = StartRollout(version=NEW, soak_minutes=0, at_once=AT_ONCE)
    begun = await service.start(wish, started_by="operator@example.org")

    async def fetch() -> RolloutDetail:
        return await service.fetch_detail(UUID(begun.id), state=None, after="", limit=CONTAINERS)

    def work(act: Act) -> None:
        count_acts(act)
        asyncio.run(look_once(world, act))

    killed = 0
    for kill_at in range(1, ACTS):
        await make_due(world)
        killed += not await asyncio.to_thread(run_doomed, work, kill_at)
        (row,) = await world.fetch(_BOUNDS)
        assert row["under_way"] <= AT_ONCE, kill_at
        assert row["early"] == 0, kill_at
    assert killed > 20
    for _ in range(200):
        await make_due(world)
        await look_once(world)
        if (await fetch()).rollout.state is RolloutState.DONE:
            break
    assert [(str(member.state), member.attempt) for member in (await fetch()).members] == [("updated", 0)] * CONTAINERS
