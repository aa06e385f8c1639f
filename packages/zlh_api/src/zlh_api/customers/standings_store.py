"""SQL of how many callers stand at one moment."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from zlh_api.customers.model import Credential
from zlh_api.customers.rules import SESSION_IDLES
from zlh_api.customers.user_store import USER
from zlh_api.database.pool import Connection

# Sessions ($1) and tokens ($2) alike; how long each lasts is told by the clock that it ends by.
_BY_CREDENTIALS = (
    USER.format(
        credential="k.digest, k.by_cookie, k.id as credential_id, k.customer_id as bound_to, k.scopes, "
        "extract(epoch from k.expires_at - now())::float8 as lasts_s",
        reached="(k.customer_id is null or k.customer_id = m.customer_id)",
    )
    + """join (
        select token_sha256 as digest, true as by_cookie, id, user_id, null::uuid as customer_id,
               null::text[] as scopes, least(expires_at, last_seen_at + $3::interval) as expires_at
        from sessions where token_sha256 = any($1::bytea[])
        union all
        select token_sha256, false, id, user_id, customer_id, scopes, expires_at
        from api_tokens where token_sha256 = any($2::bytea[])
    ) k on k.user_id = u.id
    where (k.expires_at is null or k.expires_at > now()) and u.suspended_at is null"""
)


async def find_users_by_credentials(connection: Connection, credentials: Collection[Credential]) -> list[Any]:
    """Return the users who may sign in with these as of now, one row for each credential, with `lasts_s` of it."""
    sessions = [each.digest for each in credentials if each.by_cookie]
    tokens = [each.digest for each in credentials if not each.by_cookie]
    rows: list[Any] = await connection.fetch(_BY_CREDENTIALS, sessions, tokens, SESSION_IDLES)
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
