"""Descriptors that a child hands over: looked at before anybody uses them."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import stat
from collections.abc import Callable

# One is expected at most; room for more, so that those are seen and closed.
RIGHTS_BYTES = socket.CMSG_SPACE(8 * array.array("i").itemsize)


def parse_descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """Return what came with a message; the caller closes it."""
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return list(fds)


def close_all(fds: list[int]) -> None:
    """Close what came with a message."""
    for fd in fds:
        os.close(fd)


def check_descriptor(fd: int, access: int, is_kind: Callable[[int], bool] = stat.S_ISREG) -> None:
    """Raise ValueError where it is not of the kind, and open for exactly this."""
    if not is_kind(os.fstat(fd).st_mode):
        raise ValueError("handed over something else than was asked for")
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if flags & os.O_ACCMODE != access or flags & (os.O_PATH | os.O_APPEND | os.O_ASYNC | os.O_NONBLOCK | os.O_DIRECT):
        raise ValueError("handed over a file that is open in another way")
