"""What waits has not failed; customers take turns; and what takes its time holds up nobody."""

from __future__ import annotations

import asyncio
import gc
from uuid import UUID

import pytest

from component.api.test_claims import claim
from fakes.api_world import WAIT_S, World
from fakes.driver import FakeGuest
from fakes.wishes import want_container
from zlh_api.containers import store as containers
from zlh_api.containers.model import Power
from zlh_api.database.pool import Database
from zlh_api.drivers.port import GuestFailed, GuestPlan, SystemAway, Warrant
from zlh_api.reconcile import store
from zlh_api.reconcile.model import Claim, LeaseLost
from zlh_api.reconcile.pace import Pace
from zlh_api.reconcile.service import Reconciler
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.status import Lifecycle, Step

AWAY = SystemAway(system="the cluster", reason="refused", retry_in_s=25.0)
BROKEN = GuestFailed(what="The call", reason="it was told to fail")


async def add(world: World, count: int = 1, *, customer: str = "customer 0") -> list[OwnerMark]:
    """Write new containers of one customer."""
    async with world.database.transaction() as connection:
        customer_id = await connection.fetchval("select id from customers where name = $1", customer)
        return [await want_container(connection, customer_id) for _ in range(count)]


async def step_of(world: World, owner: OwnerMark, name: str) -> Step:
    """Return one step as the report shows it."""
    async with world.database.connection() as connection:
        found = await containers.find_by_owner(connection, owner)
    assert found is not None
    (step,) = [step for step in world.containers.report(found).steps if step.name == name]
    return step


class OneAtATime:
    """Lets the driver make one guest at a time."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.holds = asyncio.Event()
        self.tries = 0
        self._make = world.driver.ensure_created
        monkeypatch.setattr(world.driver, "ensure_created", self._ensure_created)

    async def _ensure_created(self, plan: GuestPlan, warrant: Warrant) -> None:
        self.tries += 1
        async with warrant.slot("node:a"):
            await self.holds.wait()
            await self._make(plan, warrant)


async def test_whoever_waits_for_a_turn_is_told_so_and_woken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No failure is counted, and it goes on at once when the other is done, long before its time."""
    slot = OneAtATime(world, monkeypatch)
    owners = await add(world, 3)
    async with world.reconciler(pace=Pace(turn_s=3600, poll_s=0.05)):
        await world.wait_until("select count(*) = 2 from containers where waiting_for = 'node:a'")
        await world.wait_until("select count(*) = 2 from steps where code = 'slot_busy'")
        (row,) = await world.fetch("select owner, attempts from containers where waiting_for is not null limit 1")
        step = await step_of(world, OwnerMark(str(row["owner"])), "create-guest")
        async with world.database.connection() as connection:
            waiting = await containers.find_by_owner(connection, OwnerMark(str(row["owner"])))
        assert waiting is not None
        report = world.containers.report(waiting)
        assert (row["attempts"], step.state, step.attempts) == (0, "pending", 0)
        assert step.message is not None
        assert "node:a" in step.message
        assert step.next_try_at is not None
        assert (report.provisioning_error, report.lifecycle) == (None, Lifecycle.PROVISIONING)
        slot.holds.set()
        for owner in owners:
            await world.wait_settled(owner)
    # Each was tried once, and once more where it had to wait; nobody asked in between.
    assert slot.tries <= 6
    assert await world.fetch("select 1 from containers where waiting_for is not null or attempts > 0") == []
    assert await world.fetch("select 1 from steps where code is not null or next_try_at is not null") == []


async def test_a_turn_that_is_not_used_is_the_next_ones(world: World) -> None:
    """Who is woken and wants something else by then passes it on."""
    await add(world, 3)
    holder, second, third = await claim(world.database)
    async with world.database.transaction() as connection:
        assert await store.take_slot(connection, holder, "node:a")
    for waiting in (second, third):
        async with world.database.transaction() as connection:
            assert not await store.take_slot(connection, waiting, "node:a")
    for waiting in (second, third):
        async with world.database.connection() as connection:
            await store.release(connection, waiting, wake_in_s=3600, hold_s=3600)
    async with world.database.transaction() as connection:
        await store.leave_slot(connection, holder, "node:a")
    (woken,) = await claim(world.database)
    assert woken.owner == second.owner
    async with world.database.connection() as connection:
        assert await store.end_wait(connection, woken) == "node:a"
        await store.wake_next(connection, "node:a")
    assert [each.owner for each in await claim(world.database)] == [third.owner]


