"""Claims against the bare statement, and two hundred containers at once through the real service and reconciler."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

from bench.measure import Case, Row, Run, Samples, at_least, at_most, ratio_at_least
from bench.programs import HERE, running
from bench.real_api import RealApi
from fakes.api_world import NODE, World
from zlh_api.agents.authority import Authority
from zlh_api.customers.model import Caller, Membership
from zlh_api.database.pool import Database
from zlh_api.reconcile import store
from zlh_common.clock import SystemClock
from zlh_common.names import Vmid
from zlh_common.schema.permissions import Role
from zlh_common.schema.spec import CreateContainer
from zlh_common.schema.structs import convert

# So many are due: all that a person creates at once, and all that there are.
DUE = (200, 20_000)
CLAIM_S = 1.0
COUNTS = (10, 100, 1000, 10_000)
CREATES = 200
CUSTOMERS = 8
PATIENCE_S = 180.0

_QUEUE = """
create table bare_queue (id bigint primary key, due timestamptz not null, holder uuid, until timestamptz);
create index on bare_queue (due);
"""
_BARE = """
update bare_queue set holder = $1, until = now() + interval '10 seconds', due = 'infinity'
where id in (select id from bare_queue where due <= now() order by due limit $2 for update skip locked)
returning id
"""
# Containers that are as they are wanted, each with an address, and that nobody looks at now.
_SETTLED = """
insert into containers (owner, customer_id, kind, name, spec, guest, connection, provisioned_at, wake_at, address)
select gen_random_uuid(), $1, 'dev', 'settled-' || number, '{"runtimes": []}', 'running', 'online', now(),
    now() + interval '10 years', '127.64.0.1'::inet + number
