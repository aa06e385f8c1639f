"""What of an agent's word is kept: its sizes, its numbers, its times and its pace are those of a stranger."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from zlh_common.errors import ZlhError
from zlh_common.pace import Rate
from zlh_common.schema.agent_events import HAPPENINGS_AT_ONCE, HAPPENINGS_PER_S, MAX_NUMBER
from zlh_common.schema.history import Happening
from zlh_common.schema.metrics import Metrics
from zlh_common.schema.structs import encode

MAX_KIND_CHARS, MAX_SUBJECT_CHARS, MAX_MESSAGE_CHARS, MAX_DATA_BYTES = 64, 64, 1000, 2000
MAX_ROWS = 64
# A clock that is further off than this is not believed; the time of arrival stands instead.
MAX_SKEW = timedelta(minutes=5)
# How fast happenings are taken of one agent: twice its own pace, so that the two clocks need not agree.
HAPPENINGS_RATE = Rate(2 * HAPPENINGS_AT_ONCE, 2 * HAPPENINGS_PER_S)
# Agents send their newest sample at once and then one a minute; so many may come at once after a time apart.
SAMPLES_RATE = Rate(3, 1 / 30)
DEFAULT_POINTS, MAX_POINTS = 240, 1000
DEFAULT_SPAN = timedelta(hours=1)
_KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class RangeInvalid(ZlhError):
    """The end of a time range is not after its begin."""

    code, status = "range_invalid", 422

    def __init__(self) -> None:
        super().__init__("The time `from` must be before `to`.")


@dataclass(frozen=True, slots=True)
class JournalPosition:
    """The newest happening that is kept of a container."""

    journal: str
    number: int


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a history that is asked for, and in how many points at most."""

    start: datetime
    end: datetime
    points: int


def find_happenings_problem(items: Sequence[Happening], after: int) -> str | None:
    """Return what is wrong with entries that follow the one with the number `after`, or None."""
    number = after
    for item in items:
        if not number < item.number <= MAX_NUMBER:
            return f"the numbers of its happenings do not grow ({number}, then {item.number})"
        number = item.number
        if problem := _find_happening_problem(item):
            return f"happening {number} has {problem}"
    return None


def _find_happening_problem(item: Happening) -> str | None:
    texts = (item.subject or "", item.message, *_texts(item.data))
    checks = {
        "no kind": len(item.kind) <= MAX_KIND_CHARS and _KIND.fullmatch(item.kind) is not None,
        "no time": _is_time(item.at),
        "a subject that is too long": len(item.subject or "") <= MAX_SUBJECT_CHARS,
        "a message that is too long": len(item.message) <= MAX_MESSAGE_CHARS,
        "data that is too long": len(encode(item.data)) <= MAX_DATA_BYTES,
        "a NUL character": not any("\0" in text for text in texts),
        "a number that is none": all(_is_sane(value) for value in item.data.values()),
    }
    return next((problem for problem, is_fine in checks.items() if not is_fine), None)


def _texts(data: dict[str, str | int | float | bool | None]) -> Iterator[str]:
    yield from data
    yield from (value for value in data.values() if isinstance(value, str))


def find_metrics_problem(metrics: Metrics) -> str | None:
    """Return what is wrong with a sample, or None."""
    if not _is_time(metrics.observed_at):
        return "it has no time"
    if len(metrics.processes) > MAX_ROWS:
        return "it has more processes than an agent keeps"
    if any(_NAME.fullmatch(process.name) is None for process in metrics.processes):
        return "a process has no name"
    parts = [metrics.container, *metrics.processes, *(process.usage for process in metrics.processes)]
    numbers = [value for part in parts for value in msgspec.structs.astuple(part)]
    if any(not _is_sane(value) or (isinstance(value, int | float) and value < 0) for value in numbers):
        return "a figure is none"
    return None


def _is_time(at: datetime) -> bool:
    """Tell whether a time has its zone, and lies where every calendar and database can follow."""
    return at.tzinfo is not None and 1970 < at.year < 3000


def _is_sane(value: object) -> bool:
    """Tell whether a figure is one that every reader of JSON can hold."""
    return not isinstance(value, int | float) or -MAX_NUMBER <= value <= MAX_NUMBER


def believe_time(at: datetime, now: datetime) -> datetime:
    """Return when something happened: as the agent says it where its clock may be right, and never in the future."""
    return min(at, now)


def believe_sample_time(at: datetime, now: datetime) -> datetime:
    """Return when a sample was taken: as the agent says it, or now where its clock cannot be right."""
    return at if abs(at - now) <= MAX_SKEW else now


def choose_span(start: datetime | None, end: datetime | None, points: int | None, now: datetime) -> Span:
    """Return what is asked for, the last hour where nothing is said; raise RangeInvalid."""
    end = now if end is None else end
    try:
        start = end - DEFAULT_SPAN if start is None else start
    except OverflowError as exc:
        raise RangeInvalid from exc
    if start >= end:
        raise RangeInvalid
    return Span(start, end, DEFAULT_POINTS if points is None else points)
