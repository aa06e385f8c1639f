"""SQL of roll-outs. Whoever moves one on locks its row first; whatever an agent has told is read as text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from zlh_api.database.pool import Connection
from zlh_api.database.texts import storable
from zlh_api.rollouts.model import Candidate, Order, Outcome, RolloutRow, Sight, Told, Verdict, WaveCount
from zlh_common.errors import InvalidBody
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.agent_update import AgentUpdate
from zlh_common.schema.rollouts import MemberState, RolloutState, StartRollout
from zlh_common.schema.structs import convert, encode

# Longer than any call to an agent lasts; one that was not answered is made again then.
CALL_LEASE_S = 20
# One that is busy is looked at again after so long; nobody's wave waits for it.
BUSY_S = 15
# Who was heard within this time is waited for, as long as its wave has not gone on for longer than the second.
AWAITED_S, WAVE_S = 600, 1800
_MAX_PROTOCOL = 1_000_000
# Agents take what has a higher attempt than they know of the same version: those of one roll-out lie above those of all
# before it, also where a database came back from a backup.
TRIES = 1000

# A report is a stranger's, and may be as long as he likes: no more of it is read than anybody needs.
_FACTS = """
    c.owner, c.vmid, coalesce(c.name, '') as name, left(c.agent_status->>'agentVersion', 64) as version,
    left(c.agent_status->>'protocolVersion', 10) as protocol,
    left(c.agent_status->'agent'->>'fixedBecause', 300) as fixed_because,
    (c.guest = 'running' and c.connection = 'online') as is_online
"""
_UPDATE = """
    case when jsonb_typeof(c.agent_status->'agent'->'update') = 'object' then jsonb_build_object(
        'version', left(c.agent_status->'agent'->'update'->>'version', 128), 'before', '',
        'state', left(c.agent_status->'agent'->'update'->>'state', 32),
        'startedAt', left(c.agent_status->'agent'->'update'->>'startedAt', 64),
        'attempt', case when c.agent_status->'agent'->'update'->>'attempt' ~ '^[0-9]{1,18}$'
            then (c.agent_status->'agent'->'update'->>'attempt')::bigint else -1 end,
        'exitCode', case when c.agent_status->'agent'->'update'->>'exitCode' ~ '^-?[0-9]{1,9}$'
            then (c.agent_status->'agent'->'update'->>'exitCode')::bigint end,
        'code', left(c.agent_status->'agent'->'update'->>'code', 64),
        'message', left(c.agent_status->'agent'->'update'->>'message', 1000),
        'output', right(c.agent_status->'agent'->'update'->>'output', 4096)) end as update
"""
_UP = "(c.guest = 'running' and c.deleting_at is null and not c.suspended and c.provisioned_at is not null)"
# The guest of a game container is up whatever is wanted of its server.
_WANTED = "((c.power = 'on' or c.game is not null) and not c.suspended and c.deleting_at is null)"
_BUSY = """(c.restart_done < c.restart_wanted
    or c.agent_status->>'observedGeneration' is distinct from c.spec_generation::text)"""
_READY = f"({_UP} and c.connection = 'online' and (m.not_before is null or m.not_before <= now()))"
# Who was busy when it was his turn has his time still, and nobody's wave waits for him any more.
_FRESH = f"({_READY} and m.not_before is null)"
_AWAITED = f"""({_UP} and c.connection <> 'online' and m.not_before is null
    and c.observed_at > now() - interval '{AWAITED_S} seconds'
    and r.wave_since > now() - interval '{WAVE_S} seconds')"""
_FLEET = f"""
select {_FACTS} from containers c
where c.deleting_at is null and c.agent_status is not null order by c.vmid
"""
_NEWCOMERS = f"""
select {_FACTS} from containers c
where c.deleting_at is null and c.agent_status is not null and c.agent_status->>'agentVersion' <> $2
  and not exists (select from rollout_members m where m.rollout = $1 and m.owner = c.owner)
"""
_INSERT_MEMBERS = f"""
insert into rollout_members (rollout, attempt, owner, wave, place, before, state, message)
select r.id, floor(extract(epoch from r.created_at) * 1000)::bigint * {TRIES}, x.*
from unnest($2::uuid[], $3::integer[], $4::integer[], $5::text[], $6::text[], $7::text[])
    as x(owner, wave, place, before, state, message)
