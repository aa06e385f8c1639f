"""Claims on containers: one worker at a time, and whoever has lost one changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from fakes.api_world import World
from fakes.wishes import want_container
from zlh_api.containers import store as containers
from zlh_api.containers.model import Guest, HeldIdentity, Power, RuntimeWish
from zlh_api.database.pool import Database
from zlh_api.drivers.port import GuestFailed, SlotBusy
from zlh_api.exposures import store as exposures
from zlh_api.reconcile import journal, store
from zlh_api.reconcile.model import Claim, LeaseLost, PutIdentity
from zlh_common.names import OwnerMark

BUSY = SlotBusy("node:a")
LOUD = GuestFailed(what="It", reason="y", output="z" * 5000)


async def add(world: World, count: int = 1) -> list[OwnerMark]:
    """Write new containers, all of them due."""
    async with world.database.transaction() as connection:
        return [await want_container(connection) for _ in range(count)]


async def claim(database: Database, limit: int = 10) -> list[Claim]:
    """Claim what is due, as a new worker."""
    async with database.connection() as connection:
        return await store.claim(connection, await store.find_due(connection), holder=uuid4(), limit=limit)


async def expire(world: World) -> None:
    """Let every lease run out."""
    await world.fetch("update containers set lease_until = now() - interval '1 second' returning 1")


async def test_two_workers_never_hold_one_container(world: World) -> None:
    """However many claim at the same moment, each container is given once."""
    owners = await add(world, 40)
    other = world.another_pool()
    taken = await asyncio.gather(*(claim(pool, 7) for pool in (world.database, other) * 5))
    given = [each.owner for claims in taken for each in claims]
    assert sorted(given) == sorted(set(given))
    assert set(given) <= set(owners)
    assert len(given) == 40
    assert max(len(claims) for claims in taken) <= 7


async def test_a_container_that_is_worked_on_is_not_due(world: World) -> None:
    """A wake does not take the container out of a worker's hands."""
    (owner,) = await add(world)
    assert len(await claim(world.database)) == 1
    async with world.database.connection() as connection:
        await containers.update_power(connection, owner, Power.OFF)
    assert await claim(world.database) == []


async def test_an_expired_lease_is_taken_over(world: World) -> None:
    """A worker that died leaves nothing behind that its lease does not end."""
    await add(world)
    (first,) = await claim(world.database)
    await expire(world)
    (second,) = await claim(world.database)
    assert second.owner == first.owner
    assert second.fence > first.fence


async def test_a_renewed_lease_is_not_taken_over(world: World) -> None:
    """A slow worker that is alive keeps what it has."""
    await add(world)
    (first,) = await claim(world.database)
    await expire(world)
    async with world.database.connection() as connection:
        await store.renew(connection, first)
    assert await claim(world.database) == []


async def test_every_write_of_a_worker_that_lost_its_lease_is_refused(world: World) -> None:
    """The old worker finds out at its next write, and the row is as its successor left it."""
    await add(world)
    (old,) = await claim(world.database)
    await expire(world)
    (new,) = await claim(world.database)
    before = await world.fetch("select * from containers")
    steps = await world.fetch("select * from steps order by position")
    async with world.database.connection() as connection:
        writes: list[Callable[[], Awaitable[object]]] = [
            lambda: store.renew(connection, old),
            lambda: store.release(connection, old, wake_in_s=0),
            lambda: store.save_address(connection, old, "127.77.0.1"),
            lambda: store.save_guest(connection, old, Guest.RUNNING),
            lambda: store.forget_identity(connection, old),
            lambda: store.want_identity(connection, old, b"w" * 32, datetime.now(UTC)),
            lambda: store.unwant_identity(connection, old, b"w" * 32),
            lambda: store.save_identity(connection, old, PutIdentity(datetime.now(UTC), b"k" * 32, 1, (1, 1), 0)),
            lambda: store.clear_faults(connection, old),
            lambda: store.save_restart_done(connection, old, 5),
            lambda: store.save_route(connection, old, "digest"),
            lambda: store.save_proved(connection, old),
            lambda: store.count_failure(connection, old),
            lambda: store.forget_failures(connection, old),
            lambda: store.delete_container(connection, old, {}),
            lambda: store.save_note(connection, old, "node", "a"),
            lambda: store.save_wait(connection, old, "node:a"),
            lambda: store.end_wait(connection, old),
            lambda: journal.journal_start(connection, old, "create-guest", follows=True),
            lambda: journal.journal_done(connection, old, "create-guest"),
            lambda: journal.journal_failed(connection, old, "create-guest", BUSY, next_try_in_s=1),
            lambda: journal.journal_waiting(connection, old, "create-guest", BUSY, next_try_in_s=1),
            lambda: journal.journal_settled(connection, old, request_id=None),
        ]
        for write in writes:
            with pytest.raises(LeaseLost):
                await write()
        assert await world.fetch("select * from containers") == before
        assert await world.fetch("select * from steps order by position") == steps
        assert await store.count_failure(connection, new) == 1


