"""Going down a ladder: input or signals one after the other, each with its grace, and SIGKILL at the end.

It runs in the shim, so that a deadline holds even if the agent that set it dies. While a child lives its end is waited
for; of what it leaves behind everybody is found as a descendant of this process, however often it has forked.
"""

from __future__ import annotations

import os
import time

from zlh_common.processes import ProcessIdentity, read_row, read_rows, select_descendants, send_signal

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
# Of one thread's list of children; who stands beyond it is found by reading all of /proc.
_CHILDREN_BYTES = 64 * 1024


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
        if not has_child and not _has_children():
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
        for identity in freeze_below(os.getpid(), self._boot_id):
            send_signal(identity, _signal.SIGKILL)


def find_descendants(boot_id: str) -> list[ProcessIdentity]:
    """Return everybody who descends from this process and still runs, as far as one reading of /proc can tell.

    One that forks and ends faster than that is missed; `count_descendants` knows at least that there is somebody.
    """
    if not _has_children():
        return []
    rows = select_descendants(read_rows(), os.getpid())
    return [ProcessIdentity(row.pid, row.start_ticks, boot_id) for row in rows]


def count_descendants(boot_id: str) -> int:
    """Return how many descend from this process; never 0 while there is one."""
    return len(find_descendants(boot_id)) or int(_has_children())


def _has_children() -> bool:
    """Tell whether anybody is there: every orphan below is a child of this process, so the kernel knows for certain.

    Those that have ended and are not reaped yet count too.
    """
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def freeze_below(root: int, boot_id: str) -> list[ProcessIdentity]:
    """Stop everybody who descends from `root`, so that nobody forks unseen, and return them all."""
    frozen: dict[ProcessIdentity, None] = {}
    for _ in range(FREEZE_ROUNDS):
        before = len(frozen)
        _go_down(root, boot_id, frozen)
        for row in select_descendants(read_rows(), root):
            _freeze(ProcessIdentity(row.pid, row.start_ticks, boot_id), frozen)
        if len(frozen) == before:
            break
    return list(frozen)


def _go_down(root: int, boot_id: str, frozen: dict[ProcessIdentity, None]) -> None:
    """Go down from parent to child: quick enough for one that hops from pid to pid, which all of /proc is not."""
    parents = [root]
    while parents:
        parent = parents.pop()
        for pid in _read_children(parent):
            row = read_row(pid)
            # The number may be another's by now, who is no business of ours.
            if row is not None and row.parent == parent and row.state not in {"Z", "X"}:
                _freeze(ProcessIdentity(pid, row.start_ticks, boot_id), frozen)
                parents.append(pid)


def _freeze(identity: ProcessIdentity, frozen: dict[ProcessIdentity, None]) -> None:
    if identity not in frozen:
        frozen[identity] = None
        send_signal(identity, _signal.SIGSTOP)


def _read_children(pid: int) -> list[int]:
    """Return the children that the kernel lists for each thread of a process; none where it keeps no such list."""
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - no pathlib here
            fd = os.open(f"/proc/{pid}/task/{thread}/children", os.O_RDONLY | os.O_CLOEXEC)
            try:
                children += [int(word) for word in os.read(fd, _CHILDREN_BYTES).split()]
            finally:
                os.close(fd)
    except OSError:
        pass
    return children
