"""Whether the ports of a process are free, and who holds one that is not."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Sequence

import psutil

from zlh_common.clock import Clock
from zlh_common.schema.process import ProcessReason

# How long a start waits for its ports, and how often it looks.
PORTS_TIMEOUT_S = 30.0
PORTS_LOOK_S = 0.25


async def wait_free(address: str, ports: Sequence[int], clock: Clock) -> ProcessReason | None:
    """Wait until all of these ports can be bound; return who holds one that does not become free in time."""
    due = clock.monotonic() + PORTS_TIMEOUT_S
    while (port := await asyncio.to_thread(find_held, address, ports)) is not None:
        if clock.monotonic() >= due:
            holder = await asyncio.to_thread(describe_holder, port)
            return ProcessReason(code="port_busy", message=f"Port {port} is held by {holder}.")
        await asyncio.sleep(PORTS_LOOK_S)
    return None


def find_held(address: str, ports: Sequence[int]) -> int | None:
    """Return the first of the ports that cannot be bound for TCP or UDP, or None where all can. It blocks."""
    return next((port for port in ports if not _is_free(address, port)), None)


def describe_holder(port: int) -> str:
    """Say who listens on a port, as far as that can be seen. It blocks."""
    try:
        found = psutil.net_connections("inet")
    except (psutil.Error, OSError):
        return "somebody"
    pid = next((one.pid for one in found if one.laddr and one.laddr.port == port and one.pid), None)
    if pid is None:
        return "somebody"
    try:
        name = psutil.Process(pid).name()
    except psutil.Error:
        return f"pid {pid}"
    # A program calls itself what it likes, also what is no UTF-8 and cannot be written as JSON.
    return f"{os.fsencode(name).decode('utf-8', 'replace')} (pid {pid})"


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(family, kind) as sock:
            if kind is socket.SOCK_STREAM:
                # As servers do: a connection of the last run that lingers holds nobody up.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((address, port))
            except OSError as exc:
                if exc.errno == errno.EADDRINUSE:
                    return False
    return True
