"""A kernel that lacks system calls, as an old one does or one behind a container's filter."""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Mapping

_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38
assert platform.machine() in {"x86_64", "aarch64"}, "the numbers of system calls that tests take away are those of both"


def take_away(calls: Mapping[int, int]) -> None:
    """Make calls fail with an errno in this process and all that it starts, for good: {number: errno}."""
    program = struct.pack("HBBI", _LOAD, 0, 0, 0)
    for number, error in calls.items():
        program += struct.pack("HBBI", _JUMP_IF_EQUAL, 0, 1, number)
        program += struct.pack("HBBI", _RETURN, 0, 0, _ERRNO | error)
    program += struct.pack("HBBI", _RETURN, 0, 0, _ALLOW)
    held = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0):
        raise OSError(ctypes.get_errno(), errno.errorcode[ctypes.get_errno()])
