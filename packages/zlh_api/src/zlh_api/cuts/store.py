"""SQL of wishes that a port be cut off; triggers write them, in the transaction that takes the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from zlh_api.containers.model import Guest
from zlh_api.database.pool import Connection
from zlh_common.names import OwnerMark

# Longer than any call to an agent lasts.
LEASE_S = 20
# What slips through while the proxy was asking or connecting is met by a cut so long after the first.
AGAIN_S = 2.0
_IS_DUE = "due_at <= now() and (lease_until is null or lease_until < now())"
_TAKE = f"""
with taken as (
    update connection_cuts set lease_until = now() + interval '{LEASE_S} seconds', attempts = attempts + 1
    where id in (select id from connection_cuts where {_IS_DUE} and (attempts = 0 or $2)
                 order by attempts > 0, due_at, id limit $1 for update skip locked)
    returning id, owner, port, attempts)
select t.owner, t.port, array_agg(t.id) as ids, max(t.attempts) as attempts, host(c.address) as address, c.guest,
       -- The word of a stranger, which may be larger than any number of ours and must not hold up the cuts of others.
       greatest(least((c.agent_status ->> 'protocolVersion')::numeric, 1000000), 0)::integer as protocol
from taken t join containers c on c.owner = t.owner group by t.owner, t.port, c.address, c.guest, c.agent_status
"""
_DUE_IN = """
select extract(epoch from min(greatest(due_at, coalesce(lease_until, due_at))) - now())::float8
from connection_cuts where due_at < 'infinity'
"""
_FORGET = "delete from connection_cuts where id = any($1) and rounds <= 1 and after_version is null"
_NEXT_ROUND = f"""
update connection_cuts set rounds = rounds - 1, attempts = 0, lease_until = null,
    due_at = case when rounds > 1 then now() + interval '{AGAIN_S} seconds' else 'infinity' end
where id = any($1)
"""
_PUT_OFF = """
update connection_cuts set lease_until = null, due_at = now() + make_interval(secs => $2) where id = any($1)
"""
_FOLLOW_ROUTE = """
update connection_cuts set rounds = 2, attempts = 0, due_at = now(), after_version = null
where owner = $1 and after_version <= $2 returning pg_notify('cut_due', '')
"""


@dataclass(frozen=True, slots=True)
class Cut:
    """One port that is to be cut off, for one wish or several."""

    owner: OwnerMark
    port: int
    ids: tuple[int, ...]
    attempts: int
    address: str | None
    guest: Guest
    # What its agent has said to understand; 0 where it has said nothing yet.
    protocol: int


async def seconds_to_due(connection: Connection) -> float | None:
    """Return in how long the next cut is due, by the database's clock; None where none is."""
    left: float | None = await connection.fetchval(_DUE_IN)
    return left


async def take(connection: Connection, *, limit: int, with_retries: bool) -> list[Cut]:
    """Take what is due and nobody else carries out; it is another's again once the lease is over."""
    rows = await connection.fetch(_TAKE, limit, with_retries)
    return [
        Cut(
            OwnerMark(str(row["owner"])), row["port"], tuple(row["ids"]), row["attempts"], row["address"],
            Guest(row["guest"]), row["protocol"] or 0,
        )
        for row in rows
    ]  # fmt: skip


async def finish(connection: Connection, ids: Sequence[int]) -> None:
    """Write that a cut was made: another follows, or it waits for the proxy to let go of the route, or is done."""
    await connection.execute(_FORGET, ids)
    await connection.execute(_NEXT_ROUND, ids)


async def put_off(connection: Connection, ids: Sequence[int], *, retry_in_s: float) -> None:
    """Write that a cut could not be made, and when it is tried again."""
    await connection.execute(_PUT_OFF, ids, retry_in_s)


async def save_fault(connection: Connection, owner: OwnerMark, fault: str | None) -> None:
    """Write why connections of a container stay open, or that none do."""
    await connection.execute(
        "update containers set cut_fault = $2 where owner = $1 and cut_fault is distinct from $2", UUID(owner), fault
    )


async def wish_guarded(connection: Connection, owner: OwnerMark) -> None:
    """Wish that all ports be cut off that not everybody may open, now and once the proxy uses the present route."""
    await connection.execute(
        "select wish_cut(e.owner, e.port, c.version) from exposures e join containers c on c.owner = e.owner "
        "where e.owner = $1 and e.visibility <> 'public'",
        UUID(owner),
    )


async def note_route(connection: Connection, owner: OwnerMark, version: int) -> None:
    """Write that the proxy uses the route of this version of a container: what the ones before let in is cut now."""
    await connection.execute(_FOLLOW_ROUTE, UUID(owner), version)
