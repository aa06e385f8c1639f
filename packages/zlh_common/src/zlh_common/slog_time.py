"""Times as Go's slog prints them; apart from the rest of logging, for programs that cannot afford that."""

from __future__ import annotations

import time


def render_time(nanoseconds: int) -> str:
    """Return nanoseconds since 1970 the way slog prints a time in UTC."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    digits = f"{fraction:09d}".rstrip("0")
    return f"{stamp}.{digits}Z" if digits else f"{stamp}Z"
