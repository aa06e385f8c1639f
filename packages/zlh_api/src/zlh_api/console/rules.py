"""What a viewer of a shared console gets next, and what an agent may say: decisions without I/O.

    offsets     first ──────── tail ───────────── end ───── written
                 held, before   held, since the    ▲         newest that the agent has told of
                 the last gap   last gap           └ the shared upstream stands here

A viewer follows the window (it is a cursor into it), or it is on its way to it with an upstream of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from zlh_common.schema.console_wire import (
    DEFAULT_REPLAY_BYTES,
    LIVE_ONLY,
    MAX_OFFSET,
    Exit,
    Gap,
    Hello,
    InputDone,
    State,
)

# What is held of a console for viewers that are a little behind: four of the largest frames, so that ten viewers of
# unlike speed share one upstream, and a process with 200 consoles stays within 100 MB.
WINDOW_BYTES = 512 * 1024
# What a frame costs beside its bytes, so that an agent that sends single bytes fills no memory with objects.
FRAME_COST_BYTES = 256
# One that fell out comes back where it stands this near the end: nearer than where an agent puts one that is too slow
# for its output, which would fall out again at once, with a handshake each time.
NEAR_BYTES = DEFAULT_REPLAY_BYTES // 2
_MAX_NAME_CHARS = 64


@dataclass(frozen=True, slots=True)
class Bounds:
    """The window as of now."""

    first: int
    tail: int
    end: int
    written: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where one viewer stands."""

    position: int
    # On its way to the window; False: it is a cursor into it.
    is_apart: bool = False
    # It fell out of the window; see NEAR_BYTES.
    has_fallen_out: bool = False
    # Its own upstream is over.
    is_own_over: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """Take what the window holds from `position`, up to `end` at most."""

    position: int
    end: int


@dataclass(frozen=True, slots=True)
class Own:
    """Take from the upstream of its own, up to the offset `end` at most."""

    end: int


@dataclass(frozen=True, slots=True)
class Part:
    """It has fallen out of the window: open an upstream of its own."""


@dataclass(frozen=True, slots=True)
class Join:
    """It has reached the window: close its own upstream and follow."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Its next notice is due."""


@dataclass(frozen=True, slots=True)
class Wait:
    """It has everything so far; the shared upstream is read on for it."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Its own upstream has ended before it reached the window."""


Move = Held | Own | Part | Join | Notice | Wait | Lost


def next_move(place: Place, bounds: Bounds, *, notice_at: int | None) -> Move:
    """Return what a viewer gets next. A notice waits for the output before it, and output for a notice before it."""
    position = place.position
    if notice_at is not None and position >= notice_at:
        return Notice()
    if position >= bounds.end:
        # One that is ahead keeps its own upstream until the shared one has come, which may also jump past it.
        return Join() if place.is_apart and position == bounds.end else Wait()
    limit = bounds.end if notice_at is None else min(notice_at, bounds.end)
    if not place.is_apart:
        return Part() if position < bounds.first else Held(position, limit)
    may_join = not place.has_fallen_out or place.is_own_over or position >= bounds.end - NEAR_BYTES
    if may_join and position >= max(bounds.tail, bounds.first):
        return Join()
    return Lost() if place.is_own_over else Own(limit)


def place_in_window(asked: int | None, bounds: Bounds) -> int | None:
    """Return where a new viewer begins if the window can serve it, exactly as the agent would; None where it cannot."""
    if asked == LIVE_ONLY:
        return bounds.written
    start = bounds.written - DEFAULT_REPLAY_BYTES if asked is None else asked
    # The stream's very beginning is the beginning of every replay.
    start = max(start, 0)
    return start if max(bounds.first, bounds.tail) <= start <= bounds.written else None


def first_gap(asked: int | None, hello: Hello) -> Gap | None:
    """Return what a viewer is told that asked for an offset and begins at another one."""
    if asked is None or asked in {LIVE_ONLY, hello.start}:
        return None
    return Gap(start=asked, to=hello.start)


def is_whole(hello: Hello) -> bool:
    """Tell whether an agent's first message makes sense."""
    return 0 <= hello.start <= hello.to <= MAX_OFFSET and _is_name(hello.stream) and _is_name(hello.state)


def runs_on(end: int, message: Gap | State | Exit) -> bool:
    """Tell whether an agent's message makes sense for an upstream that stands at `end`."""
    match message:
        case Gap(start=start, to=to):
            return start == end and end < to <= MAX_OFFSET
        case State(state=state):
            return _is_name(state)
        case Exit(code=code, signal=signal):
            return (code is None or abs(code) < 2**31) and (signal is None or _is_name(signal))


def is_next_done(before: InputDone, done: InputDone, *, sent: int) -> bool:
    """Tell whether an agent may say this of `sent` bytes of input: only one of the two numbers grows at a time."""
    grown = (done.taken - before.taken, done.refused - before.refused)
    return min(grown) == 0 and done.total <= sent


def _is_name(text: str) -> bool:
    return len(text) <= _MAX_NAME_CHARS