join rollouts r on r.id = $1
join containers c on c.owner = x.owner for key share of c
on conflict do nothing
"""
_COUNTS = f"""
select m.wave,
  count(*) filter (where m.state = 'waiting' and {_READY}) as ready,
  count(*) filter (where m.state = 'waiting' and {_FRESH}) as fresh,
  count(*) filter (where m.state = 'waiting' and not {_READY} and {_AWAITED}) as awaited,
  count(*) filter (where m.state = 'waiting' and not {_READY} and {_AWAITED} is not true) as absent,
  count(*) filter (where m.state in ('updating', 'proving')) as under_way,
  count(*) filter (where m.state = 'updated') as updated,
  count(*) filter (where m.state in ('failed', 'undone') and not m.is_accepted) as failed,
  count(*) filter (where m.state in ('failed', 'undone') and m.is_accepted) as accepted,
  count(*) filter (where m.state in ('too_old', 'fixed')) as unable
from rollout_members m join containers c using (owner) join rollouts r on r.id = m.rollout
where m.rollout = $1 group by m.wave
"""
_UNDER_WAY = f"""
select {_FACTS}, {_UPDATE}, {_WANTED} as is_wanted, {_BUSY} as is_busy,
    m.state, m.attempt, m.patient_from, m.silent_since, m.call_at
from rollout_members m join containers c using (owner)
where m.rollout = $1 and m.state in ('updating', 'proving') for no key update of m
"""
_NEXT = f"""
select {_FACTS}, {_UPDATE}, {_WANTED} as is_wanted, {_BUSY} as is_busy
from rollout_members m join containers c using (owner)
where m.rollout = $1 and m.state = 'waiting' and m.wave <= $2 and {_READY}
order by m.wave, m.place limit $3 for no key update of m skip locked
"""
# Whoever is switched off on the way has his turn behind all others: one who is again and again must hold up nobody.
_SAVE = """
update rollout_members set state = $3, code = $4, message = $5, exit_code = $6, output = $7, silent_since = $8,
    changed_at = case when state <> $3 then now() else changed_at end,
    not_before = case when $3 = 'waiting' then now() else not_before end,
    wave = case when $3 = 'waiting' and wave > 0
        then (select max(wave) from rollout_members where rollout = $1) else wave end,
    call_at = case when $3 in ('updating', 'proving') then call_at end
where rollout = $1 and owner = $2
"""
_TELL = """
update rollout_members set state = 'updating', told_at = now(), patient_from = now(), changed_at = now(),
    call_at = now(), silent_since = null, code = null, message = null, exit_code = null, output = null
where rollout = $1 and owner = any($2::uuid[])
"""
_TAKE_CALLS = f"""
with taken as (
    update rollout_members set call_at = now() + interval '{CALL_LEASE_S} seconds'
    where rollout = $1 and owner in (
        select owner from rollout_members where rollout = $1 and state = 'updating' and call_at <= now()
        for no key update skip locked)
    returning owner, attempt)
select t.owner, t.attempt, host(c.address) as address from taken t join containers c using (owner)
where c.address is not null and c.guest = 'running'
"""
_REFRESH_UNABLE = """
update rollout_members m set state = 'waiting', changed_at = now(), message = null,
    before = coalesce(left(c.agent_status->>'agentVersion', 64), before)
from containers c where m.rollout = $1 and c.owner = m.owner and m.state in ('too_old', 'fixed')
  and left(c.agent_status->>'agentVersion', 64) is distinct from m.before
"""
_SWAP_CANARY = f"""
with other as (
    select m.owner, m.wave from rollout_members m join containers c using (owner)
    where m.rollout = $1 and m.wave > 0 and m.state = 'waiting' and {_READY} order by m.wave, m.place limit 1),
back as (
    update rollout_members set wave = (select wave from other)
    where rollout = $1 and wave = 0 and exists (select from other))
update rollout_members set wave = 0 where rollout = $1 and owner in (select owner from other)
"""
_MEMBERS = """
select c.vmid, coalesce(c.name, '') as name, m.*, (m.state not in ('failed', 'undone'))::int as rank
from rollout_members m join containers c using (owner)
where m.rollout = $1 and ($2::text is null or m.state = $2)
  and ((m.state not in ('failed', 'undone'))::int, m.wave, m.place, c.vmid) > ($3, $4, $5, $6)
