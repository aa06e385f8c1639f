"""SQL of sessions, API tokens and tickets: what a request is signed with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from zlh_api.customers.model import Client, Credential
from zlh_api.customers.rules import MAX_SESSIONS, SESSION_IDLES, SESSION_LASTS
from zlh_api.customers.user_store import USER
from zlh_api.database.pool import Connection
from zlh_common.schema.permissions import Permission

_PRUNE_ROWS = 1000
_SESSION_HOLDS = "s.expires_at > now() and s.last_seen_at > now() - $2::interval"
_TOKEN_HOLDS = "(t.expires_at is null or t.expires_at > now())"  # noqa: S105 - a condition
_BY_SESSION = (
    USER.format(credential="s.id as credential_id, null::uuid as bound_to, null::text[] as scopes", reached="true")
    + f"join sessions s on s.user_id = u.id where s.token_sha256 = $1 and {_SESSION_HOLDS}"
)
_BY_API_TOKEN = (
    USER.format(
        credential="t.id as credential_id, t.customer_id as bound_to, t.scopes",
        reached="(t.customer_id is null or t.customer_id = m.customer_id)",
    )
    + f"join api_tokens t on t.user_id = u.id where t.token_sha256 = $1 and {_TOKEN_HOLDS}"
)


@dataclass(frozen=True, slots=True)
class KeptSession:
    """A session as its user sees it."""

    id: UUID
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    address: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class KeptToken:
    """A token as its user sees it."""

    id: UUID
    name: str
    hint: str
    scopes: tuple[Permission, ...] | None
    customer_id: UUID | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


async def find_user_by_session(connection: Connection, token_sha256: bytes) -> Any:
    """Return the user whose session this is, or None where it is unknown, idle or over."""
    return await connection.fetchrow(_BY_SESSION, token_sha256, SESSION_IDLES)


async def find_user_by_api_token(connection: Connection, token_sha256: bytes) -> Any:
    """Return the user whose token this is, or None where it is unknown or over."""
    return await connection.fetchrow(_BY_API_TOKEN, token_sha256)


# Sessions


async def insert_session(connection: Connection, *, token_sha256: bytes, user_id: UUID, client: Client) -> None:
    """Open a session, and forget those that are over and those beyond what one user has. Inside a transaction."""
    await connection.execute(
        # Whoever ends one of them at this moment is not waited for.
        "delete from sessions where token_sha256 in (select token_sha256 from sessions where expires_at < now() "
        "or last_seen_at < now() - $1::interval limit $2 for no key update skip locked)",
        SESSION_IDLES,
        _PRUNE_ROWS,
    )
    await connection.execute(
        "insert into sessions (token_sha256, user_id, expires_at, address, user_agent) "
        "values ($1, $2, now() + $3::interval, $4, $5)",
        token_sha256,
        user_id,
        SESSION_LASTS,
        client.address,
        client.user_agent,
    )
    await connection.execute(
        "delete from sessions where user_id = $1 and id in (select id from sessions where user_id = $1 "
        "order by last_seen_at desc, created_at desc, id offset $2)",
        user_id,
        MAX_SESSIONS,
    )


async def fetch_sessions(connection: Connection, user_id: UUID) -> list[KeptSession]:
    """Return the sessions of a user that hold, the newest first."""
    rows = await connection.fetch(
        "select s.id, s.created_at, s.last_seen_at, least(s.expires_at, s.last_seen_at + $2::interval) as expires_at, "
        f"s.address, s.user_agent from sessions s where s.user_id = $1 and {_SESSION_HOLDS} "
        "order by s.created_at desc, s.id",
        user_id,
        SESSION_IDLES,
    )
    return [KeptSession(**row) for row in rows]


async def delete_session_by_token(connection: Connection, token_sha256: bytes) -> None:
    """End a session, if there is one."""
    await connection.execute("delete from sessions where token_sha256 = $1", token_sha256)


async def delete_session(connection: Connection, user_id: UUID, session_id: UUID) -> bool:
    """End one session of a user; tell whether it was there."""
    return bool(
        await connection.fetchval(
            "delete from sessions where id = $2 and user_id = $1 returning true", user_id, session_id
        )
    )


async def delete_sessions(connection: Connection, user_id: UUID, *, but: UUID | None) -> None:
    """End all sessions of a user, but for one."""
    await connection.execute("delete from sessions where user_id = $1 and id is distinct from $2", user_id, but)


# Tokens


async def lock_credential(connection: Connection, credential_id: UUID, *, by_cookie: bool) -> Any:
    """Hold the session or token that a caller uses, so that it is not ended meanwhile; return its end, or None."""
    if by_cookie:
        return await connection.fetchrow(
            "select null::timestamptz as expires_at from sessions where id = $1 for share", credential_id
        )
    return await connection.fetchrow("select expires_at from api_tokens where id = $1 for share", credential_id)


async def count_tokens(connection: Connection, user_id: UUID) -> int:
    """Forget the tokens of a user that are over, and return how many are left; nobody adds one until the commit."""
    await connection.execute("select from users where id = $1 for no key update", user_id)
    await connection.execute("delete from api_tokens t where t.user_id = $1 and t.expires_at < now()", user_id)
    count: int = await connection.fetchval("select count(*) from api_tokens where user_id = $1", user_id)
    return count


async def insert_token(
    connection: Connection,
    *,
    token_id: UUID,
    token_sha256: bytes,
    user_id: UUID,
    name: str,
    hint: str,
    scopes: Sequence[Permission] | None,
    customer_id: UUID | None,
    expires_in: timedelta | None,
    ends_by: datetime | None,
    made_by: UUID | None,
) -> KeptToken:
    """Write a new token, which lasts for a while and, where that is given, until a certain time at most."""
    await connection.execute(
        "insert into api_tokens (id, token_sha256, user_id, name, hint, scopes, customer_id, expires_at, made_by) "
        "values ($1, $2, $3, $4, $5, $6, $7, least(now() + $8::interval, $10), $9)",
        token_id,
        token_sha256,
        user_id,
        name,
        hint,
        None if scopes is None else [str(scope) for scope in scopes],
        customer_id,
        expires_in,
        made_by,
        ends_by,
    )
    found = await _fetch_tokens(connection, "t.id = $1", token_id)
    return found[0]


async def fetch_tokens(connection: Connection, user_id: UUID, *, bound_to: UUID | None) -> list[KeptToken]:
    """Return the tokens of a user that hold, oldest first; for a bound credential those of the same customer."""
    return await _fetch_tokens(
        connection,
        f"t.user_id = $1 and ($2::uuid is null or t.customer_id = $2) and {_TOKEN_HOLDS} order by t.created_at, t.id",
        user_id,
        bound_to,
    )


async def _fetch_tokens(connection: Connection, condition: str, *values: Any) -> list[KeptToken]:
    rows = await connection.fetch(
        "select t.id, t.name, t.hint, t.scopes, t.customer_id, t.created_at, t.expires_at, t.last_used_at "
        f"from api_tokens t where {condition}",
        *values,
    )
    return [KeptToken(**{**row, "scopes": _read_scopes(row["scopes"])}) for row in rows]


def _read_scopes(scopes: list[str] | None) -> tuple[Permission, ...] | None:
    # A scope that this version does not know grants nothing.
    return None if scopes is None else tuple(scope for scope in Permission if scope in scopes)


async def delete_token(connection: Connection, user_id: UUID, token_id: UUID, *, bound_to: UUID | None) -> bool:
    """End one token of a user, and all that were made with it; tell whether it was there."""
    return bool(
        await connection.fetchval(
            "delete from api_tokens where id = $2 and user_id = $1 and ($3::uuid is null or customer_id = $3) "
            "returning true",
            user_id,
            token_id,
            bound_to,
        )
    )


async def delete_bound_tokens(connection: Connection, user_id: UUID, customer_id: UUID) -> None:
    """End the tokens of a user that are held to a customer."""
    await connection.execute("delete from api_tokens where user_id = $1 and customer_id = $2", user_id, customer_id)


async def ensure_named_token(
    connection: Connection, *, token_id: UUID, token_sha256: bytes, user_id: UUID, name: str, hint: str
) -> None:
    """Give the user this one token of this name, in place of any other; one that is there stays as it is."""
    await connection.execute(
        "delete from api_tokens where user_id = $1 and name = $2 and token_sha256 <> $3", user_id, name, token_sha256
    )
    await connection.execute(
        "insert into api_tokens (id, token_sha256, user_id, name, hint) select $1, $2, $3, $4, $5 "
        "where not exists (select from api_tokens where user_id = $3 and token_sha256 = $2)",
        token_id,
        token_sha256,
        user_id,
        name,
        hint,
    )


# When they were used


async def note_use(connection: Connection, sessions: Mapping[UUID, float], tokens: Mapping[UUID, float]) -> None:
    """Write how many seconds ago sessions and tokens were used last."""
    for table, column, ages in (
        ("sessions", "last_seen_at", sessions),
        ("api_tokens", "last_used_at", tokens),
    ):
        if ages:
            await connection.execute(
                # What is being ended or written by another process at this moment is not waited for.
                f"with used as (select c.id, now() - make_interval(secs => u.age) as at from {table} c "
                "join unnest($1::uuid[], $2::float8[]) as u(id, age) using (id) order by c.id "
                "for no key update of c skip locked) "
                f"update {table} set {column} = greatest({column}, used.at) from used where {table}.id = used.id",
                list(ages),
                list(ages.values()),
            )


# Tickets


async def hold_tickets(connection: Connection, credential: Credential) -> tuple[int, float]:
    """Return how many tickets of a credential wait to be used, and the seconds until the first of them is over.

    Until the transaction ends nobody else makes one with this credential.
    """
    await connection.execute(
        "select pg_advisory_xact_lock(hashtextextended($1, 0))", f"tickets/{credential.digest.hex()}"
    )
    row: Any = await connection.fetchrow(
        "select count(*), coalesce(extract(epoch from min(expires_at) - now()), 0)::float8 from tickets "
        "where credential_sha256 = $1 and expires_at > now()",
        credential.digest,
    )
    return row[0], row[1]


async def insert_ticket(
    connection: Connection, *, ticket_sha256: bytes, vmid: int, credential: Credential, lasts: timedelta
) -> datetime:
    """Keep a ticket, and forget those that nobody used in time; return when this one is over."""
    await connection.execute("delete from tickets where expires_at < now()")
    expires_at: datetime = await connection.fetchval(
        "insert into tickets (ticket_sha256, vmid, credential_sha256, by_cookie, expires_at) "
        "values ($1, $2, $3, $4, now() + $5::interval) returning expires_at",
        ticket_sha256,
        vmid,
        credential.digest,
        credential.by_cookie,
        lasts,
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
