"""Five hundred runs in which anything fails at any moment, and customers change their minds meanwhile: nothing leaks.

`ZLH_SEEDS="17 93" pytest tests/faults/provisioning/test_random_faults.py` repeats single runs.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest
import structlog

from component.api.conftest import TEMPLATE
from fakes.agents import FakeAgents
from fakes.api_world import World
from fakes.edge import FakeProxy
from fakes.wishes import want_container, want_deletion
from faults.provisioning.chaos import Chaos, ChaosDriver, ChaosProvider, ChaosRoutes, Ledger, Process, stranger
from zlh_api.agents.authority import Authority
from zlh_api.audit.rules import confirm, keys_of
from zlh_api.containers import store as containers
from zlh_api.containers.model import Container, Guest, Power
from zlh_api.database import pool
from zlh_api.database.pool import Connection, Database
from zlh_api.edge.traefik_file import file_name
from zlh_api.exposures import store as exposures
from zlh_api.quotas.store import hold_customer
from zlh_api.reconcile.plan import Records
from zlh_api.reconcile.steps import plan_guest
from zlh_api.suspensions.service import SuspensionService
from zlh_common.clock import SystemClock
from zlh_common.names import HostName, OwnerMark, Vmid, parse_host, render_host
from zlh_common.schema.audit import FindingKind, Remedy
from zlh_common.schema.resources import Resources
from zlh_common.schema.status import Connection as Connected
from zlh_common.schema.status import StepState

if TYPE_CHECKING:
    from component.api.conftest import Postgres

SEEDS = [int(seed) for seed in os.environ.get("ZLH_SEEDS", "").split()] or list(range(500))
# Runs wait for leases most of the time, so several go on beside each other, each in a database of its own.
# One process does the work of all of them, and a lease of theirs is shorter than what a loop may need that is too busy.
LANES = 6
BATCHES = 8
HEAL_S = 60.0
MOST_CONTAINERS = 4
# Who claimed what when, by the clock of the machine.
CLAIM_LOG = """
create table claim_log (owner uuid, fence bigint, at timestamptz);
create function log_claim() returns trigger language plpgsql as $$
begin
    insert into claim_log values (new.owner, new.fence, clock_timestamp());
    return null;
end $$;
create trigger log_claim after update of fence on containers for each row
    when (new.fence <> old.fence) execute function log_claim();