order by rank, m.wave, m.place, c.vmid limit $7
"""


async def fetch_now(connection: Connection) -> datetime:
    """Return the database's time."""
    now: datetime = await connection.fetchval("select now()")
    return now


async def take_turn(connection: Connection) -> None:
    """Have others wait who begin one, until the transaction ends: before the very first there is no row to lock."""
    await connection.execute("select pg_advisory_xact_lock(hashtextextended('rollouts', 0))")


async def fetch_fleet(connection: Connection) -> list[Candidate]:
    """Return the containers whose agents have told anything, in the order of their numbers."""
    return [_candidate(row) for row in await connection.fetch(_FLEET)]


async def fetch_newcomers(connection: Connection, going: RolloutRow) -> list[Candidate]:
    """Return the containers of another version that are none of its members."""
    return [_candidate(row) for row in await connection.fetch(_NEWCOMERS, going.id, going.version)]


async def insert(connection: Connection, *, rollout: UUID, wish: StartRollout, started_by: str) -> None:
    """Write a new one; whichever was before it tells nobody any more."""
    await connection.execute(
        "update rollouts set state = 'superseded', finished_at = now(), reason = null "
        "where state in ('running', 'paused', 'halted', 'done')"
    )
    await connection.execute(
        "insert into rollouts (id, version, state, wish, started_by) values ($1, $2, 'running', $3, $4)",
        rollout,
        wish.version,
        msgspec.json.decode(encode(wish)),
        started_by,
    )


async def insert_members(
    connection: Connection, rollout: UUID, members: Sequence[tuple[Candidate, int, MemberState]]
) -> None:
    """Write members with their waves and states, in the order of their turns; who is one already stays as it is."""
    await connection.execute(
        _INSERT_MEMBERS,
        rollout,
        [UUID(each.owner) for each, _, _ in members],
        [wave for _, wave, _ in members],
        list(range(len(members))),
        [each.version for each, _, _ in members],
        [state.value for _, _, state in members],
        [each.fixed_because for each, _, _ in members],
    )


async def fetch_newest(connection: Connection, *, only_due: bool = False) -> RolloutRow | None:
    """Return the newest one and keep others from moving it; with `only_due` None where another is at it, or none is."""
    condition = "and due_at <= now()" if only_due else ""
    row = await connection.fetchrow(
        f"select * from rollouts where number = (select max(number) from rollouts) {condition} "
        f"for no key update {'skip locked' if only_due else ''}"
    )
    return None if row is None else _going(row)


async def find(connection: Connection, rollout: UUID, *, for_update: bool = False) -> RolloutRow | None:
    """Return one, or None."""
    lock = " for no key update" if for_update else ""
    row = await connection.fetchrow(f"select * from rollouts where id = $1{lock}", rollout)
    return None if row is None else _going(row)


async def fetch_all(connection: Connection, *, limit: int, before: int | None = None) -> list[tuple[int, RolloutRow]]:
    """Return the newest ones first, each with its number."""
    rows = await connection.fetch(
        "select * from rollouts where $2::bigint is null or number < $2 order by number desc limit $1", limit, before
    )
    return [(row["number"], _going(row)) for row in rows]


async def fetch_counts(connection: Connection, rollout: UUID) -> dict[int, WaveCount]:
    """Return how the members of each wave are."""
    rows = await connection.fetch(_COUNTS, rollout)
    return {row["wave"]: WaveCount(**dict(row)) for row in rows}


async def fetch_states(connection: Connection, rollout: UUID) -> dict[int, dict[str, int]]:
    """Return how many members of each wave are in which state."""
    found: dict[int, dict[str, int]] = {}
    for row in await connection.fetch(
        "select wave, state, count(*) as members from rollout_members where rollout = $1 group by 1, 2 order by 1, 2",
        rollout,
    ):
        found.setdefault(row["wave"], {})[row["state"]] = row["members"]
    return found


async def fetch_under_way(connection: Connection, rollout: UUID) -> list[tuple[Told, Sight]]:
    """Return who was told and has come to no end, with what is seen of each."""
    rows = await connection.fetch(_UNDER_WAY, rollout)
    return [
        (
            Told(
                OwnerMark(str(row["owner"])), MemberState(row["state"]), row["attempt"], row["patient_from"],
                row["silent_since"], has_answered=row["call_at"] is None,
            ),
            _sight(row),
        )
        for row in rows
    ]  # fmt: skip


