"""System calls that Python has no name for, each raising OSError.

Numbers since 424 are the same on every architecture that Linux runs on.
"""

from __future__ import annotations

import ctypes
import os

LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
FCHMODAT2 = 452

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def syscall(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | ctypes.Structure | bytes | None) -> int:
    """Make the call; whole numbers are passed as `long`, structures and buffers by their address."""
    return _checked(_libc.syscall(ctypes.c_long(number), *map(_as_argument, arguments)))


def prctl(option: int, *values: int) -> int:
    """Ask something of or for this process."""
    padded = (*values, 0, 0, 0, 0)[:4]
    return _checked(_libc.prctl(option, *map(ctypes.c_ulong, padded)))


def capset(header: bytes, data: bytes) -> None:
    """Set the capabilities of this thread."""
    _checked(_libc.capset(header, data))


def renameat2(source: int, old: bytes, target: int, new: bytes, flags: int) -> None:
    """Rename between two open folders."""
    _checked(_libc.renameat2(source, old, target, new, ctypes.c_uint(flags)))


def sync_disk(fd: int) -> None:
    """Bring to the disk all that was written to the file system of an open file."""
    _checked(_libc.syncfs(fd))


def _as_argument(value: object) -> object:
    if isinstance(value, int):
        return ctypes.c_long(value)
    return ctypes.byref(value) if isinstance(value, ctypes.Structure) else value


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
