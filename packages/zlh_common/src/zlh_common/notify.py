"""Tells systemd how a daemon of ours is: one datagram a message (sd_notify); without systemd nothing happens."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

# What a start is given again and again while it still works; the first message comes at once.
EXTENSION_S = 60
EXTEND_EVERY_S = 10.0


def notify(message: str) -> None:
    """Send `READY=1`, `STOPPING=1`, `WATCHDOG=1` …; raises nothing, since a daemon works without an audience."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    # A leading @ stands for the abstract namespace.
    target = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
        try:
            sender.sendto(message.encode(), target)
        except OSError:
            return


async def feed_watchdog() -> None:
    """Tell systemd at half its interval that the loop still turns; from the loop itself, or it would prove nothing."""
    interval_us = int(os.environ.get("WATCHDOG_USEC") or 0)
    if not interval_us or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval_us / 2_000_000)


@asynccontextmanager
async def extended_start() -> AsyncIterator[None]:
    """Have systemd wait for READY=1 as long as the block goes on and the loop turns, whatever TimeoutStartSec says.

    For work whose length nobody knows beforehand; where the loop hangs, the start is ended a minute later.
    """
    extending = asyncio.create_task(_extend())
    try:
        yield
    finally:
        extending.cancel()
        with suppress(asyncio.CancelledError):
            await extending


async def _extend() -> None:
    while True:
        notify(f"EXTEND_TIMEOUT_USEC={EXTENSION_S * 1_000_000}")
        await asyncio.sleep(EXTEND_EVERY_S)
