"""SQL of users, and of who they are to customers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from zlh_api.customers.model import Caller, Membership
from zlh_api.customers.permissions import EVERYTHING
from zlh_api.database.pool import Connection
from zlh_common.schema.permissions import Permission, Role

# Who somebody is comes with all that decides what they may do, since every request asks for both.
USER = """
select u.id, u.email, u.password_hash, u.is_operator, u.suspended_at is not null as is_suspended, u.suspended_reason,
       u.created_at, u.password_changed_at, {credential},
       (select json_agg(json_build_object('customer_id', m.customer_id, 'customer_name', c.name, 'role', m.role,
                'is_suspended', c.suspended_at is not null) order by c.created_at, c.id)
        from memberships m join customers c on c.id = m.customer_id
        where m.user_id = u.id and {reached})::text as memberships
from users u
"""
_PLAIN = USER.format(
    credential="null::uuid as credential_id, null::uuid as bound_to, null::text[] as scopes", reached="true"
)
_read_memberships = msgspec.json.Decoder(tuple[Membership, ...]).decode


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
        password_changed_at=user["password_changed_at"],
    )


async def find_by_email(connection: Connection, email: str) -> Any:
    """Return the row of a user, or None; the case of the address does not matter."""
    return await connection.fetchrow(f"{_PLAIN} where lower(u.email) = lower($1)", email)


async def find(connection: Connection, user_id: UUID) -> Any:
    """Return the row of a user, or None."""
    return await connection.fetchrow(f"{_PLAIN} where u.id = $1", user_id)


async def fetch_page(connection: Connection, *, after: str, q: str, limit: int) -> list[Any]:
    """Return users by their address, from behind one on; `q` is a part of it."""
    rows: list[Any] = await connection.fetch(
        f"{_PLAIN} where lower(u.email) > lower($1) and strpos(lower(u.email), lower($2)) > 0 "
        "order by lower(u.email) limit $3",
        after,
        q,
        limit,
    )
    return rows


async def insert(connection: Connection, *, user_id: UUID, email: str, password_hash: str) -> bool:
    """Write a new user; tell whether the address was free."""
    return bool(
        await connection.fetchval(
            "insert into users (id, email, password_hash) values ($1, $2, $3) "
            "on conflict (lower(email)) do nothing returning true",
            user_id,
            email,
            password_hash,
        )
    )


async def lock_operators(connection: Connection, user_id: UUID) -> tuple[bool, frozenset[UUID]]:
    """Hold a user and every operator who is not suspended; return whether there is the user, and those operators."""
    rows = await connection.fetch(
        "select id, is_operator and suspended_at is null as counts from users "
        "where id = $1 or (is_operator and suspended_at is null) order by id for no key update",
        user_id,
    )
    return any(row["id"] == user_id for row in rows), frozenset(row["id"] for row in rows if row["counts"])


async def set_operator(connection: Connection, user_id: UUID, is_operator: bool) -> None:
    """Make somebody an operator, or no longer."""
    await connection.execute(
        "update users set is_operator = $2 where id = $1 and is_operator <> $2", user_id, is_operator
    )


async def suspend(connection: Connection, user_id: UUID, reason: str) -> None:
    """Hold a user back; their sessions are over for good."""
    await connection.execute(
        "update users set suspended_at = coalesce(suspended_at, now()), suspended_reason = $2 where id = $1",
        user_id,
        reason,
    )
    await connection.execute("delete from sessions where user_id = $1", user_id)


async def resume(connection: Connection, user_id: UUID) -> bool:
    """Let a user in again; tell whether there is one."""
    return bool(
        await connection.fetchval(
            "update users set suspended_at = null, suspended_reason = null where id = $1 returning true", user_id
        )
    )


async def lock_proved(connection: Connection, user_id: UUID, password_hash: str) -> Any:
    """Hold a user whose password is still this one, so that it is not changed meanwhile; return the row, or None."""
    return await connection.fetchrow(
        "select suspended_at is not null as is_suspended from users where id = $1 and password_hash = $2 for share",
        user_id,
        password_hash,
    )


async def replace_password(connection: Connection, user_id: UUID, *, old_hash: str, new_hash: str) -> bool:
    """Give a user another password; tell whether the old one was still in force."""
    return bool(
        await connection.fetchval(
            "update users set password_hash = $3, password_changed_at = now() "
            "where id = $1 and password_hash = $2 returning true",
            user_id,
            old_hash,
            new_hash,
        )
    )


async def set_password(connection: Connection, user_id: UUID, password_hash: str) -> None:
    """Give a user another password, whatever the old one was."""
    await connection.execute(
        "update users set password_hash = $2, password_changed_at = now() where id = $1", user_id, password_hash
    )


async def upsert_operator(connection: Connection, *, user_id: UUID, email: str, password_hash: str) -> UUID:
    """Make sure that there is an operator of this address, with this password and not suspended; return the id."""
    found: UUID = await connection.fetchval(
        "insert into users (id, email, password_hash, is_operator) values ($1, $2, $3, true) "
        "on conflict (lower(email)) do update set password_hash = excluded.password_hash, is_operator = true, "
        "password_changed_at = now(), suspended_at = null, suspended_reason = null returning id",
        user_id,
        email,
        password_hash,
    )
    return found


async def insert_membership(connection: Connection, customer_id: UUID, user_id: UUID, role: Role) -> bool:
    """Make somebody a member; tell whether they were none."""
    return bool(
        await connection.fetchval(
            "insert into memberships (customer_id, user_id, role) values ($1, $2, $3) "
            "on conflict do nothing returning true",
            customer_id,
            user_id,
            role,
        )
    )
