"""What is known at the moment of a scrape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from zlh_api.containers.census import Census
from zlh_api.database.pool import PoolFigures
from zlh_api.reconcile.step_figures import StepFigures
from zlh_api.web.request_figures import RequestFigures
from zlh_common.schema.audit import AuditStatus


@dataclass(frozen=True, slots=True)
class BackupRecord:
    """The last backup that was finished."""

    finished_at: datetime
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of a folder that this process writes to."""

    free_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """What this process has used and holds."""

    cpu_s: float
    memory_bytes: int
    open_files: int
    most_files: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class OwnFigures:
    """What this process alone knows, of itself and of the systems that it speaks to."""

    version: str
    python: str
    driver: str
    use: ProcessUse
    requests: RequestFigures
    steps: StepFigures
    # By kind, how many are open and how many may be.
    open_calls: Mapping[str, tuple[int, int]]
    pool: PoolFigures
    # By system, whether calls go out to it.
    circuits: Mapping[str, bool]
    # By dependency, as health tells it.
    healthy: Mapping[str, bool]
    disks: Mapping[str, Disk]


@dataclass(frozen=True, slots=True)
class PlatformFigures:
    """What every process says alike; a part that cannot be known now is None."""

    census: Census | None
    audit: AuditStatus | None
    catalog_ends_at: datetime | None
    ca_ends_at: datetime | None
    backup: BackupRecord | None
