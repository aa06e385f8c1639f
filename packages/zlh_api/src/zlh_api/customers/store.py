"""SQL of customers and of their members. Locks are taken in this order: the customer, then users by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from zlh_api.customers.model import Customer
from zlh_api.database.pool import Connection
from zlh_common.schema.customers import Quota
from zlh_common.schema.permissions import Role

_CUSTOMER = "select id, name, created_at, suspended_at, suspended_reason, quota::text from customers"
_MEMBER = (
    "select m.user_id, u.email, m.role, m.created_at as since, u.suspended_at is not null as is_suspended "
    "from memberships m join users u on u.id = m.user_id"
)
_read_quota = msgspec.json.Decoder(Quota).decode


@dataclass(frozen=True, slots=True)
class KeptMember:
    """Somebody who belongs to a customer."""

    user_id: UUID
    email: str
    role: Role
    since: datetime
    is_suspended: bool


async def find_customer(connection: Connection, customer_id: UUID) -> Customer | None:
    """Return a customer, or None."""
    row = await connection.fetchrow(f"{_CUSTOMER} where id = $1", customer_id)
    return None if row is None else _to_customer(row)


async def lock_customer(connection: Connection, customer_id: UUID) -> Customer | None:
    """Hold a customer, so that nobody else changes who belongs to it; return it, or None."""
    row = await connection.fetchrow(f"{_CUSTOMER} where id = $1 for no key update", customer_id)
    return None if row is None else _to_customer(row)


async def fetch_customers(
    connection: Connection, *, ids: Sequence[UUID] | None, after: tuple[datetime, UUID] | None, q: str, limit: int
) -> list[Customer]:
    """Return customers, oldest first, from behind a place on; `q` is a part of the name, None for `ids` means all."""
    rows = await connection.fetch(
        f"{_CUSTOMER} where ($1::uuid[] is null or id = any($1)) "
        "and ($2::timestamptz is null or (created_at, id) > ($2, $3)) "
        "and strpos(lower(name), lower($4)) > 0 order by created_at, id limit $5",
        ids,
        *(after or (None, None)),
        q,
        limit,
    )
    return [_to_customer(row) for row in rows]


async def find_namesake(connection: Connection, name: str, *, but: UUID | None = None) -> UUID | None:
    """Return the oldest customer of a name besides one, or None; who asks is alone with that until the commit."""
    await connection.execute("select pg_advisory_xact_lock(hashtextextended('customers/names', 0))")
    found: UUID | None = await connection.fetchval(
        "select id from customers where lower(name) = lower($1) and id is distinct from $2 "
        "order by created_at, id limit 1",
        name,
        but,
    )
    return found


async def insert_customer(connection: Connection, customer_id: UUID, name: str) -> None:
    """Write a new customer."""
    await connection.execute("insert into customers (id, name) values ($1, $2)", customer_id, name)


async def rename_customer(connection: Connection, customer_id: UUID, name: str) -> None:
    """Give a customer another name."""
    await connection.execute("update customers set name = $2 where id = $1", customer_id, name)


async def delete_customer(connection: Connection, customer_id: UUID) -> bool:
    """Delete a customer; asyncpg.ForeignKeyViolationError where it has containers."""
    return bool(await connection.fetchval("delete from customers where id = $1 returning true", customer_id))


def _to_customer(row: Any) -> Customer:
    return Customer(
        id=row["id"],
        name=row["name"],
        created_at=row["created_at"],
        suspended_at=row["suspended_at"],
        suspended_reason=row["suspended_reason"],
        quota=_read_quota(row["quota"]),
    )


# Members


async def fetch_members(connection: Connection, customer_id: UUID, *, after: str, limit: int) -> list[KeptMember]:
    """Return members by their address, from behind one on."""
    rows = await connection.fetch(
        f"{_MEMBER} where m.customer_id = $1 and lower(u.email) > lower($2) order by lower(u.email) limit $3",
        customer_id,
        after,
        limit,
    )
    return [_to_member(row) for row in rows]


async def find_member(connection: Connection, customer_id: UUID, user_id: UUID) -> KeptMember | None:
    """Return a member, or None."""
    row = await connection.fetchrow(f"{_MEMBER} where m.customer_id = $1 and m.user_id = $2", customer_id, user_id)
    return None if row is None else _to_member(row)


async def find_member_by_email(connection: Connection, customer_id: UUID, email: str) -> KeptMember | None:
    """Return the member of this address, or None."""
    row = await connection.fetchrow(
        f"{_MEMBER} where m.customer_id = $1 and lower(u.email) = lower($2)", customer_id, email
    )
    return None if row is None else _to_member(row)


async def set_role(connection: Connection, customer_id: UUID, user_id: UUID, role: Role) -> None:
    """Give a member another role."""
    await connection.execute(
        "update memberships set role = $3 where customer_id = $1 and user_id = $2 and role <> $3",
        customer_id,
        user_id,
        role,
    )


async def delete_membership(connection: Connection, customer_id: UUID, user_id: UUID) -> None:
    """End a membership."""
    await connection.execute("delete from memberships where customer_id = $1 and user_id = $2", customer_id, user_id)


async def lock_other_owners(connection: Connection, customer_id: UUID, user_id: UUID) -> int:
    """Return how many others own a customer and are not suspended, and keep it so until the commit."""
    rows = await connection.fetch(
        "select from memberships m join users u on u.id = m.user_id where m.customer_id = $1 and m.role = 'owner' "
        "and u.suspended_at is null and u.id <> $2 order by u.id for share of u",
        customer_id,
        user_id,
    )
    return len(rows)


async def lock_owned(connection: Connection, user_id: UUID) -> None:
    """Hold every customer that a user owns."""
    await connection.execute(
        "select from customers c join memberships m on m.customer_id = c.id "
        "where m.user_id = $1 and m.role = 'owner' order by c.id for no key update of c",
        user_id,
    )


async def owns_alone(connection: Connection, user_id: UUID) -> bool:
    """Tell whether a customer has no other owner who is not suspended."""
    found: bool = await connection.fetchval(
        "select exists (select from memberships m where m.user_id = $1 and m.role = 'owner' and not exists ("
        "  select from memberships o join users u on u.id = o.user_id where o.customer_id = m.customer_id "
        "  and o.role = 'owner' and o.user_id <> $1 and u.suspended_at is null))",
        user_id,
    )
    return found


def _to_member(row: Any) -> KeptMember:
    return KeptMember(row["user_id"], row["email"], Role(row["role"]), row["since"], row["is_suspended"])
