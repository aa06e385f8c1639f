"""The audit on a real database: what the patrol puts right, what it removes, and what it never touches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from component.api.conftest import Postgres
from component.api.test_reconciler import ask_deletion, settled
from fakes.api_world import WAIT_S, World
from fakes.audited import assert_clean
from fakes.driver import FakeGuest
from zlh_api.audit.model import GUESTS, ROUTES
from zlh_api.audit.removal import Remover, collect
from zlh_api.containers import store as containers
from zlh_api.containers.model import Power
from zlh_api.database.pool import Database
from zlh_api.drivers.port import GuestFailed, SystemAway
from zlh_api.edge.port import Check
from zlh_api.exposures import store as exposures
from zlh_api.reconcile.model import LeaseLost
from zlh_api.reconcile.pace import DRIFT_S, JITTER, PATROLLED_DRIFT_S
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.audit import AuditReport, FindingKind
from zlh_common.schema.resources import Resources
from zlh_common.schema.structs import convert

VMID, NAME = Vmid(101), "dev-101.yml"
Hand = Callable[[World], None]


@pytest.fixture(autouse=True)
def _a_quick_patrol(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick of a tenth of a second, so that a test sees many of them."""
    monkeypatch.setattr("zlh_api.audit.patrol.EVERY_S", 0.1)
    monkeypatch.setattr("zlh_api.audit.patrol.CONFIRM_S", 0.05)
    monkeypatch.setattr("zlh_api.audit.commands.BETWEEN_LOOKS_S", 0.05)


async def report_of(world: World) -> AuditReport | None:
    """Return the last report of a patrol."""
    (row,) = await world.fetch("select report from patrol")
    return convert(row["report"], AuditReport) if row["report"] else None


async def wait_report(world: World, *wanted: FindingKind) -> AuditReport:
    """Return a report whose findings are of these kinds and no others."""
    report: AuditReport | None = None
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                report = await report_of(world)
                if report is not None and sorted(finding.kind for finding in report.findings) == sorted(wanted):
                    return report
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never {wanted}: {report}") from None


async def wait_looks(world: World, count: int) -> AuditReport:
    """Return the report once the patrol has looked as often from here on."""
    seen: dict[datetime, AuditReport] = {}
    async with asyncio.timeout(WAIT_S):
        while len(seen) <= count:
            if (report := await report_of(world)) is not None:
                seen[report.looked_at] = report
            await asyncio.sleep(0.02)
    return seen[max(seen)]


async def wait_mended(world: World, is_mended: Callable[[], bool]) -> None:
    """Return once a hand's work is undone."""
    async with asyncio.timeout(WAIT_S):
        while not is_mended():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def both(world: World) -> AsyncIterator[None]:
    """Run reconciler and patrol, as an API process does."""
    async with world.reconciler(), world.patrol():
        yield


def destroy_guest(world: World) -> None:
    """Take the guest away."""
    del world.driver.guests[VMID]


def stop_guest(world: World) -> None:
    """Stop the guest."""
    world.driver.guests[VMID].is_running = False


def open_network(world: World) -> None:
    """Take the guest's network rule away."""
    world.driver.guests[VMID].closed_for = None


def raise_limits(world: World) -> None:
    """Give the guest more than it may have."""
    world.driver.guests[VMID].resources = Resources(cpu=64.0)


def delete_route(world: World) -> None:
    """Delete the route file."""
    del world.routes.files[NAME]


def edit_route(world: World) -> None:
    """Let the route lead elsewhere."""
    world.routes.files[NAME] = world.routes.files[NAME].replace("127.", "192.")


@pytest.mark.parametrize("hand", [destroy_guest, stop_guest, open_network, raise_limits, delete_route, edit_route])
async def test_what_hands_did_is_undone_at_the_next_look(world: World, hand: Hand) -> None:
    """Long before the container's own look: the patrol sees it in one survey of all and wakes the reconciler."""
    owner = await settled(world)
    before = _state(world)
    async with both(world):
        await wait_report(world)
        await world.wait_until("select wake_at > now() + interval '100 seconds' from containers")
        hand(world)
        assert _state(world) != before
        await wait_mended(world, lambda: _state(world) == before)
        await world.wait_settled(owner)
        await wait_report(world)
    await assert_clean(world)


