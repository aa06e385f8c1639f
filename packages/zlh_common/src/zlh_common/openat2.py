"""Opening a path with the kernel checking each step of it while it is taken: no moment between a check and a use.

With RESOLVE_BENEATH a path that would leave its folder, by `..`, by an absolute link or by a link of /proc, is refused.
"""

from __future__ import annotations

import ctypes
import os

NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH = 0x01, 0x02, 0x04, 0x08
# The same on every architecture that Linux runs on.
_OPENAT2 = 437

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def openat2(folder: int, path: bytes, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """Open a path below an open folder; raises OSError. The caller closes what it returns, and no child has it.

    EAGAIN means that it cannot be told just now, since something is being renamed or mounted somewhere.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve | BENEATH | NO_MAGICLINKS)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    result: int = _libc.syscall(ctypes.c_long(_OPENAT2), ctypes.c_int(folder), path, ctypes.byref(how), size)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
