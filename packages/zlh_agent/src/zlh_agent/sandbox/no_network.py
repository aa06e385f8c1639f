"""Takes sockets away from this process and all that it starts, for good.

Landlock covers TCP alone; a seccomp filter on `socket` covers the rest, and any kernel that runs containers has it. It
needs `no_new_privs`, which it sets. io_uring could make sockets past the filter, so it is taken away too: programs do
without where a kernel has none.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from zlh_agent.sandbox.syscalls import prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_GREATER_OR_EQUAL, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_AT_NUMBER, _AT_ARCHITECTURE, _AT_FIRST_ARGUMENT = 0, 4, 16
# Of each machine: its mark in a filter, and the number of `socket`.
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_IO_URING_SETUP = 425
# Calls of the x32 kind have other numbers, from here on.
_X32 = 0x40000000


def leave_network(*, domains: Sequence[int] = ()) -> bool:
    """Refuse every socket but those of `domains`; False on a machine whose calls are not known here. Raises OSError."""
    known = _MACHINES.get(os.uname().machine)
    if known is None:
        return False
    program = _render(*known, domains)
    held = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(held)))
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header))
    return True


def _render(architecture: int, socket_number: int, domains: Sequence[int]) -> bytes:
    """Return the filter; a jump counts the instructions that it passes over."""
    refuse, missing = _ERRNO | errno.EACCES, _ERRNO | errno.ENOSYS
    lines = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_JUMP_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, missing),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_JUMP_IF_GREATER_OR_EQUAL, 0, 1, _X32),
        (_RETURN, 0, 0, missing),
        (_JUMP_IF_EQUAL, 0, 1, _IO_URING_SETUP),
        (_RETURN, 0, 0, missing),
        (_JUMP_IF_EQUAL, 1, 0, socket_number),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _AT_FIRST_ARGUMENT),
    ]
    for domain in domains:
        lines += [(_JUMP_IF_EQUAL, 0, 1, domain), (_RETURN, 0, 0, _ALLOW)]
    lines.append((_RETURN, 0, 0, refuse))
    return b"".join(struct.pack("HBBI", *line) for line in lines)
