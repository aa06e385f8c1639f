"""An agent is told what is published: by a new spec for every change of it, behind the route that people wait for."""

from __future__ import annotations

import asyncio
from typing import Literal
from uuid import UUID, uuid4

import pytest

from fakes.api_world import WAIT_S, World
from fakes.wishes import want_container
from zlh_api.edge.port import RouteWriteFailed
from zlh_api.exposures import store
from zlh_common.names import OwnerMark

INSERT = "insert into exposures (id, owner, port, visibility, addon, expires_at) values"


async def add(world: World) -> OwnerMark:
    """Write one new container."""
    async with world.database.transaction() as connection:
        return await want_container(connection)


async def publish(world: World, owner: OwnerMark, port: int, visibility: Literal["public", "customer"]) -> UUID:
    """Publish a port, or change who may open it, as the service does."""
    async with world.database.transaction() as connection:
        return await store.insert_exposure(
            connection, exposure_id=uuid4(), owner=owner, port=port, visibility=visibility, expires_at=None
        )


async def raised_by(world: World, sql: str) -> tuple[int, int]:
    """Return by how much a statement has raised the generation of the spec and the version."""
    numbers = "select spec_generation, version from containers"
    (before,) = await world.fetch(numbers)
    async with world.database.transaction() as connection:
        await connection.execute(sql)
    (after,) = await world.fetch(numbers)
    return after["spec_generation"] - before["spec_generation"], after["version"] - before["version"]


async def test_a_change_of_what_is_published_is_a_new_spec(world: World) -> None:
    """However it comes about; who may open a port, until when, and an addon's port are none."""
    owner = await add(world)
    first = f"{INSERT} (gen_random_uuid(), '{owner}', 3000, 'public', null, null)"
    assert await raised_by(world, first) == (1, 1)
    assert await raised_by(world, "update exposures set visibility = 'customer'") == (0, 1)
    assert await raised_by(world, "update exposures set expires_at = now() + interval '1 h'") == (0, 1)
    assert await raised_by(world, "update exposures set port = 3001") == (1, 1)
    # Its time is over; then it is published again before anybody has taken it back.
    assert await raised_by(world, "update exposures set expires_at = now() - interval '1 h'") == (1, 1)
    assert await raised_by(world, "update exposures set expires_at = null") == (1, 1)
    assert await raised_by(world, "delete from exposures") == (1, 1)
    addon = f"{INSERT} (gen_random_uuid(), '{owner}', 6000, 'private', 'code-server', null)"
    assert await raised_by(world, addon) == (0, 1)
    assert await raised_by(world, "delete from exposures") == (0, 1)


async def test_publishing_and_taking_back_are_new_specs(world: World) -> None:
    """And publishing again is none."""
    owner = await add(world)
    (before,) = await world.fetch("select spec_generation from containers")
    exposure = await publish(world, owner, 3000, "public")
    await publish(world, owner, 3000, "customer")
    (published,) = await world.fetch("select spec_generation from containers")
    async with world.database.transaction() as connection:
        assert await store.delete_exposure(connection, owner, exposure) == 3000
    (after,) = await world.fetch("select spec_generation from containers")
    assert [row["spec_generation"] - before["spec_generation"] for row in (published, after)] == [1, 2]


@pytest.mark.parametrize("is_edge_away", [False, True], ids=["whole", "edge away"])
async def test_the_route_goes_first(world: World, *, is_edge_away: bool) -> None:
    """Nobody waits longer for a published port; and an edge that refuses keeps the agent from nothing."""
    world.agents.protocol_version = 7
    owner = await add(world)
    async with world.reconciler():
        await world.wait_settled(owner)
        world.faults.calls.clear()
        if is_edge_away:
            world.faults.fail("publish", RouteWriteFailed(name="dev-101.yml", reason="it was told to"))
        await publish(world, owner, 3000, "public")
        async with asyncio.timeout(WAIT_S):
            while world.agents.specs[owner].published != (3000,):
                await asyncio.sleep(0.01)
            while "wait_loaded" not in world.faults.calls:
                await asyncio.sleep(0.01)
        await world.wait_settled(owner)
    first = [call for call in world.faults.calls if call in {"publish", "put_spec", "wait_loaded"}]
    again = ["publish"] if is_edge_away else []
    assert first == ["publish", "put_spec", *again, "wait_loaded"]
