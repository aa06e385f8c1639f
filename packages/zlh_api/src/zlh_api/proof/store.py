"""SQL of the proof. What is written for the whole installation names the fence of the patrol."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from zlh_api.database.pool import Connection
from zlh_api.proof.model import EdgeLook, LinkMemory, Memory, Provable, ShownAt
from zlh_common.errors import InvalidBody
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.edge import Certificate, EdgeFault
from zlh_common.schema.structs import convert

# It was ready once, its route was confirmed, and it should run and does.
_DUE_TO_ANSWER = """(c.provisioned_at is not null and c.route_confirmed is not null and c.deleting_at is null
    and (c.power = 'on' or c.game is not null) and not c.suspended and c.guest = 'running'
    and c.restart_done >= c.restart_wanted)"""
_ROW = f"""
select c.owner, c.vmid, c.kind, c.route_confirmed, c.edge_faults, {_DUE_TO_ANSWER} as is_due_to_answer,
       coalesce(c.lease_until > now(), false) as is_in_work,
       coalesce(p.asked_at > p.checked_at, p.asked_at is not null) as is_asked,
       (select h.public_port from game_ports h
        where h.owner = c.owner and h.protocol = 'tcp' and h.name = c.game->'definition'->'presence'->>'ping'
          and c.power = 'on' and c.agent_status->'processes' @> '[{{"name": "server", "ready": true}}]') as played_at
from containers c left join proofs p on p.owner = c.owner
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is kept of one container's proof, beside what its row says."""

    row: Provable | None
    memory: Memory
    asked_at: datetime | None


async def fetch_now(connection: Connection) -> datetime:
    """Return the database's time."""
    now: datetime = await connection.fetchval("select now()")
    return now


async def fetch_provable(connection: Connection) -> list[Provable]:
    """Return every container that should answer by its name, and those that are said to be at fault."""
    rows = await connection.fetch(f"{_ROW} where {_DUE_TO_ANSWER} or c.edge_faults <> '{{}}' order by c.vmid")
    return [_to_provable(row) for row in rows]


async def fetch_memories(connection: Connection) -> dict[OwnerMark, Memory]:
    """Return all that is kept."""
    rows = await connection.fetch("select owner, checked_at, links, certificate from proofs")
    return {OwnerMark(str(row["owner"])): _to_memory(row) for row in rows}


async def fetch_asked(connection: Connection, owner: OwnerMark) -> Asked:
    """Return what is kept of one container; its row only where it was ready once."""
    row = await connection.fetchrow(f"{_ROW} where c.owner = $1 and c.provisioned_at is not null", UUID(owner))
    kept = await connection.fetchrow(
        "select checked_at, asked_at, links, certificate from proofs where owner = $1", UUID(owner)
    )
    return Asked(
        row=_to_provable(row) if row is not None else None,
        memory=_to_memory(kept) if kept is not None else Memory(),
        asked_at=kept["asked_at"] if kept is not None else None,
    )


async def ask(connection: Connection, owner: OwnerMark, vmid: Vmid, *, pause_s: float) -> float | None:
    """Write that a person wants a look now, and tell whoever looks; return in how many seconds one may, or None."""
    asked = await connection.fetchval(
        "insert into proofs (owner, asked_at) select owner, now() from containers where owner = $1 "
        "on conflict (owner) do update set asked_at = now() "
        "where proofs.asked_at is null or proofs.asked_at <= now() - make_interval(secs => $2) returning owner",
        UUID(owner),
        pause_s,
    )
    if asked is not None:
        await connection.execute("select pg_notify('proof_due', $1)", str(vmid))
        return None
    left: float | None = await connection.fetchval(
        "select extract(epoch from asked_at - now())::float + $2 from proofs where owner = $1", UUID(owner), pause_s
    )
    return max(1.0, left or 0.0)


async def save_look(connection: Connection, fence: int, look: EdgeLook) -> bool:
    """Keep a look at the whole; False, and nothing may be written in this transaction, where another one looks."""
    done = await connection.execute("update patrol set edge = $2 where fence = $1", fence, msgspec.to_builtins(look))
    return done == "UPDATE 1"


async def fetch_look(connection: Connection) -> tuple[EdgeLook | None, bool]:
    """Return the last look at the whole, and whether somebody looks."""
    row = await connection.fetchrow("select edge, coalesce(lease_until > now(), false) as is_alive from patrol")
    assert row is not None
    return _to_look(row["edge"]), row["is_alive"]