async def fetch_next(connection: Connection, going: RolloutRow, *, limit: int) -> list[tuple[OwnerMark, Sight]]:
    """Return whose turn it is of the waves that have begun, with what is seen of each."""
    rows = await connection.fetch(_NEXT, going.id, going.wave, limit)
    return [(OwnerMark(str(row["owner"])), _sight(row)) for row in rows]


async def save_outcome(connection: Connection, rollout: UUID, owner: OwnerMark, outcome: Outcome) -> None:
    """Write where a member stands."""
    code, message, output = (text and storable(text) for text in (outcome.code, outcome.message, outcome.output))
    told = (code, message, outcome.exit_code, output, outcome.silent_since)
    await connection.execute(_SAVE, rollout, UUID(owner), outcome.state.value, *told)


async def put_off(connection: Connection, rollout: UUID, owners: Sequence[OwnerMark]) -> None:
    """Write that these are busy, and looked at later."""
    await connection.execute(
        f"update rollout_members set not_before = now() + interval '{BUSY_S} seconds' "
        "where rollout = $1 and owner = any($2::uuid[])",
        rollout,
        [UUID(owner) for owner in owners],
    )


async def tell(connection: Connection, rollout: UUID, owners: Sequence[OwnerMark]) -> None:
    """Write that these are told: whoever takes their calls tells them."""
    await connection.execute(_TELL, rollout, [UUID(owner) for owner in owners])


async def take_calls(connection: Connection, going: RolloutRow) -> list[Order]:
    """Take the calls that are due; one that is not answered is due again once its time is over."""
    return [
        Order(going.id, OwnerMark(str(row["owner"])), row["address"], going.version, row["attempt"])
        for row in await connection.fetch(_TAKE_CALLS, going.id)
    ]


async def note_answer(connection: Connection, order: Order) -> None:
    """Write that an agent was told and will do so."""
    await connection.execute(
        "update rollout_members set call_at = null where rollout = $1 and owner = $2 and attempt = $3",
        order.rollout,
        UUID(order.owner),
        order.attempt,
    )


async def is_still_ordered(connection: Connection, order: Order) -> bool:
    """Tell whether a member still is to be told this, and keep it so."""
    return bool(
        await connection.fetchval(
            "select true from rollout_members where rollout = $1 and owner = $2 and attempt = $3 "
            "and state = 'updating' and call_at is not null for no key update",
            order.rollout,
            UUID(order.owner),
            order.attempt,
        )
    )


async def may_call(connection: Connection, order: Order) -> bool:
    """Tell whether an agent still is to be told this: a person can have stopped it since the call was taken."""
    return bool(
        await connection.fetchval(
            "select true from rollout_members m join rollouts r on r.id = m.rollout where m.rollout = $1 "
            "and m.owner = $2 and m.attempt = $3 and m.state = 'updating' and m.call_at is not null "
            "and r.state in ('running', 'done')",
            order.rollout,
            UUID(order.owner),
            order.attempt,
        )
    )


async def count_times_anew(connection: Connection, rollout: UUID) -> None:
    """Write that nobody has looked for a while, so that nobody is late yet."""
    await connection.execute(
        "update rollout_members set patient_from = now(), silent_since = null "
        "where rollout = $1 and state in ('updating', 'proving')",
        rollout,
    )


async def refresh_unable(connection: Connection, rollout: UUID) -> None:
    """Have those looked at anew that could not be told and have another agent by now."""
    await connection.execute(_REFRESH_UNABLE, rollout)


async def swap_canary(connection: Connection, rollout: UUID) -> None:
    """Have another one come first in place of those that were to; nothing changes where nobody can."""
    await connection.execute(_SWAP_CANARY, rollout)


async def save_verdict(connection: Connection, going: RolloutRow, verdict: Verdict, *, due_in_s: float | None) -> None:
    """Write what follows, and when it is looked at again; None means when it is changed."""
    await connection.execute(
        "update rollouts set looked_at = now(), due_at = coalesce(now() + make_interval(secs => $2), 'infinity') "
        "where id = $1",
        going.id,
        due_in_s,
    )
    if (verdict.state, verdict.wave, verdict.through_at, verdict.reason) != (
        going.state, going.wave, going.through_at, going.reason,
    ):  # fmt: skip
        await connection.execute(
            "update rollouts set state = $2, wave = $3, through_at = $4, reason = $5, finished_at = case "
            "when $2 = 'done' then coalesce(finished_at, now()) end, "
            "wave_since = case when wave = $3 then wave_since else now() end where id = $1",
            going.id,
            verdict.state.value,
            verdict.wave,
            verdict.through_at,
            verdict.reason,
        )