"""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A hundred thousand lines about what was meant to go wrong help nobody."""
    kept = structlog.get_config()["processors"]
    structlog.configure(processors=[_drop])
    yield
    structlog.configure(processors=kept)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other things may need long for a connection, and that is no fault of this test."""
    monkeypatch.setattr(pool, "ACQUIRE_TIMEOUT_S", 60)


def _drop(_logger: object, _name: str, _event: object) -> str:
    raise structlog.DropEvent


@pytest.fixture(scope="session")
def databases(postgres: Postgres) -> list[str]:
    """Make one database with two customers for each lane; the server goes with them."""
    names = [f"lane{number}" for number in range(LANES)]

    async def make() -> None:
        for name in names:
            await postgres.execute(f"create database {name} template {TEMPLATE}")
            connection = await asyncpg.connect(postgres.dsn(name))
            await connection.execute(CLAIM_LOG)
            await connection.executemany("insert into customers values ($1, $2)", [(uuid4(), "one"), (uuid4(), "two")])
            await connection.close()

    asyncio.run(make())
    return names


@asynccontextmanager
async def open_lane(dsn: str, folder: Path, authority: Authority) -> AsyncIterator[World]:
    """Lend a world in one of the databases."""
    database = Database(dsn, max_connections=4)
    try:
        await asyncio.to_thread(folder.mkdir)
        yield World(database, dsn, folder, authority)
    finally:
        await database.close()


class Run:
    """One run: two processes, some customers' acts, and a world that goes wrong."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = Random(seed)
        self.chaos = Chaos(self.chance)
        self.ledger = Ledger()
        self.driver = ChaosDriver(self.chaos, self.ledger)
        self.routes = ChaosRoutes(self.chaos, self.ledger)
        # Some installations have none, and some have several.
        names = ["public", "internal"][: self.chance.randrange(3)]
        self.providers = [ChaosProvider(self.chaos, self.ledger, name) for name in names]
        world.use_dns(*self.providers)
        world.faults, world.driver, world.routes = self.chaos, self.driver, self.routes
        world.proxy = FakeProxy(self.chaos, self.routes)
        world.agents = FakeAgents(self.chaos, world.database)
        self.driver.on_started = world.agents.note_online
        self.driver.on_stopped = world.agents.note_offline
        self.processes: list[Process] = []
        self.owners: list[OwnerMark] = []
        self.created: set[OwnerMark] = set()

    async def go(self) -> None:
        """Let it all happen, let it heal, and hold what is there against what should be."""
        await self._clear()
        try:
            for _ in range(self.chance.randint(4, 9)):
                self._keep_alive()
                act = self.chance.choices(list(ACTS), list(ACTS.values()))[0]
                await act(self)
                await asyncio.sleep(self.chance.uniform(0, 0.06))
            faults = await self._heal()
        finally:
            await asyncio.gather(*(process.stop() for process in self.processes))
        assert faults == []
        assert self.ledger.violations == []
        assert await self._late_effects() == []

    async def _clear(self) -> None:
        async with self.world.database.connection() as connection:
            await connection.execute("delete from containers; delete from departed; delete from resting_addresses")
            await connection.execute("truncate claim_log")
            await connection.execute("update customers set suspended_at = null")

    def _keep_alive(self) -> None:
        living = [process for process in self.processes if not process.database.is_dead]
        for _ in range(2 - len(living)):
            process = Process(self.world.database, self.driver, self.world.steps, self.chance)
            self.processes.append(process)

    async def _heal(self) -> list[str]:
        """Let nothing go wrong any more; return what does not become as it should be."""
        self.chaos.is_on = False
        for vmid in list(self.driver.strangers):
            if self.chance.random() < 0.7:
                del self.driver.strangers[vmid]
                del self.driver.guests[Vmid(vmid)]
        self._keep_alive()
        until = time.monotonic() + HEAL_S
        while (faults := await self.find_faults() or await self.find_findings()) and time.monotonic() < until:
            assert not [process for process in self.processes if process.task.done() and not process.database.is_dead]
            await asyncio.sleep(0.08)
        return faults

    async def find_findings(self) -> list[str]:
        """Return what the platform's own audit finds, but for strangers and what was lost while it was off."""
        look = await self.world.auditor().look()
        findings = confirm(look.differences, keys_of(look.differences))
        return [
            finding.message
            for finding in findings
            if finding.vmid not in self.driver.strangers
            and (finding.kind, finding.remedy) != (FindingKind.MISSING, Remedy.OPERATOR)
        ]

    async def find_faults(self) -> list[str]:
        """Hold rows, guests and routes against each other."""
        async with self.world.database.connection() as connection:
            rows = await connection.fetch("select owner from containers order by vmid")
            found = [await containers.find_by_owner(connection, OwnerMark(str(row["owner"]))) for row in rows]
            known = [container for container in found if container is not None]
            faults = [fault for container in known for fault in await self._faults_of(container)]
            slots = await connection.fetchval(
                "select count(*) from driver_slots s join containers c on c.owner = s.owner and c.fence = s.fence "
                "where c.lease_until > now()"
            )
            claimed = await connection.fetchval("select count(*) from containers where lease_until is not null")
            departed = {str(row["owner"]) for row in await connection.fetch("select owner from departed")}
            apart = await connection.fetch(
                "select vmid from containers join customers on customers.id = customer_id "
                "where containers.suspended <> (suspended_at is not null)"
            )
            resting = await connection.fetchval(
                "select count(*) from resting_addresses r join containers c on c.address = r.address"
            )
        ours = {container.owner for container in known}
        faults += [f"guest {vmid} has no row" for vmid, guest in self.driver.guests.items()
                   if guest.owner not in ours and vmid not in self.driver.strangers]  # fmt: skip
        names = {file_name(container.host) for container in known}
        faults += [f"{name} has no row" for name in self.routes.files if name not in names]
        faults += [f"{name} has no row" for provider in self.providers for name in provider.names()
                   if (host := parse_host(name, "localhost")) is None
                   or host.vmid not in {container.vmid for container in known}]  # fmt: skip
        faults += [f"stranger {vmid} was touched" for vmid, guest in self.driver.strangers.items()
                   if self.driver.guests.get(Vmid(vmid)) is not guest or not guest.is_running
                   or guest.closed_for or guest.identity]  # fmt: skip
        faults += [f"{owner} left no tombstone" for owner in self.created - ours - departed]
        faults += [f"{vmid} is suspended without its customer, or the other way round" for (vmid,) in apart]
        counts = {"slots held": slots, "leases": claimed, "addresses both held and resting": resting}
        return faults + [f"{count} {name}" for name, count in counts.items() if count]

    async def _faults_of(self, container: Container) -> list[str]:
        vmid, guest = container.vmid, self.driver.guests.get(container.vmid)
        if container.is_deleting:
            return [f"{vmid} is not gone"]
        if vmid in self.driver.strangers:
            wanted = not container.is_meant_to_run or any(step.code == "guest_foreign" for step in container.steps)
            return [] if wanted else [f"{vmid} does not say that a stranger has its place"]
        if not container.is_meant_to_run:
            return [f"{vmid} runs"] if guest is not None and guest.is_running else []
        if guest is None:
            return [f"{vmid} has no guest"]
        checks = {
            "is no guest of ours": guest.owner == container.owner,
            "does not run": guest.is_running,
            "is open": guest.closed_for == container.address == guest.address,
            "has other limits": (await self.driver.observe(plan_guest(container))).is_sized,
            "waits for its restart": container.restart_done == container.restart_wanted,
            "is not heard": container.connection is Connected.ONLINE,
            "is not proved": container.provisioned_at is not None,
            "is not seen to run": container.guest is Guest.RUNNING,
            "has another route": self.routes.files.get(file_name(container.host))
            == self.world.steps(self.world.database).route_file(container).text
            if container.address
            else False,
            "has other records": all(
                provider.names(container.owner) == _names_of(container) for provider in self.providers
            ),
            "is not seen in DNS": self.world.steps(self.world.database).observe_records(container) is Records.SETTLED,
            "waits or has failed": container.waiting_for is None and container.attempts == 0,
            "tells of what is over": all(
                (step.code, step.attempts, step.next_try_at) == (None, 0, None) for step in container.steps
            ),
        }
        faults = [f"{vmid} {fault}" for fault, is_well in checks.items() if not is_well]
        return faults + [
            f"{vmid} is at {step.name}, {step.state}"
            for step in container.steps
            if step.state not in {StepState.DONE, StepState.SKIPPED}
        ]

    async def _late_effects(self) -> list[str]:
        """Return the effects of workers after whose claim another had been given."""
        rows = await self.world.fetch("select owner, fence, at from claim_log")
        claimed: dict[tuple[str, int], datetime] = {(str(row["owner"]), row["fence"]): row["at"] for row in rows}
        late = []
        for effect in self.ledger.effects:
            taken_over = claimed.get((effect.owner, effect.fence + 1))
            if taken_over is not None and taken_over.timestamp() < effect.at:
                late.append(f"{effect.name} with fence {effect.fence}")
        return late


