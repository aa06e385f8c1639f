"""Folders of guests that have no number yet, or none any more, and the locks on them. All of it blocks.

.new-<owner>-<random>/     one in the making
.gone-<owner>-<random>/    one that is being deleted

They are ours by their names, which nobody else may give here, so what a crash leaves is known for whose it is.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zlh_common.names import OwnerMark

_NAMELESS = re.compile(r"\.(?:new|gone)-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-\w+")


def make_beginning(root: Path, owner: OwnerMark) -> Path:
    """Make the folder of a new guest, without its name."""
    return Path(tempfile.mkdtemp(prefix=f".new-{owner}-", dir=root))


def make_grave(root: Path, owner: OwnerMark) -> Path:
    """Make the empty folder that a guest's folder takes the place of, by a rename, before it is deleted."""
    return Path(tempfile.mkdtemp(prefix=f".gone-{owner}-", dir=root))


def find_nameless(root: Path, owner: OwnerMark | None = None) -> list[tuple[OwnerMark, Path]]:
    """Return what crashes have left, of one guest or of all."""
    if not root.is_dir():
        return []
    found = []
    for entry in sorted(root.iterdir()):
        match = _NAMELESS.fullmatch(entry.name)
        if match is not None and owner in {None, match[1]}:
            found.append((OwnerMark(match[1]), entry))
    return found


@contextmanager
def hold_if_free(path: Path) -> Iterator[bool]:
    """Hold a folder against all of ours that hold it, without waiting; yields whether it is held by us now."""
    try:
        descriptor = open_folder(path)
    except FileNotFoundError:
        yield False
        return
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def open_folder(path: Path) -> int:
    """Return a descriptor that no child has."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def try_lock(descriptor: int) -> bool:
    """Lock it until it is closed; False where another has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
