"""Small files that are whole whenever somebody looks, also after a crash of the machine: one place for how.

For folders that only we write. A file among a customer's own is theirs to link and to race with, so the agent's
`workspace` does it differently. All of it blocks: call in a thread.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_durably(path: Path, content: bytes, *, mode: int = 0o600, is_folder_there: bool = False) -> None:
    """Make `path` hold `content` with this mode; makes its folder where there is none, unless that must be there.

    A reader, or a crash at any moment, sees the old file or the new one; once this has returned it is the new one.
    Writers at the same time take turns. A crash leaves one file `.<name>.new` at most, which the next writer takes.
    Raises OSError where that did not work.
    """
    if not is_folder_there:
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with os.fdopen(_open_locked(temporary), "wb") as file:
        try:
            os.fchmod(file.fileno(), mode)
            os.ftruncate(file.fileno(), 0)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder: for names that nobody writes again. Nobody may be."""
    for path in folder.glob(".*.new"):
        path.unlink(missing_ok=True)


def rename_durably(source: Path, target: Path) -> None:
    """Rename a finished file or folder, over what stands there where that may be, and make it last."""
    source.rename(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make names that were made, renamed or removed in `folder` last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Let one at a time, of all processes and threads, do what touches several files of `folder`; the others wait.

    Whoever dies lets go. It binds those alone who ask: a single file is read and written without it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open_locked(path: Path) -> int:
    """Open and lock the file that stands at `path` now, and not one that another writer has renamed meanwhile."""
    while True:
        # A link is refused, and a pipe in its place cannot keep us waiting.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False)):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
