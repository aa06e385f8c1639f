"""Decisions on uploads: what a partial file is called, and until when it is kept."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from zlh_agent.files.rules import MAX_NAME_BYTES
from zlh_agent.uploads.model import Asked, UploadRecord
from zlh_common.file_names import name_to_text

KEPT_FOR = timedelta(hours=24)
# One that is in place, for a client that did not hear the last answer.
WHOLE_KEPT_FOR = timedelta(hours=1)
SUFFIX = ".zlh-part"


def partial_of(path: str, upload_id: str) -> str:
    """Return where the bytes of an upload go: hidden beside the target, so that a rename is enough at the end."""
    folder, slash, name = path.rpartition("/")
    end = f".{upload_id[:8]}{SUFFIX}"
    shown = name.encode("utf-8", "surrogateescape")[: MAX_NAME_BYTES - 1 - len(end)].decode("utf-8", "ignore")
    return f"{folder}{slash}.{shown}{end}"


def begin_record(asked: Asked, root: str, upload_id: str, now: datetime, *, is_put: bool) -> UploadRecord:
    """Return what is written down of an upload before it begins."""
    return UploadRecord(
        id=upload_id,
        kind="put" if is_put else "tus",
        root=root,
        path=name_to_text(asked.path),
        partial=name_to_text(partial_of(asked.path, upload_id)),
        size=asked.size,
        replace=asked.replace,
        expected=asked.expected,
        sha256=asked.sha256,
        mode=asked.mode,
        modified_ns=asked.modified_ns,
        created_at=now,
        expires_at=now + KEPT_FOR,
    )


def end_record(record: UploadRecord, now: datetime) -> UploadRecord:
    """Return what stays written down of an upload that is in place."""
    return msgspec.structs.replace(record, is_whole=True, expires_at=now + WHOLE_KEPT_FOR)


def is_over(record: UploadRecord, now: datetime) -> bool:
    """Tell whether nothing has come for so long that it is given up, or forgotten where it is whole."""
    return now >= record.expires_at
