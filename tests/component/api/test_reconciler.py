"""The reconciler against a world that obeys, fails, hangs and dies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from fakes.api_world import WAIT_S, World
from fakes.driver import FakeGuest
from fakes.wishes import want_container, want_deletion
from zlh_api.agents.client import AgentRefused
from zlh_api.containers import store as containers
from zlh_api.containers.model import Power
from zlh_api.drivers.port import GuestFailed, GuestPlan, Warrant
from zlh_api.edge.port import RouteNotLoaded, RouteWriteFailed
from zlh_api.exposures import store as exposures
from zlh_api.reconcile.journal import MESSAGE_CHARS
from zlh_api.reconcile.plan import first_steps
from zlh_api.reconcile.worker import TAKES_BEFORE_DOUBT
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.spec import Visibility

CREATION = [
    "is_address_free",
    "ensure_created",
    "ensure_closed",
    "ensure_identity",
    "ensure_started",
    "put_spec",
    "publish",
    "wait_loaded",
    "check_ready",
]
DELETION = ["withdraw", "wait_unloaded", "ensure_stopped", "ensure_destroyed"]
BROKEN = GuestFailed(what="The call", reason="it was told to fail")


async def add(world: World) -> OwnerMark:
    """Write one new container."""
    async with world.database.transaction() as connection:
        return await want_container(connection, name="mine")


async def ask_deletion(world: World, owner: OwnerMark) -> None:
    """Write that a container must go, as the service does."""
    async with world.database.transaction() as connection:
        await want_deletion(connection, owner)


async def settled(world: World) -> OwnerMark:
    """Return a container that has been brought up."""
    owner = await add(world)
    async with world.reconciler():
        await world.wait_settled(owner)
    world.faults.calls.clear()
    return owner


async def end_state(world: World) -> dict[str, Any]:
    """Return all that matters about how things stand, without times and counters."""
    (row,) = await world.fetch(
        "select power, guest, connection, host(address) as address, route_confirmed is not null as routed, attempts, "
        "provisioned_at is not null as proved, lease_holder, agent_status->>'observedGeneration' as reached, "
        "(select array_agg(name || ' ' || state order by position) from steps) as steps from containers"
    )
    guests = {vmid: (guest.address, guest.is_running) for vmid, guest in world.driver.guests.items()}
    return {**dict(row), "guests": guests, "files": sorted(world.routes.files)}


async def nothing_left(world: World) -> bool:
    """Tell whether a container has gone without a trace."""
    rows = [await world.fetch(f"select 1 from {table}") for table in ("containers", "steps", "exposures")]
    return not any(rows) and not world.driver.guests and not world.routes.files


async def test_a_new_container_is_brought_up_step_by_step(world: World) -> None:
    """From a row to a proved container, each step once and in order."""
    owner = await add(world)
    async with world.reconciler():
        await world.wait_settled(owner)
    assert world.faults.calls == CREATION
    state = await end_state(world)
    assert {step.split()[1] for step in state["steps"]} == {"done", "skipped"}
    assert (state["guest"], state["connection"], state["routed"]) == ("running", "online", True)


async def test_a_deleted_container_leaves_nothing(world: World) -> None:
    """The route goes first, then the guest, then the row; the address rests."""
    owner = await settled(world)
    await ask_deletion(world, owner)
    async with world.reconciler():
        await world.wait_forgotten()
    assert world.faults.calls == DELETION
    assert await nothing_left(world)
    assert len(await world.fetch("select 1 from resting_addresses where free_from > now()")) == 1


async def kill(world: World, hang_at: int) -> None:
    """Run a reconciler up to a call that takes effect and never returns, then end it as a power cut would."""
    pool = world.another_pool()
    world.faults.hang_at = hang_at
    async with world.reconciler(pool) as task:
        async with asyncio.timeout(WAIT_S):
            await world.faults.hanging.wait()
        # A process that is gone gives nothing back: its pool leads nowhere any more.
        await pool.close()
        pool._dsn = "postgresql:///nowhere?host=/nonexistent"
        task.cancel()
    world.faults.hang_at = None
    world.faults.hanging.clear()
    await world.fetch("update containers set lease_until = now() - interval '1 second' returning 1")


@pytest.mark.parametrize("number", range(1, len(CREATION) + 1))
async def test_killed_in_any_step_of_creation_and_resumed(world: World, number: int) -> None:
    """Whichever effect was the last of the dead worker, its successor arrives where it would have."""
    owner = await add(world)
    await kill(world, number)
    async with world.reconciler():
        await world.wait_settled(owner)
    assert len(world.driver.guests) == 1
    assert await end_state(world) == {
        "power": "on",
        "guest": "running",
        "connection": "online",
        "address": world.driver.guests[Vmid(101)].address,
        "routed": True,
        "attempts": 0,
        "proved": True,
        "lease_holder": None,
        "reached": "1",
        "steps": [f"{name} {'skipped' if state == 'skipped' else 'done'}" for name, state in first_steps()],
        "guests": {101: (world.driver.guests[Vmid(101)].address, True)},
        "files": ["dev-101.yml"],
    }


@pytest.mark.parametrize("number", range(1, len(DELETION) + 1))
async def test_killed_in_any_step_of_deletion_and_resumed(world: World, number: int) -> None:
    """A half-deleted container is deleted, and no step of the order is left out."""
    owner = await settled(world)
    await ask_deletion(world, owner)
    await kill(world, number)
    async with world.reconciler():
        await world.wait_forgotten()
    assert await nothing_left(world)
    assert list(dict.fromkeys(world.faults.calls)) == DELETION


async def test_a_cancelled_reconciler_gives_back_what_it_holds(world: World) -> None:
    """A process that stops in order costs nobody the time of a lease."""
    owner = await add(world)
    world.faults.hang_at = 3
    async with world.reconciler():
        async with asyncio.timeout(WAIT_S):
            await world.faults.hanging.wait()
    world.faults.hang_at = None
    (row,) = await world.fetch("select lease_until, wake_at <= now() as is_due from containers")
    assert (row["lease_until"], row["is_due"]) == (None, True)
    async with world.reconciler():
        await world.wait_settled(owner)


async def test_two_reconcilers_take_each_step_once(world: World) -> None:
    """Two processes on one database do the work of one."""
    owner = await add(world)
    async with world.reconciler(), world.reconciler(world.another_pool()):
        await world.wait_settled(owner)
    assert world.faults.calls == CREATION


@pytest.mark.parametrize("name", [name for name in CREATION if name != "is_address_free"])
async def test_a_step_that_fails_once_is_tried_again(world: World, name: str) -> None:
    """One failure costs half a second and leaves no trace in the report."""
    owner = await add(world)
    world.faults.fail(name, BROKEN)
    async with world.reconciler():
        await world.wait_settled(owner)
    assert (await end_state(world))["attempts"] == 0
    assert world.faults.calls.count(name) == 2
    assert await world.fetch("select 1 from steps where code is not null") == []


@pytest.mark.parametrize("name", ["ensure_created", "observe"])
async def test_an_unforeseen_error_stays_with_its_container(world: World, name: str) -> None:
    """A driver that breaks in a way that nobody has named costs one container a retry, not the process its life."""
    owner = await add(world)
    world.faults.fail(name, ZeroDivisionError("nobody foresaw this"))
    async with world.reconciler() as task:
        await world.wait_settled(owner)
        assert not task.done()


async def test_a_row_that_cannot_be_read_stays_with_its_container(world: World) -> None:
    """One row that an older or newer version wrote does not stop the work on all others."""
    broken, owner = await add(world), OwnerMark(str(uuid4()))
    await world.fetch("update containers set name = 'other', agent_status = '{\"steps\": 5}' returning 1")
    owner = await add(world)
    async with world.reconciler() as task:
        await world.wait_settled(owner)
        assert not task.done()
    assert broken != owner


async def test_a_failed_step_is_shown_with_its_reason(world: World) -> None:
    """Until it works, the step says why it does not, and how often it was tried is counted."""
    await add(world)
    world.faults.fail("ensure_created", BROKEN, BROKEN, BROKEN)
    async with world.reconciler():
        await world.wait_until("select attempts = 2 from containers")
        (step,) = await world.fetch("select name, code, message from steps where state = 'failed'")
    assert (step["name"], step["code"], step["message"]) == ("create-guest", "guest_failed", BROKEN.detail)


@pytest.mark.parametrize("said", ["no\0thing", "no\udc80thing", "n" * 10_000])
async def test_whatever_a_stranger_says_of_a_failure_can_be_written_down(world: World, said: str) -> None:
    """An agent refuses in words that no text may hold, or in too many: the step fails with them as they can be held."""
    await add(world)
    refused = AgentRefused(status=409, agent_code="no", detail=said)
    world.faults.fail("put_spec", refused, refused, GuestFailed(what="The call", reason=said, output=said))
    async with world.reconciler():
        await world.wait_until("select attempts >= 2 from steps where name = 'send-spec' and code = 'agent_refused'")
        (step,) = await world.fetch("select state, message from steps where name = 'send-spec'")
        assert step["message"].startswith("The agent refused: n")
        assert len(step["message"]) <= MESSAGE_CHARS
        await world.wait_until("select provisioned_at is not null from containers")


async def test_a_step_whose_effect_does_not_last_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that succeeds over and over without effect becomes a failure that is tried ever more slowly."""

    async def pretend(_plan: GuestPlan, _warrant: Warrant) -> None:
        world.faults.calls.append("pretend")

    monkeypatch.setattr(world.driver, "ensure_started", pretend)
    await add(world)
    async with world.reconciler():
        await world.wait_until("select code = 'step_without_effect' from steps where name = 'start-guest'")
        await world.wait_until("select attempts = 2 from containers")
    assert world.faults.calls.count("pretend") <= 3 * TAKES_BEFORE_DOUBT


