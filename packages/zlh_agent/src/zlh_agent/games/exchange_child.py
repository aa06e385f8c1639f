"""Exchanges two folders of one folder by one step of the kernel, durably; the daemon itself loads no `ctypes`."""

from __future__ import annotations

import errno
import os
import sys

from zlh_agent.sandbox.syscalls import renameat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_AT_FDCWD, _EXCHANGE = -100, 2
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


def main(arguments: Sequence[str]) -> None:
    """Give the first the name of the second, and the second that of the first; what is missing is no harm."""
    new, old = map(os.fsencode, arguments)
    try:
        _exchange(new, old)
        above = os.open(os.path.dirname(old), os.O_RDONLY | os.O_DIRECTORY)  # noqa: PTH120 - bytes
        os.fsync(above)
    except OSError as error:
        sys.stderr.write(f"{error.strerror}\n")
        sys.exit(1)


def _exchange(new: bytes, old: bytes) -> None:
    if not os.path.lexists(old):
        os.rename(new, old)  # noqa: PTH104 - bytes, and no pathlib here
        return
    try:
        renameat2(_AT_FDCWD, new, _AT_FDCWD, old, _EXCHANGE)
    except OSError as exc:
        if exc.errno not in _UNSUPPORTED:
            raise
        # A file system that cannot: a crash between these leaves the new one under its own name, which is found again.
        aside = old + b".zlh-aside"
        for source, target in ((old, aside), (new, old), (aside, new)):
            os.rename(source, target)  # noqa: PTH104 - bytes, and no pathlib here
