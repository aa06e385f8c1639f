"""What a request for a file is answered: conditions, ranges and validators (RFC 9110), decided without any I/O.

Both who serves signed archives and who serves a customer's files decide here, so a client meets one behaviour.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import quote

_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))", re.IGNORECASE)
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 ._()+=@~-]")


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one content of a file from another; `etag` is a strong one, in its quotes."""

    etag: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """Status, headers, and which bytes of the file follow; `count` is 0 where none do."""

    status: int
    headers: dict[str, str]
    start: int = 0
    count: int = 0


def decide_answer(
    method: str, headers: Mapping[str, str], held: Validators, common: Mapping[str, str] | None = None
) -> FileAnswer:
    """Return what a GET or HEAD of an existing file is answered; status 412 and 416 have no body of the file.

    `common` are headers that stand in every answer. Of a HEAD, `count` is what a GET would have sent.
    """
    shown = {**(common or {}), **validator_headers(held)}
    if _is_changed(headers, held):
        return FileAnswer(412, shown)
    if _is_unchanged(headers, held):
        return FileAnswer(304, shown)
    asked = headers.get("Range", "")
    if not is_one_range(asked) or method != "GET" or not _may_resume(headers.get("If-Range"), held):
        return FileAnswer(200, shown | {"Content-Length": str(held.size)}, 0, held.size)
    chosen = parse_range(asked, held.size)
    if chosen is None:
        return FileAnswer(416, shown | {"Content-Range": f"bytes */{held.size}"})
    start, count = chosen
    ranged = {"Content-Length": str(count), "Content-Range": f"bytes {start}-{start + count - 1}/{held.size}"}
    return FileAnswer(206, shown | ranged, start, count)


def validator_headers(held: Validators) -> dict[str, str]:
    """Return the headers by which a client can ask later whether it still has the same file."""
    return {
        "ETag": held.etag,
        "Last-Modified": format_datetime(held.modified, usegmt=True),
        "Accept-Ranges": "bytes",
    }


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


def render_attachment(name: str) -> str:
    """Return the Content-Disposition (RFC 6266) that has a browser keep a file under this name, and never show it."""
    plain = _NOT_PLAIN.sub("_", name)
    if plain == name:
        return f'attachment; filename="{name}"'
    exact = quote(name.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}"


def _tags(condition: str) -> set[str]:
    return {tag.strip() for tag in condition.split(",")}


def _is_changed(headers: Mapping[str, str], held: Validators) -> bool:
    """Tell whether the file is not the one that is meant; a weak tag means no file exactly."""
    if "If-Match" in headers:
        return not _tags(headers["If-Match"]) & {"*", held.etag}
    since = _parse_time(headers.get("If-Unmodified-Since"))
    return since is not None and held.modified > since


def _is_unchanged(headers: Mapping[str, str], held: Validators) -> bool:
    if "If-None-Match" in headers:
        return bool(_tags(headers["If-None-Match"]) & {"*", held.etag, f"W/{held.etag}"})
    since = _parse_time(headers.get("If-Modified-Since"))
    return since is not None and held.modified <= since


def _may_resume(condition: str | None, held: Validators) -> bool:
    """Tell whether a range still fits what the client has; if not, it gets the whole file."""
    if condition is None:
        return True
    return condition.strip() == held.etag or _parse_time(condition) == held.modified


def _parse_time(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text) if text else None
    except (ValueError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found
