"""Landlock: what this process and all that it starts may open, whoever they are, until they end.

It binds root too, and nobody can take it off again. It covers files, TCP, and from ABI 6 on signals and abstract
sockets; it does not cover `stat`, `chmod`, `utime`, UDP, nor what was opened before.
"""

from __future__ import annotations

import os
import struct

from zlh_agent.sandbox.syscalls import (
    LANDLOCK_ADD_RULE,
    LANDLOCK_CREATE_RULESET,
    LANDLOCK_RESTRICT_SELF,
    syscall,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# The first that lets anything be moved from one folder to another.
OLDEST_ABI = 2
NETWORK_ABI, SCOPE_ABI = 4, 6

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

# What exists from which ABI on.
_FILE_RIGHTS = ((1, (1 << 13) - 1), (2, REFER), (3, TRUNCATE), (5, IOCTL_DEV))
_OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ = READ_FILE | READ_DIR
RUN = READ | EXECUTE
# No devices. Pipes and sockets, since without them a customer's own could not be renamed.
WRITE = (
    READ | WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | REFER
    | MAKE_DIR | MAKE_REG | MAKE_SYM | MAKE_FIFO | MAKE_SOCK
)  # fmt: skip

_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 2
_BIND_TCP, _CONNECT_TCP = 1, 2
_NO_ABSTRACT_SOCKETS, _NO_SIGNALS = 1, 2
_S_IFMT, _S_IFDIR = 0o170000, 0o040000


def find_abi() -> int:
    """Return the newest ABI that the kernel has; 0 where it has none that serves, or may not be asked."""
    try:
        abi = syscall(LANDLOCK_CREATE_RULESET, 0, 0, _CREATE_RULESET_VERSION)
    except OSError:
        # Not built, switched off at boot, or hidden by the container's seccomp filter.
        return 0
    return abi if abi >= OLDEST_ABI else 0


def restrict(abi: int, rules: Iterable[tuple[str, int]], *, connect_ports: Sequence[int] | None) -> list[str]:
    """Allow this thread nothing but `rules`: paths with the rights on them and on all below.

    `connect_ports` are those that may be connected to by TCP, None is any; nothing may be bound to either way where
    they are given. Returns the paths that could not be opened: they were not allowed, and whoever cannot open them
    would have had nothing of it. Needs `no_new_privs`.
    """
    files = _file_rights(abi)
    network = _BIND_TCP | _CONNECT_TCP if abi >= NETWORK_ABI and connect_ports is not None else 0
    scope = _NO_ABSTRACT_SOCKETS | _NO_SIGNALS if abi >= SCOPE_ABI else 0
    # A kernel takes as much of the structure as it knows; further fields must be zero for an older one.
    attributes = struct.pack("QQQ", files, network, scope)
    ruleset = syscall(LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        unreachable = [path for path, rights in rules if not _allow_path(ruleset, path, rights & files)]
        if network:
            for port in connect_ports or ():
                syscall(LANDLOCK_ADD_RULE, ruleset, _RULE_NET_PORT, struct.pack("QQ", _CONNECT_TCP, port), 0)
        syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return unreachable


def _allow_path(ruleset: int, path: str, rights: int) -> bool:
    """Tell whether the path could be opened and so allowed."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.fstat(fd).st_mode & _S_IFMT != _S_IFDIR:
            rights &= _OF_A_FILE
        syscall(LANDLOCK_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)
    return True


def _file_rights(abi: int) -> int:
    known = 0
    for since, rights in _FILE_RIGHTS:
        if abi >= since:
            known |= rights
    return known
