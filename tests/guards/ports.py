"""Ports for programs that are started later, and for ports on which nobody shall listen.

A port that the kernel hands out (by binding to 0) and that is let go of again is one of those which it gives to the
next outgoing connection of anybody on the machine, so that now and then the program finds it in use. These are below
all of those; no worker of a run gives out a port twice, and no two workers of a run have a port in common.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
from pathlib import Path

# Above what services of a machine listen on, and below where the kernel begins to hand out.
LOWEST = 12_000
SHARES = 8
_KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
# In an order of its own for each process, since there may be several runs at a time.
_left: list[int] = []


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses, for TCP and UDP alike, and that nobody else is given."""
    if not _left:
        _left.extend(_of_this_worker())
        random.shuffle(_left)
    while True:
        port = _left.pop()
        if all(_is_free(kind, port) for kind in _KINDS):
            return port


def _of_this_worker() -> range:
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    number = re.search(r"\d+$", os.environ.get("PYTEST_XDIST_WORKER", ""))
    return range(LOWEST + (int(number[0]) if number else 0) % SHARES, end, SHARES)


def _is_free(kind: socket.SocketKind, port: int) -> bool:
    with socket.socket(type=kind) as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False
