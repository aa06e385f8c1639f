"""SQL of claims and of what was seen. Every write of a worker holds its fence against the row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from zlh_api.containers.model import Guest
from zlh_api.database.pool import Connection
from zlh_api.reconcile.model import Claim, LeaseLost, PutIdentity
from zlh_api.reconcile.pace import LEASE_S
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.resources import Resources
from zlh_common.schema.status import AgentStatus
from zlh_common.schema.structs import encode

# How a system that is away is told from a slot among what containers wait for.
AWAY = "away:"
# So many identities that may have reached an agent are accepted. Each is the last of an attempt whose end nobody saw.
MAX_WANTED = 64
# How many containers stand in line at a time, for one process.
LINE = 256

_IS_DUE = "(c.wake_at <= now() and c.held_until <= now() and c.lease_until is null)"
# Customers take turns: the first container of each comes before the second of any, the longest due first.
_FIND_DUE = f"""
select owner from (
    select owner, since, row_number() over (partition by customer_id order by since) as turn
    from (
        select c.owner, c.customer_id, c.wake_at as since from containers c where {_IS_DUE}
        union all
        select c.owner, c.customer_id, c.lease_until from containers c where c.lease_until < now()) as found
    where customer_id <> all($2)) as standing
order by turn, since limit $1
"""
_CLAIM = f"""
update containers set lease_holder = $1, lease_until = now() + make_interval(secs => $3), fence = fence + 1,
    wake_at = 'infinity', held_until = 'infinity'
where owner in (
    select c.owner from unnest($4::uuid[]) with ordinality as line (owner, place) join containers c using (owner)
    where {_IS_DUE} or c.lease_until < now()
    order by place limit $2 for no key update of c skip locked)
