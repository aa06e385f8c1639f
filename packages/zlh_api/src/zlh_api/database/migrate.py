"""Brings a database to the schema of this version: each numbered file once, in order, in one transaction each."""

from __future__ import annotations

import asyncio
from importlib.resources import files

import structlog

from zlh_api.database.pool import Connection
from zlh_common.errors import ZlhError

log = structlog.get_logger()
# Any number that nothing else locks on: two API processes that start together migrate one after the other.
_MIGRATION_LOCK = 7_205_759_403
# A table that has grown for years is rewritten in its own time, and another process's migration is waited for; the
# quarter of a minute that other statements have would undo each try, for ever.
MIGRATION_TIMEOUT_S = 6 * 3600.0


class SchemaTooNew(ZlhError):
    """The database was written by a newer version of the API."""

    code, status = "schema_too_new", 500

    def __init__(self, *, found: int, known: int) -> None:
        super().__init__(f"The database has schema {found}, this version knows {known}; run the newer version.")


class SchemaTooOld(ZlhError):
    """The database was written by an older version of the API."""

    code, status = "schema_too_old", 500

    def __init__(self, *, found: int, known: int) -> None:
        super().__init__(
            f"The database has schema {found}, this version needs {known}; start the API or run `zlh-api migrate`."
        )


def migrations() -> list[tuple[int, str]]:
    """Return (number, SQL) of every migration, in order."""
    folder = files("zlh_api.database.migrations")
    found = [(int(entry.name.split("_")[0]), entry) for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return [(number, entry.read_text()) for number, entry in sorted(found, key=lambda pair: pair[0])]


async def check_schema(connection: Connection) -> None:
    """Raise SchemaTooNew or SchemaTooOld where the database is not of this version's schema."""
    has_versions = await connection.fetchval("select to_regclass('schema_versions') is not null")
    found = await connection.fetchval("select coalesce(max(number), 0) from schema_versions") if has_versions else 0
    known = (await asyncio.to_thread(migrations))[-1][0]
    if found != known:
        raise (SchemaTooNew if found > known else SchemaTooOld)(found=found, known=known)


async def migrate(connection: Connection) -> list[int]:
    """Apply what is missing and return its numbers; raise SchemaTooNew where the database is ahead of us."""
    applied: list[int] = []
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", _MIGRATION_LOCK, timeout=MIGRATION_TIMEOUT_S)
        await connection.execute("create table if not exists schema_versions (number integer primary key)")
        found: int = await connection.fetchval("select coalesce(max(number), 0) from schema_versions")
        known = await asyncio.to_thread(migrations)
        if found > known[-1][0]:
            raise SchemaTooNew(found=found, known=known[-1][0])
        for number, sql in known:
            if number > found:
                await connection.execute(sql, timeout=MIGRATION_TIMEOUT_S)
                await connection.execute("insert into schema_versions values ($1)", number)
                applied.append(number)
    if applied:
        log.info("database.migrated", applied=applied)
    return applied
