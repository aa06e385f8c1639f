"""SQL of grants and codes: who may open a host, held against everything that decides it as of now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from zlh_api.access.rules import CODE_LASTS, GRANT_LASTS, GRANT_RESTS
from zlh_api.customers.permissions import BY_ROLE
from zlh_api.customers.rules import SESSION_IDLES
from zlh_api.database.pool import Connection
from zlh_common.names import HostName
from zlh_common.schema.permissions import Permission

_VIEWERS = ", ".join(f"'{role}'" for role, granted in BY_ROLE.items() if Permission.VIEW_CONTAINERS in granted)
# Who may use what is as good as a shell.
_SHELL_USERS = ", ".join(f"'{role}'" for role, granted in BY_ROLE.items() if Permission.USE_CONSOLES in granted)
# Which exposure a host means: its own port, or the container's addon, else its oldest one; see `containers/store.py`.
_MEANT = """
containers c cross join lateral (
    select x.* from exposures x
    where x.owner = c.owner and (x.expires_at is null or x.expires_at > now()) and ($3::integer is null or x.port = $3)
    order by x.addon is null, x.created_at, x.id limit 1) e
"""
_IS_MEANT = "c.vmid = $1 and c.kind = $2 and c.deleting_at is null"
# The viewer `m` of the exposure `e`, by the session `s`. What its publisher has left behind opens for owners.
# An addon opens for owners and who has enabled it, as long as they may use a shell.
_MAY_OPEN = f"""
u.suspended_at is null and k.suspended_at is null and m.role in ({_VIEWERS})
and s.expires_at > now() and s.last_seen_at > now() - interval '{SESSION_IDLES.total_seconds()} seconds'
and case when e.addon is not null then
    m.role in ({_SHELL_USERS}) and (e.published_by = m.user_id or m.role = 'owner')
else e.visibility = 'customer' or (e.visibility = 'private' and (
    e.published_by = m.user_id or (m.role = 'owner' and not exists (
        select from memberships p where p.customer_id = m.customer_id and p.user_id = e.published_by))))
end
"""
_VIEWER = """
join users u on u.id = m.user_id join customers k on k.id = m.customer_id join sessions s on s.user_id = m.user_id
"""
_LOOK = f"""
select e.visibility = 'public' as is_public, e.addon is not null as is_addon, g.token_sha256, g.user_id,
       g.expires_at < now() + $6::interval as is_stale
from {_MEANT}
left join lateral (
    select g.token_sha256, g.user_id, g.expires_at
    from access_grants g
    join memberships m on m.customer_id = g.customer_id and m.user_id = g.user_id {_VIEWER}
    where g.token_sha256 = any($4::bytea[]) and g.label = $5 and g.exposure_id = e.id and g.expires_at > now()
        and m.customer_id = c.customer_id and s.id = g.session_id and {_MAY_OPEN} limit 1) g on true
where {_IS_MEANT}
"""
_FIND = f"""
select e.port, e.visibility = 'public' as is_public, c.customer_id,
       exists (select from memberships m {_VIEWER}
               where m.customer_id = c.customer_id and s.id = $4 and {_MAY_OPEN}) as may_open
from {_MEANT} where {_IS_MEANT}
"""
_INSERT_CODE = f"""
insert into access_codes (code_sha256, label, state, path, exposure_id, session_id, customer_id, user_id, expires_at)
select $5, $6, $7, $8, e.id, s.id, m.customer_id, m.user_id, now() + interval '{CODE_LASTS.total_seconds()} seconds'
from {_MEANT} join memberships m on m.customer_id = c.customer_id {_VIEWER}
where {_IS_MEANT} and s.id = $4 and {_MAY_OPEN}
returning customer_id
"""
_UNTIL = f"least(now() + interval '{GRANT_LASTS.total_seconds()} seconds', s.expires_at)"
_INSERT_GRANT = f"""
insert into access_grants (
    token_sha256, label, exposure_id, owner, port, session_id, customer_id, user_id, expires_at)
