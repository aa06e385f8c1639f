"""What `zlh-api agents` needs, which runs beside the API or without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zlh_api.app.lent_database import lend_database
from zlh_api.catalog.service import CatalogService, CatalogSource
from zlh_api.config.model import ApiConfig
from zlh_api.rollouts.service import RolloutService


@asynccontextmanager
async def open_rollouts(config: ApiConfig) -> AsyncIterator[RolloutService]:
    """Make it, with the catalog as it is published now."""
    source = CatalogSource(config.artifacts.urls, config.artifacts.trusted_root, config.state_dir / "catalog")
    catalog = CatalogService(source, config.channels)
    async with lend_database(config.database.dsn, max_connections=2) as database:
        try:
            await catalog.refresh()
            yield RolloutService(database, catalog.agent_offers)
        finally:
            await catalog.close()
