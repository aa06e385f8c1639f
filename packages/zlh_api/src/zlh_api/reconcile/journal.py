"""SQL of the journal: what a worker writes of each step, held against its fence like everything that it writes.

A step that waits is `pending` with the reason of its waiting; one that failed keeps its reason until it is done.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from zlh_api.database.pool import Connection
from zlh_api.reconcile.model import Claim, LeaseLost
from zlh_api.reconcile.store import fenced
from zlh_common.errors import ZlhError

# Steps that belong to neither list (stopping a container that stays) stand behind the others.
LOOSE_STEP_POSITION = 100
MESSAGE_CHARS, OUTPUT_CHARS = 2000, 4096
_DONE = (
    "state = 'done', finished_at = coalesce(finished_at, now()), code = null, message = null, attempts = 0, "
    "next_try_at = null"
)


# One statement, so that a step costs the database two round trips and not nine.
_START = f"""
with held as (
    update containers set owner = owner where owner = $1 and fence = $4 returning owner),
before as (
    update steps set {_DONE}
    where $5 and owner in (select owner from held) and state in ('pending', 'running', 'failed') and name <> $2
    and (position < (select position from steps where owner = $1 and name = $2) or position = $3))
insert into steps as s (owner, position, name, state, started_at)
select owner, $3, $2, 'running', now() from held
on conflict (owner, name) do update set
    started_at = case when s.state = 'running' then s.started_at else now() end, state = 'running',
    -- The reason of a failure stays while it is tried again; that of a wait is over.
    code = case when s.state = 'pending' then null else s.code end,
    message = case when s.state = 'pending' then null else s.message end,
    finished_at = null, next_try_at = null
returning now() - started_at
"""
_FINISH = """
with held as (
    update containers set owner = owner where owner = $1 and fence = $3 returning owner),
finished as (
    update steps set state = 'done', finished_at = now(), code = null, message = null, output = null, attempts = 0,
        next_try_at = null
    where owner in (select owner from held) and name = $2)
select true from held
"""


async def journal_start(connection: Connection, claim: Claim, step: str, *, follows: bool) -> timedelta:
    """Write that a step is under way, and where it `follows` others, that those are done; return for how long it is."""
    elapsed: timedelta | None = await connection.fetchval(
        _START, UUID(claim.owner), step, LOOSE_STEP_POSITION, claim.fence, follows
    )
    if elapsed is None:
        raise LeaseLost(claim.vmid)
    return elapsed


async def journal_done(connection: Connection, claim: Claim, step: str) -> None:
    """Write that a step is done."""
    if await connection.fetchval(_FINISH, UUID(claim.owner), step, claim.fence) is None:
        raise LeaseLost(claim.vmid)


async def journal_failed(
    connection: Connection, claim: Claim, step: str, error: ZlhError, *, next_try_in_s: float
) -> None:
    """Write that a step failed, why, and when it is tried again."""
    await fenced(connection, claim)
    output = error.data.get("output")
    await connection.execute(
        "insert into steps as s (owner, position, name, state, started_at, finished_at, code, message, output, "
        "attempts, next_try_at) "
        "values ($1, $7, $2, 'failed', now(), now(), $3, $4, $5, 1, now() + make_interval(secs => $6)) "
        "on conflict (owner, name) do update set state = 'failed', finished_at = now(), code = excluded.code, "
        "message = excluded.message, output = excluded.output, attempts = s.attempts + 1, "
        "next_try_at = excluded.next_try_at",
        UUID(claim.owner),
        step,
        error.code,
        _sayable(error.detail[:MESSAGE_CHARS]),
        _sayable(output[-OUTPUT_CHARS:]) if output else None,
        next_try_in_s,
        LOOSE_STEP_POSITION,
    )


async def journal_waiting(
    connection: Connection, claim: Claim, step: str, error: ZlhError, *, next_try_in_s: float
) -> None:
    """Write that a step waits, for what, and when it is tried again unless somebody wakes it; that is no failure."""
    await fenced(connection, claim)
    await connection.execute(
        "insert into steps as s (owner, position, name, state, code, message, next_try_at) "
        "values ($1, $6, $2, 'pending', $3, $4, now() + make_interval(secs => $5)) "
        "on conflict (owner, name) do update set state = 'pending', finished_at = null, code = excluded.code, "
        "message = excluded.message, output = null, next_try_at = excluded.next_try_at",
        UUID(claim.owner),
        step,
        error.code,
        _sayable(error.detail[:MESSAGE_CHARS]),
        next_try_in_s,
        LOOSE_STEP_POSITION,
    )


async def journal_settled(connection: Connection, claim: Claim, *, request_id: str | None) -> None:
    """Write that nothing is left to do, and that this request has what it wished; a later one stays."""
    await fenced(connection, claim, "request_id = nullif(request_id, $3)", request_id)
    await connection.execute(
        f"update steps set {_DONE} where owner = $1 and (state in ('running', 'failed') or (state = 'pending' and "
        # What lies ahead of a container that is off stays ahead of it, but it waits for nothing.
        "(code is not null or (select power = 'on' and not suspended from containers where owner = $1))))",
        UUID(claim.owner),
    )


def _sayable(text: str) -> str:
    """Return what a stranger has said as the database can hold it: else his failure could not even be written down."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
