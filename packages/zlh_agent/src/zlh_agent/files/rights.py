"""Setting the rights of the very thing that a descriptor holds, whatever its name leads to by now."""

from __future__ import annotations

import errno
import os
import stat

from zlh_agent.files.refusals import IS_A_LINK, Refused
from zlh_agent.sandbox.syscalls import FCHMODAT2, syscall

_AT_EMPTY_PATH = 0x1000


def change_mode(fd: int, mode: int) -> None:
    """Set the rights of what an O_PATH descriptor holds, readable or not; raise Refused for a link."""
    if stat.S_ISLNK(os.fstat(fd).st_mode):
        raise Refused(IS_A_LINK)
    try:
        syscall(FCHMODAT2, fd, b"", mode, _AT_EMPTY_PATH)
    except OSError as exc:
        if exc.errno not in {errno.ENOSYS, errno.EPERM}:
            raise
        # Before Linux 6.6: by way of our own descriptor, which is the thing itself and no name.
        os.chmod(f"/proc/self/fd/{fd}", mode)  # noqa: PTH101 - no pathlib here
