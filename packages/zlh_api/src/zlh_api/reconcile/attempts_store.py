"""SQL of attempts: page by page for whoever asks, and forgotten by count and age.

Each filter has an index in the order of the pages, so a page costs what it shows, however many attempts there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from zlh_api.database.pool import Connection
from zlh_api.reconcile.model import Attempt, Place, WantedAttempts
from zlh_common.schema.step_attempts import AttemptOutcome

# Any number that nothing else locks on: one process prunes at a time.
_PRUNE_LOCK = 7_205_759_426
PRUNE_ROWS = 5_000
# Counted, and not told by numbers: of those many are of few containers, and gone already.
_PRUNE = """
with beyond as (select at, number from step_attempts order by at desc, number desc offset $2 limit 1),
oldest as (select at, number from step_attempts order by at, number limit $3)
delete from step_attempts a using oldest o
where a.at = o.at and a.number = o.number
    and (o.at < now() - $1::interval or (o.at, o.number) <= (select at, number from beyond))
"""
# Those of containers that are gone first: whoever makes and deletes them again and again pushes out his own.
_PRUNE_GONE = """
with beyond as (
    select at, number from step_attempts a where not exists (select from containers c where c.owner = a.owner)
    order by at, number limit greatest(0, least($2, (select count(*) from step_attempts) - $1)))
delete from step_attempts a using beyond b where a.at = b.at and a.number = b.number
"""
_PRUNE_EACH = """
with many as (select vmid from step_attempts group by vmid having count(*) > $1),
beyond as (
    select b.at, b.number from many m cross join lateral (
        select at, number from step_attempts where vmid = m.vmid order by at desc, number desc offset $1 limit $2) b
    limit $2)
delete from step_attempts a using beyond b where a.at = b.at and a.number = b.number
"""


def render_page(wanted: WantedAttempts) -> tuple[str, list[Any]]:
    """Return the query of a page and its values."""
    values: list[Any] = []
    conditions: list[str] = []

    def hold(condition: str, *given: Any) -> None:
        numbers = range(len(values) + 1, len(values) + 1 + len(given))
        conditions.append(condition.format(*(f"${number}" for number in numbers)))
        values.extend(given)

    if wanted.before is not None:
        hold("(at, number) < ({}, {})", wanted.before.at, wanted.before.number)
    if wanted.since is not None:
        hold("at >= {}", wanted.since)
    if wanted.vmid is not None:
        hold("vmid = {}", wanted.vmid)
    if wanted.step is not None:
        hold("step = {}", wanted.step)
    if wanted.code is not None:
        hold("code = {}", wanted.code)
    if wanted.outcome is not None:
        # In the text of the query, as in that of the indexes that hold these alone.
        hold(f"outcome = '{wanted.outcome.value}' and outcome <> 'done'" if _is_rare(wanted) else "outcome = 'done'")
    where = f"where {' and '.join(conditions)}" if conditions else ""
    values.append(wanted.limit)
    query = (
        f"select a.*, c.name, c.customer_id from (select * from step_attempts {where} "
        f"order by at desc, number desc limit ${len(values)}) a left join containers c using (owner) "
        "order by a.at desc, a.number desc"
    )
    return query, values


def _is_rare(wanted: WantedAttempts) -> bool:
    return wanted.outcome is not AttemptOutcome.DONE


async def fetch_page(connection: Connection, wanted: WantedAttempts) -> Sequence[Attempt]:
    """Return attempts, the newest first."""
    query, values = render_page(wanted)
    return [_to_attempt(row) for row in await connection.fetch(query, *values)]


async def prune(connection: Connection, *, age: timedelta, most: int, most_each: int) -> int:
    """Delete some of what is beyond what is kept; return of how many rows, 0 where another process is at it.

    Inside a transaction.
    """
    if not await connection.fetchval("select pg_try_advisory_xact_lock($1)", _PRUNE_LOCK):
        return 0
    # First what is too much of one container, which must not count where all are counted.
    of_each = await connection.execute(_PRUNE_EACH, most_each, PRUNE_ROWS)
    if pruned := int(of_each.split()[1]):
        return pruned
    of_gone = await connection.execute(_PRUNE_GONE, most, PRUNE_ROWS)
    if pruned := int(of_gone.split()[1]):
        return pruned
    done = await connection.execute(_PRUNE, age, most, PRUNE_ROWS)
    return int(done.split()[1])


def _to_attempt(row: Any) -> Attempt:
    return Attempt(
        place=Place(row["at"], row["number"]),
        vmid=row["vmid"],
        name=row["name"],
        customer_id=None if row["customer_id"] is None else str(row["customer_id"]),
        step=row["step"],
        attempt=row["attempt"],
        outcome=AttemptOutcome(row["outcome"]),
        code=row["code"],
        reason=row["reason"],
        duration_ms=row["duration_ms"],
    )