def _names_of(container: Container) -> list[str]:
    ports = [None, *(exposure.port for exposure in container.exposures)]
    return sorted(render_host(HostName("dev", container.vmid, port), "localhost") for port in ports)


async def create(run: Run) -> None:
    """A customer wants one more."""
    if len(run.owners) == MOST_CONTAINERS:
        return
    async with run.world.database.transaction() as connection:
        customers = await connection.fetch("select id from customers order by name")
        held = await hold_customer(connection, run.chance.choice(customers)["id"])
        if held is None or held.is_suspended:
            return
        owner = await want_container(connection, held.id, has_dns=bool(run.providers))
    run.owners.append(owner)
    run.created.add(owner)


async def _change(run: Run, change: Callable[[Connection, OwnerMark], Awaitable[object]]) -> None:
    if run.owners:
        async with run.world.database.transaction() as connection:
            await change(connection, run.chance.choice(run.owners))


async def switch(run: Run) -> None:
    """A customer switches it off or on."""
    power = run.chance.choice(list(Power))
    await _change(run, lambda connection, owner: containers.update_power(connection, owner, power))


async def restart(run: Run) -> None:
    """A customer wants it restarted."""
    await _change(run, containers.ask_restart)


async def resize(run: Run) -> None:
    """A customer wants more or less of it."""
    wanted = Resources(memory_mib=run.chance.choice([1024, 2048, 4096]))
    await _change(run, lambda connection, owner: containers.update_resources(connection, owner, wanted))


