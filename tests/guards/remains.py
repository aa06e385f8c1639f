"""What a worker leaves behind that has ended in the middle of a test: processes, mounts, networks, folders.

Every process that it had started becomes a child of whoever hands out the tests, whatever it was before.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Collection
from pathlib import Path

import psutil

from guards import memory

PATIENCE_S = 10.0


def bridges_of(pid: int) -> tuple[str, str]:
    """Return the names of the bridges that the tests of one process make: none has those of another."""
    return f"z{pid % 9999}", f"y{pid % 9999}"


def namespace_of(pid: int) -> str:
    """Return the name of the network namespace that the tests of one process make."""
    return f"zlh{pid}"


def end_orphans(workers: Collection[int]) -> None:
    """Kill every child of this process that is none of these, and what they have started."""
    until = time.monotonic() + PATIENCE_S
    while (orphans := _find_orphans(workers)) and time.monotonic() < until:
        for orphan in orphans:
            with contextlib.suppress(psutil.Error):
                orphan.kill()
        time.sleep(0.02)


def _find_orphans(workers: Collection[int]) -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.pid not in workers and child.status() != psutil.STATUS_ZOMBIE:
                found += [child, *child.children(recursive=True)]
    return found


def clear(folder: Path, pid: int) -> None:
    """Remove a worker's folders and the networks of its tests."""
    if shutil.which("ip") and shutil.which("nft"):
        _run("ip", "netns", "delete", namespace_of(pid))
        for bridge in bridges_of(pid):
            for name in (bridge, f"{bridge}u0"):
                _run("ip", "link", "delete", name)
            for family in ("bridge", "inet"):
                _run("nft", "delete", "table", family, f"zlh_{bridge}")
    remove(folder)
    remove(memory.folder_of(folder))


def remove(folder: Path) -> None:
    """Remove a folder, and nothing that is mounted below it."""
    for place in reversed(_find_mounts(folder)):
        _run("umount", "--lazy", place)
    if not _find_mounts(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _find_mounts(folder: Path) -> list[str]:
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted(place for place in mounted if place.startswith(f"{folder}/"))


def _run(*command: str) -> None:
    subprocess.run(command, check=False, capture_output=True)
