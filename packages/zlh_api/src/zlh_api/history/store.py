"""SQL of happenings and samples. Every write names the fence of the link that it came through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from zlh_api.database.pool import Connection
from zlh_api.history.rules import JournalPosition, Span
from zlh_common.names import OwnerMark
from zlh_common.schema.history import Happening, HistoryEntry
from zlh_common.schema.metrics import Metrics
from zlh_common.schema.structs import convert, encode

# Any number that nothing else locks on: one process prunes at a time.
_PRUNE_LOCK = 7_205_759_404
# Few enough to hold no lock for long.
PRUNE_ROWS = 10_000
# So many rows of figures are shown at once, one for a container and one for each of its processes: some 6 MB, while a
# day of the busiest container would be 60 MB, held for as long as somebody reads slowly.
MAX_FIGURES = 16_000
# In place of the id of a journal: what the platform itself has seen of a container. No agent can have it.
PLATFORM = "platform"
_ENTRY = "position, at, kind, subject, message, data"


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample on its way into the database."""

    owner: OwnerMark
    fence: int
    at: datetime
    metrics: Metrics


async def find_newest(connection: Connection, owner: OwnerMark) -> JournalPosition | None:
    """Return where the kept history of a container ends."""
    row = await connection.fetchrow(
        "select journal, number from happenings where owner = $1 and journal <> $2 order by position desc limit 1",
        UUID(owner),
        PLATFORM,
    )
    return JournalPosition(row["journal"], row["number"]) if row else None


async def insert_happenings(
    connection: Connection, owner: OwnerMark, fence: int, journal: str, items: Sequence[Happening]
) -> None:
    """Keep what is not kept yet and announce it; nothing for a link that was lost. Inside a transaction."""
    # The lock makes the link's fence certain and the positions free of holes and doubles.
    vmid = await connection.fetchval(
        "select vmid from containers where owner = $1 and link_fence = $2 for no key update", UUID(owner), fence
    )
    if vmid is None:
        return
    rows = await connection.fetch(
        "with fresh as (select * from unnest($3::bigint[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], "
        "  $8::jsonb[]) as f(number, at, kind, subject, message, data) where not exists (select from happenings h "
        "  where h.owner = $1 and h.journal = $2 and h.number = f.number)) "
        "insert into happenings (owner, position, journal, number, at, kind, subject, message, data) "
        "select $1, coalesce((select max(position) from happenings where owner = $1), 0) "
        "  + row_number() over (order by number), $2, number, at, kind, subject, message, data from fresh "
        "returning position",
        UUID(owner),
        journal,
        [item.number for item in items],
        [item.at for item in items],
        [item.kind for item in items],
        [item.subject for item in items],
        [item.message for item in items],
        [item.data for item in items],
    )
    if rows:
        first = min(row["position"] for row in rows)
        await connection.execute("select pg_notify('container_happened', $1)", f"{vmid} {first}")


async def insert_own(
    connection: Connection,
    owner: OwnerMark,
    *,
    kind: str,
    subject: str | None,
    message: str,
    data: Mapping[str, str | int | float | bool | None],
) -> None:
    """Keep and announce what the platform itself has seen of a container that is still there. Inside a transaction."""
    vmid = await connection.fetchval("select vmid from containers where owner = $1 for no key update", UUID(owner))
    if vmid is None:
        return
    position = await connection.fetchval(
        "insert into happenings (owner, position, journal, number, at, kind, subject, message, data) "
        "select $1, p.position, $2, p.position, now(), $3, $4, $5, $6 from (select coalesce(max(position), 0) + 1 "
        "  as position from happenings where owner = $1) p returning position",
        UUID(owner),
        PLATFORM,
        kind,
        subject,
        message,
        dict(data),
    )
    await connection.execute("select pg_notify('container_happened', $1)", f"{vmid} {position}")


async def insert_own_at_times(
    connection: Connection,
    owner: OwnerMark,
    *,
    rests: timedelta,
    kind: str,
    subject: str | None,
    message: str,
    data: Mapping[str, str | int | float | bool | None],
) -> None:
    """Keep and announce what may come again and again, unless that was done so lately. The container's row is held."""
    was_told: bool = await connection.fetchval(
        "select exists (select from happenings where owner = $1 and journal = $2 and kind = $3 "
        "and subject is not distinct from $4 and at > now() - $5::interval)",
        UUID(owner),
        PLATFORM,
        kind,
        subject,
        rests,
    )
    if not was_told:
        await insert_own(connection, owner, kind=kind, subject=subject, message=message, data=data)


