"""SQL of what is handed to somebody and works once: invitations and password resets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from zlh_api.database.pool import Connection
from zlh_common.schema.permissions import Role

# Whoever made an invitation has seen its code, so it is worth no more than what they may do now.
_INVITATION_HOLDS = """
i.expires_at > now() and u.suspended_at is null and (u.is_operator or exists (
    select from memberships m where m.customer_id = i.customer_id and m.user_id = u.id and m.role = 'owner'))
"""
_INVITATION = (
    "select i.id, i.customer_id, c.name as customer_name, c.suspended_at is not null as is_suspended, i.email, i.role, "
    "i.invited_by, u.email as invited_by_email, i.created_at, i.expires_at from invitations i "
    "join customers c on c.id = i.customer_id join users u on u.id = i.invited_by "
)
_RESET_HOLDS = "r.expires_at > now() and o.is_operator and o.suspended_at is null"


@dataclass(frozen=True, slots=True)
class KeptInvitation:
    """An invitation that holds."""

    id: UUID
    customer_id: UUID
    customer_name: str
    # Of the customer.
    is_suspended: bool
    email: str
    role: Role
    invited_by: UUID
    invited_by_email: str
    created_at: datetime
    expires_at: datetime


async def upsert_invitation(
    connection: Connection,
    *,
    invitation_id: UUID,
    code_sha256: bytes,
    customer_id: UUID,
    email: str,
    role: Role,
    invited_by: UUID,
    expires_in: timedelta,
) -> KeptInvitation:
    """Write an invitation, in the place of an earlier one of the same address."""
    await connection.execute(
        "insert into invitations (id, code_sha256, customer_id, email, role, invited_by, expires_at) "
        "values ($1, $2, $3, $4, $5, $6, now() + $7::interval) on conflict (customer_id, lower(email)) do update set "
        "id = excluded.id, code_sha256 = excluded.code_sha256, email = excluded.email, role = excluded.role, "
        "invited_by = excluded.invited_by, created_at = now(), expires_at = excluded.expires_at",
        invitation_id,
        code_sha256,
        customer_id,
        email,
        role,
        invited_by,
        expires_in,
    )
    row = await connection.fetchrow(f"{_INVITATION} where i.id = $1", invitation_id)
    return _to_invitation(row)


async def count_invitations(connection: Connection, customer_id: UUID, *, but_for: str) -> int:
    """Forget those of a customer that are over; return how many wait for others than this address."""
    await connection.execute("delete from invitations where customer_id = $1 and expires_at < now()", customer_id)
    count: int = await connection.fetchval(
        "select count(*) from invitations where customer_id = $1 and lower(email) <> lower($2)", customer_id, but_for
    )
    return count


async def fetch_invitations(connection: Connection, customer_id: UUID) -> list[KeptInvitation]:
    """Return the invitations of a customer that hold, oldest first."""
    rows = await connection.fetch(
        f"{_INVITATION} where i.customer_id = $1 and {_INVITATION_HOLDS} order by i.created_at, i.id", customer_id
    )
    return [_to_invitation(row) for row in rows]


async def find_invitation(connection: Connection, code_sha256: bytes) -> KeptInvitation | None:
    """Return the invitation of a code where it holds, or None."""
    row = await connection.fetchrow(f"{_INVITATION} where i.code_sha256 = $1 and {_INVITATION_HOLDS}", code_sha256)
    return None if row is None else _to_invitation(row)


async def take_invitation(connection: Connection, code_sha256: bytes) -> KeptInvitation | None:
    """Use an invitation up where it holds; return it, or None. The customer is locked by now."""
    row = await connection.fetchrow(
        # Whoever asked keeps the right to, until this is committed.
        f"{_INVITATION} where i.code_sha256 = $1 and {_INVITATION_HOLDS} for no key update of i for share of u",
        code_sha256,
    )
    if row is None:
        return None
    await connection.execute("delete from invitations where id = $1", row["id"])
    return _to_invitation(row)


async def delete_invitation(connection: Connection, customer_id: UUID, invitation_id: UUID) -> bool:
    """Withdraw an invitation; tell whether it was there."""
    return bool(
        await connection.fetchval(
            "delete from invitations where id = $2 and customer_id = $1 returning true", customer_id, invitation_id
        )
    )


def _to_invitation(row: Any) -> KeptInvitation:
    return KeptInvitation(**{**row, "role": Role(row["role"])})


# Password resets


async def upsert_reset(
    connection: Connection, *, code_sha256: bytes, user_id: UUID, made_by: UUID, expires_in: timedelta
) -> datetime:
    """Write a reset, in the place of an earlier one of the same user; return when it is over."""
    expires_at: datetime = await connection.fetchval(
        "insert into password_resets (code_sha256, user_id, made_by, expires_at) "
        "values ($1, $2, $3, now() + $4::interval) on conflict (user_id) do update set "
        "code_sha256 = excluded.code_sha256, made_by = excluded.made_by, created_at = now(), "
        "expires_at = excluded.expires_at returning expires_at",
        code_sha256,
        user_id,
        made_by,
        expires_in,
    )
    return expires_at


async def find_reset(connection: Connection, code_sha256: bytes) -> UUID | None:
    """Return whose password a code would set; None for one that would not be taken."""
    found: UUID | None = await connection.fetchval(
        "select r.user_id from password_resets r join users o on o.id = r.made_by "
        f"where r.code_sha256 = $1 and {_RESET_HOLDS}",
        code_sha256,
    )
    return found


async def take_reset(connection: Connection, code_sha256: bytes) -> UUID | None:
    """Use a reset up where it holds; return whose it is, or None. Inside a transaction."""
    # Whose it is and who made it stay what they are until the commit.
    await connection.execute(
        "select from users where id in (select unnest(array[user_id, made_by]) from password_resets "
        "where code_sha256 = $1) order by id for no key update",
        code_sha256,
    )
    found: UUID | None = await connection.fetchval(
        "delete from password_resets r using users o "
        f"where o.id = r.made_by and r.code_sha256 = $1 and {_RESET_HOLDS} returning r.user_id",
        code_sha256,
    )
    return found


async def delete_reset(connection: Connection, user_id: UUID) -> None:
    """Forget the reset of a user, if there is one."""
    await connection.execute("delete from password_resets where user_id = $1", user_id)
