"""What the audit's commands need, which run beside the API or without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zlh_api.app.dns import open_dns
from zlh_api.app.driver import open_driver
from zlh_api.app.edge import open_directory
from zlh_api.app.lent_database import lend_database
from zlh_api.app.settings import audit_setting
from zlh_api.audit.removal import Remover
from zlh_api.audit.service import Auditor
from zlh_api.circuit import Circuits
from zlh_api.config.model import ApiConfig
from zlh_common.clock import SystemClock


@asynccontextmanager
async def open_audit(config: ApiConfig) -> AsyncIterator[tuple[Auditor, Remover]]:
    """Make what the audit's commands need, which run beside the API or without it."""
    clock = SystemClock()
    circuits = Circuits(clock)
    async with (
        open_driver(config, circuits) as driver,
        open_dns(config, circuits, clock) as dns,
        open_directory(config, circuits) as directory,
        lend_database(config.database.dsn, max_connections=2) as database,
    ):
        auditor = Auditor(database, driver, directory, audit_setting(config), dns, clock)
        yield auditor, Remover(database, driver, directory, dns)
