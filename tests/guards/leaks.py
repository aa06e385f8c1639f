"""Nothing may outlive its test: no process, no descriptor, no folder of ours, no task."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

SETTLE_S = 1.5


PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of whatever a test's children leave behind, so that it is seen."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def own_temp_folder() -> Path:
    """Give this process a folder for temporary files that nobody else on the machine writes to, and return it."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    # A worker's lies in that of the process that hands it the tests, which removes it if the worker cannot.
    folder = Path(tempfile.gettempdir(), worker) if worker else Path(tempfile.mkdtemp(prefix="zlht-"))
    folder.mkdir(exist_ok=True)
    # Servers that tests start run as another user where the tests run as root.
    folder.chmod(0o711)
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    return folder


# What the command line or the environment of servers that a whole session shares holds; they and what they start are
# no leak.
long_lived: set[str] = set()
# Which processes have been found to be such: it takes files of each of their parents to find it out.
_known_long_lived: set[tuple[int, float]] = set()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there is at one moment."""

    processes: frozenset[tuple[int, float]]
    descriptors: frozenset[tuple[str, str]]
    folders: frozenset[str]


def take() -> Snapshot:
    """Return what there is now."""
    return Snapshot(frozenset(_processes()), frozenset(_descriptors()), frozenset(_folders()))


def find_leaks(before: Snapshot) -> list[str]:
    """Return what there is now and was not before; what is only on its way out gets a moment."""
    deadline = time.monotonic() + SETTLE_S
    while leaks := _difference(before, take()):
        if time.monotonic() > deadline:
            return leaks
        gc.collect()
        time.sleep(0.05)
    _reap_orphans(before)
    return []


def _reap_orphans(before: Snapshot) -> None:
    """Ask for the status of children that nobody else will ask, so that they are not met in every look."""
    for process in psutil.Process().children() if _has_children() else ():
        with contextlib.suppress(psutil.Error, ChildProcessError):
            known = (process.pid, process.create_time())
            if process.status() == psutil.STATUS_ZOMBIE and known not in before.processes | _known_long_lived:
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG)


def end_processes(before: Snapshot) -> None:
    """Kill what was left, so that one bad test fails alone."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            known = (process.pid, process.create_time()) in before.processes
            if not known and not _is_long_lived(process):
                process.kill()


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; its parent may not have asked for its status yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def find_tasks() -> list[str]:
    """Return the tasks of the running loop that nobody has ended, the asking one left out."""
    return [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.done()]


def _difference(before: Snapshot, now: Snapshot) -> list[str]:
    processes = [f"process {pid}: {_command(pid)}" for pid, _ in now.processes - before.processes]
    descriptors = [f"descriptor {number}: {target}" for number, target in now.descriptors - before.descriptors]
    folders = [f"folder {folder}" for folder in now.folders - before.folders]
    return sorted(processes + descriptors + folders)


def _processes() -> Iterator[tuple[int, float]]:
    """Our children and theirs, orphans included."""
    for process in psutil.Process().children(recursive=True) if _has_children() else ():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and not _is_long_lived(process):
                yield process.pid, process.create_time()


def _has_children() -> bool:
    """Tell whether there is any child, ended ones included; most tests have none, and to look at all is slow."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _is_long_lived(process: psutil.Process) -> bool:
    if not long_lived:
        return False
    known = (process.pid, process.create_time())
    if known in _known_long_lived:
        return True
    line = [process, *process.parents()]
    is_long_lived = any(mark in text for member in line for text in _texts(member) for mark in long_lived)
    if is_long_lived:
        _known_long_lived.add(known)
    return is_long_lived


def _texts(process: psutil.Process) -> Iterator[str]:
    with contextlib.suppress(psutil.Error):
        yield " ".join(process.cmdline())
        yield from process.environ().values()


def _descriptors() -> Iterator[tuple[str, str]]:
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(entry.readlink())
            # The folder that is being listed right now, and what the runtime opens for itself once.
            if not target.startswith(("/proc/", "anon_inode:[event", "/dev/urandom")):
                yield entry.name, target


def _folders() -> Iterator[str]:
    for entry in Path(tempfile.gettempdir()).iterdir():
        # What pytest itself keeps for tmp_path is cleared by pytest.
        if not entry.name.startswith("pytest-"):
            yield str(entry)


def _command(pid: int) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(psutil.Process(pid).cmdline())[:200]
    return "(gone)"
