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

from zlh_agent.files.descent import VANISHED, Descent
from zlh_agent.files.opening import FOLDER_FLAGS, FOLDER_ITSELF, INSIDE, open_below
from zlh_agent.files.refusals import FOLDER_NOT_EMPTY, OTHER_FILE_SYSTEM, Refused
from zlh_agent.files.rights import change_mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zlh_agent.files.work import Work

_BATCH = 1000
# Somebody who goes on putting things in is not chased for ever.
_MAX_REFILLS = 1000


def remove_tree(folder: int, name: bytes, work: Work) -> None:
    """Remove `name` in an open folder and all below it; what is a link or a file is removed alone.

    Folders that their owner has shut are opened. What has gone meanwhile is as good. Another file system that is
    mounted inside is not entered: Refused. Stops at the first thing that cannot be removed; the rest is left.
    """
    if _unlink(folder, name):
        work.count(files=1)
        return
    removal = _Removal(folder, name, work)
    try:
        removal.run()
    finally:
        removal.close()


class _Removal:
    def __init__(self, base: int, name: bytes, work: Work) -> None:
        self._way = Descent(base, _enter)
        self._way.go_down(name)
        self._work = work
        # Of each folder on the way, those in it that are still to be removed.
        self._waiting: list[list[bytes]] = [[]]
        self._refills = 0

    def close(self) -> None:
        self._way.close()

    def run(self) -> None:
        try:
            while self._waiting:
                self._take_step()
        except OSError as exc:
            if exc.errno in {errno.EXDEV, errno.EBUSY}:
                raise Refused(OTHER_FILE_SYSTEM, self._where()) from exc
            raise

    def _take_step(self) -> None:
        fd = self._way.folder(len(self._waiting))
        if fd is not None and not self._waiting[-1]:
            self._waiting[-1] = self._empty(fd)
        if fd is not None and self._waiting[-1]:
            self._way.go_down(self._waiting[-1].pop())
            self._waiting.append([])
        else:
            self._leave()

    def _leave(self) -> None:
        """Remove the folder in hand, which is empty or gone, and go back to the one above."""
        depth = len(self._waiting)
        # If it turns out not to be empty, it is looked up anew.
        self._way.let_go(depth)
        above = self._way.folder(depth - 1)
        try:
            if above is not None:
                self._rmdir(above, self._way.path[-1])
        except OSError as exc:
            if exc.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            self._refills += 1
            if self._refills > _MAX_REFILLS:
                raise Refused(FOLDER_NOT_EMPTY, self._where()) from exc
            return  # more has come in, or the listing had missed some, or it is another by now: look again
        self._way.go_up()
        self._waiting.pop()
        self._work.count(folders=1)

    def _rmdir(self, above: int, name: bytes) -> None:
        try:
            os.rmdir(name, dir_fd=above)
        except OSError as exc:
            if exc.errno not in VANISHED:
                raise

    def _empty(self, fd: int) -> list[bytes]:
        """Unlink what is no folder; return folders, as many as a batch holds, and none only where there is none."""
        folders: list[bytes] = []
        with os.scandir(fd) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if not entry.is_dir(follow_symlinks=False) and _unlink(fd, name):
                    self._work.count(files=1)
                    continue
                folders.append(name)
                if len(folders) == _BATCH:
                    break
        return folders

    def _where(self) -> bytes:
        return b"/".join(self._way.path[1:])


def _enter(start: int, parts: list[bytes]) -> int:
    try:
        fd = open_below(start, parts, FOLDER_FLAGS, resolve=INSIDE)
    except PermissionError:
        _unlock(start, parts)
        fd = open_below(start, parts, FOLDER_FLAGS, resolve=INSIDE)
    # Now, since whatever is below is opened and removed through it.
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if mode & 0o700 != 0o700:
        try:  # noqa: SIM105 - contextlib would cost the child 3 ms
            os.fchmod(fd, mode | 0o700)
        except OSError:
            pass  # it is another's; perhaps its group may do what is to be done
    return fd


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
    fd = open_below(start, parts, FOLDER_ITSELF, resolve=INSIDE)
    try:
        change_mode(fd, stat.S_IMODE(os.fstat(fd).st_mode) & 0o1777 | 0o700)
    finally:
        os.close(fd)
