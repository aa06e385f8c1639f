"""SQL of claims and of the journal. Every write of a worker holds its fence against the row."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from zlh_api.containers.model import Guest
from zlh_api.database.pool import Connection
from zlh_api.reconcile.model import Claim, LeaseLost
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.status import AgentStatus
from zlh_common.schema.structs import encode

LEASE_S = 10
# Steps that belong to neither list (stopping a container that stays) stand behind the others.
LOOSE_STEP_POSITION = 100
OUTPUT_CHARS = 4096

_CLAIM = f"""
update containers set lease_holder = $1, lease_until = now() + interval '{LEASE_S} seconds', fence = fence + 1,
    wake_at = 'infinity', held_until = 'infinity'
where owner in (
    select owner from containers
    where (wake_at <= now() and held_until <= now() and lease_until is null) or lease_until < now()
    order by wake_at limit $2 for update skip locked)
returning owner, vmid, fence
"""


async def claim_due(connection: Connection, *, holder: UUID, limit: int) -> list[Claim]:
    """Take up to `limit` containers that are due, or whose worker has died."""
    rows = await connection.fetch(_CLAIM, holder, limit)
    return [Claim(OwnerMark(str(row["owner"])), Vmid(row["vmid"]), row["fence"]) for row in rows]


async def renew(connection: Connection, claim: Claim) -> None:
    """Make the lease last again; raise LeaseLost."""
    await _fenced(connection, claim, f"lease_until = now() + interval '{LEASE_S} seconds'")


async def release(connection: Connection, claim: Claim, *, wake_in_s: float, hold_s: float = 0.0) -> None:
    """Give the container back, to be looked at in `wake_in_s`, and not before `hold_s` whoever wakes it.

    What came meanwhile is earlier, so it wins: a wake over the first, a customer's wish over both. Raise LeaseLost.
    """
    await _fenced(
        connection,
        claim,
        "lease_holder = null, lease_until = null, wake_at = least(wake_at, now() + make_interval(secs => $3)), "
        "held_until = least(held_until, now() + make_interval(secs => $4))",
        wake_in_s,
        hold_s,
    )


async def save_address(connection: Connection, claim: Claim, address: str | None) -> None:
    """Write which address the container has; asyncpg.UniqueViolationError where another has it."""
    await _fenced(connection, claim, "address = $3::text::inet", address)


async def rest_address(connection: Connection, claim: Claim, *, rest_s: float) -> None:
    """Take the container's address away and let it rest before anyone can get it."""
    await connection.execute(
        "insert into resting_addresses (address, free_from) "
        "select address, now() + make_interval(secs => $2) from containers where owner = $1 and address is not null "
        "on conflict (address) do update set free_from = excluded.free_from",
        UUID(claim.owner),
        rest_s,
    )
    await save_address(connection, claim, None)


async def fetch_unusable_addresses(connection: Connection) -> set[str]:
    """Return the addresses that are taken, resting, or held by guests that no row explains."""
    await connection.execute("delete from resting_addresses where free_from < now()")
    rows = await connection.fetch(
        "select host(address) as address from containers where address is not null "
        "union select host(address) from resting_addresses "
        "union select host(address) from occupied_addresses"
    )
    return {row["address"] for row in rows}


async def save_guest(connection: Connection, claim: Claim, guest: Guest) -> None:
    """Write what was seen of the guest."""
    await _fenced(connection, claim, "guest = $3", guest.value)


async def save_note(connection: Connection, claim: Claim, key: str, value: str | None) -> None:
    """Keep a note of the driver, or forget it."""
    await _fenced(
        connection,
        claim,
        "driver_notes = case when $4::text is null then driver_notes - $3::text "
        "else driver_notes || jsonb_build_object($3::text, $4::text) end",
        key,
        value,
    )


async def take_slot(connection: Connection, claim: Claim, name: str) -> bool:
    """Take what only one may use at a time; False where a claim that is still good holds it. Raises LeaseLost.

    Whoever asks in vain is written down as waiting, and is woken when it is let go of.
    """
    is_ours = await seize_slot(connection, claim, name)
    if is_ours:
        await _fenced(connection, claim, "waiting_for = null, waiting_since = null")
    else:
        await _fenced(connection, claim, "waiting_for = $3, waiting_since = coalesce(waiting_since, now())", name)
    return is_ours


async def seize_slot(connection: Connection, claim: Claim, name: str) -> bool:
    """Take what only one may use at a time, and wait for nothing; False where a claim that is still good holds it."""
    taken = await connection.execute(
        "insert into driver_slots as s (name, owner, fence) values ($1, $2, $3) "
        "on conflict (name) do update set owner = excluded.owner, fence = excluded.fence "
        "where s.owner = excluded.owner or not exists (select from good_claims c "
        "where c.owner = s.owner and c.fence = s.fence)",
        name,
        UUID(claim.owner),
        claim.fence,
    )
    is_ours: bool = taken == "INSERT 0 1"
    return is_ours


async def leave_slot(connection: Connection, claim: Claim, name: str) -> None:
    """Let go of it, and wake the container that has waited longest; harmless where it was lost."""
    left = await connection.execute(
        "delete from driver_slots where name = $1 and owner = $2 and fence = $3", name, UUID(claim.owner), claim.fence
    )
    if left == "DELETE 1":
        await connection.execute(
            "update containers set wake_at = now(), held_until = least(held_until, now()) where owner = "
            "(select owner from containers where waiting_for = $1 order by waiting_since limit 1 "
            "for update skip locked)",
            name,
        )


