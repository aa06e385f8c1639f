"""SQL of published ports.

Whoever writes one writes its container's row first, which wakes whoever makes it so.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from zlh_api.containers.store import wish
from zlh_api.database.pool import Connection
from zlh_common.names import OwnerMark
from zlh_common.schema.spec import Visibility


async def is_published(connection: Connection, owner: OwnerMark, port: int) -> bool:
    """Tell whether a port of a container is published at this moment."""
    found: bool = await connection.fetchval(
        "select exists (select from exposures where owner = $1 and port = $2 "
        "and (expires_at is null or expires_at > now()))",
        UUID(owner),
        port,
    )
    return found


async def insert_exposure(
    connection: Connection,
    *,
    exposure_id: UUID,
    owner: OwnerMark,
    port: int,
    visibility: Visibility,
    expires_at: datetime | None,
    kind: str = "http",
    published_by: UUID | None = None,
) -> UUID:
    """Publish a port, or change how it is published; return the exposure's id. Only within a transaction."""
    # Otherwise a worker would look between the wake-up call and what there is to see.
    assert connection.is_in_transaction()
    await wish(connection, owner)
    found: UUID = await connection.fetchval(
        "insert into exposures (id, owner, port, visibility, expires_at, kind, published_by) "
        "values ($1, $2, $3, $4, $5, $6, $7) "
        "on conflict (owner, port) do update set visibility = excluded.visibility, expires_at = excluded.expires_at, "
        "kind = excluded.kind, published_by = excluded.published_by returning id",
        exposure_id,
        UUID(owner),
        port,
        visibility,
        expires_at,
        kind,
        published_by,
    )
    return found


async def hold(connection: Connection, owner: OwnerMark) -> None:
    """Keep the ports of a container as they are until the transaction ends."""
    await connection.execute("select from containers where owner = $1 for no key update", UUID(owner))


async def find_addon(connection: Connection, owner: OwnerMark, exposure_id: UUID) -> tuple[str, int] | None:
    """Return the addon whose port this is, and the port; None where it is a customer's own, or not there."""
    row = await connection.fetchrow(
        "select addon, port from exposures where owner = $1 and id = $2 and addon is not null", UUID(owner), exposure_id
    )
    return None if row is None else (row["addon"], row["port"])


async def delete_exposure(connection: Connection, owner: OwnerMark, exposure_id: UUID) -> int | None:
    """Take a port back and return its number, or None where there is no such exposure. Only within a transaction."""
    assert connection.is_in_transaction()
    await wish(connection, owner)
    port: int | None = await connection.fetchval(
        "delete from exposures where owner = $1 and id = $2 returning port", UUID(owner), exposure_id
    )
    return port


async def time_in(connection: Connection, seconds: int | None) -> datetime | None:
    """Return the time so long from now by the clock that ports end by; None for None."""
    found: datetime | None = await connection.fetchval("select now() + make_interval(secs => $1)", seconds)
    return found


async def seconds_to_expiry(connection: Connection) -> float | None:
    """Return in how long the next port is taken back by itself, by the database's clock; None where none is."""
    left: float | None = await connection.fetchval(
        "select extract(epoch from min(expires_at) - now())::float8 from exposures where expires_at is not null"
    )
    return left


async def find_expired(connection: Connection, *, limit: int) -> list[OwnerMark]:
    """Return containers that have ports whose time is over."""
    rows = await connection.fetch("select distinct owner from exposures where expires_at <= now() limit $1", limit)
    return [OwnerMark(str(row["owner"])) for row in rows]


async def delete_expired(connection: Connection, owner: OwnerMark) -> list[int]:
    """Take back the ports of a container whose time is over; return them. Only within a transaction."""
    assert connection.is_in_transaction()
    held = await connection.fetchval(
        # Who works on it already takes them all.
        "select true from containers where owner = $1 for no key update skip locked",
        UUID(owner),
    )
    if not held:
        return []
    await wish(connection, owner)
    rows = await connection.fetch(
        "delete from exposures where owner = $1 and expires_at <= now() returning port", UUID(owner)
    )
    return [row["port"] for row in rows]