from generate_series($2::integer + 1, $3::integer) as number
"""


async def claims(run: Run) -> list[Row]:
    """Claims of due containers, one and eight connections, one at a time and sixteen, until none is left."""
    api = RealApi.make(run)
    rows: list[Row] = []
    async with api.database() as connection:
        await connection.execute(_QUEUE)
        for due in run.choose(DUE, DUE[:1]):
            await api.fill(connection, due)
            await connection.execute(
                "insert into bare_queue select number, now() from generate_series(1, $1) as number "
                "on conflict do nothing",
                due,
            )
            for connections, batch in ((1, 1), (8, 1), (1, 16)):
                rows.append(await _claims_of(run, api, connection, due=due, shape=(connections, batch)))
    return rows


async def _claims_of(run: Run, api: RealApi, keeper: asyncpg.Connection, *, due: int, shape: tuple[int, int]) -> Row:
    connections, batch = shape
    name = f"api.claims.{due}.{connections}x{batch}"
    sides = {
        "ours": partial(_claims_per_s, api, keeper, connections, _claim(batch)),
        "bare": partial(_claims_per_s, api, keeper, connections, _claim_bare(batch)),
    }
    samples = await run.side_by_side(name, sides)
    return samples.row(
        name,
        "containers/s",
        peer="bare",
        peer_name="the bare statement on a table of four columns",
        budget=ratio_at_least(0.5),
        note=f"{connections} connections, {batch} at a time, {due} due, all of one customer",
    )


Claimer = Callable[[asyncpg.Connection], Awaitable[int]]


def _claim(batch: int) -> Claimer:
    """Claim as a process does: out of its line, which is made anew where that yields too little."""
    lines: dict[asyncpg.Connection, list[UUID]] = {}

    async def claim(connection: asyncpg.Connection) -> int:
        line = lines.get(connection, [])
        taken = await store.claim(connection, line, holder=HOLDER, limit=batch)
        if len(taken) < batch:
            line = await store.find_due(connection)
            taken += await store.claim(connection, line, holder=HOLDER, limit=batch - len(taken))
        owners = {UUID(each.owner) for each in taken}
        lines[connection] = [owner for owner in line if owner not in owners]
        return len(taken)

    return claim


def _claim_bare(batch: int) -> Claimer:
    async def claim(connection: asyncpg.Connection) -> int:
        return len(await connection.fetch(_BARE, HOLDER, batch))

    return claim


HOLDER = UUID(int=1)


async def _claims_per_s(api: RealApi, keeper: asyncpg.Connection, connections: int, claim: Claimer) -> float:
    """Claim for a while on so many connections; return how many were claimed in a second."""
    await keeper.execute(
        "update containers set wake_at = now(), held_until = '-infinity', lease_until = null where address is null"
    )
    await keeper.execute("update bare_queue set due = now()")
    # What the turn before has left would be passed over again and again.
    await keeper.execute("vacuum analyze containers")
    await keeper.execute("vacuum analyze bare_queue")
    async with AsyncExitStack() as stack:
        opened: list[asyncpg.Connection] = []
        for _ in range(connections):
            opened.append(await asyncpg.connect(api.dsn))
            stack.push_async_callback(opened[-1].close)
            # What a pool's connections have long done: parsed and planned it.
            await claim(opened[-1])
        began = time.perf_counter()

        async def work(connection: asyncpg.Connection) -> int:
            claimed = 0
            while time.perf_counter() - began < CLAIM_S and (found := await claim(connection)):
                claimed += found
            return claimed

        claimed = sum(await asyncio.gather(*map(work, opened)))
        return claimed / (time.perf_counter() - began)


async def provisioning(run: Run) -> list[Row]:
    """200 creates and 200 deletes at once, beside 10 … 10,000 settled containers, with one API process and two."""
    rows: list[Row] = []
    for processes in (1, 2):
        medians: dict[int, float] = {}
        for count in run.choose(COUNTS, COUNTS[:1]):
            samples = Samples()
            async with _provisioners(run, processes) as world:
                await _settle(world, count)
                for turn in range(run.repeat + 1):
                    created, deleted = await _round(world, run.choose(CREATES, 20))
                    run.show(f"api.provisioning.{processes}x{count} {turn}: {created:.3g}, {deleted:.3g}")
                    if turn:
                        samples.add("created", created)
                        samples.add("deleted", deleted)
            name, note = (
                f"api.provisioning.{processes}x{count}",
                f"{processes} processes, {count} settled, driver 10 ms",
            )
            rows.append(samples.alone(f"{name}.create", "containers/s", side="created", budget=at_least(50), note=note))
            rows.append(samples.alone(f"{name}.delete", "containers/s", side="deleted", note=note))
            medians[count] = rows[-2].ours.median if rows[-2].ours else 0.0
        if len(medians) > 1:
            growth = Samples({"ours": [medians[min(medians)] / medians[max(medians)]]})
            rows.append(
                growth.alone(
                    f"api.provisioning.{processes}.growth",
                    "x",
                    budget=at_most(1.25),
                    note=f"time for a create beside {max(medians)} containers, against beside {min(medians)}",
                )
            )
    return rows


@asynccontextmanager
async def _provisioners(run: Run, processes: int) -> AsyncIterator[World]:
    """Run so many API processes for the length of the block; yields what the wishes are written with."""
    api = RealApi.make(run)
    folder = run.fresh_folder("provisioning")
    for name in ("guests", "routes"):
        (folder / name).mkdir()
    async with api.database() as connection, AsyncExitStack() as stack:
        for _ in range(CUSTOMERS):
            await connection.execute("insert into customers values ($1, $2)", uuid4(), f"customer {uuid4()}")
        database = Database(api.dsn)
        stack.push_async_callback(database.close)
        world = World(database, api.dsn, folder, await asyncio.to_thread(Authority, folder / "keys", SystemClock()))
        for _ in range(processes):
            argv = [sys.executable, str(HERE / "provisioner.py"), api.dsn, str(folder)]
            await stack.enter_async_context(running(argv, log=folder / "log"))
        await _wait_ready(folder / "log", processes)
        yield world


async def _wait_ready(log: Path, processes: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while processes and log.read_text().count("ready") < processes:
            await asyncio.sleep(0.05)


async def _settle(world: World, count: int) -> None:
    (customer,) = await world.fetch("select id from customers limit 1")
    await world.fetch(_SETTLED + " returning 1", customer["id"], 0, count)
    await world.fetch("select 1")
    async with world.database.connection() as connection:
        await connection.execute("analyze containers")


async def _round(world: World, count: int) -> tuple[float, float]:
    """Create so many at once and delete them; return how many of each were done in a second."""
    callers = [
        Caller(uuid4(), "bench", False, (Membership(row["id"], "bench", Role.OWNER),), False)
        for row in await world.fetch("select id from customers where name <> 'bench'")
    ]
    wish = convert(NODE, CreateContainer)
    began = time.perf_counter()
    made = await asyncio.gather(
        *(
            world.containers.create(caller.memberships[0].customer_id, wish)
            for caller in (callers[number % len(callers)] for number in range(count))
        )
    )
    await _wait_for(
        world, "select count(*) = 0 from containers where provisioned_at is null or lease_until is not null"
    )
    created = count / (time.perf_counter() - began)
    containers = [await world.containers.find(Vmid(report.vmid)) for report in made]
    began = time.perf_counter()
    await asyncio.gather(*(world.containers.delete(container) for container in containers))
    await _wait_for(world, "select count(*) = 0 from containers where deleting_at is not null")
    deleted = count / (time.perf_counter() - began)
    # Addresses of what is gone rest for a minute, and the block is large.
    return created, deleted


async def _wait_for(world: World, sql: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not (await world.fetch(sql))[0][0]:
            await asyncio.sleep(0.02)


CASES = (
    Case("api.claims", "claims of due containers against the bare statement", claims),
    Case("api.provisioning", "200 creates at once beside 10 … 10,000 containers", provisioning, is_slow=True),
)
