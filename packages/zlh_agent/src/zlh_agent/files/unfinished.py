"""A file that is being written and has no name yet, so that nobody sees half of it, and a crash leaves nothing.

To replace another it has a name for an instant, and where a file system cannot keep a file without a name (NFS) it has
one from its beginning. That is in the hands of a `Stage`: a child that is killed leaves at most what stands there.
"""

from __future__ import annotations

import errno
import os
import stat

from zlh_agent.files.entries import version_of
from zlh_agent.files.opening import open_below
from zlh_agent.files.refusals import FILE_CHANGED, FILE_EXISTS, IS_A_FOLDER, NOT_A_REGULAR_FILE, Refused
from zlh_agent.files.renaming import rename_to_free

_NO_UNNAMED_FILES = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}


class Stage:
    """Gives names for an instant; these are hidden and of chance, beside what they are for, and nobody sweeps them."""

    def place(self, folder: int) -> tuple[int, bytes]:
        """Return an open folder and a free name in it, of the file system of an open folder."""
        return folder, b"." + os.urandom(8).hex().encode() + b".zlh-new"

    def close(self) -> None:
        """Let go of what is open."""


class StageAt(Stage):
    """Gives the one hidden name that whoever asked for the work knows, and sweeps: in `folder`, which stays open."""

    def __init__(self, folder: int, name: bytes) -> None:
        self._place = folder, name

    def place(self, folder: int) -> tuple[int, bytes]:  # noqa: ARG002 - the same for all
        """Return that name."""
        return self._place


class StageBelow(Stage):
    """Gives a name in a folder of such a name, which is made when it is first asked for."""

    def __init__(self, folder: int, name: bytes) -> None:
        self._base = folder, name
        self._fd: int | None = None
        self._is_shut = False

    def place(self, folder: int) -> tuple[int, bytes]:
        """Return a name in it; one of chance where the folder above is shut, and only what is below may be changed."""
        if self._fd is None and not self._is_shut:
            self._make()
        return super().place(folder) if self._fd is None else (self._fd, b"new")

    def close(self) -> None:
        """Remove the folder, which is empty unless somebody has put something into it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            base, name = self._base
            try:  # noqa: SIM105 - contextlib would cost the child 3 ms
                os.rmdir(name, dir_fd=base)
            except OSError:
                pass  # whoever has asked knows the name, and sweeps it

    def _make(self) -> None:
        base, name = self._base
        try:
            os.mkdir(name, 0o700, dir_fd=base)
        except PermissionError:
            self._is_shut = True
            return
        self._fd = open_below(base, [name], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


BESIDE = Stage()


class Unfinished:
    """Made in `folder`, which it takes over once it is made; `fd` is open for writing. Ends by `close`, in any case."""

    def __init__(self, folder: int, name: bytes, *, replace: bool, expected: str | None, stage: Stage = BESIDE) -> None:
        self._folder = folder
        self._name = name
        self._replace = replace
        self._expected = expected
        self._stage = stage
        # What it is called until it is finished, and in which open folder.
        self._temporary: tuple[int, bytes] | None = None
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
            drop_name(*self._temporary)
        os.close(self.fd)
        os.close(self._folder)

    def _take_name(self) -> None:
        folder = self._folder
        if self._temporary is None:
            if not self._replace:
                self._link(folder, self._name)
                return
            self._temporary = self._take_stage()
        at, first = self._temporary
        if self._replace:
            os.rename(first, self._name, src_dir_fd=at, dst_dir_fd=folder)
        else:
            rename_to_free(at, first, folder, self._name)
        self._temporary = None

    def _take_stage(self) -> tuple[int, bytes]:
        place = self._stage.place(self._folder)
        try:
            self._link(*place)
        except OSError as exc:
            if exc.errno != errno.EXDEV:
                raise
            # A link at the end of the path has led to another file system, or one is merged into.
            place = BESIDE.place(self._folder)
            self._link(*place)
        return place

    def _link(self, folder: int, name: bytes) -> None:
        """Give it a name, by way of our own descriptor: a file without one has no other way."""
        os.link(f"/proc/self/fd/{self.fd}", name, dst_dir_fd=folder, follow_symlinks=True)

    def _open(self) -> int:
        try:
            return open_below(self._folder, [], os.O_TMPFILE | os.O_WRONLY, mode=0o666)
        except OSError as exc:
            if exc.errno not in _NO_UNNAMED_FILES:
                raise
        at, temporary = self._stage.place(self._folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        fd = open_below(at, [temporary], flags, mode=0o666)
        self._temporary = at, temporary
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


def drop_name(folder: int, name: bytes) -> None:
    """Remove a hidden name of ours from an open folder, where the customer lets us."""
    try:  # noqa: SIM105 - contextlib would cost the child 3 ms
        os.unlink(name, dir_fd=folder)
    except OSError:
        pass  # the customer was faster, or has shut the folder


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
