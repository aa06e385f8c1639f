"""Whether an install has room: bytes and files, on each file system that it writes to."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zlh_agent.runtimes.errors import DiskFull

# Room that an install leaves to the customer and to the agent's own records.
RESERVE_BYTES, RESERVE_FILES = 64 * 1024 * 1024, 1000
# A file takes whole blocks, so up to this more than its bytes.
BLOCK_BYTES = 4096
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Need:
    """What will be written below a folder."""

    folder: Path
    size: int
    files: int


@dataclass(frozen=True, slots=True)
class Room:
    """What a file system has left for us; None where it counts no files."""

    size: int
    files: int | None


def tree_need(folder: Path, *, size: int, files: int) -> Need:
    """Return what a tree of so many files takes."""
    return Need(folder, size + files * BLOCK_BYTES, files)


def read_room(folder: Path) -> Room:
    """Return what is free where `folder` is, or will be."""
    found = os.statvfs(_existing(folder))
    return Room(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)


def ensure_room(needs: Sequence[Need]) -> None:
    """Raise DiskFull unless every file system has room for all that is written to it, and the reserve beside it."""
    shared: dict[int, list[Need]] = {}
    for need in needs:
        shared.setdefault(_existing(need.folder).stat().st_dev, []).append(need)
    for group in shared.values():
        size = sum(need.size for need in group) + RESERVE_BYTES
        files = sum(need.files for need in group) + RESERVE_FILES
        room = read_room(group[0].folder)
        if room.size < size or (room.files is not None and room.files < files):
            raise DiskFull(needed_bytes=size, free_bytes=room.size, needed_files=files, free_files=room.files)


@contextmanager
def told_when_full(need: Need) -> Iterator[None]:
    """Raise DiskFull with its numbers where a write finds no room."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in NO_ROOM:
            raise
        room = read_room(need.folder)
        raise DiskFull(
            needed_bytes=need.size, free_bytes=room.size, needed_files=need.files, free_files=room.files
        ) from exc


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
