"""Wishes to cut a port off reach the agent at once, again where it does not answer, and once more behind the route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest

from fakes.agents import FakeAgents
from fakes.api_world import World
from fakes.wishes import want_container
from zlh_api.agents.client import AgentAddress, AgentRefused, AgentUnreachable
from zlh_api.cuts import rules, store
from zlh_api.cuts.service import ConnectionCuts
from zlh_api.exposures import store as exposures
from zlh_common.errors import ZlhError
from zlh_common.names import OwnerMark

PORT = 3000


class CuttingAgents(FakeAgents):
    """Agents that cut; those in `hanging` never answer, and those in `refusing` refuse."""

    def __init__(self, world: World) -> None:
        super().__init__(world.faults, world.database)
        self.hanging: set[OwnerMark] = set()
        self.refusing: dict[OwnerMark, ZlhError] = {}
        self.cut: list[tuple[OwnerMark, str]] = []
        self.news = asyncio.Event()

    async def call(
        self, agent: AgentAddress, method: str, path: str, *, body: bytes | None = None, timeout_s: float = 5.0
    ) -> bytes:
        """Take down what is asked, and do as told."""
        self.cut.append((agent.owner, path))
        self.news.set()
        if agent.owner in self.hanging:
            await asyncio.Event().wait()
        if error := self.refusing.get(agent.owner):
            raise error
        return b'{"cut":1}'

    async def wait_cuts(self, owner: OwnerMark, count: int) -> None:
        """Return once so many cuts were asked of one agent."""
        async with asyncio.timeout(10):
            while sum(of == owner for of, _ in self.cut) < count:
                self.news.clear()
                await self.news.wait()


async def running(world: World, *, protocol: int = 5) -> OwnerMark:
    """Return a container that runs, with a public port."""
    async with world.database.transaction() as connection:
        owner = await want_container(connection)
        await connection.execute(
            "update containers set guest = 'running', address = $2::text::inet, agent_status = $3, "
            "route_confirmed = 'x' where owner = $1",
            UUID(owner),
            f"127.77.{len(owner)}.{await connection.fetchval('select count(*) from containers')}",
            {"protocolVersion": protocol},
        )
        await exposures.insert_exposure(
            connection, exposure_id=uuid4(), owner=owner, port=PORT, visibility="public", expires_at=None
        )
    return owner


async def take_back(world: World, owner: OwnerMark) -> None:
    """Take its port back."""
    async with world.database.transaction() as connection:
        (row,) = await connection.fetch("select id from exposures where owner = $1", UUID(owner))
        assert await exposures.delete_exposure(connection, owner, row["id"]) == PORT


@asynccontextmanager
async def cutting(world: World, agents: CuttingAgents) -> AsyncIterator[ConnectionCuts]:
    """Run one API process's share, woken by the database."""
    made = ConnectionCuts(world.database, agents, agent_port=7443)
    tasks = [
        asyncio.create_task(made.run()),
        asyncio.create_task(world.database.listen({"cut_due": made.wake}, on_connect=made.wake)),
    ]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_NEXT_ROUND", store._NEXT_ROUND.replace("'2.0 seconds'", "'0.05 seconds'"))


async def test_a_port_that_is_taken_back_is_cut_twice_and_again_behind_its_route(world: World) -> None:
    """What slips in meanwhile is met by the second; what the proxy let in until it had let go, by the third."""
    owner = await running(world)
    agents = CuttingAgents(world)
    async with cutting(world, agents):
        before = (await world.fetch("select version from containers"))[0]["version"]
        await take_back(world, owner)
        await agents.wait_cuts(owner, 2)
        await world.wait_until("select count(*) = 1 from connection_cuts where due_at = 'infinity'")
        after = (await world.fetch("select version from containers"))[0]["version"]
        async with world.database.connection() as connection:
            # A worker that had looked before confirms what it knew then: that is not the route without the port.
            await store.note_route(connection, owner, before)
        assert len(await world.fetch("select from connection_cuts where due_at = 'infinity'")) == 1
        async with world.database.connection() as connection:
            await store.note_route(connection, owner, after)
        await agents.wait_cuts(owner, 4)
        await world.wait_until("select count(*) = 0 from connection_cuts")
    assert set(agents.cut) == {(owner, f"/ports/{PORT}/cut")}


