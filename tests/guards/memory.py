"""Folders in memory, for tests that write the same few files durably hundreds of times: most of their time is a disk's.

The servers that each test gets a database of have theirs here too: a database is three hundred files, made and removed.
What reaches a disk when is nothing that they could see: a process that is killed loses nothing that it has written.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
LEAST_FREE_BYTES = 2 * 1024**3
# Beginnings of paths.
WANTED = (
    "tests/component/artifacts/test_killed.py",
    "tests/faults/authority/test_rotation.py",
)


def folder_of(temp: Path) -> Path:
    """Return where a process whose folder for temporary files this is has those in memory."""
    return MEMORY / "-".join(temp.parts[1:])


def make_folder(temp: Path, test: str) -> Path | None:
    """Make an empty folder in memory for a test that is to have one; None for others, and where there is no room."""
    return _make(temp) if test.startswith(WANTED) else None


def make_server_folder(temp: Path) -> Path | None:
    """Make an empty folder in memory for a server of databases; None where there is no room."""
    return _make(temp)


def _make(temp: Path) -> Path | None:
    if not _has_room():
        return None
    parent = folder_of(temp)
    parent.mkdir(exist_ok=True)
    # As with all temporary files: servers that tests start run as another user where the tests run as root.
    parent.chmod(0o711)
    return Path(tempfile.mkdtemp(dir=parent))


def _has_room() -> bool:
    if not (MEMORY.is_mount() and os.access(MEMORY, os.W_OK)):
        return False
    status = os.statvfs(MEMORY)
    is_plain = not status.f_flag & (os.ST_NOEXEC | os.ST_RDONLY)
    return is_plain and status.f_bavail * status.f_frsize >= LEAST_FREE_BYTES
