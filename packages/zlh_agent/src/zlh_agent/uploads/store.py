"""The records of uploads on disk, one file each. It blocks: call it in a thread."""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from zlh_agent.uploads.model import RECORD_FORMAT, UploadRecord
from zlh_common.durable_files import remove_unfinished, write_durably
from zlh_common.schema.structs import encode

log = structlog.get_logger()
MAX_RECORD_BYTES = 256 * 1024


class UploadStore:
    """Keeps `<folder>/<id>.json`, whole or not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> list[UploadRecord]:
        """Return what is kept; a file that cannot be read is told and left out. Nobody may be writing."""
        if not self._folder.is_dir():
            return []
        remove_unfinished(self._folder)
        return [record for path in sorted(self._folder.glob("*.json")) if (record := _read(path)) is not None]

    def save(self, record: UploadRecord) -> None:
        """Keep a record; once this has returned, it holds even if the machine stops. Raises OSError."""
        write_durably(self._folder / f"{record.id}.json", encode(record))

    def forget(self, upload_id: str) -> None:
        """Remove a record, if there is one."""
        (self._folder / f"{upload_id}.json").unlink(missing_ok=True)


def _read(path: Path) -> UploadRecord | None:
    try:
        with path.open("rb") as file:
            record = msgspec.json.decode(file.read(MAX_RECORD_BYTES), type=UploadRecord)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.warning("upload.record_unreadable", path=str(path), error=str(error))
        return None
    return record if record.format == RECORD_FORMAT and record.id == path.stem else None
