"""SQL of the journal: what a worker writes of each step, held against its fence like everything that it writes.

A step that waits is `pending` with the reason of its waiting; one that failed keeps its reason until it is done. The
same statement that writes how a try ended keeps it as an attempt, which the next try does not write over.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from zlh_api.database.pool import Connection
from zlh_api.database.texts import storable
from zlh_api.reconcile.model import Claim, LeaseLost
from zlh_api.reconcile.store import fenced
from zlh_common.errors import ZlhError

# Steps that belong to neither list (stopping a container that stays) stand behind the others.
LOOSE_STEP_POSITION = 100
MESSAGE_CHARS, OUTPUT_CHARS, REASON_CHARS = 2000, 4096, 500
_DONE = (
    "state = 'done', finished_at = coalesce(finished_at, now()), code = null, message = null, attempts = 0, "
    "next_try_at = null"
)


# What is written of one that is over without having failed: the columns of `ended` to those of an attempt.
_KEEP_DONE = """
insert into step_attempts (owner, vmid, step, attempt, outcome, duration_ms)
select $1, (select vmid from held), name, attempts + 1, 'done', took_ms from ended
where state in ('running', 'failed') or code is not null
"""
_ENDED = """
select name, state, code, attempts,
    case when state = 'running' then (extract(epoch from clock_timestamp() - started_at) * 1000)::bigint end as took_ms
from steps
"""
# One statement, so that a step costs the database two round trips and not nine.
_START = f"""
with held as (
    update containers set owner = owner where owner = $1 and fence = $4 returning owner, vmid),
ended as (
    {_ENDED}
    where $5 and owner in (select owner from held) and state in ('pending', 'running', 'failed') and name <> $2
    and (position < (select position from steps where owner = $1 and name = $2) or position = $3)),
before as (update steps set {_DONE} where owner = $1 and name in (select name from ended)),
kept as ({_KEEP_DONE})
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
_FINISH = f"""
with held as (
    update containers set owner = owner where owner = $1 and fence = $3 returning owner, vmid),
ended as ({_ENDED} where owner in (select owner from held) and name = $2 and state <> 'done'),
kept as ({_KEEP_DONE}),
finished as (
    update steps set state = 'done', finished_at = now(), code = null, message = null, output = null, attempts = 0,
        next_try_at = null
    where owner in (select owner from held) and name = $2)
select true from held
"""
_FAIL = f"""
with ended as ({_ENDED} where owner = $1 and name = $2),
kept as (
    insert into step_attempts (owner, vmid, step, attempt, outcome, code, reason, duration_ms)
    select $1, $8, $2, coalesce((select attempts from ended), 0) + 1, 'failed', $3, left($4, {REASON_CHARS}),
        (select took_ms from ended))
insert into steps as s (owner, position, name, state, started_at, finished_at, code, message, output, attempts,
    next_try_at)
values ($1, $7, $2, 'failed', now(), now(), $3, $4, $5, 1, now() + make_interval(secs => $6))
on conflict (owner, name) do update set state = 'failed', finished_at = now(), code = excluded.code,
    message = excluded.message, output = excluded.output, attempts = s.attempts + 1,
    next_try_at = excluded.next_try_at
"""
# Whoever waits asks again and again; that is one wait, and is told once.
_WAIT = f"""
with ended as ({_ENDED} where owner = $1 and name = $2),
last as (select owner, step, outcome, code from step_attempts where vmid = $7 order by at desc, number desc limit 1),
kept as (
    insert into step_attempts (owner, vmid, step, attempt, outcome, code, reason)
    select $1, $7, $2, coalesce((select attempts from ended), 0) + 1, 'waited', $3, left($4, {REASON_CHARS})
    where not exists (select from last where owner = $1 and step = $2 and outcome = 'waited' and code = $3))
insert into steps as s (owner, position, name, state, code, message, next_try_at)
values ($1, $6, $2, 'pending', $3, $4, now() + make_interval(secs => $5))
on conflict (owner, name) do update set state = 'pending', finished_at = null, code = excluded.code,
    message = excluded.message, output = null, next_try_at = excluded.next_try_at
"""
_SETTLE = f"""
with held as (select owner, vmid from containers where owner = $1),
ended as (
    {_ENDED} where owner = $1 and (state in ('running', 'failed') or (state = 'pending' and
        -- What lies ahead of a container that is off stays ahead of it, but it waits for nothing.
        (code is not null or (select power = 'on' and not suspended from containers where owner = $1))))),
kept as ({_KEEP_DONE})
update steps set {_DONE} where owner = $1 and name in (select name from ended)
"""
_KEEP_LAST = f"""
with held as (select owner, vmid from containers where owner = $1 and fence = $2),
ended as ({_ENDED} where owner in (select owner from held) and state = 'running')
{_KEEP_DONE}
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
        _FAIL,
        UUID(claim.owner),
        step,
        error.code,
        storable(error.detail[:MESSAGE_CHARS]),
        storable(output[-OUTPUT_CHARS:]) if output else None,
        next_try_in_s,
        LOOSE_STEP_POSITION,
        claim.vmid,
    )


async def journal_waiting(
    connection: Connection, claim: Claim, step: str, error: ZlhError, *, next_try_in_s: float
) -> None:
    """Write that a step waits, for what, and when it is tried again unless somebody wakes it; that is no failure."""
    await fenced(connection, claim)
    await connection.execute(
        _WAIT,
        UUID(claim.owner),
        step,
        error.code,
        storable(error.detail[:MESSAGE_CHARS]),
        next_try_in_s,
        LOOSE_STEP_POSITION,
        claim.vmid,
    )


async def journal_settled(connection: Connection, claim: Claim, *, request_id: str | None) -> None:
    """Write that nothing is left to do, and that this request has what it wished; a later one stays."""
    await fenced(connection, claim, "request_id = nullif(request_id, $3)", request_id)
    await connection.execute(_SETTLE, UUID(claim.owner))


async def journal_forgotten(connection: Connection, claim: Claim) -> None:
    """Keep that the last step of all is done, before its container's row takes all steps along."""
    await connection.execute(_KEEP_LAST, UUID(claim.owner), claim.fence)