async def test_a_slot_of_a_worker_that_died_is_taken_over(world: World) -> None:
    """Its lease says until when it holds anything."""
    await add(world, 2)
    dead, living = await claim(world.database)
    async with world.database.transaction() as connection:
        assert await store.take_slot(connection, dead, "node:a")
        assert not await store.take_slot(connection, living, "node:a")
    await world.fetch(
        "update containers set lease_until = now() - interval '1 second' where owner = $1 returning 1", UUID(dead.owner)
    )
    async with world.database.transaction() as connection:
        assert await store.take_slot(connection, living, "node:a")
    async with world.database.transaction() as connection:
        await store.leave_slot(connection, dead, "node:a")
    assert len(await world.fetch("select 1 from driver_slots")) == 1


async def away_for(world: World, *owners: OwnerMark) -> None:
    """Return once all of these wait for the cluster."""
    await world.wait_until(
        "select count(*) = $1 from containers where waiting_for = 'away:the cluster' and lease_until is null",
        len(owners),
    )


async def test_a_system_that_is_away_is_no_failure_of_the_container(world: World) -> None:
    """The report names it and says when it is asked again; its return is felt at once by all that wait."""
    owners = await add(world, 3)
    world.faults.fail("ensure_created", AWAY, AWAY, AWAY)
    made = Reconciler(world.database, world.driver, world.steps(world.database), Pace(poll_s=0.05, spread_s=0.1))
    task = asyncio.create_task(made.run())
    try:
        await away_for(world, *owners)
        step = await step_of(world, owners[0], "create-guest")
        assert (step.state, step.code, step.attempts) == ("pending", "system_away", 0)
        assert step.next_try_at is not None
        assert "the cluster" in (step.message or "")
        assert await world.fetch("select 1 from containers where attempts > 0") == []
        made.note_back("the cluster")
        for owner in owners:
            await world.wait_settled(owner)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_first_that_finds_a_system_back_wakes_the_others(world: World) -> None:
    """Of whatever process they are."""
    owners = await add(world, 3)
    world.faults.fail("ensure_created", AWAY, AWAY, AWAY)
    async with world.reconciler(pace=Pace(poll_s=0.05, spread_s=0.1)):
        await away_for(world, *owners)
        async with world.database.connection() as connection:
            await containers.update_power(connection, owners[1], Power.ON)
        for owner in owners:
            await world.wait_settled(owner)


async def test_a_look_at_a_system_that_is_away_takes_nothing_from_a_container_that_is_ready(world: World) -> None:
    """What we cannot see for a moment has not gone."""
    (owner,) = await add(world)
    async with world.reconciler():
        await world.wait_settled(owner)
        world.faults.fail("observe", AWAY)
        await world.fetch("update containers set wake_at = now() returning 1")
        await away_for(world, owner)
        report = world.containers.report(await world.containers.find(Vmid(101)))
        assert (report.ready, report.provisioning_error) == (True, None)
        async with world.database.connection() as connection:
            await containers.update_power(connection, owner, Power.OFF)
        await world.wait_until("select guest = 'stopped' and waiting_for is null from containers")
        await world.wait_until("select state = 'done' from steps where name = 'observe'")


async def test_failures_in_a_row_are_counted_and_forgotten(world: World) -> None:
    """The step tells how often, and when it is tried again; once it is done it tells neither."""
    (owner,) = await add(world)
    world.faults.fail("ensure_created", BROKEN, BROKEN)
    async with world.reconciler(pace=Pace(first_retry_s=0.4)):
        await world.wait_until("select attempts = 2 and next_try_at > now() from steps where name = 'create-guest'")
        await world.wait_settled(owner)
    step = await step_of(world, owner, "create-guest")
    assert (step.attempts, step.next_try_at) == (0, None)


async def test_customers_take_turns(world: World) -> None:
    """Fifty of one that have waited for long do not stand before the first of another."""
    greedy = await add(world, 50)
    modest = await add(world, 2, customer="customer 1")
    await world.fetch("update containers set wake_at = wake_at - interval '1 hour' where owner = any($1) returning 1",
                      [UUID(owner) for owner in greedy])  # fmt: skip
    taken = [each.owner for each in await claim(world.database, limit=4)]
    assert set(modest) <= set(taken)
    async with world.database.connection() as connection:
        sated = await connection.fetch("select id from customers where name = 'customer 0'")
        assert await store.find_due(connection, sated=[row["id"] for row in sated]) == []
        assert len(await store.find_due(connection)) == 48


