"""What this process uses, and what is left on its disks; each call may wait for the kernel, so a thread makes it."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import structlog

from zlh_api.monitoring.model import BackupRecord, Disk, ProcessUse

log = structlog.get_logger()
# A record is two figures; what is longer is none.
MOST_RECORD_BYTES = 4096


class _Record(msgspec.Struct, frozen=True):
    """What the backup writes beside itself once it is whole."""

    # Without a zone it may be hours off.
    finished_at: Annotated[datetime, msgspec.Meta(tz=True)]
    bytes: int


def read_use(started_at: datetime) -> ProcessUse:
    """Return what this process uses now."""
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return ProcessUse(
        cpu_s=time.process_time(),
        memory_bytes=resident_pages * os.sysconf("SC_PAGE_SIZE"),
        open_files=sum(1 for _each in Path("/proc/self/fd").iterdir()),
        most_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        started_at=started_at,
    )


def read_disks(folders: Mapping[str, Path]) -> dict[str, Disk]:
    """Return the file systems of these folders; one that is not there is left out."""
    found = {}
    for name, folder in folders.items():
        try:
            told = os.statvfs(folder)
        except OSError as exc:
            log.warning("monitoring.disk_unreadable", folder=str(folder), error=str(exc))
            continue
        found[name] = Disk(told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize)
    return found


def read_backup(path: Path) -> BackupRecord | None:
    """Return the last backup by its record, `{"finished_at": RFC 3339, "bytes": n}`; None where there is none."""
    try:
        with path.open("rb") as file:
            record = msgspec.json.decode(file.read(MOST_RECORD_BYTES), type=_Record)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as exc:
        # What msgspec raises are ValueErrors.
        log.warning("monitoring.backup_record_unreadable", path=str(path), error=str(exc))
        return None
    return BackupRecord(record.finished_at, record.bytes)
