"""Which process is meant: pid, start time and boot, because a pid alone is given to strangers later."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process of one boot."""

    pid: int
    # Clock ticks since boot, field 22 of /proc/<pid>/stat.
    start_time: int
    boot_id: str

    def is_alive(self) -> bool:
        """Tell whether this very process runs (a zombie does not)."""
        return self.boot_id == boot_id() and _stat(self.pid) == (self.start_time, True)

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to this very process; False where it is gone. A process that took its pid is never hit."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except (ProcessLookupError, PermissionError):
            return False
        try:
            # The descriptor now holds one process; if it is ours, no other can take its place.
            if not self.is_alive():
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True


def boot_id() -> str:
    """Return the id of the running boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> ProcessIdentity | None:
    """Return who has this pid now, or None."""
    found = _stat(pid)
    return ProcessIdentity(pid, found[0], boot_id()) if found and found[1] else None


def find_by_environment(name: str, value: str) -> list[ProcessIdentity]:
    """Return our own processes that were started with this environment variable, and all that these have started."""
    wanted = f"{name}={value}".encode()
    found: set[int] = set()
    children: dict[int, list[int]] = {}
    for pid in _pids():
        with contextlib.suppress(OSError):
            children.setdefault(_parent(pid), []).append(pid)
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.add(pid)
    waiting = list(found)
    while waiting:
        below = [pid for pid in children.get(waiting.pop(), []) if pid not in found]
        found.update(below)
        waiting += below
    return [who for pid in sorted(found) if (who := identify(pid)) is not None]


def _pids() -> list[int]:
    return [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and entry.name != str(os.getpid())
    ]


def _parent(pid: int) -> int:
    return int(_fields(pid)[1])


def end_all(processes: list[ProcessIdentity], *, grace_s: float) -> list[ProcessIdentity]:
    """Send SIGTERM, and after `grace_s` SIGKILL to what is left; return what even that did not end. Blocks."""
    for step, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 2.0)):
        processes = [process for process in processes if process.signal(step)]
        deadline = time.monotonic() + wait_s
        while processes and time.monotonic() < deadline:
            time.sleep(0.02)
            processes = [process for process in processes if process.is_alive()]
    return processes


def _stat(pid: int) -> tuple[int, bool] | None:
    """Return (start time, is it more than a zombie) of a pid, or None."""
    try:
        fields = _fields(pid)
    except OSError:
        return None
    return int(fields[19]), fields[0] not in {"Z", "X"}


def _fields(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the third on; raise OSError where there is no such process."""
    text = Path(f"/proc/{pid}/stat").read_text()
    # The command in parentheses may hold anything, a parenthesis too; what follows the last one is plain.
    return text.rpartition(")")[2].split()
