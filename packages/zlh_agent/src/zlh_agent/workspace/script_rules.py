"""What becomes of a start script, which runs once in the life of a container, whatever dies meanwhile: pure.

    nothing ── begin ──► starting ── order ──► begun ── its end is known, or never will be ──► ended

`starting` is on the disk before there is a shim, `begun` before the shim is ordered to run it. So one that is
`starting` has certainly not run; one that is `begun` and of which no shim knows anything may have run, and is not run
again. A shim that lives and has run nothing says so for certain: then it is ordered once more.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

GRACE_S = 10.0
# How the shim ends a child when the system goes down.
HANG_UP = "SIGHUP"


class Move(StrEnum):
    """What is to be done next."""

    REST = "rest"
    # Nothing of it has run: write that it is starting, make a shim.
    BEGIN = "begin"
    # A shim is there that has run nothing: write that it has begun, and order it.
    ORDER = "order"
    FOLLOW = "follow"
    # Its end is known.
    CONCLUDE = "conclude"
    # It may have run, and nobody will ever know how it ended.
    GIVE_UP = "give_up"


class ScriptRecord(msgspec.Struct, frozen=True, rename="camel"):
    """What is kept of it on the disk."""

    attempt: int
    phase: Literal["starting", "begun", "ended"]
    # Of the boot under which it was begun; the kernel's own id is the host's, or may stay over a start.
    boot_mark: str
    begun_at: datetime
    finished_at: datetime | None = None
    # It was ended since its time was up.
    is_timed_out: bool = False
    code: str | None = None
    message: str | None = None
    exit_code: int | None = None
    output: str | None = None


class ShimSays(StrEnum):
    """What the shim of the script says, if there is one."""

    NONE = "none"
    IDLE = "idle"
    RUNNING = "running"
    EXITED = "exited"


class Ending(msgspec.Struct, frozen=True):
    """How the script ended; one of code and signal is None."""

    code: int | None
    # Its name, such as SIGKILL.
    signal: str | None
    out_of_memory: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """What that means; without a code it went well."""

    code: str | None = None
    message: str | None = None


def decide(record: ScriptRecord | None, attempt: int, shim: ShimSays, *, has_exit: bool) -> Move:
    """Return the next move; `has_exit` says whether a record of the shim's tells how the script ended."""
    if record is None or record.phase == "ended":
        return Move.REST if record is not None and record.attempt >= attempt else Move.BEGIN
    if shim is ShimSays.RUNNING:
        return Move.FOLLOW
    if shim is ShimSays.EXITED or (has_exit and record.phase == "begun"):
        return Move.CONCLUDE
    if shim is ShimSays.IDLE:
        return Move.ORDER
    return Move.BEGIN if record.phase == "starting" else Move.GIVE_UP


def judge(record: ScriptRecord, ending: Ending, *, boot_mark: str, limit_s: float) -> Outcome:
    """Return what the end of a script means."""
    if record.is_timed_out:
        return Outcome(
            "start_script_timed_out",
            f"The start script was still running after {limit_s:.0f} s and was ended, with everything that it had "
            "started. Have what runs for long kept as a process.",
        )
    # A shell is hung up when its container goes down.
    if ending.signal == HANG_UP or (ending.signal is not None and record.boot_mark != boot_mark):
        return interrupted()
    if ending.code == 0:
        return Outcome()
    why = f"with code {ending.code}" if ending.signal is None else f"by {ending.signal}"
    memory = ", since the container's memory was used up" if ending.out_of_memory else ""
    return Outcome("start_script_failed", f"The start script ended {why}{memory}. It is not run again by itself.")


def interrupted() -> Outcome:
    """Return what is said of a script whose end nobody saw."""
    return Outcome(
        "start_script_interrupted",
        "The container went down while the start script ran, or nobody saw its end. It is not run again by itself: "
        "have the workspace tried again once you have looked what it has done.",
    )


def left_s(record: ScriptRecord, now: datetime, limit_s: float) -> float:
    """Return how long the script may run on; a clock that was put back gives it no more than it had."""
    return min(max(limit_s - (now - record.begun_at).total_seconds(), 0.0), limit_s)


def render_script(text: str) -> bytes:
    """Return the file, with the line ends that interpreters know."""
    return text.replace("\r\n", "\n").encode()


def choose_argv(text: str, path: str, shell: str) -> tuple[str, ...]:
    """Return how the file is run: by what its first line names, else by the shell of a login."""
    return (path,) if text.startswith("#!") else (shell, path)
