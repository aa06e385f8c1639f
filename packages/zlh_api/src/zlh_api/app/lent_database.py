"""A database for a command, which runs beside the API or without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zlh_api.database.migrate import check_schema
from zlh_api.database.pool import Database


@asynccontextmanager
async def lend_database(dsn: str, *, max_connections: int = 1) -> AsyncIterator[Database]:
    """Lend a database that has this version's schema; raise SchemaTooOld, SchemaTooNew."""
    database = Database(dsn, max_connections=max_connections)
    try:
        async with database.connection() as connection:
            await check_schema(connection)
        yield database
    finally:
        await database.close()
