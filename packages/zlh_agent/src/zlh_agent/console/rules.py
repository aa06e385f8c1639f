"""What a viewer gets next, and how history is cut and searched: decisions without I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zlh_common.schema.console_wire import DEFAULT_REPLAY_BYTES, LIVE_ONLY, MAX_OFFSET

# One frame to a viewer; twice what a flood brings in a millisecond, so that a viewer that fell behind catches up.
MAX_OUTPUT_BYTES = 128 * 1024
MAX_MATCHES = 1000

# A window that is drawn wider with the mouse changes its size more often than programs can follow.
RESIZES_PER_S = 20
RESIZE_BURST_S = 0.4
# So long a program has another size when it is to draw itself anew.
REDRAW_S = 0.05


@dataclass(frozen=True, slots=True)
class Skip:
    """The bytes [start, to) are gone for this viewer; it goes on at `to`."""

    start: int
    to: int


@dataclass(frozen=True, slots=True)
class Output:
    """Send up to `limit` bytes from `start`."""

    start: int
    limit: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Its next notice is due."""


@dataclass(frozen=True, slots=True)
class Wait:
    """It has everything so far."""


def next_move(*, position: int, oldest: int, written: int, notice_at: int | None) -> Skip | Output | Notice | Wait:
    """Return what a viewer at `position` gets next, with [oldest, written) in the ring.

    A notice waits for the output before it. A viewer that was lapped is too slow for this output: it goes on near the
    newest byte, since at the oldest it would be lapped again at once.
    """
    if position < oldest:
        return Skip(position, max(oldest, written - DEFAULT_REPLAY_BYTES))
    if notice_at is not None and position >= notice_at:
        return Notice()
    if position < written:
        end = written if notice_at is None else min(written, notice_at)
        return Output(position, min(end - position, MAX_OUTPUT_BYTES))
    return Wait()


def parse_number(text: str | None, *, lowest: int, highest: int) -> int | None:
    """Return a decimal number of a query, None where it was left out or empty; raise ValueError for anything else."""
    if not text:
        return None
    if re.fullmatch(r"-?[0-9]{1,16}", text, re.ASCII) is None or not lowest <= int(text) <= highest:
        raise ValueError(text)
    return int(text)


def parse_from(text: str | None) -> int | None:
    """Return where a viewer wants to go on: an offset, LIVE_ONLY, or None; raise ValueError for anything else."""
    return parse_number(text, lowest=LIVE_ONLY, highest=MAX_OFFSET)


def find_matches(chunks: Iterable[tuple[int, bytes]], needle: bytes) -> Iterator[int]:
    """Yield the absolute offsets of `needle` in consecutive (offset, bytes) chunks, also where it lies across two.

    Matches may not overlap. A chunk that does not follow on the one before starts the search anew.
    """
    tail, tail_at = b"", 0
    for offset, chunk in chunks:
        if tail_at + len(tail) != offset:
            tail, tail_at = b"", offset
        text = tail + chunk
        at = 0
        while (found := text.find(needle, at)) >= 0:
            yield tail_at + found
            at = found + len(needle)
        keep_from = max(at, len(text) - len(needle) + 1)
        tail, tail_at = text[keep_from:], tail_at + keep_from