async def test_an_agent_that_hangs_holds_up_nobody_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there is room for, all silent: whoever is new is cut at once."""
    monkeypatch.setattr("zlh_api.cuts.service.MOST_AT_ONCE", 4)
    hostile = [await running(world) for _ in range(3)]
    good = await running(world)
    agents = CuttingAgents(world)
    agents.hanging.update(hostile)
    async with cutting(world, agents):
        for owner in hostile:
            await take_back(world, owner)
            await agents.wait_cuts(owner, 1)
        await take_back(world, good)
        await agents.wait_cuts(good, 2)


async def test_an_agent_that_says_any_number_holds_up_nobody_else(world: World) -> None:
    """A protocol that is larger than every number of the database is one that is new enough."""
    boaster, honest = await running(world, protocol=10**30), await running(world)
    agents = CuttingAgents(world)
    async with cutting(world, agents):
        await take_back(world, boaster)
        await take_back(world, honest)
        await agents.wait_cuts(honest, 2)
        await agents.wait_cuts(boaster, 2)


async def test_who_does_not_answer_is_asked_again_and_people_are_told(world: World) -> None:
    """First at once, then ever later; what cannot be done is told, until it is."""
    owner = await running(world)
    agents = CuttingAgents(world)
    agents.refusing[owner] = AgentUnreachable("it is away")
    async with cutting(world, agents):
        await take_back(world, owner)
        await agents.wait_cuts(owner, rules.TELLS_AFTER - 1)
        assert [row["cut_fault"] for row in await world.fetch("select cut_fault from containers")] == [None]
        agents.refusing[owner] = AgentRefused(status=409, agent_code="cut_not_possible", detail="it may not")
        await world.wait_until("select cut_fault is not null from containers")
        container = await world.containers.find((await world.fetch("select vmid from containers"))[0]["vmid"])
        assert "connections_open" in world.containers.report(container).degraded
        agents.refusing.clear()
        await world.wait_until("select cut_fault is null from containers")


@pytest.mark.parametrize("protocol", [1, 4])
async def test_an_agent_of_before_is_not_asked(world: World, protocol: int) -> None:
    """It would not know what is meant; people are told that connections may stay open."""
    owner = await running(world, protocol=protocol)
    agents = CuttingAgents(world)
    async with cutting(world, agents):
        await take_back(world, owner)
        await world.wait_until("select cut_fault = 'agent_too_old' from containers")
    assert agents.cut == []


async def test_what_does_not_run_has_no_connections(world: World) -> None:
    """A wish for a guest that is off is done; one for a container that is gone goes with it."""
    owner = await running(world)
    agents = CuttingAgents(world)
    await world.fetch("update containers set guest = 'stopped' returning 1")
    async with cutting(world, agents):
        await take_back(world, owner)
        await world.wait_until("select count(*) = 1 from connection_cuts where due_at = 'infinity'")
        await world.fetch("delete from containers returning 1")
        await world.wait_until("select count(*) = 0 from connection_cuts")
    assert agents.cut == []


async def test_what_a_process_has_taken_and_not_done_another_does(world: World) -> None:
    """It has died: the lease runs out, and nothing of the wish was lost."""
    owner = await running(world)
    await take_back(world, owner)
    async with world.database.connection() as connection:
        assert [cut.owner for cut in await store.take(connection, limit=5, with_retries=True)] == [owner]
        assert await store.take(connection, limit=5, with_retries=True) == []
        await connection.execute("update connection_cuts set lease_until = now() - interval '1 s'")
        assert await store.take(connection, limit=5, with_retries=False) == []
        assert [cut.owner for cut in await store.take(connection, limit=5, with_retries=True)] == [owner]