async def test_the_reason_stays_while_a_failed_step_is_tried_again(world: World) -> None:
    """Nobody sees a container that is well between two failures of one step."""
    owner = await add(world)
    world.faults.fail("ensure_created", BROKEN)
    world.faults.hang_at = CREATION.index("ensure_created") + 2
    async with world.reconciler():
        async with asyncio.timeout(WAIT_S):
            await world.faults.hanging.wait()
        report = world.containers.report(await world.containers.find(Vmid(101)))
    assert report.provisioning_error is not None
    assert report.provisioning_error.code == BROKEN.code
    assert owner


async def test_addresses_that_strangers_hold_are_passed_over_however_many(world: World) -> None:
    """Each try looks at other addresses, until the free one is found."""
    block = [f"127.77.0.{number}" for number in range(1, 255)]
    world.driver.taken_addresses = {*block} - {block[30]}
    owner = await add(world)
    async with world.reconciler():
        await world.wait_settled(owner)
    assert (await end_state(world))["address"] == block[30]


async def test_a_report_that_no_longer_can_be_read_counts_as_none(world: World) -> None:
    """What another version has kept of an agent costs nobody the view of the container."""
    owner = await settled(world)
    await world.fetch("update containers set agent_status = '{\"owner\": 5}'")
    async with world.database.connection() as connection:
        found = await containers.find_by_owner(connection, owner)
    assert found is not None
    assert found.agent is None


