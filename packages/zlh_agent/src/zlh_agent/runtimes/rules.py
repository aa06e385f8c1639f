"""What a change of the default is called, and which version is compared with its list next: pure decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from zlh_agent.runtimes.model import Moment
from zlh_common.version_order import version_order

CHECK_EVERY = timedelta(days=1)


class Check(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the newest comparison of one install has found."""

    name: str
    version: str
    # Of the very install: one that was unpacked anew since has not been compared.
    installed_at: Moment
    checked_at: Moment
    faults: int


def name_switch(before: str, after: str, *, keeps_former: bool) -> str:
    """Return the kind of happening that a change of the default is; `keeps_former` is how one can go back."""
    if not keeps_former:
        return "default_changed"
    return "upgraded" if version_order(before) < version_order(after) else "rolled_back"


def is_check_due(last: datetime, now: datetime, *, jitter: timedelta) -> bool:
    """Tell whether a day has passed. A time that lies ahead was told by another clock, and counts for nothing."""
    return now - last >= CHECK_EVERY + jitter or last - now >= CHECK_EVERY


def choose_check(last: Mapping[tuple[str, str], datetime], now: datetime, jitter: timedelta) -> tuple[str, str] | None:
    """Return the version that has waited longest for its check, of those whose day has come; else None."""
    due: Sequence[tuple[str, str]] = [key for key, at in last.items() if is_check_due(at, now, jitter=jitter)]
    return min(due, key=lambda key: (last[key], key), default=None)
