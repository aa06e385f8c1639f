"""SQL of the audit: all rows in few queries, the patrol's own lease, and the last report."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from zlh_api.audit.model import Departed, Occupied
from zlh_api.database.pool import Connection
from zlh_api.dns.rules import parse_kept, render_kept
from zlh_api.history import hand_edits
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.audit import AuditReport, QueueFigures, WorkItem
from zlh_common.schema.structs import convert, encode

# Long enough for a process that is busy, short enough that drift is still repaired within a minute of its death.
PATROL_LEASE_S = 20

# Nobody works on it, nobody is about to, and its last look found all as it is wanted.
_IS_SETTLED = """
    c.lease_until is null and c.wake_at > now() and c.held_until <= now() and c.waiting_for is null and c.attempts = 0
    and c.deleting_at is null and (c.suspended or c.restart_done >= c.restart_wanted)
    and (c.power = 'off' or c.suspended or c.provisioned_at is not null)
    and not exists (select from steps s where s.owner = c.owner and s.state in ('running', 'failed'))
"""

_ROWS = f"""
select c.owner, c.vmid, c.kind,
       -- The guest of a game server stays up without it.
       case when c.suspended then 'off' when c.game is not null then 'on' else c.power end as power,
       c.deleting_at is not null as is_deleting, host(c.address) as address,
       c.resources, c.provisioned_at is not null as is_established, c.fence, e.exposed, g.games, s.services,
       ({_IS_SETTLED}) as is_settled
from containers c
left join (select owner, jsonb_agg(jsonb_build_array(port, visibility, kind) order by created_at, id) as exposed
           from exposures where expires_at is null or expires_at > now() group by owner) e on e.owner = c.owner
left join (select owner,
               jsonb_agg(jsonb_build_array(protocol, public_port, port) order by protocol, public_port) as games
           from game_ports group by owner) g on g.owner = c.owner
left join (select h.owner,
               jsonb_agg(jsonb_build_array(p->>'service', h.public_port) order by p->>'service') as services
           from game_ports h join containers o on o.owner = h.owner
           cross join jsonb_array_elements(o.game->'definition'->'ports') p
           where p->>'service' is not null and p->>'name' = h.name and p->>'protocol' = h.protocol
           group by h.owner) s on s.owner = c.owner
"""

_WORK = f"""
with open as (
    select distinct on (owner) owner, name, state, code, message from steps
    where state in ('running', 'failed') order by owner, finished_at desc nulls last, position desc),
unsettled as (
    select c.*, s.name as step, s.code, s.message,
        case when c.lease_until is not null then 'working'
             when c.waiting_for is not null then 'waiting'
             when c.held_until > now() then 'held'
             when c.wake_at <= now() then 'due'
             else 'awaiting' end as work
    from containers c left join open s on s.owner = c.owner where not ({_IS_SETTLED}))
"""


async def fetch_began(connection: Connection) -> tuple[datetime, dict[UUID, int]]:
    """Return the database's time, and the fence of every container at it."""
    rows = await connection.fetch("select owner, fence from containers")
    began: datetime = await connection.fetchval("select now()")
    return began, {row["owner"]: row["fence"] for row in rows}


async def fetch_rows(connection: Connection) -> list[Any]:
    """Return every container, with its published ports."""
    rows: list[Any] = await connection.fetch(_ROWS)
    return rows


async def fetch_departed(connection: Connection, owners: Collection[OwnerMark]) -> dict[OwnerMark, Departed]:
    """Return those of these marks whose containers we have deleted."""
    rows = await connection.fetch(
        "select owner, vmid, departed_at from departed where owner = any($1)", [UUID(owner) for owner in owners]
    )
    return {OwnerMark(str(row["owner"])): Departed(Vmid(row["vmid"]), row["departed_at"]) for row in rows}


async def fetch_last_number(connection: Connection) -> int:
    """Return the highest number that was given to a container."""
    number: int = await connection.fetchval(
        "select case when is_called then last_value else last_value - 1 end from vmids"
    )
    return number


async def wake(connection: Connection, owners: Iterable[OwnerMark]) -> int:
    """Let the reconciler look at these containers now; return how many those were.

    Not at one that it works on, that it holds back after a failure, or that waits for its turn at a slot.
    """
    done = await connection.execute(
        "update containers set wake_at = now() where owner = any($1) and lease_until is null and wake_at > now() "
        "and held_until <= now() and waiting_for is null",
        [UUID(owner) for owner in owners],
    )
    return int(done.removeprefix("UPDATE "))


async def hint_proof(connection: Connection, vmids: Iterable[int]) -> None:
    """Let whoever proves look at these containers soon: something of them was not as it should be."""
    await connection.execute(
        "select pg_notify('proof_hinted', vmid::text) from unnest($1::int[]) as vmid", sorted(vmids)
    )