returning owner, vmid, fence, customer_id
"""


_UNUSABLE = """
select host(address) as address from containers where address = any($1::text[]::inet[])
union select host(address) from resting_addresses where address = any($1::text[]::inet[])
union select host(address) from occupied_addresses where address = any($1::text[]::inet[])
"""


async def find_due(connection: Connection, *, limit: int = LINE, sated: Collection[UUID] = ()) -> list[UUID]:
    """Return the containers that are due, or whose worker has died, in the order of their turns; none of the `sated`.

    It looks at all that is due, so with thousands of those it takes tens of milliseconds; a claim out of it takes one.
    """
    return [row["owner"] for row in await connection.fetch(_FIND_DUE, limit, list(sated))]


async def claim(
    connection: Connection, line: Collection[UUID], *, holder: UUID, limit: int, lease_s: float = LEASE_S
) -> list[Claim]:
    """Take up to `limit` of the containers that stand in line, as far as they are still due and nobody takes them."""
    rows = await connection.fetch(_CLAIM, holder, limit, lease_s, list(line)) if line else []
    return [Claim(OwnerMark(str(row["owner"])), Vmid(row["vmid"]), row["fence"], row["customer_id"]) for row in rows]


async def renew(connection: Connection, claim: Claim, *, lease_s: float = LEASE_S) -> None:
    """Make the lease last again; raise LeaseLost."""
    await fenced(connection, claim, "lease_until = now() + make_interval(secs => $3)", lease_s)


async def release(connection: Connection, claim: Claim, *, wake_in_s: float, hold_s: float = 0.0) -> None:
    """Give the container back, to be looked at in `wake_in_s`, and not before `hold_s` whoever wakes it.

    What came meanwhile is earlier, so it wins: a wake over the first, a customer's wish over both. Raise LeaseLost.
    """
    await fenced(
        connection,
        claim,
        "lease_holder = null, lease_until = null, wake_at = least(wake_at, now() + make_interval(secs => $3)), "
        "held_until = least(held_until, now() + make_interval(secs => $4))",
        wake_in_s,
        hold_s,
    )


async def save_address(connection: Connection, claim: Claim, address: str | None) -> None:
    """Write which address the container has; asyncpg.UniqueViolationError where another has it."""
    await fenced(connection, claim, "address = $3::text::inet", address)


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


async def fetch_unusable_addresses(connection: Connection, among: Collection[str]) -> set[str]:
    """Return which of these addresses are taken, resting, or held by guests that no row explains."""
    await connection.execute("delete from resting_addresses where free_from < now()")
    rows = await connection.fetch(_UNUSABLE, list(among))
    return {row["address"] for row in rows}


async def save_guest(connection: Connection, claim: Claim, guest: Guest) -> None:
    """Write what was seen of the guest."""
    await fenced(connection, claim, "guest = $3", guest.value)


async def save_in_force(connection: Connection, claim: Claim, resources: Resources | None) -> None:
    """Write to which limits the guest was seen to be held."""
    document = None if resources is None else msgspec.to_builtins(resources)
    await fenced(connection, claim, "resources_in_force = $3", document)


async def save_note(connection: Connection, claim: Claim, key: str, value: str | None) -> None:
    """Keep a note of the driver, or forget it."""
    await fenced(
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
        # What else it waits for, it goes on waiting for.
        await fenced(connection, claim, "waiting_for = nullif(waiting_for, $3)", name)
    else:
        await save_wait(connection, claim, name)
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
        await wake_next(connection, name)


async def save_wait(connection: Connection, claim: Claim, name: str) -> None:
    """Write what the container waits for: a slot, or AWAY and a system; whoever waits again keeps his place."""
    await fenced(
        connection,
        claim,
        "waiting_since = case when waiting_for = $3 then waiting_since else now() end, waiting_for = $3",
        name,
    )


async def end_wait(connection: Connection, claim: Claim) -> str | None:
    """Write that it waits no more, and return for what it did; raise LeaseLost.

    A turn that it was given and has not used is the next one's: whoever calls wakes him, in a transaction of its own,
    since two that end their waits would otherwise wait for each other.
    """
    row = await connection.fetchrow(
        "update containers c set waiting_for = null, waiting_since = null "
        "from (select owner, waiting_for from containers where owner = $1 for no key update) o "
        "where c.owner = o.owner and c.fence = $2 returning o.waiting_for",
        UUID(claim.owner),
        claim.fence,
    )
    if row is None:
        raise LeaseLost(claim.vmid)
    waited_for: str | None = row["waiting_for"]
    return waited_for


async def wake_next(connection: Connection, slot: str) -> None:
    """Wake the container that has waited longest for a slot."""
    await connection.execute(
        "update containers set wake_at = now(), held_until = least(held_until, now()) where owner = "
        "(select owner from containers where waiting_for = $1 order by waiting_since limit 1 for no key update)",
        slot,
    )


async def wake_all(connection: Connection, system: str, *, spread_s: float) -> None:
    """Wake every container that waits for a system, one after the other over `spread_s`."""
    await connection.execute(
        "update containers c set wake_at = least(c.wake_at, w.at), held_until = least(c.held_until, w.at) "
        "from (select owner, now() + random() * make_interval(secs => $2) as at from containers "
        "where waiting_for = $1 for no key update skip locked) w where c.owner = w.owner",
        AWAY + system,
        spread_s,
    )


async def forget_identity(connection: Connection, claim: Claim) -> None:
    """Write that its guest holds no keys, so that none is accepted."""
    await fenced(
        connection,
        claim,
        "identity_expires_at = null, identity_known = '\\x', identity_wanted = '{}', identity_generation = 0, "
        "identity_trusts_from = 0, identity_trusts_to = 0",
    )


async def want_identity(connection: Connection, claim: Claim, sha256: bytes, expires_at: datetime) -> None:
    """Write which identity is on its way to the agent, before it is: from now on, it is accepted as well."""
    await fenced(
        connection,
        claim,
        f"identity_wanted = (array_prepend($3::bytea, identity_wanted))[:{MAX_WANTED}], identity_issued_until = $4",
        sha256,
        expires_at,
    )


async def unwant_identity(connection: Connection, claim: Claim, sha256: bytes) -> None:
    """Write that the agent has said that it does not take it."""
    await fenced(connection, claim, "identity_wanted = array_remove(identity_wanted, $3::bytea)", sha256)


async def save_identity(connection: Connection, claim: Claim, put: PutIdentity) -> None:
    """Write which identity the agent has, and that no other is accepted."""
    await fenced(
        connection,
        claim,
        "identity_expires_at = $3, identity_known = $4, identity_wanted = '{}', identity_generation = $5, "
        "identity_trusts_from = coalesce($6, identity_trusts_from), "
        "identity_trusts_to = coalesce($7, identity_trusts_to), identity_done = $8",
        put.expires_at,
        put.sha256,
        put.generation,
        *(put.trusts or (None, None)),
        put.done,
    )


async def may_start(connection: Connection, claim: Claim) -> bool:
    """Tell whether the identity that was put in is that of the CAs as they stand, and keep these until the end of the
    transaction: whoever changes them sees all that have begun to start before.
    """
    issuing = await connection.fetchval("select issuing from authority for share")
    is_current: bool | None = await connection.fetchval(
        "select identity_generation >= $2 and identity_trusts_to >= $2 from containers where owner = $1",
        UUID(claim.owner),
        issuing or 0,
    )
    return is_current is True


async def clear_faults(connection: Connection, claim: Claim) -> None:
    """Forget what an agent was caught at that is started anew."""
    await fenced(connection, claim, "agent_faults = '{}'")


async def save_restart_done(connection: Connection, claim: Claim, count: int) -> None:
    """Write that the restarts asked for so far are being carried out."""
    await fenced(connection, claim, "restart_done = $3", count)


async def save_report(
    connection: Connection, claim: Claim, report: AgentStatus, *, protocol: int, origins: Sequence[str] = ()
) -> None:
    """Write what the agent has answered to a spec in the words of `protocol`, unless the link has brought as much.

    The link may have been faster with what the agent has reached since, and says that once: an answer from before it
    must not take its place. asyncpg.DataError where the answer holds what PostgreSQL cannot.
    """
    document = msgspec.json.decode(encode(report))
    await fenced(
        connection,
        claim,
        "agent_status = case when (agent_status->>'specGeneration')::bigint >= $5 then agent_status else $3 end, "
        "observed_at = now(), spec_protocol = $4, spec_origins = $6",
        document,
        protocol,
        report.spec_generation,
        list(origins),
    )


async def save_route(connection: Connection, claim: Claim, digest: str | None) -> None:
    """Write which file the proxy was seen to use."""
    await fenced(connection, claim, "route_confirmed = $3", digest)


async def save_opened(connection: Connection, claim: Claim, addon: str, run: str, *, generation: int) -> None:
    """Write that a run of an addon was seen to open, unless another spec is wanted by now: it may not want it."""
    await fenced(
        connection,
        claim,
        "addons_opened = case when spec_generation = $5 then addons_opened || jsonb_build_object($3::text, $4::text) "
        "else addons_opened end",
        addon,
        run,
        generation,
    )


async def doubt_route(connection: Connection, claim: Claim, digest: str) -> None:
    """Write that somebody else has changed the file that the proxy was seen to use: it is confirmed anew."""
    await fenced(connection, claim, "route_confirmed = $3", f"{digest} edited")


async def save_records(connection: Connection, claim: Claim, kept: str | None) -> None:
    """Write which records may be at the DNS providers; whatever was seen of them before is seen no more."""
    await fenced(connection, claim, "records_written = $3, records_answered = null", kept)


async def save_answered(connection: Connection, claim: Claim, digest: str) -> None:
    """Write which records were seen to be answered."""
    await fenced(connection, claim, "records_answered = $3", digest)


async def save_proved(connection: Connection, claim: Claim) -> None:
    """Write that the whole chain was proved."""
    await fenced(connection, claim, "provisioned_at = coalesce(provisioned_at, now())")


async def count_failure(connection: Connection, claim: Claim) -> int:
    """Write one more failure, and return how many there were since all was well or a customer wished something."""
    await fenced(connection, claim, "attempts = attempts + 1")
    attempts: int = await connection.fetchval("select attempts from containers where owner = $1", UUID(claim.owner))
    return attempts


async def forget_failures(connection: Connection, claim: Claim) -> None:
    """Write that all is well."""
    await fenced(connection, claim, "attempts = 0")


async def delete_container(connection: Connection, claim: Claim, left: Mapping[str, Sequence[str]]) -> None:
    """Delete the row, and with it all that refers to it, and keep that it was ours; raise LeaseLost.

    `left` are names at DNS providers that nobody can ask.
    """
    await connection.executemany(
        "insert into left_records (provider, owner, names) select $2, owner, $3 from containers "
        "where owner = $1 and fence = $4 on conflict do nothing",
        [(UUID(claim.owner), provider, list(names), claim.fence) for provider, names in left.items()],
    )
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


async def fenced(connection: Connection, claim: Claim, assignment: str = "owner = owner", *values: Any) -> None:
    """Write into the claimed row, its values from $3 on; raise LeaseLost where another has taken over."""
    done = await connection.execute(
        f"update containers set {assignment} where owner = $1 and fence = $2",
        UUID(claim.owner),
        claim.fence,
        *values,
    )
    if done != "UPDATE 1":
        raise LeaseLost(claim.vmid)