select $1, k1.label, e.id, e.owner, e.port, s.id, m.customer_id, m.user_id, {_UNTIL}
from unnest($2::text[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[])
    as k1(label, exposure_id, session_id, customer_id, user_id)
join exposures e on e.id = k1.exposure_id and (e.expires_at is null or e.expires_at > now())
join containers c on c.owner = e.owner and c.customer_id = k1.customer_id and c.deleting_at is null
join memberships m on m.customer_id = k1.customer_id and m.user_id = k1.user_id {_VIEWER}
where s.id = k1.session_id and {_MAY_OPEN}
on conflict (session_id, label) do update set token_sha256 = excluded.token_sha256, exposure_id = excluded.exposure_id,
    owner = excluded.owner, port = excluded.port, customer_id = excluded.customer_id,
    expires_at = excluded.expires_at, created_at = now()
returning true
"""
# What it stands on is held first, as by whoever takes a port, a membership or a session away, who deletes codes then.
_TAKE_CODE = """
with held as (
    select e.id from access_codes k join exposures e on e.id = k.exposure_id join sessions s on s.id = k.session_id
    join memberships m on m.customer_id = k.customer_id and m.user_id = k.user_id
    where k.code_sha256 = $1 and k.label = $2 and k.state = $3 for key share of e, m, s)
delete from access_codes k using held
where k.exposure_id = held.id and k.code_sha256 = $1 and k.label = $2 and k.state = $3 and k.expires_at > now()
returning k.label, k.exposure_id, k.session_id, k.customer_id, k.user_id, k.path
"""
_SLIDE = f"""
with held as (
    select s.id, s.expires_at from sessions s join access_grants g on g.session_id = s.id
    where g.token_sha256 = $1 for no key update of s),
used as (
    update access_grants g set expires_at = {_UNTIL} from held s
    where g.token_sha256 = $1 and s.id = g.session_id returning g.session_id)
update sessions set last_seen_at = greatest(last_seen_at, now()) where id in (select session_id from used)
"""


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to know of a request: is it for everybody, and else, whose grant it brings."""

    is_public: bool
    token_sha256: bytes | None
    user_id: UUID | None
    is_stale: bool
    # Whether that is an addon, which is as good as a shell.
    is_addon: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a host leads to, for somebody who is signed in."""

    port: int
    is_public: bool
    customer_id: UUID
    may_open: bool


async def look(connection: Connection, host: HostName, port: int, digests: Sequence[bytes]) -> Look | None:
    """Return what there is at a port that a host leads to, and who brings one of these tokens; None where nothing is.

    The container's own host may lead to another port by now than its proxy knows: what is asked about is the port that
    would be reached, so nobody is let in by what holds for another.
    """
    row = await connection.fetchrow(_LOOK, host.vmid, host.kind, port, digests, host.label, GRANT_LASTS - GRANT_RESTS)
    if row is None:
        return None
    return Look(row["is_public"], row["token_sha256"], row["user_id"], bool(row["is_stale"]), row["is_addon"])


async def slide(connection: Connection, token_sha256: bytes) -> None:
    """Write that a grant is used, and its session with it."""
    await connection.execute(_SLIDE, token_sha256)


async def find(connection: Connection, host: HostName, session_id: UUID | None) -> Found | None:
    """Return what a host leads to, and whether who has this session may open it; None where it leads nowhere."""
    row = await connection.fetchrow(_FIND, host.vmid, host.kind, host.port, session_id)
    return None if row is None else Found(**row)


async def insert_code(
    connection: Connection, host: HostName, session_id: UUID, *, code_sha256: bytes, state: str, path: str
) -> bool:
    """Keep a code where its maker may open the host; tell whether that was so."""
    try:
        made = await connection.fetchval(
            _INSERT_CODE, host.vmid, host.kind, host.port, session_id, code_sha256, host.label, state, path
        )
    except asyncpg.ForeignKeyViolationError:
        # The port, the session or the membership has gone in this moment.
        return False
    return made is not None


async def take_code(connection: Connection, label: str, *, code_sha256: bytes, state: str) -> Any:
    """Use a code up; return it, or None where it is unknown, used, over, another host's or another browser's."""
    return await connection.fetchrow(_TAKE_CODE, code_sha256, label, state)


async def insert_grant(connection: Connection, code: Any, token_sha256: bytes) -> bool:
    """Keep a grant in the place of the session's former one at that host, where it still may; tell whether it did."""
    places = ([code[name]] for name in ("label", "exposure_id", "session_id", "customer_id", "user_id"))
    try:
        async with connection.transaction():
            return bool(await connection.fetchval(_INSERT_GRANT, token_sha256, *places))
    except asyncpg.ForeignKeyViolationError:
        return False


async def seconds_to_expiry(connection: Connection) -> float | None:
    """Return in how long the next grant ends by itself, by the database's clock; None where there is none."""
    left: float | None = await connection.fetchval(
        "select extract(epoch from min(expires_at) - now())::float8 from access_grants"
    )
    return left


async def delete_expired(connection: Connection) -> None:
    """Forget grants that are over, by which whoever is still connected is cut off, and codes that nobody used."""
    for table in ("access_grants", "access_codes"):
        await connection.execute(f"delete from {table} where expires_at <= now()")
