"""What the next agent has to know of long work: what it may have left beside its target, and what was broken off.

A record is on disk as long as work runs that leaves something, and after any that ended with its agent. It blocks: call
it in a thread.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
import structlog

from zlh_common.durable_files import remove_unfinished, write_durably
from zlh_common.schema.files import OperationKind
from zlh_common.schema.structs import encode

log = structlog.get_logger()
MAX_RECORD_BYTES = 256 * 1024


class StagingRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Work that is under way, or was when its agent ended; paths are texts as `zlh_common.file_names` writes them."""

    id: str
    kind: OperationKind
    root: str
    path: str
    to: str | None
    started_at: datetime
    # None: it leaves nothing beside its target.
    staging: str | None = None


class StagingStore:
    """Keeps `<folder>/<id>.json`, whole or not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> list[StagingRecord]:
        """Return what is kept; a file that cannot be read is told and left out. Nobody may be writing."""
        if not self._folder.is_dir():
            return []
        remove_unfinished(self._folder)
        found = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                with path.open("rb") as file:
                    found.append(msgspec.json.decode(file.read(MAX_RECORD_BYTES), type=StagingRecord))
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
                log.warning("operation.record_unreadable", path=str(path), error=str(error))
        return found

    def save(self, record: StagingRecord) -> None:
        """Keep a record; raises OSError."""
        write_durably(self._folder / f"{record.id}.json", encode(record))

    def forget(self, operation_id: str) -> None:
        """Remove a record, if there is one."""
        (self._folder / f"{operation_id}.json").unlink(missing_ok=True)
