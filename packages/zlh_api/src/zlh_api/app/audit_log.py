"""What the commands of the audit log need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zlh_api.app.lent_database import lend_database
from zlh_api.audit_log.service import AuditLog
from zlh_api.config.model import ApiConfig
from zlh_common.clock import SystemClock


@asynccontextmanager
async def open_audit_log(config: ApiConfig) -> AsyncIterator[AuditLog]:
    """Make the audit log of a database that has this version's schema."""
    async with lend_database(config.database.dsn) as database:
        yield AuditLog(database, SystemClock())
