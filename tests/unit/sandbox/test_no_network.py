"""Sockets taken away from a process: the filter that the kernel is given, and what it does."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

import pytest

from fakes.forked import in_child
from zlh_agent.sandbox.no_network import leave_network
from zlh_agent.sandbox.syscalls import syscall

FAMILIES = [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK]


def refused(family: int) -> bool:
    """Tell whether a socket of this family is refused."""
    kind = socket.SOCK_RAW if family == socket.AF_NETLINK else socket.SOCK_DGRAM
    try:
        socket.socket(family, kind).close()
    except PermissionError as error:
        return error.errno == errno.EACCES
    return False


@pytest.mark.parametrize("allowed", [(), (socket.AF_UNIX,), (socket.AF_UNIX, socket.AF_NETLINK)])
def test_only_what_is_allowed_can_be_opened(allowed: tuple[int, ...]) -> None:
    """For this process and those that it starts, and for nobody else."""

    def work() -> list[bool]:
        assert leave_network(domains=allowed)
        return [refused(family) for family in FAMILIES]

    assert in_child(work) == [family not in allowed for family in FAMILIES]
    assert [refused(family) for family in FAMILIES] == [False] * len(FAMILIES)


def test_programs_inherit_it() -> None:
    """Through exec, and without any right to take it off."""

    def work() -> str:
        leave_network()
        probe = "import socket\ntry: socket.socket(); print('open')\nexcept PermissionError: print('refused')"
        return subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.strip()

    assert in_child(work) == "refused"


def test_there_is_no_way_round() -> None:
    """A ring of io_uring could make sockets; it is not there."""

    def work() -> int:
        leave_network()
        try:
            syscall(425, 1, None)
        except OSError as error:
            return error.errno or 0
        return 0

    assert in_child(work) == errno.ENOSYS


def test_pairs_stay() -> None:
    """What a process says to itself is no network."""

    def work() -> bytes:
        leave_network()
        left, right = socket.socketpair()
        left.sendall(b"x")
        return right.recv(1)

    assert in_child(work) == b"x"


def test_a_machine_that_is_not_known_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken away there."""
    known = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((*known[:4], "pdp11")))
    assert leave_network() is False
