"""Whoever takes a file, block by block: waited for while they take any of it, and enough."""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import socket
import termios

from aiohttp import web
from aiohttp.http import StreamWriter

from zlh_api.agents import patience_rules
from zlh_api.agents.patience_rules import Patience
from zlh_api.alarm import Alarm
from zlh_api.direct_bytes import Bytes
from zlh_api.files.refusals import TransferTooSlow

# What the kernel may hold that is not sent yet; more would hide for minutes that nobody reads.
UNSENT_BYTES = 256 * 1024


class Taking:
    """Whoever takes an answer, and how long they have taken for it."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        _hold_little(request.transport)
        self._loop = asyncio.get_running_loop()
        self._patience = Patience()
        self._unsent = 0
        self._looked_at = 0.0
        self._scope: asyncio.Timeout | None = None
        self._alarm = Alarm(self._look)

    async def write(self, block: Bytes) -> None:
        """Return once the kernel has all of it; raise TransferTooSlow, ConnectionError."""
        writer = self._request.writer
        assert isinstance(writer, StreamWriter)
        await writer.write(block, drain=False)
        if not self._request.protocol.writing_paused:
            return
        self._unsent, self._looked_at = self._count_unsent(), self._loop.time()
        self._alarm.begin(patience_rules.SILENCE_S)
        try:
            async with asyncio.timeout(None) as self._scope:
                await writer.drain()
        except TimeoutError:
            raise TransferTooSlow(self._patience.moved_bytes) from None
        finally:
            self._alarm.end()
        self._note()
        if self._patience.is_spent:
            raise TransferTooSlow(self._patience.moved_bytes)

    def close(self) -> None:
        """Leave nothing behind."""
        self._alarm.close()

    def _look(self) -> None:
        """Go on waiting where some of it was taken meanwhile, and enough."""
        before = self._unsent
        self._note()
        if self._scope is not None and (self._unsent == before or self._patience.is_spent):
            self._scope.reschedule(self._loop.time())
        else:
            self._alarm.begin(patience_rules.SILENCE_S)

    def _note(self) -> None:
        before, since = self._unsent, self._looked_at
        self._unsent, self._looked_at = self._count_unsent(), self._loop.time()
        self._patience = self._patience.after(self._looked_at - since, before - self._unsent)

    def _count_unsent(self) -> int:
        """Return how much of the answer the client has not got yet: ours, and the kernel's."""
        transport = self._request.transport
        if transport is None:
            return 0
        held = array.array("i", [0])
        with contextlib.suppress(OSError):
            fcntl.ioctl(transport.get_extra_info("socket"), termios.TIOCOUTQ, held)
        return transport.get_write_buffer_size() + held[0]


def _hold_little(transport: asyncio.Transport | None) -> None:
    if transport is None:
        return
    # A block is lent, so nothing of it may lie here when it is given back.
    transport.set_write_buffer_limits(high=0)
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
