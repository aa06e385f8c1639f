"""What a page of the journal of steps costs, and forgetting what is too much, however many tries there are."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial

import asyncpg

from bench.measure import Case, Row, Run, at_most
from bench.real_api import RealApi
from zlh_api.database.pool import Database
from zlh_api.reconcile import attempts_store
from zlh_api.reconcile.model import WantedAttempts
from zlh_common.names import Vmid
from zlh_common.schema.step_attempts import AttemptOutcome

TRIES = (1_000_000, 60_000)
PAGE = 50
# Of 500 containers; one try in three hundred failed.
_FILL = """
insert into step_attempts (at, owner, vmid, step, attempt, outcome, code)
select now() - make_interval(secs => $1::int - n), gen_random_uuid(), 101 + n % 500, 'step-' || n % 20, 1,
    case when n % 300 = 0 then 'failed' else 'done' end, case when n % 300 = 0 then 'code_' || n % 7 end
from generate_series(1, $1::int) as n
"""


async def _page_ms(database: Database, wanted: WantedAttempts) -> float:
    began = time.perf_counter()
    async with database.connection() as connection:
        found = await attempts_store.fetch_page(connection, wanted)
    assert len(found) == PAGE
    return (time.perf_counter() - began) * 1e3


async def _slice_ms(database: Database, most: int) -> float:
    """Forget one slice of what is beyond `most`; it is put back afterwards."""
    began = time.perf_counter()
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        pruned = await attempts_store.prune(connection, age=timedelta(days=365), most=most, most_each=most)
        took = (time.perf_counter() - began) * 1e3
        await transaction.rollback()
    assert pruned
    return took


async def journal(run: Run) -> list[Row]:
    """Read pages by each filter from a full journal, and forget a slice of it."""
    tries, api = run.choose(*TRIES), RealApi.make(run)
    async with api.database():
        database = Database(api.dsn)
        connection = await asyncpg.connect(api.dsn)
        try:
            await connection.execute(_FILL, tries)
            await connection.execute("analyze")
            wanted = {
                "all": WantedAttempts(limit=PAGE),
                "container": WantedAttempts(limit=PAGE, vmid=Vmid(321)),
                "failed": WantedAttempts(limit=PAGE, outcome=AttemptOutcome.FAILED),
            }
            pages = {name: partial(_page_ms, database, each) for name, each in wanted.items()}
            sides = {**pages, "forget": partial(_slice_ms, database, tries - 6_000)}
            samples = await run.side_by_side("journal", sides)
        finally:
            await connection.close()
            await database.close()
    note = f"{tries:,} tries of 500 containers"
    return [
        *(
            samples.alone(f"journal.{name}", "ms", side=name, budget=at_most(50), note=f"a page of {PAGE}; {note}")
            for name in wanted
        ),
        samples.alone("journal.forget", "ms", side="forget", budget=at_most(2000), note=f"5,000 at once; {note}"),
    ]


CASES = (Case("journal", "a page of the journal of steps, and forgetting", journal),)
