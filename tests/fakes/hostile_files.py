"""A folder of a customer, and beside it what must never be touched from inside."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zlh_agent.files.beneath import Root
from zlh_common.trees import delete_tree

NOBODY = 65534
SECRET = "outside"


class Ground:
    """`inside` is the root of file work; `outside` is the same user's, so that only the root is in the way."""

    def __init__(self, folder: Path) -> None:
        self.inside = folder / "inside"
        self.outside = folder / "outside"
        self.inside.mkdir()
        (self.outside / "folder").mkdir(parents=True)
        for name in ("file", "folder/file"):
            (self.outside / name).write_text(SECRET)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o640)
            os.utime(path, (1, 1))
        self._before = self.look_outside()

    def look_outside(self) -> list[object]:
        """Return everything that could show that somebody was there."""
        return [
            (str(path), status.st_ino, status.st_mode, status.st_nlink, status.st_size, status.st_mtime_ns)
            for path in sorted((self.outside, *self.outside.rglob("*")))
            for status in [path.lstat()]
        ]

    def is_untouched(self) -> bool:
        """Tell whether nothing outside was made, changed, moved or removed."""
        return self.look_outside() == self._before

    def own(self) -> tuple[int, int, tuple[int, ...]] | None:
        """Give everything to nobody, where that can be done; return who works on it then."""
        if os.geteuid() != 0:
            return None
        for path in (self.inside.parent, *self.inside.parent.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        return NOBODY, NOBODY, ()


@contextmanager
def made_ground(*, in_memory: bool = False) -> Iterator[Ground]:
    """Make one that every user may pass; `in_memory` for what makes a disk wait."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="zlh-files-", dir=memory if in_memory and memory.is_dir() else None))
    try:
        yield Ground(folder)
    finally:
        delete_tree(folder)


@contextmanager
def opened(folder: Path) -> Iterator[Root]:
    """Open a root in this very process: what the child does, without the child."""
    root = Root(str(folder))
    try:
        yield root
    finally:
        root.close()