def _state(world: World) -> object:
    guests = {
        vmid: (guest.owner, guest.is_running, guest.closed_for, guest.resources)
        for vmid, guest in world.driver.guests.items()
    }
    return guests, dict(world.routes.files)


@pytest.mark.parametrize(("tells", "pause_s"), [(True, PATROLLED_DRIFT_S), (False, DRIFT_S)])
async def test_a_container_that_is_settled_is_left_to_the_patrol(world: World, tells: bool, pause_s: float) -> None:
    """A look at each costs queries for every container; only a survey that tells the same may replace it."""
    world.driver.survey_tells_drift = tells
    await settled(world)
    (row,) = await world.fetch("select extract(epoch from wake_at - now())::float as pause from containers")
    assert pause_s * (1 - JITTER) - 10 < row["pause"] <= pause_s


async def test_the_patrol_lets_those_be_that_wait_or_are_held_back(world: World) -> None:
    """Else a thousand containers that wait for one node would ask for it at every look."""
    await settled(world)
    destroy_guest(world)
    for change in ("held_until = now() + interval '50 s'", "waiting_for = 'node1', held_until = '-infinity'"):
        await world.fetch(f"update containers set wake_at = now() + interval '50 s', {change} returning 1")
        async with world.patrol():
            await wait_looks(world, 2)
        assert await world.fetch("select 1 from containers where wake_at > now() + interval '20 s'")
    await world.fetch("update containers set waiting_for = null returning 1")
    async with world.patrol():
        await world.wait_until("select wake_at <= now() from containers")


async def test_the_route_of_a_container_that_is_off_is_kept_too(world: World) -> None:
    """An edited file would lead its visitors elsewhere, whether it runs or not."""
    owner = await settled(world)
    async with both(world):
        async with world.database.transaction() as connection:
            await containers.update_power(connection, owner, Power.OFF)
        await world.wait_until("select guest = 'stopped' and lease_until is null from containers")
        text = world.routes.files[NAME]
        edit_route(world)
        await wait_mended(world, lambda: world.routes.files[NAME] == text)


async def test_a_published_port_whose_time_is_over_leaves_the_route(world: World) -> None:
    """Nobody wishes that at the moment it happens; the patrol sees a file that is not what it should be by now."""
    owner = await settled(world)
    before = world.routes.files[NAME]
    async with world.database.transaction() as connection:
        await exposures.insert_exposure(
            connection, exposure_id=uuid4(), owner=owner, port=3000, visibility="public", expires_at=None
        )
    async with both(world):
        await wait_mended(world, lambda: world.routes.files[NAME] != before)
        await world.wait_settled(owner)
        await world.fetch("update exposures set expires_at = now() - interval '1 s' returning 1")
        await wait_mended(world, lambda: world.routes.files[NAME] == before)


async def test_a_foreign_route_file_is_told_and_left_alone(world: World) -> None:
    """Here and in the container's own status; once it is moved away, ours is written."""
    owner = await settled(world)
    async with both(world):
        world.routes.files[NAME] = "http: {}\n"
        await wait_report(world, FindingKind.CONFLICT)
        await world.wait_until("select code = 'route_file_foreign' from steps where state = 'failed'")
        assert world.routes.files[NAME] == "http: {}\n"
        del world.routes.files[NAME]
        await world.wait_settled(owner)
        await wait_report(world)


async def late_guest(world: World) -> OwnerMark:
    """Let a guest and its route turn up after their container was deleted, as a worker that was frozen leaves them."""
    owner = await settled(world)
    guest, text = world.driver.guests[VMID], world.routes.files[NAME]
    await ask_deletion(world, owner)
    async with world.reconciler():
        await world.wait_forgotten()
    world.driver.guests[VMID], world.routes.files[NAME] = guest, text
    world.faults.calls.clear()
    return owner


async def test_what_turns_up_after_its_deletion_is_removed(world: World) -> None:
    """Guest and route file, by the mark that our own tombstone knows."""
    await late_guest(world)
    async with world.patrol():
        await wait_mended(world, lambda: not world.driver.guests and not world.routes.files)
        await wait_report(world)
    assert world.faults.calls.count("ensure_destroyed") == 1
    await assert_clean(world)