async def test_a_foreign_guest_is_left_alone_and_named(world: World) -> None:
    """Where a stranger has our number, the report says so and the stranger keeps running."""
    owner = await add(world)
    stranger = FakeGuest(OwnerMark(str(uuid4())), "127.77.0.200")
    stranger.is_running = True
    world.driver.guests[Vmid(101)] = stranger
    async with world.reconciler():
        await world.wait_until("select attempts >= 2 from containers")
    (step,) = await world.fetch("select name, code from steps where code is not null")
    assert (step["name"], step["code"]) == ("create-guest", "guest_foreign")
    await ask_deletion(world, owner)
    async with world.reconciler():
        await world.wait_forgotten()
    assert world.driver.guests == {Vmid(101): stranger}
    assert stranger.is_running


async def test_an_address_that_somebody_answers_at_is_passed_over(world: World) -> None:
    """Our books may call an address free that is not."""
    owner = await add(world)
    world.driver.taken_addresses = {f"127.77.0.{last}" for last in range(256) if last % 8}
    async with world.reconciler():
        await world.wait_settled(owner)
    assert int((await end_state(world))["address"].rpartition(".")[2]) % 8 == 0
    assert world.faults.calls.count("is_address_free") > 1


async def test_a_guest_that_vanished_is_made_again_with_new_keys(world: World) -> None:
    """What was put into the old guest is gone with it."""
    owner = await settled(world)
    world.driver.guests.clear()
    await world.agents.note_offline(owner)
    async with world.reconciler():
        async with asyncio.timeout(WAIT_S):
            while not any(guest.is_running for guest in world.driver.guests.values()):
                await asyncio.sleep(0.01)
    assert world.faults.calls == ["ensure_created", "ensure_closed", "ensure_identity", "ensure_started"]


