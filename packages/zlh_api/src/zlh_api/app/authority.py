"""What the authority's commands need, which run beside the API or without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zlh_api.agents.key_folder import KeyFolder
from zlh_api.authority.desk import AuthorityDesk
from zlh_api.config.model import ApiConfig
from zlh_api.database.migrate import check_schema
from zlh_api.database.pool import Database
from zlh_common.clock import SystemClock


@asynccontextmanager
async def open_authority(config: ApiConfig) -> AsyncIterator[tuple[AuthorityDesk, KeyFolder]]:
    """Make what the authority's commands need."""
    database = Database(config.database.dsn, max_connections=2)
    try:
        async with database.connection() as connection:
            await check_schema(connection)
        yield AuthorityDesk(database), KeyFolder(config.keys_dir, SystemClock())
    finally:
        await database.close()