async def save_memories(connection: Connection, memories: Mapping[OwnerMark, Memory]) -> None:
    """Keep what was seen of containers that are still there."""
    await connection.execute(
        "insert into proofs (owner, checked_at, links, certificate) "
        "select c.owner, u.checked_at, u.links, u.certificate from unnest($1::uuid[], $2::timestamptz[], $3::jsonb[], "
        "  $4::jsonb[]) as u(owner, checked_at, links, certificate) "
        "join containers c on c.owner = u.owner for key share of c "
        "on conflict (owner) do update set checked_at = excluded.checked_at, links = excluded.links, "
        "certificate = excluded.certificate",
        [UUID(owner) for owner in memories],
        [memory.checked_at for memory in memories.values()],
        [msgspec.to_builtins(memory.links) for memory in memories.values()],
        [msgspec.to_builtins(memory.certificate) for memory in memories.values()],
    )


async def save_faults(connection: Connection, faults: Mapping[OwnerMark, Sequence[str]]) -> set[OwnerMark]:
    """Write what breaks containers that should answer still, and what does no more; return whose row it stands in."""
    # One array, since those of one query may differ in length.
    rows = await connection.fetch(
        "update containers c set edge_faults = string_to_array(u.faults, ' ') "
        "from unnest($1::uuid[], $2::text[]) as u(owner, faults) "
        f"where c.owner = u.owner and {_DUE_TO_ANSWER} returning c.owner",
        [UUID(owner) for owner in faults],
        [" ".join(words) for words in faults.values()],
    )
    return {OwnerMark(str(row["owner"])) for row in rows}


async def forget_faults(connection: Connection, owners: Collection[OwnerMark]) -> None:
    """Take the faults of containers that should not answer any more: whatever they were, they hurt nobody."""
    ids = [UUID(owner) for owner in owners]
    done = await connection.fetch(
        f"update containers c set edge_faults = '{{}}' where owner = any($1) and not {_DUE_TO_ANSWER} returning owner",
        ids,
    )
    await connection.execute(
        "update proofs set links = '[]', checked_at = null where owner = any($1)", [row["owner"] for row in done]
    )


async def fetch_faults(connection: Connection, *, limit: int) -> tuple[tuple[EdgeFault, ...], int, dict[str, int]]:
    """Return containers at fault, how many there are, and how many have each fault."""
    rows = await connection.fetch(
        "select vmid, name, customer_id, edge_faults, count(*) over () as total from containers "
        "where edge_faults <> '{}' order by vmid limit $1",
        limit,
    )
    counts = await connection.fetch(
        "select fault, count(*) as count from containers, unnest(edge_faults) as fault group by fault order by fault"
    )
    faults = tuple(
        EdgeFault(
            vmid=row["vmid"],
            name=row["name"],
            customer_id=str(row["customer_id"]),
            faults=tuple(row["edge_faults"]),
        )
        for row in rows
    )
    return faults, rows[0]["total"] if rows else 0, {row["fault"]: row["count"] for row in counts}


async def fetch_certificates(connection: Connection, *, limit: int) -> list[tuple[Certificate, int, str, datetime]]:
    """Return what hosts show, those that end first: the certificate, by how many, by one of them, and when last."""
    rows = await connection.fetch(
        "select certificate->'certificate' as shown, count(*) as hosts, "
        "  min(c.kind || '-' || c.vmid) as example, max((certificate->>'at')::timestamptz) as seen_at "
        "from proofs p join containers c on c.owner = p.owner where jsonb_typeof(certificate) = 'object' "
        "group by certificate->'certificate' order by min(certificate->'certificate'->>'notAfter') limit $1",
        limit,
    )
    return [(convert(row["shown"], Certificate), row["hosts"], row["example"], row["seen_at"]) for row in rows]


def _to_provable(row: Any) -> Provable:
    return Provable(
        owner=OwnerMark(str(row["owner"])),
        vmid=Vmid(row["vmid"]),
        kind=row["kind"],
        confirmed=row["route_confirmed"],
        faults=tuple(row["edge_faults"]),
        is_due_to_answer=row["is_due_to_answer"],
        is_in_work=row["is_in_work"],
        is_asked=row["is_asked"],
        played_at=row["played_at"],
    )


def _to_look(document: Any) -> EdgeLook | None:
    try:
        return convert(document, EdgeLook) if document else None
    except InvalidBody:
        return None


def _to_memory(row: Any) -> Memory:
    # What another version of the API has kept in another shape is looked at anew.
    try:
        links = convert(row["links"], tuple[LinkMemory, ...])
        shown = convert(row["certificate"], ShownAt) if row["certificate"] else None
    except InvalidBody:
        return Memory()
    return Memory(links, row["checked_at"], shown)
