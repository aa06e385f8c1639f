"""The audit log: what it adds to a call that changes something, and how many acts a second it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID, uuid4

from bench.api import Target, ask_as_fast_as_can_be, ask_one_by_one
from bench.measure import Case, Row, Run, Samples, percentile
from bench.programs import HERE
from bench.real_api import RealApi
from zlh_api.audit_log.model import Act, Ending, Who
from zlh_api.audit_log.service import AuditLog
from zlh_api.database.pool import Database
from zlh_common.clock import SystemClock
from zlh_common.schema.audit_log import Outcome

# So many acts are under way at a time.
AT_ONCE = 32
CHAINS = (1, 100)
DONE = Ending(Outcome.DONE, 202)
# What an act writes, without the chain: it begins, and it ends.
_BEGIN = """
insert into acts_begun (id, holder, chain, act, email, by_token, subject, request_id, address, details)
values ($1, $1, $2, 'container.start', 'a@example.org', true, 'container 101', 'r', '192.0.2.1', '{"name": "mine"}')
"""
_END = """
with begun as (delete from acts_begun where id = $1)
insert into audit_entries (chain, number, at, act, outcome, email, by_token, subject, status, request_id, address,
                           details, hash)
values ($2, $3, now(), 'container.start', 'done', 'a@example.org', true, 'container 101', 202, 'r', '192.0.2.1',
        '{"name": "mine"}', sha256('x'))
"""


async def calls(run: Run) -> list[Row]:
    """POST …/start with and without a record: alone, and as fast as four clients ask."""
    ours = RealApi.make(run)
    samples = Samples()
    async with ours.database() as connection:
        await ours.fill(connection, 10)
        vmid = await connection.fetchval("select min(vmid) from containers")
        bare = RealApi(run.fresh_folder("api"), ours.keys, dsn=ours.dsn, program=(str(HERE / "unrecorded_api.py"),))
        bare.folder.chmod(0o711)
        async with ours.started(), bare.started():
            seconds = run.choose(3.0, 0.3)

            async def measure(side: str, api: RealApi) -> float:
                target = Target(api.port, f"/api/containers/{vmid}/start", "POST")
                alone = await ask_one_by_one(target, seconds)
                samples.add(f"{side}-p50", percentile(alone, 0.5))
                samples.add(f"{side}-p99", percentile(alone, 0.99))
                rate, _ = await ask_as_fast_as_can_be(target, seconds)
                return rate

            sides = {"ours": partial(measure, "ours", ours), "peer": partial(measure, "peer", bare)}
            rates = await run.side_by_side("api.audit-log", sides, warm_up=False)
    peer_name = "the same call without a record"
    return [
        samples.row("api.audit-log.call.p50", "ms", side="ours-p50", peer="peer-p50", peer_name=peer_name),
        samples.row("api.audit-log.call.p99", "ms", side="ours-p99", peer="peer-p99", peer_name=peer_name),
        rates.row("api.audit-log.call.rate", "calls/s", peer="peer", peer_name=peer_name, note="four clients"),
    ]


async def appends(run: Run) -> list[Row]:
    """Acts that begin and end, on one chain and on a hundred, against the same rows without a chain."""
    api, rows = RealApi.make(run), []
    async with api.database():
        database = Database(api.dsn)
        log = AuditLog(database, SystemClock())
        try:
            for chains in CHAINS:
                name = f"api.audit-log.appends.{chains}"
                sides = {
                    "ours": partial(_per_s, run, partial(_record, log, chains)),
                    "peer": partial(_per_s, run, partial(_write_bare, database, chains)),
                }
                samples = await run.side_by_side(name, sides)
                note = f"{AT_ONCE} at a time on {chains} chain{'s' if chains > 1 else ''}"
                rows.append(samples.row(name, "acts/s", peer="peer", peer_name="the rows without a chain", note=note))
        finally:
            await database.close()
    return rows


async def _per_s(run: Run, one: Callable[[int], Awaitable[None]]) -> float:
    """Return how many of something are done in a second."""
    until, count = time.perf_counter() + run.choose(2.0, 0.3), 0

    async def work(worker: int) -> None:
        nonlocal count
        number = worker
        while time.perf_counter() < until:
            await one(number)
            number += AT_ONCE
            count += 1

    began = time.perf_counter()
    await asyncio.gather(*(work(worker) for worker in range(AT_ONCE)))
    return count / (time.perf_counter() - began)


async def _record(log: AuditLog, chains: int, number: int) -> None:
    begun = uuid4()
    act = Act(
        "container.start",
        Who(None, "a@example.org", None, by_token=True),
        UUID(int=1 + number % chains),
        "container 101",
        "r",
        "192.0.2.1",
        {"name": "mine"},
    )
    await log.begin(begun, act)
    await log.finish(begun, act, DONE)


async def _write_bare(database: Database, chains: int, number: int) -> None:
    begun = uuid4()
    async with database.connection() as connection:
        await connection.execute(_BEGIN, begun, UUID(int=1 + number % chains))
    async with database.transaction() as connection:
        await connection.execute(_END, begun, begun, 1)


CASES = (
    Case("api.audit-log.call", "what the audit log adds to a call that changes something", calls),
    Case("api.audit-log.appends", "acts a second on one chain and on a hundred", appends),
)
