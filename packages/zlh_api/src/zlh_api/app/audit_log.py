"""What the commands of the audit log need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zlh_api.audit_log.service import AuditLog
from zlh_api.config.model import ApiConfig
from zlh_api.database.migrate import check_schema
from zlh_api.database.pool import Database
from zlh_common.clock import SystemClock


@asynccontextmanager
async def open_audit_log(config: ApiConfig) -> AsyncIterator[AuditLog]:
    """Make the audit log of a database that has this version's schema."""
    database = Database(config.database.dsn, max_connections=1)
    try:
        async with database.connection() as connection:
            await check_schema(connection)
        yield AuditLog(database, SystemClock())
    finally:
        await database.close()