async def test_a_mark_that_no_book_knows_is_never_touched(world: World) -> None:
    """It is told, look after look, and stands as it stood."""
    owner = await late_guest(world)
    await world.fetch("delete from departed returning 1")
    before = _state(world)
    async with both(world):
        report = await wait_report(world, FindingKind.ORPHAN, FindingKind.ORPHAN)
        await wait_looks(world, 3)
    assert {finding.owner for finding in report.findings} == {owner}
    assert _state(world) == before
    assert not {"ensure_destroyed", "ensure_stopped", "withdraw"} & set(world.faults.calls)


async def test_the_number_and_address_of_a_stranger_are_given_to_nobody(world: World) -> None:
    """Not even while it stands where the very next container would."""
    stranger = world.driver.guests[Vmid(102)] = FakeGuest(None, None)
    orphan = world.driver.guests[Vmid(103)] = FakeGuest(OwnerMark(str(uuid4())), None)
    stranger.address, orphan.address = "127.77.0.99", "192.0.2.1"
    async with world.patrol():
        await wait_report(world, FindingKind.STRANGER, FindingKind.ORPHAN)
        assert [row["vmid"] for row in await world.fetch("select vmid from occupied_vmids order by vmid")] == [102, 103]
        held = await world.fetch("select host(address) as address from occupied_addresses")
        assert [row["address"] for row in held] == ["127.77.0.99"]
        given = [(await world.fetch("select next_vmid() as vmid"))[0]["vmid"] for _ in range(2)]
        assert given == [101, 104]
        world.driver.guests.clear()
        await wait_report(world)
        assert await world.fetch("select 1 from occupied_vmids union all select 1 from occupied_addresses") == []


async def test_a_system_that_is_away_is_told_and_nothing_is_made_of_it(world: World) -> None:
    """What could not be looked at is neither clean nor missing, and what it held stays taken."""
    owner = await settled(world)
    world.driver.guests[Vmid(150)] = FakeGuest(None, None)
    async with world.patrol():
        await wait_report(world, FindingKind.STRANGER)
        world.faults.fail("survey", *[SystemAway(system="node1", reason="it refuses", retry_in_s=5)] * 1000)
        report = await wait_report(world)
        guests = next(part for part in report.parts if part.name == GUESTS)
        assert (guests.count, "node1 is away" in (guests.trouble or "")) == (None, True)
    assert len(await world.fetch("select 1 from occupied_vmids")) == 1
    assert (
        len(await world.fetch("select 1 from containers where owner = $1::text::uuid and wake_at > now()", owner)) == 1
    )


async def test_a_name_that_is_no_text_does_not_end_the_reports(world: World) -> None:
    """Whoever can put a file there could otherwise blind everybody."""
    world.routes.files["\udcff\0.yml"] = "x"
    async with world.patrol():
        report = await wait_report(world, FindingKind.STRANGER)
    assert report.findings[0].name == "\N{REPLACEMENT CHARACTER}" * 2 + ".yml"


async def test_what_was_moved_away_is_told_and_not_counted(world: World) -> None:
    """A file in the quarantine is none of the directory's any more."""
    world.routes.files["theirs.yml"] = "x"
    world.routes.quarantined.append("20260101T000000Z-0-bad.yml")
    async with world.patrol():
        report = await wait_report(world, FindingKind.STRANGER, FindingKind.STRANGER)
    assert next(part.count for part in report.parts if part.name == ROUTES) == 1


async def test_two_patrols_act_as_one(world: World) -> None:
    """One looks, the other waits; and it goes on where the first has stopped."""
    await late_guest(world)
    async with world.patrol() as first:
        await wait_looks(world, 1)
        fence = (await world.fetch("select fence from patrol"))[0]["fence"]
        async with world.patrol(world.another_pool()):
            await wait_looks(world, 3)
            assert (await world.fetch("select fence from patrol"))[0]["fence"] == fence
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await world.wait_until("select fence > $1 or lease_until is null from patrol", fence)
            await world.wait_until("select fence > $1 from patrol", fence)
            await wait_looks(world, 2)
    assert world.faults.calls.count("ensure_destroyed") == 1


async def test_two_removals_of_one_mark_are_one(world: World) -> None:
    """Whoever holds the claim on the tombstone acts, whatever else goes on."""
    owner = await late_guest(world)
    pools = [world.database, world.another_pool(), world.another_pool()]
    world.faults.delay_s = 0.2
    look = await world.auditor().look()
    remains = collect(owner, look.seen.guests or (), look.seen.routes or ())
    done = await asyncio.gather(*(Remover(pool, world.driver, world.routes).remove(remains) for pool in pools))
    assert sorted(done) == [False, False, True]
    assert world.faults.calls.count("ensure_destroyed") == 1


