"""Limits that a customer changes: what holds, what is said of it, and what a host that refuses takes from nobody."""

from __future__ import annotations

import asyncio

from component.api.test_reconciler import BROKEN, add, kill, settled
from fakes.api_world import World
from zlh_api.containers.model import Power
from zlh_common.names import Vmid
from zlh_common.schema.resources import Resources, ResourceWish
from zlh_common.schema.spec import CreateExposure, PatchContainer
from zlh_common.schema.status import ContainerStatus, StepState

LARGER = Resources(cpu=3.5, memory_mib=4096)
WISH = ResourceWish(cpu=3.5, memory_mib=4096)
HOLDS = "select resources = resources_in_force and lease_until is null and wake_at > now() from containers"


async def report(world: World) -> ContainerStatus:
    """Return the report of the one container."""
    return world.containers.report(await world.containers.find(Vmid(101)))


async def resize(world: World, wish: ResourceWish) -> ContainerStatus:
    """Ask for other limits."""
    return await world.containers.patch(await world.containers.find(Vmid(101)), PatchContainer(resources=wish))


async def test_a_new_guest_holds_what_was_asked_for(world: World) -> None:
    """Once it is there, and not before."""
    await add(world)
    assert (await report(world)).resources_in_force is None
    async with world.reconciler():
        await world.wait_until(HOLDS)
    told = await report(world)
    assert (told.resources_in_force, told.degraded) == (told.resources, ())


async def test_a_running_container_is_resized_without_a_restart(world: World) -> None:
    """One step; until it is done both are told apart."""
    await settled(world)
    told = await resize(world, WISH)
    assert (told.resources, told.resources_in_force, told.degraded) == (LARGER, Resources(), ("resize_pending",))
    async with world.reconciler():
        await world.wait_until(HOLDS)
    assert world.faults.calls == ["ensure_sized"]
    assert world.driver.guests[Vmid(101)].resources == LARGER
    told = await report(world)
    assert (told.resources_in_force, told.degraded, told.ready) == (LARGER, (), True)
    assert [(step.name, step.state) for step in told.steps][-1] == ("resize-guest", StepState.DONE)


async def test_a_host_that_refuses_leaves_the_container_as_it_was(world: World) -> None:
    """It stays ready, the old limits hold, the reason is told; and the wish can be taken back."""
    await settled(world)
    world.faults.fail("ensure_sized", *[BROKEN] * 99)
    await resize(world, WISH)
    async with world.reconciler():
        await world.wait_until("select attempts >= 2 and lease_until is null from containers")
        told = await report(world)
        assert (told.ready, told.degraded, told.resources_in_force) == (True, ("resize_pending",), Resources())
        assert (told.provisioning_error, told.provisioning_complete) == (None, True)
        step = next(step for step in told.steps if step.name == "resize-guest")
        assert (step.state, step.code, step.message) == (StepState.FAILED, BROKEN.code, BROKEN.detail)
        await resize(world, ResourceWish(cpu=2.0, memory_mib=2048))
        await world.wait_until(HOLDS)
    told = await report(world)
    assert (told.resources_in_force, told.degraded) == (Resources(), ())
    assert {step.state for step in told.steps} == {StepState.DONE, StepState.SKIPPED}


async def refuse(world: World) -> None:
    """Ask for limits that the host refuses again and again, and return once it has."""
    world.faults.fail("ensure_sized", *[BROKEN] * 99)
    await resize(world, WISH)
    await world.wait_until("select count(*) = 1 from steps where name = 'resize-guest' and state = 'failed'")


async def test_nothing_else_waits_for_limits_that_are_refused(world: World) -> None:
    """The container stops, starts and publishes its ports with the limits that hold."""
    await settled(world)
    async with world.reconciler():
        await refuse(world)
        container = await world.containers.find(Vmid(101))
        await world.exposures.publish(container, CreateExposure(port=4000, visibility="public"))
        await world.wait_until(
            "select count(*) = 1 from steps where name = 'confirm-route' and state = 'done' and finished_at > "
            "(select created_at from exposures)"
        )
        assert b"4000" in world.routes.files["dev-101.yml"].encode()
        for power, state in ((Power.OFF, "stopped"), (Power.ON, "running")):
            await world.containers.set_power(container, power)
            await world.wait_until("select guest = $1 from containers", state)
        await world.wait_until("select connection = 'online' from containers")
        told = await report(world)
    assert (told.ready, told.degraded, told.resources_in_force) == (True, ("resize_pending",), Resources())
    assert world.driver.guests[Vmid(101)].resources == Resources()


async def test_refused_limits_are_tried_ever_more_slowly_whoever_wakes_the_container(world: World) -> None:
    """An agent that talks all the time costs the host nothing; a customer's wish is worked on at once."""
    await settled(world)
    async with world.reconciler():
        await refuse(world)
        await world.wait_until("select attempts >= 4 and next_try_at > now() from steps where name = 'resize-guest'")
        tried = world.faults.calls.count("ensure_sized")
        for _ in range(20):
            await world.fetch("update containers set wake_at = now() returning 1")
            await asyncio.sleep(0.02)
        assert world.faults.calls.count("ensure_sized") <= tried + 1
        world.faults.orders.clear()
        await resize(world, WISH)
        await world.wait_until(HOLDS)
    assert world.driver.guests[Vmid(101)].resources == LARGER


async def test_a_container_starts_under_no_unknown_limits(world: World) -> None:
    """Where nobody knows what holds, a guest that cannot be limited is not started."""
    await settled(world)
    world.driver.guests[Vmid(101)].is_running = False
    world.driver.guests[Vmid(101)].resources = Resources(cpu=64)
    owner = world.driver.guests[Vmid(101)].owner
    assert owner is not None
    await world.agents.note_offline(owner)
    world.faults.fail("ensure_sized", *[BROKEN] * 99)
    async with world.reconciler():
        await world.wait_until("select attempts >= 3 from containers")
        told = await report(world)
    assert "ensure_started" not in world.faults.calls
    assert told.provisioning_error is not None
    assert (told.provisioning_error.step, told.resources_in_force) == ("resize-guest", None)


async def test_limits_that_somebody_has_changed_are_set_back(world: World) -> None:
    """What is in force is not claimed to be known until then."""
    await settled(world)
    world.driver.guests[Vmid(101)].resources = Resources(cpu=64)
    world.faults.fail("ensure_sized", *[BROKEN] * 3)
    await world.fetch("update containers set wake_at = now() returning 1")
    async with world.reconciler():
        await world.wait_until("select resources_in_force is null from containers")
        assert (await report(world)).degraded == ("resize_pending",)
        await world.wait_until(HOLDS)
    assert world.driver.guests[Vmid(101)].resources == Resources()


async def test_killed_in_a_resize_and_resumed(world: World) -> None:
    """The limits are there and nobody has said so; the next one looks and finds them."""
    await settled(world)
    await resize(world, WISH)
    await kill(world, 1)
    async with world.reconciler():
        await world.wait_until(HOLDS)
    assert world.faults.calls == ["ensure_sized"]
    told = await report(world)
    assert (told.resources_in_force, told.degraded) == (LARGER, ())
    assert {step.state for step in told.steps} == {StepState.DONE, StepState.SKIPPED}
