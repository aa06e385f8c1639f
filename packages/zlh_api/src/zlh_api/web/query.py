"""Query parameters: read by name, within a range, or refused by name."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import UUID

from aiohttp import web

from zlh_common.errors import ZlhError

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


class QueryInvalid(ZlhError):
    """A query parameter is not what it must be."""

    code, status = "query_invalid", 400

    def __init__(self, name: str, wanted: str) -> None:
        super().__init__(f"The query parameter {name} must be {wanted}.", parameter=name)


def whole_number(request: web.Request, name: str, *, low: int, high: int) -> int | None:
    """Return a whole number of the query string, None where it is left out; raise QueryInvalid for anything else."""
    raw = request.query.get(name)
    if raw is None:
        return None
    if _WHOLE_NUMBER.fullmatch(raw) is None or not low <= int(raw) <= high:
        raise QueryInvalid(name, f"a whole number from {low} to {high}")
    return int(raw)


def short_text(request: web.Request, name: str, *, max_bytes: int) -> str:
    """Return a text of the query string, empty where there is none; raise QueryInvalid for too long a one, or none."""
    text = request.query.get(name, "")
    if "\0" in text or any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        raise QueryInvalid(name, "text without a NUL character")
    if len(text.encode()) > max_bytes:
        raise QueryInvalid(name, f"at most {max_bytes} bytes long")
    return text


def identifier(request: web.Request, name: str) -> UUID | None:
    """Return an id of the query string, None where it is left out; raise QueryInvalid for anything else."""
    raw = request.query.get(name)
    if raw is None:
        return None
    try:
        found = UUID(raw)
    except ValueError:
        found = None
    # One thing has one id: no braces, no upper case.
    if found is None or str(found) != raw:
        raise QueryInvalid(name, "an id, such as 6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")
    return found


def moment(request: web.Request, name: str) -> datetime | None:
    """Return a time of the query string, None where it is left out; raise QueryInvalid for anything else."""
    raw = request.query.get(name)
    if raw is None:
        return None
    try:
        # A plus sign that was not escaped has become a blank on its way.
        found = datetime.fromisoformat(raw.replace(" ", "+"))
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise QueryInvalid(name, "a time with its zone, such as 2026-01-31T12:00:00Z")