@pytest.mark.parametrize("hang_at", range(1, 5))
async def test_a_patrol_killed_in_the_middle_of_a_removal_is_followed_by_another(world: World, hang_at: int) -> None:
    """Whichever call was its last: the claim runs out, and the next patrol completes the removal."""
    await late_guest(world)
    pool = world.another_pool()
    world.faults.hang_at = hang_at
    async with world.patrol(pool) as task:
        async with asyncio.timeout(WAIT_S):
            await world.faults.hanging.wait()
        await pool.close()
        pool._dsn = "postgresql:///nowhere?host=/nonexistent"
        task.cancel()
    world.faults.hang_at = None
    await world.fetch("update patrol set lease_until = now() - interval '1 second' returning 1")
    await world.fetch("update departed set lease_until = now() - interval '1 second' returning 1")
    async with world.patrol():
        await wait_mended(world, lambda: not world.driver.guests and not world.routes.files)
        await wait_report(world)
    await assert_clean(world)


async def test_a_patrol_that_wakes_too_late_removes_nothing(world: World) -> None:
    """One whose claim was taken over while it was frozen stops before its next effect."""
    owner = await late_guest(world)
    look = await world.auditor().look()
    remains = collect(owner, look.seen.guests or (), look.seen.routes or ())
    frozen = world.routes.withdraw

    async def overtaken(name: str, mark: str, *, check: Check) -> None:
        await frozen(name, mark, check=check)
        await world.fetch("update departed set fence = fence + 1, lease_until = now() + interval '9 s' returning 1")
        monkeypatch.setattr("zlh_api.audit.warrant.boottime", lambda: 1e12)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(world.routes, "withdraw", overtaken)
        with pytest.raises(LeaseLost, match="Another worker"):
            await Remover(world.database, world.driver, world.routes).remove(remains)
    assert VMID in world.driver.guests
    # Nor does it give back a claim that is another's.
    assert await world.fetch("select 1 from departed where lease_until > now()")


async def test_a_removal_that_fails_is_tried_again(world: World) -> None:
    """At the next look, and the patrol goes on looking meanwhile."""
    await late_guest(world)
    world.faults.fail("ensure_destroyed", GuestFailed(what="The call", reason="no"), ZeroDivisionError("unforeseen"))
    async with world.patrol():
        await wait_mended(world, lambda: not world.driver.guests)
        await wait_report(world)
    assert world.faults.calls.count("ensure_destroyed") == 3


async def test_a_database_restored_from_an_older_copy_deletes_nothing(world: World, postgres: Postgres) -> None:
    """Containers that were made after the copy keep guest and route, and both are told."""
    await settled(world)
    old = await _copy_database(world, postgres)
    owner = await _second_container(world)
    before = _state(world)
    restored = World(old, world.dsn, world.folder, world.authority)
    restored.driver, restored.routes, restored.proxy = world.driver, world.routes, world.proxy
    world.faults.calls.clear()
    try:
        async with both(restored):
            report = await wait_report(restored, FindingKind.ORPHAN, FindingKind.ORPHAN)
            await wait_looks(restored, 3)
            (row,) = await restored.fetch("select next_vmid() as vmid")
    finally:
        await old.close()
    assert {finding.owner for finding in report.findings} == {owner}
    assert _state(world) == before
    assert not {"ensure_destroyed", "ensure_stopped", "withdraw"} & set(world.faults.calls)
    # The sequence is older too, and would give this number a second time.
    assert row["vmid"] == 103


async def _copy_database(world: World, postgres: Postgres) -> Database:
    source, copy = urlsplit(world.dsn).path.strip("/"), f"t{uuid4().hex}"
    # A template has nobody connected; the pool opens again by itself.
    await world.database.close()
    await postgres.execute(f"create database {copy} template {source}")
    return Database(postgres.dsn(copy))


async def _second_container(world: World) -> OwnerMark:
    owner = OwnerMark(str(uuid4()))
    async with world.database.transaction() as connection:
        customer = await connection.fetchval("select id from customers order by name limit 1")
        await containers.insert_container(
            connection, owner=owner, customer_id=customer, kind="dev", name="second", runtimes=[]
        )
    async with world.reconciler():
        await world.wait_settled(owner)
    return owner