async def doubt_records(connection: Connection, doubts: Mapping[OwnerMark, Mapping[str, Collection[str]]]) -> int:
    """Write that providers hold something else than our books say; return of how many containers that was news.

    Not of one that is worked on: whoever does has seen more than a survey from before.
    """
    if not doubts:
        return 0
    rows = await connection.fetch(
        "select owner, records_written from containers where owner = any($1) and lease_until is null "
        "order by owner for no key update",
        [UUID(owner) for owner in doubts],
    )
    news: dict[UUID, str | None] = {}
    for row in rows:
        owner = OwnerMark(str(row["owner"]))
        before = parse_kept(row["records_written"])
        if (text := render_kept(before.with_doubt(doubts[owner]))) != row["records_written"]:
            news[row["owner"]] = text
            for provider, names in doubts[owner].items():
                # What was not read back yet was changed by nobody.
                if before.at(provider).digest:
                    await hand_edits.tell_records_edited(connection, owner, provider, names)
    await connection.execute(
        "update containers c set records_written = n.kept, records_answered = null "
        "from unnest($1::uuid[], $2::text[]) as n(owner, kept) where c.owner = n.owner",
        list(news),
        list(news.values()),
    )
    return len(news)


async def take_patrol(connection: Connection, holder: UUID) -> int | None:
    """Become the one who looks, or stay it; return the fence, or None where another is."""
    fence: int | None = await connection.fetchval(
        f"update patrol set lease_until = now() + interval '{PATROL_LEASE_S} seconds', holder = $1, "
        "fence = fence + (holder is distinct from $1 or lease_until < now())::int "
        "where holder = $1 or lease_until is null or lease_until < now() returning fence",
        holder,
    )
    return fence


async def leave_patrol(connection: Connection, holder: UUID) -> None:
    """Let another look from now on."""
    await connection.execute("update patrol set lease_until = null where holder = $1", holder)


async def save_report(connection: Connection, fence: int, report: AuditReport, occupied: Occupied | None) -> bool:
    """Keep what a look has found; False, and nothing is kept, where another looks by now.

    Where guests could not be looked at, what they were known to hold stays theirs.
    """
    document = msgspec.json.decode(encode(report))
    done = await connection.execute("update patrol set report = $2 where fence = $1", fence, document)
    if done != "UPDATE 1":
        return False
    if occupied is not None:
        await _save_occupied(connection, occupied)
    return True


async def _save_occupied(connection: Connection, occupied: Occupied) -> None:
    vmids, addresses = sorted(occupied.vmids), sorted(occupied.addresses)
    await connection.execute("delete from occupied_vmids where vmid <> all($1::int[])", vmids)
    await connection.execute("delete from occupied_addresses where host(address) <> all($1::text[])", addresses)
    await connection.execute(
        "insert into occupied_vmids (vmid) select unnest($1::int[]) on conflict (vmid) do update set seen_at = now()",
        vmids,
    )
    await connection.execute(
        "insert into occupied_addresses (address) select unnest($1::text[])::inet "
        "on conflict (address) do update set seen_at = now()",
        addresses,
    )


async def fetch_report(connection: Connection) -> tuple[AuditReport | None, bool]:
    """Return the last report, and whether somebody looks."""
    row = await connection.fetchrow("select report, coalesce(lease_until > now(), false) as is_alive from patrol")
    assert row is not None
    return convert(row["report"], AuditReport) if row["report"] else None, row["is_alive"]


async def ask_look(connection: Connection) -> None:
    """Let whoever patrols look now."""
    await connection.execute("select pg_notify('patrol_due', '')")


async def fetch_queue(connection: Connection) -> QueueFigures:
    """Return how many containers are where on their way."""
    row = await connection.fetchrow(
        f"{_WORK} select (select count(*) from containers) - count(*) as settled, "
        "count(*) filter (where work = 'working') as working, count(*) filter (where work = 'due') as due, "
        "count(*) filter (where work = 'waiting') as waiting, count(*) filter (where work = 'held') as held, "
        "count(*) filter (where work = 'awaiting') as awaiting, count(*) filter (where attempts > 0) as failing, "
        "extract(epoch from now() - min(greatest(wake_at, held_until)) filter (where work = 'due'))::float "
        "as oldest_due_s from unsettled"
    )
    assert row is not None
    return QueueFigures(**dict(row))


async def fetch_work(connection: Connection, *, limit: int) -> tuple[WorkItem, ...]:
    """Return containers that are not as they are wanted yet, those that failed most often first."""
    rows = await connection.fetch(
        f"{_WORK} select vmid, owner, name, work, step, code, message, attempts, waiting_for, "
        "deleting_at is not null as is_deleting, case when work in ('held', 'awaiting') then "
        "nullif(greatest(wake_at, held_until), 'infinity') end as next_try_at "
        "from unsettled order by attempts desc, vmid limit $1",
        limit,
    )
    return tuple(
        WorkItem(
            vmid=row["vmid"],
            owner=str(row["owner"]),
            name=row["name"],
            state=row["work"],
            step=row["step"],
            code=row["code"],
            message=row["message"],
            attempts=row["attempts"],
            next_try_at=row["next_try_at"],
            waiting_for=row["waiting_for"],
            is_deleting=row["is_deleting"],
        )
        for row in rows
    )
