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

    def finish(self) -> os.stat_result:
        """Put it on the disk and give it its name; return what it is then.

        Raises Refused where its place is not what it was: whoever else writes there between this look and the rename
        is overwritten.
        """
        if self._mode is not None:
            os.fchmod(self.fd, self._mode)
        os.fsync(self.fd)
        self._check_target()
        self._take_name()
        self._sync_folder()
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
            first = _temporary_name() if self._replace else self._name
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
        temporary = _temporary_name()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        fd = open_below(self._folder, [temporary], flags, mode=0o666)
        self._temporary = temporary
        return fd

    def _check_target(self) -> int | None:
        """Return the rights of what will be replaced; raise Refused where it must not be."""
        try:
            status = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            if self._expected is not None:
                raise Refused(FILE_CHANGED) from None
            return None
        if not stat.S_ISREG(status.st_mode):
            raise Refused(IS_A_FOLDER if stat.S_ISDIR(status.st_mode) else NOT_A_REGULAR_FILE)
        if not self._replace:
            raise Refused(FILE_EXISTS)
        if self._expected is not None and version_of(status) != self._expected:
            raise Refused(FILE_CHANGED)
        return stat.S_IMODE(status.st_mode) & 0o777

    def _sync_folder(self) -> None:
        try:
            fd = open_below(self._folder, [], os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return  # a folder that one may write and not read; the name lasts as long as the machine
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _temporary_name() -> bytes:
    return b"." + os.urandom(8).hex().encode() + b".zlh-new"
