"""SQL of customers, users, sessions and tokens."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from zlh_api.customers.model import Caller, Credential, Customer, Membership
from zlh_api.customers.permissions import EVERYTHING
from zlh_api.database.pool import Connection
from zlh_common.schema.customers import Quota
from zlh_common.schema.permissions import Permission

# Who somebody is comes with all that decides what they may do, since every request asks for both.
_USER = """
select u.id, u.email, u.password_hash, u.is_operator, u.suspended_at is not null as is_suspended, {credential},
       (select json_agg(json_build_object('customer_id', m.customer_id, 'customer_name', c.name, 'role', m.role,
                'is_suspended', c.suspended_at is not null) order by c.created_at, c.id)
        from memberships m join customers c on c.id = m.customer_id
        where m.user_id = u.id and {reached})::text as memberships
from users u
"""
_PLAIN = _USER.format(
    credential="null::uuid as credential_id, null::uuid as bound_to, null::text[] as scopes", reached="true"
)
_BY_SESSION = (
    _USER.format(credential="s.id as credential_id, null::uuid as bound_to, null::text[] as scopes", reached="true")
    + "join sessions s on s.user_id = u.id where s.token_sha256 = $1 and s.expires_at > now()"
)
_BY_API_TOKEN = (
    _USER.format(
        credential="t.id as credential_id, t.customer_id as bound_to, t.scopes",
        reached="(t.customer_id is null or t.customer_id = m.customer_id)",
    )
    + "join api_tokens t on t.user_id = u.id "
    "where t.token_sha256 = $1 and (t.expires_at is null or t.expires_at > now())"
)
# Many at once, sessions ($1) and tokens ($2) alike; how long each lasts is told by the clock that it ends by.
_BY_CREDENTIALS = (
    _USER.format(
        credential="k.digest, k.by_cookie, k.id as credential_id, k.customer_id as bound_to, k.scopes, "
        "extract(epoch from k.expires_at - now())::float8 as lasts_s",
        reached="(k.customer_id is null or k.customer_id = m.customer_id)",
    )
    + """join (
        select token_sha256 as digest, true as by_cookie, id, user_id, null::uuid as customer_id,
               null::text[] as scopes, expires_at
        from sessions where token_sha256 = any($1::bytea[])
        union all
        select token_sha256, false, id, user_id, customer_id, scopes, expires_at
        from api_tokens where token_sha256 = any($2::bytea[])
    ) k on k.user_id = u.id
    where (k.expires_at is null or k.expires_at > now()) and u.suspended_at is null"""
)
_CUSTOMER = "select id, name, created_at, suspended_at, suspended_reason, quota::text from customers"
_read_quota = msgspec.json.Decoder(Quota).decode
_read_memberships = msgspec.json.Decoder(tuple[Membership, ...]).decode


async def find_user_by_email(connection: Connection, email: str) -> Any:
    """Return the row of a user, or None; the case of the address does not matter."""
    return await connection.fetchrow(f"{_PLAIN} where lower(u.email) = lower($1)", email)


async def find_user_by_session(connection: Connection, token_sha256: bytes) -> Any:
    """Return the user whose session this is, or None where it is unknown or over."""
    return await connection.fetchrow(_BY_SESSION, token_sha256)


async def find_user_by_api_token(connection: Connection, token_sha256: bytes) -> Any:
    """Return the user whose token this is, or None where it is unknown or over."""
    return await connection.fetchrow(_BY_API_TOKEN, token_sha256)


async def find_users_by_credentials(connection: Connection, credentials: Collection[Credential]) -> list[Any]:
    """Return the users who may sign in with these as of now, one row for each credential, with `lasts_s` of it."""
    sessions = [each.digest for each in credentials if each.by_cookie]
    tokens = [each.digest for each in credentials if not each.by_cookie]
    rows: list[Any] = await connection.fetch(_BY_CREDENTIALS, sessions, tokens)
    return rows


async def find_existing(
    connection: Connection, *, vmids: Collection[int], customers: Collection[UUID]
) -> tuple[frozenset[int], frozenset[UUID]]:
    """Return which of these containers and customers there are."""
    row = await connection.fetchrow(
        "select array(select vmid from containers where vmid = any($1::integer[])) as vmids, "
        "array(select id from customers where id = any($2::uuid[])) as customers",
        list(vmids),
        list(customers),
    )
    assert row is not None
    return frozenset(row["vmids"]), frozenset(row["customers"])


def to_caller(user: Any, *, by_cookie: bool) -> Caller:
    """Return the row of a user as a caller; the customers stand oldest first."""
    scopes: list[str] | None = user["scopes"]
    return Caller(
        user_id=user["id"],
        email=user["email"],
        # Who runs the platform reaches every customer, and a token that is held to one must not.
        is_operator=user["is_operator"] and user["bound_to"] is None,
        memberships=_read_memberships(user["memberships"]) if user["memberships"] else (),
        by_cookie=by_cookie,
        # A scope that this version does not know grants nothing.
        scope=EVERYTHING if scopes is None else frozenset(scope for scope in Permission if scope in scopes),
        credential_id=user["credential_id"],
        bound_to=user["bound_to"],
    )


async def find_customer(connection: Connection, customer_id: UUID) -> Customer | None:
    """Return a customer, or None."""
    row = await connection.fetchrow(f"{_CUSTOMER} where id = $1", customer_id)
    return None if row is None else _to_customer(row)


def _to_customer(row: Any) -> Customer:
    return Customer(
        id=row["id"],
        name=row["name"],
        created_at=row["created_at"],
        suspended_at=row["suspended_at"],
        suspended_reason=row["suspended_reason"],
        quota=_read_quota(row["quota"]),
    )


async def insert_ticket(
    connection: Connection, *, ticket_sha256: bytes, vmid: int, credential: Credential, lasts_s: float
) -> datetime:
    """Keep a ticket, and forget those that nobody used in time; return when this one is over."""
    await connection.execute("delete from tickets where expires_at < now()")
    expires_at: datetime = await connection.fetchval(
        "insert into tickets (ticket_sha256, vmid, credential_sha256, by_cookie, expires_at) "
        "values ($1, $2, $3, $4, now() + make_interval(secs => $5)) returning expires_at",
        ticket_sha256,
        vmid,
        credential.digest,
        credential.by_cookie,
        lasts_s,
    )
    return expires_at


async def take_ticket(connection: Connection, ticket_sha256: bytes, vmid: int) -> Credential | None:
    """Use a ticket up; return what it stands for, or None where it is unknown, used, over or another container's."""
    row = await connection.fetchrow(
        "delete from tickets where ticket_sha256 = $1 and vmid = $2 and expires_at > now() "
        "returning credential_sha256, by_cookie",
        ticket_sha256,
        vmid,
    )
    return None if row is None else Credential(row["credential_sha256"], row["by_cookie"])


