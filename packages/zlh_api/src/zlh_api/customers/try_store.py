"""SQL of the tries that are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from zlh_api.database.pool import Connection

_PRUNE_ROWS = 200


@dataclass(frozen=True, slots=True)
class Counted:
    """How many tries stand under a key, and in how many seconds they are forgotten."""

    count: int
    left_s: float


async def find(connection: Connection, keys: Sequence[str], window: timedelta) -> dict[str, Counted]:
    """Return what is counted under keys; those without a count are left out."""
    rows = await connection.fetch(
        "select key, count, extract(epoch from since + $2 - now())::float8 as left_s from password_tries "
        "where key = any($1) and since > now() - $2::interval",
        list(keys),
        window,
    )
    return {row["key"]: Counted(row["count"], row["left_s"]) for row in rows}


async def count(connection: Connection, keys: Sequence[str], window: timedelta) -> dict[str, Counted]:
    """Count a try under each key and return the counts with it; forget some of those that are over."""
    await connection.execute(
        "delete from password_tries where key in (select key from password_tries where since < now() - $1::interval "
        "limit $2 for no key update skip locked)",
        window,
        _PRUNE_ROWS,
    )
    rows = await connection.fetch(
        # In the order of keys, as everywhere, so that nobody waits in a circle.
        "insert into password_tries as t (key, count) select key, 1 from unnest($1::text[]) as k(key) order by key "
        "on conflict (key) do update set "
        "count = case when t.since > now() - $2::interval then t.count + 1 else 1 end, "
        "since = case when t.since > now() - $2::interval then t.since else now() end "
        "returning key, count, extract(epoch from since + $2 - now())::float8 as left_s",
        list(keys),
        window,
    )
    return {row["key"]: Counted(row["count"], row["left_s"]) for row in rows}


async def take_back(connection: Connection, keys: Sequence[str]) -> None:
    """Count one try less under each key."""
    await connection.execute(
        "with mine as (select key from password_tries where key = any($1) order by key for no key update) "
        "update password_tries t set count = greatest(t.count - 1, 0) from mine where t.key = mine.key",
        list(keys),
    )


async def forget(connection: Connection, key: str) -> None:
    """Forget every try under a key."""
    await connection.execute("delete from password_tries where key = $1", key)
