"""A container that is killed is off at once, whatever its programs would still do and whoever dies meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from component.api.test_reconciler import ask_deletion, kill, settled
from fakes.api_world import WAIT_S, World
from zlh_api.containers import store as containers
from zlh_api.containers.model import Container, Power
from zlh_common.names import OwnerMark, Vmid

# Longer than any test lasts.
EVER_S = 3600.0
IS_OFF = "select guest = 'stopped' and lease_until is null and wake_at > now() from containers"


async def find(world: World) -> Container:
    """Return the one container."""
    return await world.containers.find(Vmid(101))


async def wish_off(world: World, owner: OwnerMark) -> None:
    """Write that the guest should stop in order."""
    async with world.database.transaction() as connection:
        await containers.update_power(connection, owner, Power.OFF)


async def begin_stop(world: World, owner: OwnerMark) -> None:
    """Ask for a stop in order, and return once it is under way."""
    await wish_off(world, owner)
    async with asyncio.timeout(WAIT_S):
        while "ensure_stopped" not in world.faults.calls:
            await asyncio.sleep(0.01)


async def test_a_killed_container_is_stopped_at_once_and_stays_off(world: World) -> None:
    """Nothing in it is waited for."""
    await settled(world)
    world.driver.orderly_stop_s = EVER_S
    told = await world.containers.kill(await find(world))
    assert told.power == "off"
    async with world.reconciler():
        await world.wait_until(IS_OFF)
    assert world.driver.stops == [True]


@pytest.mark.parametrize("wish", ["kill", "delete"])
async def test_a_stop_that_takes_its_time_gives_way(world: World, wish: str) -> None:
    """Whoever is asked to save its work for minutes is cut short by who does not want to wait."""
    owner = await settled(world)
    world.driver.orderly_stop_s = EVER_S
    async with world.reconciler():
        await begin_stop(world, owner)
        if wish == "kill":
            await world.containers.kill(await find(world))
            await world.wait_until(IS_OFF)
        else:
            await ask_deletion(world, owner)
            await world.wait_forgotten()
    assert world.driver.stops == [True]


async def test_a_stop_asked_for_meanwhile_takes_no_kill_back(world: World) -> None:
    """Both want it off, and one of them now."""
    owner = await settled(world)
    world.driver.orderly_stop_s = EVER_S
    await world.containers.kill(await find(world))
    await wish_off(world, owner)
    async with world.reconciler():
        await world.wait_until(IS_OFF)
    assert world.driver.stops == [True]


@pytest.mark.parametrize("wish", [Power.ON, None])
async def test_after_a_kill_the_next_stop_is_in_order_again(world: World, wish: Power | None) -> None:
    """A kill is for once: who starts or restarts the container has no more to do with it."""
    owner = await settled(world)
    await world.containers.kill(await find(world))
    async with world.reconciler():
        await world.wait_until(IS_OFF)
        if wish:
            await world.containers.set_power(await find(world), wish)
        else:
            await world.containers.restart(await find(world))
        await world.wait_until("select guest = 'running' and lease_until is null from containers")
        await wish_off(world, owner)
        await world.wait_until(IS_OFF)
    assert world.driver.stops == [True, False]


async def test_a_kill_outlives_the_worker_that_began_it(world: World) -> None:
    """The guest has stopped, and the one who stopped it has died before he could say so."""
    await settled(world)
    world.driver.orderly_stop_s = EVER_S
    await world.containers.kill(await find(world))
    await kill(world, 1)
    async with world.reconciler():
        await world.wait_until(IS_OFF)
    assert world.faults.calls == ["ensure_stopped"]
    (row,) = await world.fetch("select power, attempts from containers")
    assert (row["power"], row["attempts"]) == ("off", 0)


async def test_a_kill_reaches_whoever_follows_a_worker_that_died_while_it_waited(world: World) -> None:
    """It stands in the row, so it does not matter who was there when it was asked for."""
    owner = await settled(world)
    world.driver.orderly_stop_s = EVER_S
    pool = world.another_pool()
    async with world.reconciler(pool) as task:
        await begin_stop(world, owner)
        await pool.close()
        pool._dsn = "postgresql:///nowhere?host=/nonexistent"
        task.cancel()
    await world.fetch("update containers set lease_until = now() - interval '1 second' returning 1")
    await world.containers.kill(await find(world))
    async with world.reconciler():
        await world.wait_until(IS_OFF)
    assert world.driver.stops == [True]