async def test_guests_that_stop_in_their_own_time_hold_up_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten of one customer take their time at four workers; those of another are made meanwhile."""
    stubborn, released = await add(world, 10), asyncio.Event()
    async with world.reconciler():
        for owner in stubborn:
            await world.wait_settled(owner)

    async def stop(_plan: GuestPlan, _warrant: Warrant, *, at_once: bool = False) -> None:
        await released.wait()

    monkeypatch.setattr(world.driver, "ensure_stopped", stop)
    await world.fetch("update containers set power = 'off', wake_at = now() returning 1")
    async with world.reconciler(pace=Pace(workers=4, most_workers=12, slow_after_s=0.05, poll_s=0.05)):
        await world.wait_until("select count(*) >= 4 from containers where lease_until is not null")
        (owner,) = await add(world, customer="customer 1")
        await world.wait_settled(owner)
        held = await world.fetch("select 1 from containers where lease_until is not null and owner <> $1", UUID(owner))
        assert len(held) < 10
        released.set()


async def test_thirty_containers_come_up_over_two_connections(world: World, dsn: str) -> None:
    """A pool that is too small costs time and nothing else."""
    narrow = Database(dsn, max_connections=2)
    owners = await add(world, 30)
    try:
        async with world.reconciler(narrow, Pace(poll_s=0.05)):
            for owner in owners:
                await world.wait_settled(owner)
    finally:
        await narrow.close()


async def open_guest(world: World) -> tuple[OwnerMark, FakeGuest]:
    """Return a container whose guest runs, and whose network somebody has opened."""
    (owner,) = await add(world)
    async with world.reconciler():
        await world.wait_settled(owner)
    guest = world.driver.guests[Vmid(101)]
    guest.closed_for = None
    world.faults.calls.clear()
    await world.fetch("update containers set wake_at = now() returning 1")
    return owner, guest


async def test_a_guest_that_was_opened_is_closed_before_anything_else(world: World) -> None:
    """Also where a restart, a new route and other limits are due."""
    owner, guest = await open_guest(world)
    world.routes.files.clear()
    async with world.database.connection() as connection:
        await containers.ask_restart(connection, owner)
    async with world.reconciler():
        await world.wait_until("select restart_done = 1 and lease_until is null from containers")
    assert world.faults.calls[:2] == ["ensure_closed", "ensure_stopped"]
    assert guest.closed_for == guest.address


@pytest.mark.parametrize("reason", [BROKEN, AWAY])
async def test_a_guest_that_cannot_be_closed_is_stopped_at_once(world: World, reason: Exception) -> None:
    """It does not run on until the next try; when it can be closed, it is started again."""
    owner, guest = await open_guest(world)
    world.faults.fail("ensure_closed", reason, reason, reason)
    async with world.reconciler(pace=Pace(first_retry_s=0.01, most_retry_s=0.1)):
        async with asyncio.timeout(WAIT_S):
            while guest.is_running:
                await asyncio.sleep(0.005)
        assert world.faults.calls[:2] == ["ensure_closed", "ensure_stopped"]
        await world.wait_until("select guest = 'running' and lease_until is null from containers")
    assert (guest.is_running, guest.closed_for) == (True, guest.address)
    assert owner


async def test_an_open_guest_that_is_being_deleted_is_stopped_before_its_route_goes(world: World) -> None:
    """The proxy may be away for an hour."""
    owner, _ = await open_guest(world)
    async with world.database.transaction() as connection:
        assert await containers.mark_deleting(connection, owner)
    async with world.reconciler():
        await world.wait_forgotten()
    assert world.faults.calls[:2] == ["ensure_stopped", "withdraw"]


async def test_who_stops_waits_until_all_is_given_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what that finds is heard by somebody: a lease that was lost meanwhile is no news for the log."""
    asked, may_go = asyncio.Event(), asyncio.Event()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))

    async def release(_connection: object, claim: Claim, **_times: float) -> None:
        asked.set()
        await may_go.wait()
        raise LeaseLost(claim.vmid)

    monkeypatch.setattr(store, "release", release)
    await add(world)
    made = Reconciler(world.database, world.driver, world.steps(world.database), Pace(poll_s=0.05))
    working = asyncio.create_task(made.run())
    async with asyncio.timeout(WAIT_S):
        await asked.wait()
    working.cancel()
    done, _ = await asyncio.wait({working}, timeout=0.2)
    assert not done
    may_go.set()
    await asyncio.gather(working, return_exceptions=True)
    gc.collect()
    assert complaints == []