@pytest.mark.parametrize("failures", [1, 2])
async def test_nothing_is_destroyed_until_the_proxy_has_let_go(world: World, failures: int) -> None:
    """A proxy that still lists the route keeps guest and address where they are, file gone or not."""
    owner = await settled(world)
    await ask_deletion(world, owner)
    world.faults.fail("wait_unloaded", *[RouteNotLoaded("it still lists it")] * failures)
    async with world.reconciler():
        await world.wait_forgotten()
    assert world.faults.calls == ["withdraw", "wait_unloaded"] * (failures + 1) + DELETION[2:]


async def test_a_route_that_was_never_confirmed_is_let_go_of_as_well(world: World) -> None:
    """The proxy may use a file that we have not seen it use."""
    owner = await settled(world)
    await world.fetch("update containers set route_confirmed = null returning 1")
    await ask_deletion(world, owner)
    world.faults.fail("wait_unloaded", RouteNotLoaded("it still lists it"))
    async with world.reconciler():
        await world.wait_forgotten()
    assert world.faults.calls == ["withdraw", "wait_unloaded"] * 2 + DELETION[2:]


async def test_an_agent_that_is_not_heard_is_not_asked_for_ever(world: World) -> None:
    """The answer to the spec counts, whether or not the link has brought it."""
    await add(world)
    world.agents.is_linked = False
    async with world.reconciler():
        await world.wait_until("select provisioned_at is not null from containers")
    assert world.faults.calls.count("put_spec") == 1


async def test_an_answer_to_the_spec_that_the_link_has_overtaken_takes_nothing_back(world: World) -> None:
    """The link tells once what was reached; an answer from before that comes later does not hide it for ever."""
    await add(world)
    world.agents.is_overtaken = True
    async with world.reconciler():
        await world.wait_until("select provisioned_at is not null from containers")
    assert world.faults.calls.count("put_spec") == 1


async def test_an_agent_that_never_gets_there_is_asked_ever_more_slowly(world: World) -> None:
    """A container's agent is a stranger: taking a spec and reporting an older one does not keep us busy."""
    await add(world)
    world.agents.lags, world.agents.is_linked = 1, False
    async with world.reconciler():
        await world.wait_until("select attempts >= 2 from containers")
    assert world.faults.calls.count("put_spec") <= 3


async def test_off_stops_the_guest_and_on_starts_it(world: World) -> None:
    """Power is a wish like any other."""
    owner = await settled(world)
    async with world.reconciler():
        async with world.database.connection() as connection:
            await containers.update_power(connection, owner, Power.OFF)
        await world.wait_until("select guest = 'stopped' and lease_until is null from containers")
        assert not world.driver.guests[Vmid(101)].is_running
        async with world.database.connection() as connection:
            await containers.update_power(connection, owner, Power.ON)
        await world.wait_until("select guest = 'running' and lease_until is null from containers")
    assert world.faults.calls == ["ensure_stopped", "ensure_started"]


async def test_a_restart_is_carried_out_once(world: World) -> None:
    """However often it is looked at, one wish is one stop and one start."""
    owner = await settled(world)
    async with world.reconciler():
        async with world.database.connection() as connection:
            await containers.ask_restart(connection, owner)
        await world.wait_until("select restart_done = 1 and guest = 'running' and lease_until is null from containers")
    assert world.faults.calls == ["ensure_stopped", "ensure_started"]