async def note_swept(connection: Connection, rollout: UUID) -> None:
    """Write that newcomers were looked for."""
    await connection.execute("update rollouts set swept_at = now() where id = $1", rollout)


async def set_state(connection: Connection, going: RolloutRow, state: RolloutState) -> None:
    """Write a person's decision."""
    await connection.execute(
        "update rollouts set state = $2, reason = null, due_at = now(), through_at = null, wave_since = now(), "
        "finished_at = case when $2 = 'cancelled' then now() end where id = $1",
        going.id,
        state.value,
    )


async def accept_failures(connection: Connection, rollout: UUID) -> None:
    """Write that a person has seen who failed, and goes on."""
    await connection.execute(
        "update rollout_members set is_accepted = true where rollout = $1 and state in ('failed', 'undone')", rollout
    )


async def take_back(connection: Connection, rollout: UUID) -> None:
    """Have those wait again that were not reached yet: nobody calls them any more."""
    await connection.execute(
        "update rollout_members set state = 'waiting', call_at = null, changed_at = now() "
        "where rollout = $1 and state = 'updating' and call_at is not null",
        rollout,
    )


async def try_failed_again(connection: Connection, rollout: UUID) -> int:
    """Have those that failed wait for another attempt; return how many."""
    done = await connection.execute(
        "update rollout_members set state = 'waiting', attempt = attempt + 1, is_accepted = false, changed_at = now(), "
        "not_before = null where rollout = $1 and state in ('failed', 'undone')",
        rollout,
    )
    return int(done.split()[-1])


async def fetch_failed(connection: Connection, rollout: UUID, *, limit: int) -> list[int]:
    """Return the numbers of containers that have failed and nobody has accepted, those that failed last first."""
    rows = await connection.fetch(
        "select c.vmid from rollout_members m join containers c using (owner) where m.rollout = $1 "
        "and m.state in ('failed', 'undone') and not m.is_accepted order by m.changed_at desc, c.vmid limit $2",
        rollout,
        limit,
    )
    return [row["vmid"] for row in rows]


async def fetch_members(
    connection: Connection, rollout: UUID, *, state: str | None, after: tuple[int, int, int, int], limit: int
) -> list[Any]:
    """Return rows of members behind a place, those that failed first."""
    return list(await connection.fetch(_MEMBERS, rollout, state, *after, limit))


async def seconds_to_due(connection: Connection) -> float | None:
    """Return in how long the newest one is due; None where nothing is."""
    left: float | None = await connection.fetchval(
        "select extract(epoch from due_at - now())::float8 from rollouts "
        "where number = (select max(number) from rollouts) and due_at < 'infinity'"
    )
    return left


def _going(row: Any) -> RolloutRow:
    return RolloutRow(
        row["id"], row["version"], RolloutState(row["state"]), row["reason"], convert(row["wish"], StartRollout),
        row["wave"], row["through_at"], row["started_by"], row["created_at"], row["finished_at"], row["looked_at"],
        row["swept_at"],
    )  # fmt: skip


def _candidate(row: Any) -> Candidate:
    return Candidate(
        OwnerMark(str(row["owner"])), Vmid(row["vmid"]), row["name"], row["version"] or "", _protocol(row["protocol"]),
        row["fixed_because"], is_online=bool(row["is_online"]),
    )  # fmt: skip


def _sight(row: Any) -> Sight:
    return Sight(
        is_wanted=bool(row["is_wanted"]),
        is_online=bool(row["is_online"]),
        is_busy=bool(row["is_busy"]),
        version=row["version"] or "",
        protocol=_protocol(row["protocol"]),
        fixed_because=row["fixed_because"],
        update=_update(row["update"]),
    )


def _update(document: Any) -> AgentUpdate | None:
    """Return what an agent has told of its update; None where it has not, or in words of another version."""
    try:
        return None if document is None else convert(document, AgentUpdate)
    except InvalidBody:
        return None


def _protocol(text: str | None) -> int:
    """Return a stranger's number as one that has bounds."""
    return max(0, min(int(text), _MAX_PROTOCOL)) if text is not None and text.lstrip("-").isdigit() else 0
