"""What a container costs that is as it is wanted: one look of the patrol at all of them, against a look at each.

The database is real, the guests and the proxy's directory are in memory, so that what is measured is ours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID, uuid4

import asyncpg
import psutil

from bench.measure import Case, Row, Run, at_most, read_cpu_s
from bench.real_api import RealApi
from fakes.api_world import World
from fakes.driver import FakeGuest
from zlh_api.agents.authority import Authority
from zlh_api.audit.patrol import Patrol
from zlh_api.audit.removal import Remover
from zlh_api.audit.service import EVERY_S
from zlh_api.database.pool import Database
from zlh_api.edge.local_directory import LocalRouteDirectory
from zlh_api.edge.model import RouteWish
from zlh_api.edge.traefik_file import render_route_file
from zlh_api.reconcile.pace import DRIFT_S, PATROLLED_DRIFT_S
from zlh_common.clock import SystemClock
from zlh_common.names import HostName, OwnerMark, Vmid

COUNTS = (1000, 10_000)
# So many of them are looked at one by one.
SAMPLE = 500
PATIENCE_S = 120
_INSERT = """
insert into containers (owner, customer_id, kind, name, spec, guest, connection, agent_status, observed_at,
    provisioned_at, wake_at, address, identity_expires_at, spec_protocol)
select gen_random_uuid(), $1, 'dev', 'idle-' || number, '{"runtimes": []}', 'running', 'online', $3, now(), now(),
    now() + interval '10 years', '127.64.0.1'::inet + number,
    now() + interval '1 year', 2
from generate_series(1, $2::integer) as number
"""


@asynccontextmanager
async def _idle(run: Run, count: int) -> AsyncIterator[tuple[World, psutil.Process]]:
    """Yield a world in which so many containers are as they are wanted, and its database's server."""
    api = RealApi.make(run)
    async with api.database() as connection:
        database = Database(api.dsn)
        authority = await asyncio.to_thread(Authority, api.keys, SystemClock())
        world = World(database, api.dsn, run.fresh_folder("world"), authority)
        try:
            await fill(connection, world, api.customer, count)
            server = psutil.Process(await connection.fetchval("select pg_backend_pid()")).parent()
            assert server is not None
            yield world, server
        finally:
            await world.close()
            await database.close()


async def fill(connection: asyncpg.Connection, world: World, customer: UUID, count: int) -> None:
    """Write so many containers that are as they are wanted, with guests and route files."""
    report = (
        f'{{"protocolVersion": 3, "agentVersion": "0.1.0", "bootId": "{uuid4()}", "owner": "{uuid4()}", '
        '"startedAt": "2026-01-01T00:00:00Z", "observedAt": "2026-01-01T00:00:00Z", "specGeneration": 1, '
        '"observedGeneration": 1}'
    )
    await connection.execute(_INSERT, customer, count, report)
    setting = world.auditor().setting.proxy
    digests = []
    for row in await connection.fetch("select owner, vmid, host(address) as address from containers"):
        owner, vmid = OwnerMark(str(row["owner"])), Vmid(row["vmid"])
        file = render_route_file(RouteWish(owner, HostName("dev", vmid), row["address"], ()), setting)
        world.routes.files[file.name] = file.text
        guest = world.driver.guests[vmid] = FakeGuest(owner, row["address"])
        guest.is_running, guest.closed_for = True, row["address"]
        digests.append((row["owner"], file.digest))
    await connection.executemany("update containers set route_confirmed = $2 where owner = $1", digests)
    await connection.execute("analyze containers, steps")


def cpu_of(server: psutil.Process) -> float:
    """Return what this process and the database's have spent."""
    pids = [server.pid, *(child.pid for child in server.children())]
    return time.process_time() + sum(read_cpu_s(pid) for pid in pids)


async def _look_at_each(world: World, server: psutil.Process) -> float:
    """Let the reconciler look once at some containers; return the milliseconds of processor for one of them."""
    before = cpu_of(server)
    sql = "update containers set wake_at = now() where vmid in (select vmid from containers limit $1) returning 1"
    count = len(await world.fetch(sql, SAMPLE))
    async with world.reconciler(), asyncio.timeout(PATIENCE_S):
        while await world.fetch("select 1 from containers where wake_at <= now() or lease_until is not null limit 1"):
            await asyncio.sleep(0.25)
        return (cpu_of(server) - before) * 1000 / count


async def _look_at_all(patrol: Patrol, group: asyncio.TaskGroup, server: psutil.Process) -> float:
    """Let the patrol look once; return the milliseconds of processor for all of them."""
    before = cpu_of(server)
    await patrol._look(group)
    return (cpu_of(server) - before) * 1000


async def idle(run: Run) -> list[Row]:
    """The processor that settled containers take for being looked at, API and database together."""
    rows: list[Row] = []
    for count in run.choose(COUNTS, (50,)):
        async with _idle(run, count) as (world, server):
            each = await _look_at_each(world, server)
            rows += await _looks_at_all(run, world, server, count, each)
    rows += await _listing(run)
    return rows


async def _looks_at_all(run: Run, world: World, server: psutil.Process, count: int, each_ms: float) -> list[Row]:
    auditor = world.auditor()
    patrol = Patrol(auditor, Remover(world.database, world.driver, world.routes))
    holding = asyncio.create_task(patrol.lease.run())
    await patrol.lease.wait_held()
    name = f"idle.{count}"
    async with asyncio.TaskGroup() as group:
        look = partial(_look_at_all, patrol, group, server)
        samples = await run.side_by_side(f"{name}.look", {"ours": look})
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    for all_ms in samples.figures["ours"]:
        # Of one core, for being looked at and nothing else.
        samples.add("after", (all_ms / EVERY_S + each_ms * count / PATROLLED_DRIFT_S) / 10)
        samples.add("before", each_ms * count / DRIFT_S / 10)
    note = f"a look at one by itself takes {each_ms:.2f} ms"
    return [
        samples.alone(f"{name}.look", "ms of CPU for one look at all", budget=at_most(1000)),
        samples.row(
            f"{name}.share",
            "% of a core",
            side="after",
            peer="before",
            peer_name="a look at each every 30 s",
            note=note,
        ),
    ]


async def _listing(run: Run) -> list[Row]:
    """List a real directory of route files of which none has changed, against reading all of them."""
    count = run.choose(5000, 50)
    folder = run.fresh_folder("routes")
    text = "# zlh owner: 6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11\n" + "x" * 2000
    for number in range(count):
        (folder / f"dev-{1000 + number}.yml").write_text(text)
    known = LocalRouteDirectory(folder)
    await asyncio.sleep(2.1)
    await known.survey()

    async def measure(directory: LocalRouteDirectory) -> float:
        began = time.process_time()
        await directory.survey()
        return (time.process_time() - began) * 1000

    sides = {"ours": lambda: measure(known), "peer": lambda: measure(LocalRouteDirectory(folder))}
    samples = await run.side_by_side(f"idle.files.{count}", sides)
    return [samples.row(f"idle.files.{count}", "ms of CPU", peer="peer", peer_name="reading every file")]


CASES = (Case("idle", "containers that are as they are wanted: what looking at them costs", idle),)