@pytest.mark.parametrize("is_there", [True, False], ids=["edited", "removed"])
async def test_a_hand_edit_of_a_route_file_is_undone(world: World, is_there: bool) -> None:
    """The database is the sole source of what the proxy reads; the history tells it, and the proxy must use ours again.

    Whoever came in by what stood there is cut off where not everybody may come in.
    """
    owner = await settled(world)
    await _publish(world, owner, private=3000, public=8080)
    written = dict(world.routes.files)
    (confirmed,) = await world.fetch("select route_confirmed from containers")
    await world.fetch("delete from connection_cuts returning 1")
    for _time in range(2):
        world.faults.calls.clear()
        if is_there:
            world.routes.files["dev-101.yml"] += "# edited\n"
        else:
            del world.routes.files["dev-101.yml"]
        async with world.reconciler():
            async with world.database.connection() as connection:
                await containers.update_power(connection, owner, Power.ON)
            await _files_are(world, written)
            await world.wait_settled(owner)
        assert world.faults.calls.index("publish") < world.faults.calls.index("wait_loaded")
        assert await world.fetch("select route_confirmed from containers") == [confirmed]
    told = await world.fetch("select subject, message, data from happenings where kind = 'route.edited'")
    assert [(each["subject"], each["data"]["was"]) for each in told] == [
        ("route", "changed" if is_there else "removed")
    ]
    cut = await world.fetch("select distinct port from connection_cuts where after_version is null")
    assert [each["port"] for each in cut] == ([3000] if is_there else [])


async def test_a_file_that_is_written_otherwise_by_a_new_version_is_no_edit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same wish, another file: it is written, and confirmed anew, so nobody takes the old one for it."""
    owner = await settled(world)
    (before,) = await world.fetch("select route_confirmed from containers")
    monkeypatch.setattr("zlh_api.edge.traefik_hosts.HOME", "zlh-other-home")
    async with world.reconciler():
        async with world.database.connection() as connection:
            await containers.update_power(connection, owner, Power.ON)
        await world.wait_until("select route_confirmed <> $1 from containers", before["route_confirmed"])
        await world.wait_settled(owner)
    assert "zlh-other-home" in world.routes.files["dev-101.yml"]
    assert "wait_loaded" in world.faults.calls
    assert not await world.fetch("select from happenings where kind = 'route.edited'")


async def _publish(world: World, owner: OwnerMark, **ports: int) -> None:
    async with world.reconciler():
        for visibility, port in ports.items():
            async with world.database.transaction() as connection:
                await exposures.insert_exposure(
                    connection, exposure_id=uuid4(), owner=owner, port=port,
                    visibility=cast("Visibility", visibility), expires_at=None,
                )  # fmt: skip
        await world.wait_settled(owner)


async def test_a_published_port_reaches_the_proxy(world: World) -> None:
    """An exposure wakes the reconciler, which writes and confirms the new file."""
    owner = await settled(world)
    async with world.reconciler():
        async with world.database.transaction() as connection:
            await exposures.insert_exposure(
                connection, exposure_id=uuid4(), owner=owner, port=3000, visibility="public", expires_at=None
            )
        await world.wait_settled(owner)
        async with asyncio.timeout(WAIT_S):
            while "wait_loaded" not in world.faults.calls:
                await asyncio.sleep(0.01)
    assert "3000-dev-101" in world.routes.files["dev-101.yml"]


async def _files_are(world: World, files: Mapping[str, str]) -> None:
    async with asyncio.timeout(WAIT_S):
        while world.routes.files != files:
            await asyncio.sleep(0.01)


async def test_a_restored_database_is_shown_as_it_is(world: World) -> None:
    """Its versions are counted again from where the copy was; what was rendered for others of them is not shown."""
    await add(world)

    async def name_shown() -> str:
        _customer, report = await world.containers.fetch_report(Vmid(101))
        return str(json.loads(report)["name"])

    (copy,) = await world.fetch("select version from containers")
    await world.fetch("update containers set name = 'lost' returning 1")
    assert await name_shown() == "lost"
    # As the copy is read in, and the first change after it is made.
    await world.fetch("update containers set version = $1 returning 1", copy["version"])
    await world.fetch("update containers set name = 'restored' returning 1")
    (now,) = await world.fetch("select version from containers")
    assert now["version"] == copy["version"] + 1
    assert await name_shown() == "restored"


async def test_an_open_guest_is_closed_while_its_route_cannot_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has put a folder in the file's place: that is told, and no reason to leave the network open."""
    owner = await settled(world)
    guest = world.driver.guests[Vmid(101)]
    guest.closed_for = None

    async def refuse(name: str) -> str | None:
        raise RouteWriteFailed(name=name, reason="is a directory")

    monkeypatch.setattr(world.routes, "fetch", refuse)
    await world.fetch("update containers set wake_at = now()")
    async with world.reconciler():
        told = "select exists (select from steps where owner = $1 and code = $2)"
        await world.wait_until(told, UUID(owner), RouteWriteFailed.code)
    assert guest.closed_for == guest.address
