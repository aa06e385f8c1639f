"""One SFTP channel: many requests in flight, answered in whatever order; whoever waits too long ends it.

Requests that are asked for in one turn of the loop leave in one packet: most of what a request costs here is the packet
that it travels in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import asyncssh

from zlh_api.edge.sftp_wire import (
    NEEDED_EXTENSIONS,
    Handle,
    Reply,
    Request,
    Status,
    WireError,
    close,
    parse_reply,
    parse_version,
    render_init,
    render_request,
    split_messages,
)

# A server from which nothing comes for so long, while it is asked something, is away.
STALL_S = 10.0
_LAST_NUMBER = 0xFFFF_FFFF


class SessionLost(ConnectionError):
    """The channel is gone; what was asked may have been done or not."""


class ServerUnfit(Exception):
    """The server cannot do what the publisher needs."""


class _Waiter:
    """Whoever waits for the answers to some requests, and how many are still to come."""

    __slots__ = ("future", "left", "replies")

    def __init__(self, count: int, future: asyncio.Future[list[Reply]]) -> None:
        self.replies: list[Reply] = [Status(-1)] * count
        self.left = count
        self.future = future


class SftpSession(asyncssh.SSHClientSession[bytes]):
    """The client's end; `await ready` before anything is asked."""

    def __init__(self, *, stall_s: float = STALL_S) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._stall_s = stall_s
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._extensions: asyncio.Future[frozenset[bytes]] = loop.create_future()
        # Whoever opens the channel may have given up before it could wait for this.
        self._extensions.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._incoming = bytearray()
        self._outgoing: list[bytes] = []
        self._waiting: dict[int, tuple[_Waiter, int]] = {}
        self._number = 0
        self._lost: str | None = None
        self._heard_at = loop.time()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether anything can be asked."""
        return self._lost is None and self._channel is not None

    async def wait_ready(self) -> None:
        """Return when the server has said hello; raise SessionLost, ServerUnfit."""
        extensions = await self._extensions
        if missing := [name.decode() for name in NEEDED_EXTENSIONS if name not in extensions]:
            raise ServerUnfit(f"it lacks {' and '.join(missing)}")

    async def ask(self, *requests: Request) -> list[Reply]:
        """Return the answers in the order of the requests, which the server works off in this order too."""
        if self._lost is not None:
            raise SessionLost(self._lost)
        if not requests:
            return []
        waiter = _Waiter(len(requests), self._loop.create_future())
        for place, request in enumerate(requests):
            self._send(request, waiter, place)
        try:
            return await waiter.future
        finally:
            # Of one who waits no more, what was opened is closed when the answer comes.
            waiter.future.cancel()

    def forget(self, *requests: Request) -> None:
        """Ask for something whose answer nobody waits for; a session that is gone is asked nothing."""
        if self._lost is None:
            for request in requests:
                self._send(request, None, 0)

    def abandon(self, reason: str) -> None:
        """Let go of the channel at once."""
        self._end(reason)
        if self._channel is not None:
            self._channel.abort()

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Keep the channel."""
        self._channel = chan

    def session_started(self) -> None:
        """Say hello."""
        assert self._channel is not None
        self._channel.write(render_init())

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Hand out what is answered."""
        if datatype is not None or self._lost is not None:
            return
        self._heard_at = self._loop.time()
        self._incoming += data
        try:
            for message in split_messages(self._incoming):
                self._take(message)
        except WireError as exc:
            self.abandon(f"its SFTP is wrong: {exc}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits."""
        self._end(str(exc) if exc else "the connection was closed")

    def _take(self, message: bytes) -> None:
        if not self._extensions.done():
            self._extensions.set_result(frozenset(parse_version(message)))
            return
        number, reply = parse_reply(message)
        waiter, place = self._waiting.pop(number, (None, 0))
        if waiter is None:
            return
        if waiter.future.cancelled():
            if isinstance(reply, Handle):
                self.forget(close(reply.handle))
            return
        waiter.replies[place] = reply
        waiter.left -= 1
        if waiter.left == 0:
            waiter.future.set_result(waiter.replies)

    def _send(self, request: Request, waiter: _Waiter | None, place: int) -> None:
        self._number = self._number + 1 if self._number < _LAST_NUMBER else 1
        if not self._waiting:
            self._heard_at = self._loop.time()
        if waiter is not None:
            self._waiting[self._number] = (waiter, place)
            if self._watch is None:
                self._watch = self._loop.call_later(self._stall_s / 4, self._look_at_clock)
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(render_request(self._number, request))

    def _flush(self) -> None:
        packets, self._outgoing = b"".join(self._outgoing), []
        if self._lost is None and self._channel is not None:
            try:
                self._channel.write(packets)
            except OSError as exc:
                # It was closed, and nobody has told us yet.
                self._end(str(exc) or type(exc).__name__)

    def _look_at_clock(self) -> None:
        self._watch = None
        if not self._waiting:
            return
        if self._loop.time() - self._heard_at > self._stall_s:
            self.abandon(f"it has not answered for {self._stall_s:.0f} s")
            return
        self._watch = self._loop.call_later(self._stall_s / 4, self._look_at_clock)

    def _end(self, reason: str) -> None:
        if self._lost is not None:
            return
        self._lost = reason
        if self._watch is not None:
            self._watch.cancel()
        waiting, self._waiting = self._waiting, {}
        for future in _futures(waiting.values()):
            if not future.done():
                future.set_exception(SessionLost(reason))
        if not self._extensions.done():
            self._extensions.set_exception(SessionLost(reason))


def _futures(waiting: Iterable[tuple[_Waiter, int]]) -> set[asyncio.Future[list[Reply]]]:
    return {waiter.future for waiter, _place in waiting}