async def delete(run: Run) -> None:
    """A customer wants it gone."""
    if not run.owners:
        return
    owner = run.owners.pop(run.chance.randrange(len(run.owners)))
    async with run.world.database.transaction() as connection:
        await want_deletion(connection, owner, has_dns=bool(run.providers))


async def suspend(run: Run) -> None:
    """The platform holds a customer back, again perhaps."""
    await SuspensionService(run.world.database).suspend(await _pick_customer(run), "by chance")


async def resume(run: Run) -> None:
    """The platform lets a customer go on, held back or not."""
    await SuspensionService(run.world.database).resume(await _pick_customer(run))


async def _pick_customer(run: Run) -> UUID:
    customers = await run.world.fetch("select id from customers order by name")
    found: UUID = run.chance.choice(customers)["id"]
    return found


async def publish(run: Run) -> None:
    """A customer publishes a port."""
    port = run.chance.randint(1000, 9000)
    await _change(
        run,
        lambda connection, owner: exposures.insert_exposure(
            connection, exposure_id=uuid4(), owner=owner, port=port, visibility="public", expires_at=None
        ),
    )


async def take_back(run: Run) -> None:
    """A customer takes a port back."""
    rows = await run.world.fetch("select id, owner from exposures order by port")
    if rows:
        row = run.chance.choice(rows)
        async with run.world.database.transaction() as connection:
            await exposures.delete_exposure(connection, OwnerMark(str(row["owner"])), row["id"])


async def intrude(run: Run) -> None:
    """Somebody makes a guest at the number that comes next."""
    vmid = 1 + (await run.world.fetch("select last_value from vmids"))[0][0]
    if vmid not in run.driver.guests:
        run.driver.strangers[vmid] = run.driver.guests[Vmid(vmid)] = stranger(run.chance)


async def meddle(run: Run) -> None:
    """Somebody destroys a guest of ours by hand, opens its network, or edits the file of its route."""
    ours = [vmid for vmid in run.driver.guests if vmid not in run.driver.strangers]
    if not ours:
        return
    vmid = run.chance.choice(ours)
    match run.chance.randrange(3):
        case 0:
            del run.driver.guests[vmid]
        case 1:
            run.driver.guests[vmid].closed_for = None
            run.driver.opened.add(vmid)
        case _:
            name = f"dev-{vmid}.yml"
            if name in run.routes.files:
                run.routes.files[name] += "# edited\n"


async def go_away(run: Run) -> None:
    """The cluster is away for a while, or a DNS provider."""
    until = time.monotonic() + run.chance.uniform(0.02, 0.2)
    systems: list[Chaos | ChaosProvider] = [run.chaos, *run.providers]
    run.chance.choice(systems).away_until = until


ACTS: dict[Callable[[Run], Awaitable[None]], int] = {
    create: 8,
    switch: 4,
    restart: 2,
    resize: 2,
    delete: 4,
    publish: 3,
    take_back: 1,
    suspend: 2,
    resume: 2,
    intrude: 1,
    meddle: 3,
    go_away: 2,
}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs the agents of all runs."""
    return Authority(tmp_path_factory.mktemp("authority"), SystemClock())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("batch", range(min(BATCHES, len(SEEDS))))
async def test_nothing_leaks_whatever_goes_wrong(
    postgres: Postgres, databases: list[str], authority: Authority, tmp_path: Path, batch: int
) -> None:
    """Once all is well again: what is wanted is there, what is not has left no trace, and no stranger was touched."""
    seeds = SEEDS[batch :: min(BATCHES, len(SEEDS))]

    async def drive(lane: int) -> None:
        async with open_lane(postgres.dsn(databases[lane]), tmp_path / str(lane), authority) as world:
            while seeds:
                seed = seeds.pop()
                try:
                    await Run(world, seed).go()
                except Exception as error:
                    error.add_note(f"seed {seed}")
                    raise

    async with asyncio.TaskGroup() as group:
        for lane in range(min(LANES, len(seeds))):
            group.create_task(drive(lane))
