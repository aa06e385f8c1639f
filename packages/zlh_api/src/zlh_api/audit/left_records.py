"""SQL of names at DNS providers that are configured no more: nobody can look there, so they are told until one did.

Of containers that there are, their rows know them; of deleted ones, what was written down when they went.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from zlh_api.audit.model import LeftAt
from zlh_api.database.pool import Connection
from zlh_api.dns.rules import parse_kept, render_kept
from zlh_common.names import OwnerMark


async def fetch(connection: Connection, configured: Collection[str]) -> tuple[list[Any], list[Any]]:
    """Return what rows keep of their records, and what deleted containers have left at other providers than these."""
    kept = await connection.fetch("select records_written from containers where records_written is not null")
    left = await connection.fetch(
        "select provider, names from left_records where provider <> all($1)", list(configured)
    )
    return kept, left


def read(kept: Iterable[Any], left: Iterable[Any], configured: Collection[str]) -> tuple[LeftAt, ...]:
    """Return what may be at each provider that is not one of these."""
    names: dict[str, list[str]] = defaultdict(list)
    for row in kept:
        for provider, written in parse_kept(row["records_written"]).written.items():
            if provider not in configured:
                names[provider] += written.names
    for row in left:
        names[row["provider"]] += row["names"]
    return tuple(LeftAt(provider, len(each), min(each)) for provider, each in sorted(names.items()) if each)


async def drop_unseen(connection: Connection, provider: str, seen: Collection[OwnerMark]) -> None:
    """Forget what deleted containers have left at a provider that was looked at, but for marks that were seen there."""
    await connection.execute(
        "delete from left_records where provider = $1 and owner <> all($2)", provider, [UUID(owner) for owner in seen]
    )


async def forget(connection: Connection, provider: str) -> int:
    """Keep nothing more of a provider; return of how many containers there was something. Inside a transaction."""
    rows = await connection.fetch(
        "select owner, records_written from containers where records_written is not null order by owner "
        "for no key update"
    )
    read_rows = [(row["owner"], parse_kept(row["records_written"])) for row in rows]
    changed = [(owner, render_kept(kept.without([provider]))) for owner, kept in read_rows if provider in kept.written]
    await connection.executemany("update containers set records_written = $2 where owner = $1", changed)
    gone = await connection.execute("delete from left_records where provider = $1", provider)
    return len(changed) + int(gone.removeprefix("DELETE "))
