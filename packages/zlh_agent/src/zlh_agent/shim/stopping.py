"""Going down a ladder: input or signals one after the other, each with its grace, and SIGKILL at the end.

It runs in the shim, so that a deadline holds even if the agent that set it dies. While a child lives its end is waited
for; of what it leaves behind everybody is found as a descendant of this process, however often it has forked.
"""

from __future__ import annotations

import os
import time

from zlh_common.processes import ProcessIdentity, read_rows, select_descendants, send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Sequence

    from zlh_agent.shim.model import Rung
else:
    import _signal

# How often those are looked at that are being ended, and how often SIGKILL is tried before giving up (D state).
LOOK_MS = 20
KILL_ROUNDS = 100
# A fork bomb is faster than its being stopped; each kill round takes as much of it as it can.
FREEZE_ROUNDS = 20


class Ladder:
    """What is under way, if anything; `press_on` is to be called whenever time has passed or somebody has ended."""

    def __init__(self, boot_id: str, type_text: Callable[[bytes], None]) -> None:
        self._boot_id = boot_id
        self._type_text = type_text
        self._rungs: list[Rung] = []
        self._due: float | None = None
        self._kill_at = 0.0
        self._kills = 0
        # The rung that was taken last was text.
        self._is_typing = False

    def begin(self, rungs: Sequence[Rung]) -> None:
        """Go down `rungs` from now on; one under way that ends sooner is kept."""
        now = time.monotonic()
        kill_at = now + sum(rung.grace_ms for rung in rungs) / 1000
        if self._due is not None and self._kill_at <= kill_at:
            return
        self._rungs = list(rungs)
        self._kill_at = kill_at
        self._kills = 0
        self._step_down(now)

    def is_under_way(self) -> bool:
        """Tell whether somebody is being ended."""
        return self._due is not None

    def kill_at_ns(self) -> int | None:
        """Return when it comes to SIGKILL, as wall-clock time, or None where nobody is being ended."""
        if self._due is None:
            return None
        return time.time_ns() + int((self._kill_at - time.monotonic()) * 1e9)

    def timeout_ms(self, *, has_child: bool) -> int | None:
        """Return when to press on at the latest; while a child lives, its end is told by itself."""
        if self._due is None:
            return None
        if not has_child or self._kills:
            return LOOK_MS
        return max(0, int((self._due - time.monotonic()) * 1000) + 1)

    def press_on(self, *, has_child: bool) -> bool:
        """Take what is due; True at the moment when it is over: everybody has gone, or the kernel holds somebody."""
        if self._due is None:
            return False
        if not has_child and not find_descendants(self._boot_id):
            self._due = None
            return True
        now = time.monotonic()
        # What outlives its child need not be asked in the child's own words.
        if now >= self._due or (not has_child and self._is_typing):
            self._step_down(now)
        if self._kills >= KILL_ROUNDS:
            self._due = None
            return True
        return False

    def _step_down(self, now: float) -> None:
        if not self._rungs:
            self._is_typing = False
            self._kill(now)
            return
        rung = self._rungs.pop(0)
        self._is_typing = bool(rung.text)
        self._due = now + rung.grace_ms / 1000
        if rung.text:
            self._type_text(rung.text)
            return
        for identity in find_descendants(self._boot_id):
            send_signal(identity, rung.signal)
            # One that is stopped, by Ctrl-Z, would keep the signal for later.
            send_signal(identity, _signal.SIGCONT)

    def _kill(self, now: float) -> None:
        self._kills += 1
        self._due = now + LOOK_MS / 1000
        for identity in freeze_descendants(self._boot_id):
            send_signal(identity, _signal.SIGKILL)


def find_descendants(boot_id: str) -> list[ProcessIdentity]:
    """Return everybody who descends from this process and still runs."""
    if not _has_children():
        # Every orphan below is a child of this process, so there is nobody at all, and no need to read all of /proc.
        return []
    rows = select_descendants(read_rows(), os.getpid())
    return [ProcessIdentity(row.pid, row.start_ticks, boot_id) for row in rows]


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def freeze_descendants(boot_id: str) -> list[ProcessIdentity]:
    """Stop everybody, so that nobody forks unseen, and return them all."""
    frozen: dict[ProcessIdentity, None] = {}
    for _ in range(FREEZE_ROUNDS):
        fresh = [identity for identity in find_descendants(boot_id) if identity not in frozen]
        for identity in fresh:
            frozen[identity] = None
            send_signal(identity, _signal.SIGSTOP)
        if not fresh:
            break
    return list(frozen)
