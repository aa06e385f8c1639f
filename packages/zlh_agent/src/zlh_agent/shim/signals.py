"""Signals and times of a shim, in the words that people read."""

from __future__ import annotations

import contextlib
import signal
from datetime import UTC, datetime


def signal_name(number: int | None) -> str | None:
    """Return `SIGKILL` for 9; a number without a name stays one."""
    if number is None:
        return None
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"SIG{number}"


def signal_number(name: str) -> int:
    """Return 9 for `SIGKILL`; raise KeyError for a name that is none."""
    return signal.Signals[name].value


def moment(nanoseconds: int | None) -> datetime | None:
    """Return a wall-clock time of a shim."""
    return None if nanoseconds is None else datetime.fromtimestamp(nanoseconds / 1e9, UTC)
