"""What the child has seen, as everybody is told it; and what a query says, as the child is asked it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from zlh_agent.files.model import Entry
from zlh_agent.files.told import Outcome, SearchOutcome
from zlh_common.errors import InvalidBody
from zlh_common.file_answers import Validators
from zlh_common.file_names import name_to_text, text_to_name
from zlh_common.schema.file_refusals import FileRefused
from zlh_common.schema.files import (
    MAX_NEEDLE_CHARS,
    MAX_PATH_CHARS,
    FileEntry,
    FileKind,
    FileSearch,
    FileSort,
    FoundFile,
    FoundLine,
    OperationResult,
    SkippedFile,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION = re.compile(r'"([0-9a-f-]{1,100})"')
_BOOLEANS = {"true": True, "false": False}


def show_entry(entry: Entry) -> FileEntry:
    """Return an entry in the words of the wire."""
    told = FileEntry(
        name=name_to_text(entry.name),
        kind=FileKind(entry.kind),
        size=entry.size,
        modified_at=moment_of(entry.modified_ns),
        mode=f"{entry.mode:04o}",
        version=entry.version,
    )
    if entry.target is None:
        return told
    return FileEntry(
        name=told.name,
        kind=told.kind,
        size=told.size,
        modified_at=told.modified_at,
        mode=told.mode,
        version=told.version,
        target=name_to_text(entry.target),
    )


def moment_of(nanoseconds: int) -> datetime:
    """Return the moment so long after 1970, to the microsecond."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def nanoseconds_of(moment: datetime) -> int:
    """Return how long after 1970 an aware moment is."""
    return int((moment - _EPOCH) / timedelta(microseconds=1)) * 1000


def validators_of(entry: Entry) -> Validators:
    """Return what HTTP tells one content of a file by; its times are whole seconds."""
    modified = _EPOCH + timedelta(seconds=entry.modified_ns // 1_000_000_000)
    return Validators(f'"{entry.version}"', entry.size, modified)


def parse_path(text: str | None) -> str:
    """Return the path that a text stands for, as Python holds it; no text means the root."""
    if text is not None and len(text) > MAX_PATH_CHARS:
        raise FileRefused("name_too_long", path=text[:200])
    try:
        return text_to_name(text or "")
    except ValueError as exc:
        raise FileRefused("path_invalid", path="(half a letter)") from exc


def parse_flag(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Return a parameter that is `true` or `false`."""
    text = query.get(name)
    if text is None:
        return default
    if text not in _BOOLEANS:
        raise InvalidBody(reason=f"{name} is true or false")
    return _BOOLEANS[text]


def parse_count(query: Mapping[str, str], name: str, *, default: int, most: int) -> int:
    """Return a parameter that is a number from 1 to `most`."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise InvalidBody(reason=f"{name} is a number from 1 to {most}")
    return int(text)


def parse_mode(text: str | None) -> int | None:
    """Return rights in octal."""
    if text is None:
        return None
    if not re.fullmatch(r"[0-7]{3,4}", text):
        raise InvalidBody(reason="mode is three or four octal digits")
    return int(text, 8)


def parse_expected(header: str | None, path: str) -> str | None:
    """Return the version that `If-Match` names; None where there is no condition. A list is none that could hold."""
    if header is None:
        return None
    found = _VERSION.fullmatch(header.strip())
    if found is None:
        # What is no tag of ours is no version that the file could have.
        raise FileRefused("file_changed", path=path)
    return found[1]


def parse_sort(text: str | None) -> str:
    """Return by what a folder is listed."""
    try:
        return FileSort(text or FileSort.NAME).value
    except ValueError as exc:
        raise InvalidBody(reason=f"sort is one of {', '.join(FileSort)}") from exc


def parse_needle(query: Mapping[str, str], name: str) -> str:
    """Return what is searched for, as Python holds it; nothing where it is not said."""
    text = query.get(name, "")
    if len(text) > MAX_NEEDLE_CHARS:
        raise InvalidBody(reason=f"{name} has at most {MAX_NEEDLE_CHARS} letters")
    return parse_path(text)


def show_search(outcome: SearchOutcome, *, root: str, path: str) -> FileSearch:
    """Return what a search has found; the lines of one file stand together."""
    items: list[FoundFile] = []
    for found in outcome.found:
        shown = name_to_text(found.path)
        lines = tuple(FoundLine(number=line.number, text=line.text[:1000]) for line in found.lines)
        if items and items[-1].path == shown:
            lines = (*items.pop().lines, *lines)
        entry = found.entry
        items.append(
            FoundFile(
                path=shown,
                kind=FileKind(entry.kind),
                size=entry.size,
                modified_at=moment_of(entry.modified_ns),
                lines=lines,
            )
        )
    return FileSearch(
        root=root,
        path=name_to_text(path),
        items=tuple(items),
        looked_at=outcome.looked_at,
        stopped_by="limit" if outcome.stopped_by == "limit" else "time" if outcome.stopped_by else None,
        skipped_count=outcome.skipped_count,
    )


def show_outcome(outcome: Outcome, *, is_on_disk: bool = False) -> OperationResult:
    """Return what long work has come to; what it takes on the disk only where that was asked."""
    amount = outcome.amount
    return OperationResult(
        files=amount.files,
        folders=amount.folders,
        bytes=amount.byte_count,
        disk_bytes=amount.disk_bytes if is_on_disk else None,
        skipped=tuple(SkippedFile(path=name_to_text(left.path), code=left.code) for left in outcome.skipped),
        skipped_count=outcome.skipped_count,
    )