async def insert_session(connection: Connection, *, token_sha256: bytes, user_id: UUID, expires_at: datetime) -> UUID:
    """Open a session, and forget the ones that are over; return its id."""
    await connection.execute("delete from sessions where expires_at < now()")
    opened: UUID = await connection.fetchval(
        "insert into sessions (token_sha256, user_id, expires_at) values ($1, $2, $3) returning id",
        token_sha256,
        user_id,
        expires_at,
    )
    return opened


async def delete_session(connection: Connection, token_sha256: bytes) -> None:
    """End a session, if there is one."""
    await connection.execute("delete from sessions where token_sha256 = $1", token_sha256)


async def upsert_operator(
    connection: Connection, *, user_id: UUID, email: str, password_hash: str, customer_id: UUID, customer_name: str
) -> UUID:
    """Make sure that the operator and their customer exist, with this password; return the user's id."""
    found: UUID = await connection.fetchval(
        "insert into users (id, email, password_hash, is_operator) values ($1, $2, $3, true) "
        "on conflict (lower(email)) do update set password_hash = excluded.password_hash, is_operator = true "
        "returning id",
        user_id,
        email,
        password_hash,
    )
    customer: UUID = await connection.fetchval(
        "insert into customers (id, name) values ($1, $2) "
        "on conflict (lower(name)) do update set name = customers.name returning id",
        customer_id,
        customer_name,
    )
    await connection.execute(
        "insert into memberships (customer_id, user_id, role) values ($1, $2, 'owner') on conflict do nothing",
        customer,
        found,
    )
    return found


async def replace_api_token(
    connection: Connection, *, token_id: UUID, token_sha256: bytes, user_id: UUID, name: str
) -> None:
    """Give the user one token of this name, in place of an earlier one."""
    await connection.execute("delete from api_tokens where user_id = $1 and name = $2", user_id, name)
    await connection.execute(
        "insert into api_tokens (id, token_sha256, user_id, name) values ($1, $2, $3, $4)",
        token_id,
        token_sha256,
        user_id,
        name,
    )
