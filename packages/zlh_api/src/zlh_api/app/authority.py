"""What the authority's commands need, which run beside the API or without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zlh_api.agents.key_folder import KeyFolder
from zlh_api.app.lent_database import lend_database
from zlh_api.authority.desk import AuthorityDesk
from zlh_api.config.model import ApiConfig
from zlh_common.clock import SystemClock


@asynccontextmanager
async def open_authority(config: ApiConfig) -> AsyncIterator[tuple[AuthorityDesk, KeyFolder]]:
    """Make what the authority's commands need."""
    async with lend_database(config.database.dsn, max_connections=2) as database:
        yield AuthorityDesk(database), KeyFolder(config.keys_dir, SystemClock())
