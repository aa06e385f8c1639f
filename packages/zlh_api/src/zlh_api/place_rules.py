"""A place in a list that is ordered by time, as a page's `next` tells it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def render_instant(at: datetime) -> str:
    """Return a time in microseconds, as exact as the database keeps it."""
    return str((at - _EPOCH) // timedelta(microseconds=1))


def parse_instant(text: str) -> datetime | None:
    """Return the time of so many microseconds, or None where there is no such time; only of digits."""
    try:
        return _EPOCH + timedelta(microseconds=int(text))
    except OverflowError:
        return None
