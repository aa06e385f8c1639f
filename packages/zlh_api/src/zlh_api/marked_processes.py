"""Processes that we have started and lost sight of: found by a mark in their environment, and ended for good."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from zlh_common.processes import ProcessIdentity, ProcessRow, is_alive, read_boot_id, read_rows, send_signal


def find_marked(name: str, value: str) -> list[ProcessIdentity]:
    """Return the processes that were started with this environment variable, and all that these have started."""
    rows = {row.pid: row for row in read_rows() if row.pid != os.getpid() and row.state not in {"Z", "X"}}
    children: dict[int, list[int]] = {}
    for row in rows.values():
        children.setdefault(row.parent, []).append(row.pid)
    found: set[int] = set()
    waiting = [pid for pid in rows if is_marked(pid, name, value)]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return identities([rows[pid] for pid in sorted(found)])


def find_marks(name: str) -> dict[str, list[int]]:
    """Return the pids of processes that were started with this variable, by its value, out of one look at all."""
    prefix, found = f"{name}=".encode(), dict[str, list[int]]()
    for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):  # noqa: PTH208 - names alone
        for entry in _read_environment(pid):
            if entry.startswith(prefix):
                found.setdefault(entry[len(prefix) :].decode("utf-8", "replace"), []).append(pid)
    return found


class SharedLook:
    """A look at the marks of all processes, shared by all who ask for one before it begins.

    Whoever asks while one is under way gets the next one: what has been started before the question is in the answer.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = asyncio.Lock()
        self._begun = 0
        self._number, self._last = 0, dict[str, list[int]]()

    async def find_marks(self) -> Mapping[str, list[int]]:
        """Return the pids of all marked processes, by their mark."""
        asked = self._begun
        async with self._lock:
            if self._number <= asked:
                self._begun += 1
                number = self._begun
                self._last = await asyncio.to_thread(find_marks, self._name)
                self._number = number
            return self._last


def is_marked(pid: int, name: str, value: str) -> bool:
    """Tell whether a process was started with this environment variable; False for one that we may not look into."""
    return f"{name}={value}".encode() in _read_environment(pid)


def _read_environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def identities(rows: list[ProcessRow]) -> list[ProcessIdentity]:
    """Return who these are, so that they can be meant later."""
    boot_id = read_boot_id()
    return [ProcessIdentity(row.pid, row.start_ticks, boot_id) for row in rows]


def ask_all(processes: list[ProcessIdentity]) -> list[ProcessIdentity]:
    """Send SIGTERM, and return those that it has reached."""
    return [process for process in processes if send_signal(process, signal.SIGTERM)]


def find_alive(processes: list[ProcessIdentity]) -> list[ProcessIdentity]:
    """Return those that still run."""
    return list(filter(is_alive, processes))


def end_all(processes: list[ProcessIdentity], *, grace_s: float) -> list[ProcessIdentity]:
    """Send SIGTERM, and after `grace_s` SIGKILL to what is left; return what even that did not end. Blocks."""
    for step, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 2.0)):
        processes = [process for process in processes if send_signal(process, step)]
        processes = _wait_gone(processes, patience_s=wait_s)
    return processes


def _wait_gone(processes: list[ProcessIdentity], *, patience_s: float) -> list[ProcessIdentity]:
    """Return what is left after `patience_s`, or sooner where nothing is."""
    deadline = time.monotonic() + patience_s
    while (processes := find_alive(processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return processes
