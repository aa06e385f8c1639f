"""Opening below a folder, and never outside of it, whatever races with us: the one place where paths are resolved.

`openat2` with RESOLVE_BENEATH has the kernel check each step while it takes it, so there is no moment between a check
and a use. A path that would leave the folder, by `..`, by an absolute link or by a link of /proc, is refused.
"""

from __future__ import annotations

import errno
import os

from zlh_agent.files.refusals import PATH_BUSY, PATH_OUTSIDE, Refused
from zlh_agent.files.rules import cut_into_steps
from zlh_common.openat2 import NO_SYMLINKS, NO_XDEV, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

O_PATH = os.O_PATH | os.O_CLOEXEC
# A folder to look into; one that is only a place to start from; and the same where a link that has its name is refused.
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK
FOLDER_PATH = O_PATH | os.O_DIRECTORY
FOLDER_ITSELF = FOLDER_PATH | os.O_NOFOLLOW
# A pipe is not waited for, and a terminal does not become ours.
CAREFULLY = os.O_NONBLOCK | os.O_NOCTTY
FILE_FLAGS = os.O_NOFOLLOW | CAREFULLY
# What a tree is gone through with: no link on the way, and nothing that is mounted in it.
INSIDE = NO_SYMLINKS | NO_XDEV
# `..` is answered with EAGAIN while anything on the machine is being renamed or mounted, a lease of another program
# with EWOULDBLOCK; somebody who renames for ever may make a call fail, and not make it wait for ever.
_MAX_TRIES = 200


class Held:
    """A descriptor that is closed where its block ends."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_error: object) -> None:
        os.close(self._fd)


def open_below(folder: int, parts: Sequence[bytes], flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """Open what the parts lead to below an open folder; the folder itself where there are none.

    Raises Refused where it would leave the folder or cannot be told, else OSError. The caller closes it.
    """
    *steps, last = cut_into_steps(parts)
    at = folder
    try:
        for step in steps:
            below = _openat2(at, step, FOLDER_PATH, 0, resolve)
            if at != folder:
                os.close(at)
            at = below
        return _openat2(at, last, flags, mode, resolve)
    finally:
        if at != folder:
            os.close(at)


def has_openat2(folder: int) -> bool:
    """Tell whether the kernel has it, and the container's filter lets it through; asked of an open folder."""
    try:
        os.close(open_below(folder, [], FOLDER_PATH))
    except OSError:
        return False
    return True


def _openat2(folder: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    for _ in range(_MAX_TRIES):
        try:
            return openat2(folder, path, flags, mode=mode, resolve=resolve)
        except OSError as exc:
            if exc.errno == errno.EXDEV and not resolve & NO_XDEV:
                raise Refused(PATH_OUTSIDE) from exc
            if exc.errno not in {errno.EAGAIN, errno.EINTR}:
                raise
    raise Refused(PATH_BUSY)