async def save_identity(connection: Connection, claim: Claim, expires_at: datetime | None) -> None:
    """Write until when the identity that was put in is good."""
    await _fenced(connection, claim, "identity_expires_at = $3", expires_at)


async def save_restart_done(connection: Connection, claim: Claim, count: int) -> None:
    """Write that the restarts asked for so far are being carried out."""
    await _fenced(connection, claim, "restart_done = $3", count)


async def save_report(connection: Connection, claim: Claim, report: AgentStatus, *, protocol: int) -> None:
    """Write what the agent has answered to a spec in the words of `protocol`.

    asyncpg.DataError where it holds what PostgreSQL cannot.
    """
    document = msgspec.json.decode(encode(report))
    await _fenced(connection, claim, "agent_status = $3, observed_at = now(), spec_protocol = $4", document, protocol)


async def save_route(connection: Connection, claim: Claim, digest: str | None) -> None:
    """Write which file the proxy was seen to use."""
    await _fenced(connection, claim, "route_confirmed = $3", digest)


async def save_proved(connection: Connection, claim: Claim) -> None:
    """Write that the whole chain was proved."""
    await _fenced(connection, claim, "provisioned_at = coalesce(provisioned_at, now())")


async def count_failure(connection: Connection, claim: Claim) -> int:
    """Write one more failure, and return how many there were since all was well or a customer wished something."""
    await _fenced(connection, claim, "attempts = attempts + 1")
    attempts: int = await connection.fetchval("select attempts from containers where owner = $1", UUID(claim.owner))
    return attempts


async def forget_failures(connection: Connection, claim: Claim) -> None:
    """Write that all is well."""
    await _fenced(connection, claim, "attempts = 0")


async def delete_container(connection: Connection, claim: Claim) -> None:
    """Delete the row, and with it all that refers to it, and keep that it was ours; raise LeaseLost."""
    await connection.execute(
        "insert into departed (owner, vmid, kind, driver_notes) "
        "select owner, vmid, kind, driver_notes from containers "
        "where owner = $1 and fence = $2 on conflict do nothing",
        UUID(claim.owner),
        claim.fence,
    )
    done = await connection.execute(
        "delete from containers where owner = $1 and fence = $2", UUID(claim.owner), claim.fence
    )
    if done != "DELETE 1":
        raise LeaseLost(claim.vmid)


async def journal_start(connection: Connection, claim: Claim, step: str, *, follows: bool) -> timedelta:
    """Write that a step is under way, and where it `follows` others, that those are done; return for how long it is."""
    await _fenced(connection, claim, "owner = owner")
    if follows:
        await connection.execute(
            "update steps set state = 'done', finished_at = coalesce(finished_at, now()), code = null, message = null "
            "where owner = $1 and state in ('pending', 'running', 'failed') "
            "and (position < (select position from steps where owner = $1 and name = $2) or position = $3)",
            UUID(claim.owner),
            step,
            LOOSE_STEP_POSITION,
        )
    elapsed: timedelta = await connection.fetchval(
        "insert into steps as s (owner, position, name, state, started_at) values ($1, $3, $2, 'running', now()) "
        "on conflict (owner, name) do update set "
        "started_at = case when s.state = 'running' then s.started_at else now() end, state = 'running', "
        "finished_at = null "
        "returning now() - started_at",
        UUID(claim.owner),
        step,
        LOOSE_STEP_POSITION,
    )
    return elapsed


async def journal_done(connection: Connection, claim: Claim, step: str) -> None:
    """Write that a step is done."""
    await _journal(connection, claim, step, "done")


async def journal_failed(
    connection: Connection, claim: Claim, step: str, *, code: str, message: str, output: str | None
) -> None:
    """Write that a step failed, and why."""
    tail = output[-OUTPUT_CHARS:] if output else None
    await _journal(connection, claim, step, "failed", code=code, message=message, output=tail)


async def journal_settled(connection: Connection, claim: Claim, *, request_id: str | None) -> None:
    """Write that nothing is left to do, and that this request has what it wished; a later one stays."""
    await _fenced(connection, claim, "request_id = nullif(request_id, $3)", request_id)
    await connection.execute(
        "update steps set state = 'done', finished_at = coalesce(finished_at, now()), code = null, message = null "
        "where owner = $1 and (state in ('running', 'failed') or (state = 'pending' and "
        "(select power = 'on' from containers where owner = $1)))",
        UUID(claim.owner),
    )


async def _journal(
    connection: Connection,
    claim: Claim,
    step: str,
    state: str,
    *,
    code: str | None = None,
    message: str | None = None,
    output: str | None = None,
) -> None:
    await _fenced(connection, claim, "owner = owner")
    await connection.execute(
        "update steps set state = $3, finished_at = now(), code = $4, message = $5, output = $6 "
        "where owner = $1 and name = $2",
        UUID(claim.owner),
        step,
        state,
        code,
        message,
        output,
    )


async def _fenced(connection: Connection, claim: Claim, assignment: str, *values: Any) -> None:
    done = await connection.execute(
        f"update containers set {assignment} where owner = $1 and fence = $2",
        UUID(claim.owner),
        claim.fence,
        *values,
    )
    if done != "UPDATE 1":
        raise LeaseLost(claim.vmid)
