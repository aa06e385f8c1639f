"""SQL of customers, users, sessions and tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from zlh_api.customers.model import Caller, Credential, Membership
from zlh_api.database.pool import Connection

# Who somebody is comes with all that decides what they may do, since every request asks for both.
_USER = """
select u.id, u.email, u.password_hash, u.is_operator,
       (select json_agg(json_build_object('customer_id', m.customer_id, 'customer_name', c.name, 'role', m.role)
            order by c.created_at, c.id)
        from memberships m join customers c on c.id = m.customer_id where m.user_id = u.id)::text as memberships
from users u
"""
_BY_SESSION = f"{_USER} join sessions s on s.user_id = u.id where s.token_sha256 = $1 and s.expires_at > now()"
_BY_API_TOKEN = (
    f"{_USER} join api_tokens t on t.user_id = u.id "
    "where t.token_sha256 = $1 and (t.expires_at is null or t.expires_at > now())"
)
_read_memberships = msgspec.json.Decoder(tuple[Membership, ...]).decode


async def find_user_by_email(connection: Connection, email: str) -> Any:
    """Return the row of a user, or None; the case of the address does not matter."""
    return await connection.fetchrow(f"{_USER} where lower(u.email) = lower($1)", email)


async def find_user_by_session(connection: Connection, token_sha256: bytes) -> Any:
    """Return the user whose session this is, or None where it is unknown or over."""
    return await connection.fetchrow(_BY_SESSION, token_sha256)


async def find_user_by_api_token(connection: Connection, token_sha256: bytes) -> Any:
    """Return the user whose token this is, or None where it is unknown or over."""
    return await connection.fetchrow(_BY_API_TOKEN, token_sha256)


def to_caller(user: Any, *, by_cookie: bool) -> Caller:
    """Return the row of a user as a caller; the customers stand oldest first."""
    memberships = _read_memberships(user["memberships"]) if user["memberships"] else ()
    return Caller(user["id"], user["email"], user["is_operator"], memberships, by_cookie)


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


async def insert_session(connection: Connection, *, token_sha256: bytes, user_id: UUID, expires_at: datetime) -> None:
    """Open a session, and forget the ones that are over."""
    await connection.execute("delete from sessions where expires_at < now()")
    await connection.execute(
        "insert into sessions (token_sha256, user_id, expires_at) values ($1, $2, $3)",
        token_sha256,
        user_id,
        expires_at,
    )


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
