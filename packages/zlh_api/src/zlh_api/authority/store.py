"""SQL of the CAs' change. Whoever moves it on locks its one row first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from zlh_api.agents.key_folder import Generation
from zlh_api.agents.standing import Standing
from zlh_api.authority.model import Dependent, Holder, Reason, Registered, Scene
from zlh_api.database.pool import Connection
from zlh_api.reconcile.identity_rules import RENEWS_IDENTITY, RENEWS_TRUST
from zlh_api.reconcile.plan import Do
from zlh_common.names import Vmid

# A process that has said nothing for so long goes by nothing any more.
LEASE_S = 15.0

# The word of a stranger, which may be larger than any number of ours.
_PROTOCOL = "greatest(least(coalesce((c.agent_status->>'protocolVersion')::numeric, 0), 1000000), 0)::int"
# Who runs, or is being started by somebody who saw the CAs as they were before.
_DEPENDS = f"""
c.deleting_at is null
and (c.guest = 'running' or (c.lease_until is not null and exists (
    select from steps s where s.owner = c.owner and s.name = '{Do.START_GUEST}' and s.state = 'running')))
and (c.identity_generation < $1 or c.identity_trusts_to < $1)
"""
_COUNT = f"select count(*) from containers c where {_DEPENDS}"
_LIST = f"""
select c.vmid, c.kind, c.identity_generation, c.connection,
       {_PROTOCOL} as protocol,
       exists (select from steps s where s.owner = c.owner and s.name = '{Do.RENEW_IDENTITY}' and s.code is not null)
           as has_failed
from containers c where {_DEPENDS} order by c.vmid
"""
# Nobody waits for a row that somebody is at: he looks again when he lets go.
_WAKE = f"""
update containers set wake_at = now() where owner in (
    select owner from containers c
    where c.deleting_at is null and c.guest = 'running' and c.connection = 'online' and c.lease_until is null
      and c.wake_at > now() and c.held_until <= now()
      and (case when {_PROTOCOL} >= {RENEWS_TRUST} then c.identity_trusts_from <> $2 or c.identity_trusts_to <> $1 end
           or {_PROTOCOL} >= {RENEWS_IDENTITY} and (c.identity_generation <> $1 or c.identity_known is null))
    limit $3 for no key update skip locked)
"""
_BEAT = """
insert into authority_holders values ($1, now() + make_interval(secs => $6), $2, $3, $4, $5)
on conflict (holder) do update set until = excluded.until, held = excluded.held, issuing = excluded.issuing,
    presented = excluded.presented, oldest = excluded.oldest
"""


async def register(connection: Connection, generation: Generation) -> None:
    """Write down that a generation was made; no other can have its number then."""
    await connection.execute(
        "insert into authority_generations values ($1, $2, $3, $4) on conflict do nothing",
        generation.number,
        generation.digest,
        generation.made_at,
        generation.expires_at,
    )


async def begin(connection: Connection, generation: Generation) -> None:
    """Write down the first generation of a database that knows none."""
    number = generation.number
    done = await connection.execute("insert into authority values (true, $1, $1, $1) on conflict do nothing", number)
    if done == "INSERT 0 1":
        await register(connection, generation)


async def fetch_standing(connection: Connection) -> Standing | None:
    """Return how far it is; None for a database that knows no generation."""
    return _standing(await connection.fetchrow("select issuing, presented, oldest from authority"))


async def fetch_registered(connection: Connection) -> tuple[Registered, ...]:
    """Return the generations that there are, in order."""
    rows = await connection.fetch("select * from authority_generations order by number")
    return tuple(Registered(row["number"], row["digest"], row["made_at"], row["expires_at"]) for row in rows)


async def beat(
    connection: Connection, holder: UUID, held: Iterable[int], standing: Standing, *, lease_s: float
) -> None:
    """Write down that a process is there, and what it goes by."""
    figures = (standing.issuing, standing.presented, standing.oldest)
    await connection.execute(_BEAT, holder, sorted(held), *figures, lease_s)


async def leave(connection: Connection, holder: UUID) -> None:
    """Write down that a process goes."""
    await connection.execute("delete from authority_holders where holder = $1 or until < now()", holder)


async def fetch_scene(connection: Connection, *, for_update: bool = False) -> Scene:
    """Return all that decides what follows; to move it on, keep everybody else from doing so."""
    lock = " for no key update" if for_update else ""
    standing = _standing(await connection.fetchrow(f"select issuing, presented, oldest from authority{lock}"))
    assert standing is not None
    registered = await fetch_registered(connection)
    holders = await connection.fetch("select * from authority_holders where until > now()")
    is_changing = registered[-1].number != standing.oldest
    return Scene(
        registered,
        standing,
        tuple(Holder(frozenset(row["held"]), _standing(row) or standing) for row in holders),
        await connection.fetchval(_COUNT, standing.issuing) if is_changing else 0,
    )


async def save_standing(connection: Connection, standing: Standing) -> None:
    """Write down how far it is now, and forget the generations that are over."""
    await connection.execute(
        "update authority set issuing = $1, presented = $2, oldest = $3",
        standing.issuing,
        standing.presented,
        standing.oldest,
    )
    await connection.execute("delete from authority_generations where number < $1", standing.oldest)


async def fetch_dependents(connection: Connection, number: int) -> list[Dependent]:
    """Return the containers that a generation before this one must not be taken from."""
    return [_dependent(row) for row in await connection.fetch(_LIST, number)]


async def wake_behind(connection: Connection, standing: Standing, *, limit: int) -> int:
    """Have those looked at that run and can be told now; return how many."""
    done = await connection.execute(_WAKE, standing.issuing, standing.oldest, limit)
    return int(done.split()[-1])


async def count_trusting(connection: Connection, oldest: int) -> int:
    """Return how many running containers still believe a generation before this one."""
    found: int = await connection.fetchval(
        "select count(*) from containers where guest = 'running' and deleting_at is null and identity_trusts_from < $1",
        oldest,
    )
    return found


async def forget_pins(connection: Connection, vmids: list[Vmid] | None) -> int:
    """Write down that it is not known which identities agents have, so that any of their names will do until each has
    another; None means all that have one. Returns how many.
    """
    done = await connection.execute(
        "update containers set identity_known = null, identity_wanted = '{}', wake_at = least(wake_at, now()) "
        "where owner in (select owner from containers where identity_known is distinct from '\\x' "
        "and ($1::int[] is null or vmid = any($1)) order by owner for no key update)",
        vmids,
    )
    return int(done.split()[-1])


async def adopt(connection: Connection, generation: Generation) -> None:
    """Write down that this generation is the only one, and that no agent has anything of it."""
    await connection.execute("delete from authority_generations")
    await connection.execute("delete from authority")
    await begin(connection, generation)
    await connection.execute(
        "update containers set identity_generation = 0, identity_trusts_from = 0, identity_trusts_to = 0 "
        "where owner in (select owner from containers order by owner for no key update)"
    )


def _standing(row: Any) -> Standing | None:
    return None if row is None else Standing(row["issuing"], row["presented"], row["oldest"])


def _dependent(row: Any) -> Dependent:
    reason = Reason.WAITING
    if row["connection"] != "online":
        reason = Reason.OFFLINE
    elif row["protocol"] < RENEWS_TRUST:
        reason = Reason.OLD_AGENT
    elif row["has_failed"]:
        reason = Reason.REFUSED
    return Dependent(Vmid(row["vmid"]), row["kind"], row["identity_generation"], reason)
