"""Removing a folder with all that is in it, deeper than a path may be long and than one may hold folders open.

    enter the next folder ──► unlink what is no folder, note up to a batch of folders ──► enter them, one by one
          ▲                                                                                  │
          └── none is left: rmdir it from the folder above, which is opened again by its path ◄─┘

The folder above is never reached by `..`, which leads wherever somebody has moved us: everything is opened below the
first folder and through no link, so whatever a racer does, only what is in the tree at that moment is removed.
"""

from __future__ import annotations

import errno
import os
import stat

from zlh_agent.files.opening import O_PATH, open_below
from zlh_agent.files.refusals import FOLDER_NOT_EMPTY, OTHER_FILE_SYSTEM, Refused
from zlh_agent.files.rights import change_mode
from zlh_common.openat2 import NO_SYMLINKS, NO_XDEV

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_OPEN = 32
_BATCH = 1000
# Somebody who goes on putting things in is not chased for ever.
_MAX_REFILLS = 1000
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK
_RESOLVE = NO_SYMLINKS | NO_XDEV
_VANISHED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


def remove_tree(folder: int, name: bytes, note: Callable[[], None]) -> None:
    """Remove `name` in an open folder and all below it; what is a link or a file is removed alone.

    Folders that their owner has shut are opened. What has gone meanwhile is as good. Another file system that is
    mounted inside is not entered: Refused. Stops at the first thing that cannot be removed; the rest is left.
    """
    if not _unlink(folder, name):
        walk = _Walk(folder, name, note)
        try:
            walk.run()
        finally:
            walk.close()


class _Walk:
    def __init__(self, base: int, name: bytes, note: Callable[[], None]) -> None:
        self._base = base
        self._note = note
        # From the base to the folder in hand, and for each the folders in it that are still to be removed.
        self._path = [name]
        self._waiting: list[list[bytes]] = [[]]
        # Folders that are open, by their depth: the first and the last few.
        self._open: dict[int, int] = {}
        self._refills = 0

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)

    def run(self) -> None:
        try:
            while self._path:
                self._take_step()
        except OSError as exc:
            if exc.errno == errno.EXDEV:
                raise Refused(OTHER_FILE_SYSTEM, self._where()) from exc
            raise

    def _take_step(self) -> None:
        depth = len(self._path) - 1
        fd = self._folder(depth)
        if fd is not None and not self._waiting[depth]:
            self._waiting[depth] = self._empty(fd)
        if fd is not None and self._waiting[depth]:
            self._path.append(self._waiting[depth].pop())
            self._waiting.append([])
        else:
            self._leave(depth)

    def _leave(self, depth: int) -> None:
        """Remove the folder in hand, which is empty or gone, and go back to the one above."""
        # If it turns out not to be empty, it is looked up anew.
        self._close(depth)
        above = self._base if depth == 0 else self._folder(depth - 1)
        try:
            if above is not None:
                self._rmdir(above, self._path[-1])
        except OSError as exc:
            if exc.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            self._refills += 1
            if self._refills > _MAX_REFILLS:
                raise Refused(FOLDER_NOT_EMPTY, self._where()) from exc
            return  # more has come in, or the listing had missed some, or it is another by now: look again
        self._path.pop()
        self._waiting.pop()
        self._note()

    def _close(self, depth: int) -> None:
        if depth in self._open:
            os.close(self._open.pop(depth))

    def _rmdir(self, above: int, name: bytes) -> None:
        try:
            os.rmdir(name, dir_fd=above)
        except OSError as exc:
            if exc.errno == errno.EBUSY:
                raise Refused(OTHER_FILE_SYSTEM, self._where()) from exc
            if exc.errno not in _VANISHED:
                raise

    def _folder(self, depth: int) -> int | None:
        """Return the open folder at this depth of the path; None where it has gone."""
        if depth in self._open:
            return self._open[depth]
        nearest = max((held for held in self._open if held < depth), default=-1)
        try:
            # The ones above are opened too: they are needed next, and the way down is long.
            for at in range(max(nearest + 1, depth - _MAX_OPEN + 2), depth + 1):
                start = self._base if nearest < 0 else self._open[nearest]
                self._open[at] = self._enter(start, self._path[nearest + 1 : at + 1])
                nearest = at
        except OSError as exc:
            if exc.errno in _VANISHED:
                return None
            raise
        self._close_some(depth)
        return self._open[depth]

    def _close_some(self, depth: int) -> None:
        for held in sorted(self._open):
            if len(self._open) <= _MAX_OPEN:
                break
            if held not in {0, depth}:
                os.close(self._open.pop(held))

    def _enter(self, start: int, parts: list[bytes]) -> int:
        try:
            fd = open_below(start, parts, _FLAGS, resolve=_RESOLVE)
        except PermissionError:
            _unlock(start, parts)
            fd = open_below(start, parts, _FLAGS, resolve=_RESOLVE)
        # Now, since whatever is below is opened and removed through it.
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
        if mode & 0o700 != 0o700:
            try:  # noqa: SIM105 - contextlib would cost the child 3 ms
                os.fchmod(fd, mode | 0o700)
            except OSError:
                pass  # it is another's; perhaps its group may do what is to be done
        return fd

    def _empty(self, fd: int) -> list[bytes]:
        """Unlink what is no folder; return folders, as many as a batch holds, and none only where there is none."""
        folders: list[bytes] = []
        with os.scandir(fd) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if entry.is_dir(follow_symlinks=False) or not _unlink(fd, name):
                    folders.append(name)
                    if len(folders) == _BATCH:
                        break
                self._note()
        return folders

    def _where(self) -> bytes:
        return b"/".join(self._path[1:])[-1000:]


def _unlink(folder: int, name: bytes) -> bool:
    """Remove what is no folder, or has gone; False where it is one."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        return False
    except FileNotFoundError:
        pass
    return True


def _unlock(start: int, parts: list[bytes]) -> None:
    """Let the owner of a folder into it, where we are the owner."""
    fd = open_below(start, parts, O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, resolve=_RESOLVE)
    try:
        change_mode(fd, stat.S_IMODE(os.fstat(fd).st_mode) & 0o1777 | 0o700)
    finally:
        os.close(fd)
