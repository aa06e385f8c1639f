"""Pure decisions of the file server: which paths are served, and what a request for one is answered (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

# What is named here is served and nothing else: no dot files, no work folder, no keys that somebody put beside it.
_SERVED = re.compile(
    r"archives/[a-z][a-z0-9-]{0,31}/[A-Za-z0-9][A-Za-z0-9.+_-]{0,199}"
    r"|metadata/(?:timestamp|[1-9][0-9]{0,9}\.(?:root|targets|snapshot))\.json"
    r"|targets/[0-9a-f]{64}\.catalog\.json"
)
# These names never come to mean other bytes.
_IMMUTABLE = re.compile(r"archives/.*\.tar\.zst|metadata/[0-9].*|targets/.*")
_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a file before any of it is read."""

    path: str
    size: int
    modified_ns: int

    @property
    def etag(self) -> str:
        """A strong validator: archives never change, and metadata is replaced as a whole."""
        return f'"{self.modified_ns:x}-{self.size:x}"'

    @property
    def modified(self) -> datetime:
        """The time of the last change, in the whole seconds that HTTP knows."""
        return datetime.fromtimestamp(self.modified_ns // 1_000_000_000, UTC)


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """Status, headers, and which bytes of the file follow; `count` is 0 where none do."""

    status: int
    headers: dict[str, str]
    start: int = 0
    count: int = 0


def parse_served_path(path: str) -> tuple[str, ...] | None:
    """Return the parts of a URL path that is served, decoded and without its first slash, or None."""
    name = path.removeprefix("/")
    return tuple(name.split("/")) if _SERVED.fullmatch(name) else None


def decide_answer(method: str, headers: Mapping[str, str], facts: FileFacts) -> FileAnswer:
    """Return what a GET or HEAD of an existing file is answered; status 416 has no body of the file."""
    common = _common_headers(facts)
    if _is_changed(headers, facts):
        return FileAnswer(412, common)
    if _is_unchanged(headers, facts):
        return FileAnswer(304, common)
    asked = headers.get("Range", "")
    if not is_one_range(asked) or method != "GET" or not _may_resume(headers.get("If-Range"), facts):
        return FileAnswer(200, common | {"Content-Length": str(facts.size)}, 0, facts.size)
    chosen = parse_range(asked, facts.size)
    if chosen is None:
        return FileAnswer(416, common | {"Content-Range": f"bytes */{facts.size}"})
    start, count = chosen
    ranged = {"Content-Length": str(count), "Content-Range": f"bytes {start}-{start + count - 1}/{facts.size}"}
    return FileAnswer(206, common | ranged, start, count)


def is_one_range(asked: str) -> bool:
    """Tell whether one range of bytes is asked for; other units, several ranges and nonsense get the whole file."""
    match = _RANGE.fullmatch(asked.strip())
    return match is not None and (match[2] is None or int(match[1]) <= int(match[2]))


def parse_range(asked: str, size: int) -> tuple[int, int] | None:
    """Return first byte and length of the one range asked for, or None where it is no such range of this file."""
    match = _RANGE.fullmatch(asked.strip())
    if match is None:
        return None
    first, last, tail = match.groups()
    if tail is not None:
        start, end = max(0, size - int(tail)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    return (start, end - start) if start < end else None


def _common_headers(facts: FileFacts) -> dict[str, str]:
    immutable = _IMMUTABLE.fullmatch(facts.path)
    return {
        "Content-Type": _content_type(facts.path),
        "ETag": facts.etag,
        "Last-Modified": format_datetime(facts.modified, usegmt=True),
        "Accept-Ranges": "bytes",
        "Cache-Control": "public, max-age=31536000, immutable" if immutable else "no-cache",
        "X-Content-Type-Options": "nosniff",
    }


def _content_type(path: str) -> str:
    if path.endswith(".json"):
        return "application/json"
    return "application/zstd" if path.endswith(".zst") else "text/plain; charset=utf-8"


def _tags(condition: str) -> set[str]:
    return {tag.strip() for tag in condition.split(",")}


def _is_changed(headers: Mapping[str, str], facts: FileFacts) -> bool:
    """Tell whether the file is not the one that is meant; a weak tag means no file exactly."""
    if "If-Match" in headers:
        return not _tags(headers["If-Match"]) & {"*", facts.etag}
    since = _parse_time(headers.get("If-Unmodified-Since"))
    return since is not None and facts.modified > since


def _is_unchanged(headers: Mapping[str, str], facts: FileFacts) -> bool:
    if "If-None-Match" in headers:
        return bool(_tags(headers["If-None-Match"]) & {"*", facts.etag, f"W/{facts.etag}"})
    since = _parse_time(headers.get("If-Modified-Since"))
    return since is not None and facts.modified <= since


def _may_resume(condition: str | None, facts: FileFacts) -> bool:
    """Tell whether a range still fits what the client has; if not, it gets the whole file."""
    if condition is None:
        return True
    return condition.strip() == facts.etag or _parse_time(condition) == facts.modified


def _parse_time(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text) if text else None
    except (ValueError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found
