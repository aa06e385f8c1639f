"""Files that come in piece by piece: under a name of their own beside their target, until all of it is there."""

from __future__ import annotations

import errno
import os
import stat

from zlh_agent.files.content import require_regular
from zlh_agent.files.entries import entry_of
from zlh_agent.files.finding import Finding, split
from zlh_agent.files.opening import FILE_FLAGS, open_below
from zlh_agent.files.refusals import (
    FILE_CHANGED,
    IS_A_FOLDER,
    IS_A_LINK,
    IS_THE_ROOT,
    MODE_NOT_ALLOWED,
    OF_OTHER,
    Refused,
)
from zlh_agent.files.renaming import rename_to_free
from zlh_agent.files.unfinished import check_target, sync_folder
from zlh_common.openat2 import NO_XDEV

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zlh_agent.files.model import Entry


class Placing:
    """How a file that is whole is put in place.

    `replace` and `expected` say what may stand there, `mode` the rights where nothing does (None: as of any new file),
    `modified_ns` when it was last modified (None: when its last byte came).
    """

    __slots__ = ("expected", "mode", "modified_ns", "replace", "size")

    def __init__(
        self,
        *,
        size: int,
        replace: bool,
        expected: str | None = None,
        mode: int | None = None,
        modified_ns: int | None = None,
    ) -> None:
        self.size = size
        self.replace = replace
        self.expected = expected
        self.mode = mode
        self.modified_ns = modified_ns


class Partials(Finding):
    """Calls on such files. The last name of a partial file is never followed."""

    def make_partial(self, path: bytes, *, parents: bool) -> None:
        """Make an empty file that nobody else may read, where nothing is; with `parents` the folders above it too."""
        parts = split(path)
        if not parts:
            raise Refused(IS_THE_ROOT)
        if parents:
            self._ensure_folder(parts[:-1])
        with self._parent(path) as (folder, name):
            os.close(open_below(folder, [name], os.O_WRONLY | os.O_CREAT | os.O_EXCL | FILE_FLAGS, mode=0o600))

    def open_to_append(self, path: bytes, *, offset: int) -> int:
        """Return a descriptor of a regular file that is cut to `offset` and stands there; at 0 it is made if need be.

        For uploads that go on. The last name is not followed. Raises Refused(FILE_CHANGED) where it is shorter.
        """
        make = os.O_CREAT if offset == 0 else 0
        with self._parent(path) as (folder, name):
            fd = _open_itself(folder, name, os.O_WRONLY | make, mode=0o666 if make else 0)
        try:
            status = require_regular(fd, size=offset)
            if status.st_size != offset:
                os.ftruncate(fd, offset)
            os.lseek(fd, offset, os.SEEK_SET)
            os.set_blocking(fd, True)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def put_in_place(self, partial: bytes, target: bytes, placing: Placing) -> tuple[Entry, Entry | None]:
        """Give a partial file its name, once the disk has it; return what it is then, and what it has replaced.

        It replaces what a link leads to, not the link, and has the rights of what it replaces. Raises
        Refused(FILE_CHANGED) where it is not of the size that it should have, or has another name as well.
        """
        if placing.mode is not None and placing.mode & ~0o777:
            raise Refused(MODE_NOT_ALLOWED)
        with self._parent(partial) as (folder, name):
            fd = _open_itself(folder, name, os.O_WRONLY)
            try:
                status = require_regular(fd)
                if status.st_size != placing.size or status.st_nlink != 1:
                    raise Refused(FILE_CHANGED)
                with OF_OTHER:
                    into, last = self._resolve_last(target)
                    try:
                        return _place(fd, (folder, name), (into, last), placing)
                    finally:
                        os.close(into)
            finally:
                os.close(fd)

    def remove_if_there(self, path: bytes) -> None:
        """Remove a file or a link; what is not there is as good, also where the folders above it are not."""
        try:
            with self._parent(path) as (folder, name):
                os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            raise Refused(IS_A_FOLDER) from None


def _open_itself(folder: int, name: bytes, flags: int, *, mode: int = 0) -> int:
    try:
        # Nor is it what is mounted over it, which would be written to before it turns out to have another name.
        return open_below(folder, [name], flags | FILE_FLAGS, mode=mode, resolve=NO_XDEV)
    except OSError as exc:
        raise Refused(IS_A_LINK) if exc.errno == errno.ELOOP else exc from exc


def _place(
    fd: int, partial: tuple[int, bytes], target: tuple[int, bytes], placing: Placing
) -> tuple[Entry, Entry | None]:
    folder, name = partial
    into, last = target
    before = check_target(into, last, replace=placing.replace, expected=placing.expected)
    _settle(fd, before, placing)
    # It may have taken its time until the disk had it.
    before = check_target(into, last, replace=placing.replace, expected=placing.expected)
    if placing.replace:
        os.rename(name, last, src_dir_fd=folder, dst_dir_fd=into)
    else:
        rename_to_free(folder, name, into, last)
    sync_folder(into)
    if not os.path.samestat(os.fstat(folder), os.fstat(into)):
        sync_folder(folder)
    placed = os.fstat(fd)
    if not os.path.samestat(placed, os.stat(last, dir_fd=into, follow_symlinks=False)):
        # Somebody has put another file under its name while we looked at this one.
        raise Refused(FILE_CHANGED)
    return entry_of(last, placed), None if before is None else entry_of(last, before)


def _settle(fd: int, before: os.stat_result | None, placing: Placing) -> None:
    """Give it its rights and its time, and have the disk keep it."""
    if before is not None:
        mode = stat.S_IMODE(before.st_mode) & 0o777
    else:
        mode = _new_mode() if placing.mode is None else placing.mode
    os.fchmod(fd, mode)
    if placing.modified_ns is not None:
        os.utime(fd, ns=(placing.modified_ns, placing.modified_ns))
    os.fsync(fd)


def _new_mode() -> int:
    """Return the rights of any new file."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask
