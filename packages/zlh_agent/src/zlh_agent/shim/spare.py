"""Room for one more history on a disk that is full: the file of a ring, laid out ahead. It blocks: call in a thread.

Whoever fills the disk would have any room that is given free at once, so it is handed on by renaming: from here to the
terminal that needs it, and back when that is forgotten.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from zlh_agent.shim.ring import DATA_START

NAME = ".spare"


def ensure_spare(folder: Path, size: int) -> None:
    """Have it there; on a disk without room there is none."""
    path = folder / NAME
    if path.exists():
        return
    with suppress(OSError):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError:
            path.unlink()
        finally:
            os.close(fd)


def take_spare(folder: Path, ring: Path) -> bool:
    """Make it the ring of whoever found no room for one; return whether there was one."""
    try:
        (folder / NAME).rename(ring)
    except OSError:
        return False
    return True


def put_back(folder: Path, ring: Path) -> None:
    """Keep the ring of a terminal that is forgotten as the spare, where there is none; it is nobody's history then."""
    if (folder / NAME).exists():
        return
    with suppress(OSError):
        fd = os.open(ring, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.pwrite(fd, bytes(DATA_START), 0)
        finally:
            os.close(fd)
        ring.rename(folder / NAME)
