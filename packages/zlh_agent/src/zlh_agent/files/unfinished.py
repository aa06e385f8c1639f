"""A file that is being written and has no name yet, so that nobody sees half of it, and a crash leaves nothing.

Where a file system cannot keep a file without a name (NFS), it has one that begins with a dot and ends in
`.zlh-new`, and a child that is killed leaves that.
"""

from __future__ import annotations

import errno
import os
import stat

from zlh_agent.files.entries import version_of
from zlh_agent.files.opening import open_below
from zlh_agent.files.refusals import FILE_CHANGED, FILE_EXISTS, IS_A_FOLDER, NOT_A_REGULAR_FILE, Refused
from zlh_agent.files.renaming import rename_to_free

_NO_UNNAMED_FILES = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}


class Unfinished:
    """Made in `folder`, which it takes over once it is made; `fd` is open for writing. Ends by `close`, in any case."""

    def __init__(self, folder: int, name: bytes, *, replace: bool, expected: str | None) -> None:
        self._folder = folder
        self._name = name
        self._replace = replace
        self._expected = expected
        # What it is called until it is finished.
        self._temporary: bytes | None = None
        self._mode = self._check_target()
        self.fd = self._open()

    def finish(self, *, must_last: bool = True) -> os.stat_result:
        """Put it on the disk and give it its name; return what it is then.

        Raises Refused where its place is not what it was: whoever else writes there between this look and the rename
        is overwritten. Unless it `must_last`, only what replaces something is waited for until the disk has it.
        """
        if self._mode is not None:
            os.fchmod(self.fd, self._mode)
        if must_last or self._mode is not None:
            os.fsync(self.fd)
        self._check_target()
        self._take_name()
        if must_last:
            sync_folder(self._folder)
        return os.fstat(self.fd)

    def close(self) -> None:
        """Let go of everything, and of the file itself where it was not finished."""
        if self._temporary is not None:
            try:  # noqa: SIM105 - contextlib would cost the child 3 ms
                os.unlink(self._temporary, dir_fd=self._folder)
            except OSError:
                pass  # the customer was faster, or has shut the folder
        os.close(self.fd)
        os.close(self._folder)

    def _take_name(self) -> None:
        folder = self._folder
        if self._temporary is None:
            first = temporary_name() if self._replace else self._name
            # By way of our own descriptor: a file without a name has no other way to one.
            os.link(f"/proc/self/fd/{self.fd}", first, dst_dir_fd=folder, follow_symlinks=True)
            if not self._replace:
                return
            self._temporary = first
        if self._replace:
            os.rename(self._temporary, self._name, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            rename_to_free(folder, self._temporary, folder, self._name)
        self._temporary = None

    def _open(self) -> int:
        try:
            return open_below(self._folder, [], os.O_TMPFILE | os.O_WRONLY, mode=0o666)
        except OSError as exc:
            if exc.errno not in _NO_UNNAMED_FILES:
                raise
        temporary = temporary_name()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        fd = open_below(self._folder, [temporary], flags, mode=0o666)
        self._temporary = temporary
        return fd

    def _check_target(self) -> int | None:
        status = check_target(self._folder, self._name, replace=self._replace, expected=self._expected)
        return None if status is None else stat.S_IMODE(status.st_mode) & 0o777


def check_target(folder: int, name: bytes, *, replace: bool, expected: str | None) -> os.stat_result | None:
    """Return what will be replaced, None where there is nothing; raise Refused where it must not be."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        if expected is not None:
            raise Refused(FILE_CHANGED) from None
        return None
    if not stat.S_ISREG(status.st_mode):
        raise Refused(IS_A_FOLDER if stat.S_ISDIR(status.st_mode) else NOT_A_REGULAR_FILE)
    if not replace:
        raise Refused(FILE_EXISTS)
    if expected is not None and version_of(status) != expected:
        raise Refused(FILE_CHANGED)
    return status


def sync_folder(folder: int) -> None:
    """Have the disk keep the names in an open folder."""
    try:
        fd = open_below(folder, [], os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return  # a folder that one may write and not read; the name lasts as long as the machine
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def temporary_name() -> bytes:
    """Return a name for an instant; that of a child that is killed in it stays."""
    return b"." + os.urandom(8).hex().encode() + b".zlh-new"