async def test_a_release_of_an_address_by_an_old_worker_is_undone(world: World) -> None:
    """An address does not rest while its container still has it."""
    await add(world)
    (old,) = await claim(world.database)
    async with world.database.connection() as connection:
        await store.save_address(connection, old, "127.77.0.1")
    await expire(world)
    await claim(world.database)
    with pytest.raises(LeaseLost):
        async with world.database.transaction() as connection:
            await store.rest_address(connection, old, rest_s=60)
    assert await world.fetch("select * from resting_addresses") == []


async def test_a_wake_during_work_is_not_lost(world: World) -> None:
    """What is asked for while a worker is at it is looked at as soon as the worker is done."""
    (owner,) = await add(world)
    (held,) = await claim(world.database)
    assert (await world.fetch("select wake_at = 'infinity' from containers"))[0][0]
    async with world.database.connection() as connection:
        await containers.update_power(connection, owner, Power.OFF)
        await store.release(connection, held, wake_in_s=3600)
    assert [each.owner for each in await claim(world.database)] == [owner]


async def test_a_released_container_sleeps_as_long_as_it_was_told(world: World) -> None:
    """Without a wake it is not due before its time."""
    await add(world)
    (held,) = await claim(world.database)
    async with world.database.connection() as connection:
        await store.release(connection, held, wake_in_s=3600)
    assert await claim(world.database) == []
    assert (await world.fetch("select wake_at - now() > interval '59 minutes' from containers"))[0][0]


async def test_after_a_failure_no_wake_is_heard_but_a_customers_wish(world: World) -> None:
    """An agent that reports all the time does not make a failing step be tried all the time."""
    (owner,) = await add(world)
    (held,) = await claim(world.database)
    async with world.database.connection() as connection:
        await store.release(connection, held, wake_in_s=60, hold_s=60)
        await connection.execute("update containers set wake_at = now()")
    assert await claim(world.database) == []
    async with world.database.connection() as connection:
        await containers.update_power(connection, owner, Power.OFF)
    assert [claimed.owner for claimed in await claim(world.database)] == [owner]


async def test_a_wish_during_work_that_fails_is_followed_at_once(world: World) -> None:
    """The failure was about what was wished before."""
    (owner,) = await add(world)
    (held,) = await claim(world.database)
    async with world.database.connection() as connection:
        await containers.mark_deleting(connection, owner)
        await store.release(connection, held, wake_in_s=60, hold_s=60)
    assert [claimed.owner for claimed in await claim(world.database)] == [owner]


async def test_deleting_the_row_deletes_all_that_refers_to_it(world: World) -> None:
    """Nothing of a container is left in the database."""
    (owner,) = await add(world)
    (held,) = await claim(world.database)
    async with world.database.transaction() as connection:
        await exposures.insert_exposure(
            connection, exposure_id=uuid4(), owner=owner, port=80, visibility="public", expires_at=None
        )
        await store.delete_container(connection, held, {})
    for table in ("containers", "steps", "exposures"):
        assert await world.fetch(f"select * from {table}") == []


async def test_an_address_rests_before_it_is_given_again(world: World) -> None:
    """A late packet for the old container meets nobody."""
    await add(world, 2)
    first, second = await claim(world.database)
    async with world.database.connection() as connection:
        await store.save_address(connection, first, "127.77.0.1")
        with pytest.raises(asyncpg.UniqueViolationError):
            await store.save_address(connection, second, "127.77.0.1")
        await store.rest_address(connection, first, rest_s=60)
        assert await store.fetch_unusable_addresses(connection, ["127.77.0.1", "127.77.0.2"]) == {"127.77.0.1"}
        await connection.execute("update resting_addresses set free_from = now() - interval '1 second'")
        assert await store.fetch_unusable_addresses(connection, ["127.77.0.1", "127.77.0.2"]) == set()


async def test_the_journal_tells_what_is_done(world: World) -> None:
    """A step that follows others says that they are done; one that is tried again keeps no old error."""
    (owner,) = await add(world)
    (held,) = await claim(world.database)
    async with world.database.connection() as connection:
        await journal.journal_start(connection, held, "create-guest", follows=True)
        await journal.journal_failed(connection, held, "create-guest", LOUD, next_try_in_s=30)
        found = await containers.find_by_owner(connection, owner)
        assert found is not None
        states = {step.name: step for step in found.steps}
        assert states["reserve-address"].state == "done"
        assert (states["create-guest"].state, states["create-guest"].code) == ("failed", LOUD.code)
        assert states["create-guest"].output == "z" * journal.OUTPUT_CHARS
        assert (states["create-guest"].attempts, states["create-guest"].next_try_at is not None) == (1, True)
        await journal.journal_done(connection, held, "create-guest")
        await journal.journal_settled(connection, held, request_id=None)
        found = await containers.find_by_owner(connection, owner)
    assert found is not None
    assert {step.state for step in found.steps} <= {"done", "skipped"}
    assert {(step.code, step.attempts, step.next_try_at) for step in found.steps} == {(None, 0, None)}


async def test_a_step_that_runs_keeps_its_start(world: World) -> None:
    """Waiting is measured from the first look, not from the latest."""
    await add(world)
    (held,) = await claim(world.database)
    async with world.database.connection() as connection:
        assert not await journal.journal_start(connection, held, "connect-agent", follows=True)
        await asyncio.sleep(0.01)
        assert await journal.journal_start(connection, held, "connect-agent", follows=True) >= timedelta(seconds=0.01)
        await journal.journal_failed(connection, held, "connect-agent", LOUD, next_try_in_s=30)
        assert not await journal.journal_start(connection, held, "connect-agent", follows=True)


async def test_a_row_comes_back_as_it_was_written(world: World) -> None:
    """Every column that a worker writes is read again as the same value."""
    (owner,) = await add(world)
    (held,) = await claim(world.database)
    expires_at = datetime(2030, 1, 1, tzinfo=UTC)
    async with world.database.connection() as connection:
        await store.save_address(connection, held, "127.77.0.1")
        await store.save_guest(connection, held, Guest.STOPPED)
        await store.want_identity(connection, held, b"v" * 32, expires_at)
        await store.save_identity(connection, held, PutIdentity(expires_at, b"k" * 32, 3, (2, 3), 4))
        await store.want_identity(connection, held, b"w" * 32, expires_at)
        await store.save_restart_done(connection, held, 3)
        await store.save_route(connection, held, "digest")
        assert [await store.count_failure(connection, held) for _ in range(2)] == [1, 2]
        await store.save_proved(connection, held)
        found = await containers.find_by_vmid(connection, held.vmid)
    assert found is not None
    assert found.owner == owner
    assert found.runtimes == (RuntimeWish(name="node", version="24.19.0"),)
    assert (found.address, found.guest, found.identity_expires_at) == ("127.77.0.1", Guest.STOPPED, expires_at)
    wanted, until = (b"w" * 32,), expires_at
    assert found.identity == HeldIdentity(
        known=b"k" * 32, wanted=wanted, issued_until=until, generation=3, trusts=(2, 3), asked=0, done=4
    )
    assert (found.restart_done, found.route_confirmed, found.attempts) == (3, "digest", 2)
    assert found.provisioned_at is not None
    assert found.name == f"dev-{found.vmid}"
