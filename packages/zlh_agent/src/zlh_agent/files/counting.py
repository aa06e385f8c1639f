"""How much is in a tree, and what the disk gives for it."""

from __future__ import annotations

import stat

from zlh_agent.files.walk import ENTERED, FOUND, SHUT, Walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    from zlh_agent.files.work import Work

_BLOCK_BYTES = 512
# Files with further names that are remembered until all of their names were met; beyond, each name counts.
_MAX_LINKED = 500_000


def measure_tree(folder: int, work: Work) -> None:
    """Count what is below an open folder: each name, but the bytes of a file with several names once.

    What the disk gives for the folder itself is part of it, as `du` has it.
    """
    count = _Count(work)
    walk = Walk(folder)
    try:
        for step in walk.steps():
            if step.kind == SHUT:
                work.skip(walk.where(step.name), step.code)
            elif step.status is not None and step.kind in {ENTERED, FOUND}:
                count.add(step.status, is_first=step.kind == ENTERED and step.depth == 0)
    finally:
        walk.close()


def measure_file(status: os.stat_result, work: Work) -> None:
    """Count one thing that is no folder."""
    _Count(work).add(status, is_first=False)


class _Count:
    def __init__(self, work: Work) -> None:
        self._work = work
        # By device and inode, how many of its names are still to come.
        self._linked: dict[tuple[int, int], int] = {}

    def add(self, status: os.stat_result, *, is_first: bool) -> None:
        disk_bytes = status.st_blocks * _BLOCK_BYTES
        if stat.S_ISDIR(status.st_mode):
            self._work.count(folders=0 if is_first else 1, disk_bytes=disk_bytes)
        elif status.st_nlink > 1 and self._was_met(status):
            self._work.count(files=1)
        else:
            size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            self._work.count(files=1, byte_count=size, disk_bytes=disk_bytes)

    def _was_met(self, status: os.stat_result) -> bool:
        key = (status.st_dev, status.st_ino)
        if key not in self._linked:
            if len(self._linked) < _MAX_LINKED:
                self._linked[key] = status.st_nlink - 1
            return False
        self._linked[key] -= 1
        if self._linked[key] <= 0:
            del self._linked[key]
        return True