async def insert_samples(connection: Connection, samples: Sequence[Sample]) -> None:
    """Keep the samples of links that still hold; one that is kept already stays as it is."""
    # The lock leaves out a container that goes at this moment, which would refuse the samples of all the others.
    await connection.execute(
        "insert into samples (owner, at, metrics) "
        "select c.owner, s.at, s.metrics from (select distinct on (owner, at) * from unnest($1::uuid[], $2::bigint[], "
        "  $3::timestamptz[], $4::jsonb[]) as u(owner, fence, at, metrics) order by owner, at) s "
        "join containers c on c.owner = s.owner and c.link_fence = s.fence for key share of c "
        "on conflict do nothing",
        [UUID(sample.owner) for sample in samples],
        [sample.fence for sample in samples],
        [sample.at for sample in samples],
        [msgspec.json.decode(encode(sample.metrics)) for sample in samples],
    )


async def fetch_entries(
    connection: Connection, owner: OwnerMark, *, before: int | None, limit: int
) -> list[HistoryEntry]:
    """Return up to `limit` entries before a position, or the newest, newest first."""
    rows = await connection.fetch(
        f"select {_ENTRY} from happenings where owner = $1 and ($2::bigint is null or position < $2) "
        "order by position desc limit $3",
        UUID(owner),
        before,
        limit,
    )
    return [_to_entry(row) for row in rows]


async def fetch_entries_from(connection: Connection, owner: OwnerMark, *, start: int, limit: int) -> list[HistoryEntry]:
    """Return up to `limit` entries from a position on, oldest first."""
    rows = await connection.fetch(
        f"select {_ENTRY} from happenings where owner = $1 and position >= $2 order by position limit $3",
        UUID(owner),
        start,
        limit,
    )
    return [_to_entry(row) for row in rows]


async def fetch_samples(connection: Connection, owner: OwnerMark, span: Span) -> list[Metrics]:
    """Return samples within a span, oldest first: the last one of each of its equal parts.

    Where those have more than MAX_FIGURES, only each second of them, or third, and so on, the newest among them.
    """
    rows = await connection.fetch(
        "select metrics from (select at, metrics, row_number() over (order by at desc) as place, "
        "  sum(1 + jsonb_array_length(metrics->'processes')) over () as figures from ("
        "  select distinct on (part) at, metrics from (select at, metrics, "
        "    floor(extract(epoch from at - $2) / greatest(extract(epoch from $3::timestamptz - $2), 1e-6) * $4) "
        "    as part from samples where owner = $1 and at >= $2 and at < $3) s order by part, at desc) last) counted "
        "where (place - 1) % ceil(figures / $5::numeric) = 0 order by at",
        UUID(owner),
        span.start,
        span.end,
        span.points,
        MAX_FIGURES,
    )
    return [convert(row["metrics"], Metrics) for row in rows]


async def prune(connection: Connection, *, entries: int, age: timedelta) -> int:
    """Delete a number of rows beyond what is kept; 0 where nothing is left, or another process is at it.

    Inside a transaction.
    """
    if not await connection.fetchval("select pg_try_advisory_xact_lock($1)", _PRUNE_LOCK):
        return 0
    samples = await connection.execute(
        "delete from samples where ctid = any(array(select ctid from samples where at < now() - $1::interval "
        "order by at limit $2))",
        age,
        PRUNE_ROWS,
    )
    happenings = await connection.execute(
        # Positions have no hole, so their ends tell how many there are: two looks into the index for each container.
        "delete from happenings h using (select c.owner, newest.position - $1 as last from containers c, "
        "  lateral (select max(position) as position from happenings where owner = c.owner) newest, "
        "  lateral (select min(position) as position from happenings where owner = c.owner) oldest "
        "  where newest.position - oldest.position >= $1) many "
        "where h.owner = many.owner and h.position <= many.last",
        entries,
    )
    return int(samples.split()[1]) + int(happenings.split()[1])


def _to_entry(row: Any) -> HistoryEntry:
    return HistoryEntry(
        id=str(row["position"]),
        at=row["at"],
        kind=row["kind"],
        subject=row["subject"],
        message=row["message"],
        data=row["data"],
    )
