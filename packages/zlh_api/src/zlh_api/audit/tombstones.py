"""SQL of claims on what is left of deleted containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from zlh_api.database.pool import Connection
from zlh_api.reconcile.model import Claim, LeaseLost
from zlh_api.reconcile.pace import LEASE_S
from zlh_common.names import Kind, OwnerMark, Vmid


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A claimed one, with what is known of the container that was."""

    claim: Claim
    kind: Kind
    notes: dict[str, str]


async def claim(connection: Connection, owner: OwnerMark) -> Tombstone | None:
    """Claim the tombstone with this mark; None where there is none, or another has it."""
    row = await connection.fetchrow(
        f"update departed set lease_until = now() + interval '{LEASE_S} seconds', fence = fence + 1 "
        "where owner = $1 and (lease_until is null or lease_until < now()) returning vmid, kind, fence, driver_notes",
        UUID(owner),
    )
    if row is None:
        return None
    return Tombstone(Claim(owner, Vmid(row["vmid"]), row["fence"]), row["kind"], row["driver_notes"])


async def renew(connection: Connection, claim: Claim) -> None:
    """Make the lease last again; raise LeaseLost."""
    await _fenced(connection, claim, f"lease_until = now() + interval '{LEASE_S} seconds'")


async def release(connection: Connection, claim: Claim) -> None:
    """Let another have it; raise LeaseLost where it has it already."""
    await _fenced(connection, claim, "lease_until = null")


async def save_note(connection: Connection, claim: Claim, key: str, value: str | None) -> None:
    """Keep a note of the driver, or forget it; raise LeaseLost."""
    await _fenced(
        connection,
        claim,
        "driver_notes = case when $4::text is null then driver_notes - $3::text "
        "else driver_notes || jsonb_build_object($3::text, $4::text) end",
        key,
        value,
    )


async def judge(connection: Connection, owner: OwnerMark, vmid: Vmid, kind: Kind) -> bool:
    """Write down that a mark without a container is done with; False where there is a container with it."""
    is_in_use = await connection.fetchval("select exists (select from containers where owner = $1)", UUID(owner))
    if is_in_use:
        return False
    await connection.execute(
        "insert into departed (owner, vmid, kind) values ($1, $2, $3) on conflict do nothing", UUID(owner), vmid, kind
    )
    return True


async def _fenced(connection: Connection, claim: Claim, assignment: str, *values: Any) -> None:
    done = await connection.execute(
        f"update departed set {assignment} where owner = $1 and fence = $2", UUID(claim.owner), claim.fence, *values
    )
    if done != "UPDATE 1":
        raise LeaseLost(claim.vmid)
