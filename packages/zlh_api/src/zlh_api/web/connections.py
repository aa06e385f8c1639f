"""Connections with clients, and how much of each is taken: time, size, count. Nobody's slowness costs anybody else.

what                                              limit
the head of a request, from its first byte (or     HEAD_S, then the connection is closed
from the connection's beginning)
a connection on which nothing is asked             IDLE_S, longer than proxies keep theirs
the body of a request                              request_body.BODY_TIMEOUT_S, then 408
what is left of a body that nobody reads           LINGERING_S
the request line; one header                       MAX_LINE_BYTES each, then 431
headers of a request                               MAX_HEADERS, then 431
what is taken apart of a connection in one turn     READ_BYTES, whatever more has come
of the loop
connections of one process                         MAX_CONNECTIONS; the one that has asked for nothing for longest
                                                   makes room for a new one
those of one address, where each client has its    `from_one_address`; one more is closed at once
own
"""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from zlh_api.web.problems import HeadersTooLarge, Internal, RequestRefused, problem_response
from zlh_common.errors import ZlhError

log = structlog.get_logger()
HEAD_S = 10.0
IDLE_S = 120.0
LINGERING_S = 5.0
MAX_LINE_BYTES = 8190
MAX_HEADERS = 100
# asyncio reads 256 KiB at once, which are 43,000 chunks of a byte, and one chunk takes as long as thousands of bytes.
READ_BYTES = 16 * 1024
# More than the calls together that stay open for long (`[rate_limits]`), so that those are refused by their own limits.
MAX_CONNECTIONS = 8192
# Descriptors that are no connections of clients: the database, agents, files, the listener.
_OTHER_DESCRIPTORS = 256
# A proxy of this host stands for all of its clients; a Unix socket has no address.
_OF_A_PROXY_HERE = {"127.0.0.1", "::1", ""}


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How long and how many."""

    head_s: float = HEAD_S
    idle_s: float = IDLE_S
    lingering_s: float = LINGERING_S
    connections: int = MAX_CONNECTIONS
    # None where one address may be a proxy's.
    from_one_address: int | None = None


def limits_of_this_process(*, from_one_address: int | None = None) -> ConnectionLimits:
    """Return the limits, with no more connections than there may be descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return ConnectionLimits(from_one_address=from_one_address)
    most = max(16, min(MAX_CONNECTIONS, soft - _OTHER_DESCRIPTORS))
    return ConnectionLimits(connections=most, from_one_address=from_one_address)


class BoundedRunner(web.AppRunner):
    """Serves an application within the limits."""

    def __init__(self, application: web.Application, limits: ConnectionLimits, **settings: Any) -> None:
        super().__init__(
            application,
            keepalive_timeout=limits.idle_s,
            lingering_time=limits.lingering_s,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
            # What is compressed is refused by who reads it, not unpacked.
            auto_decompress=False,
            access_log=None,
            **settings,
        )
        self._limits = limits

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _BoundedServer(
            self._limits,
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=asyncio.get_running_loop(),
            **made._kwargs,  # noqa: SLF001 - what the runner was told, in aiohttp's words
        )


class _BoundedServer(web.Server):
    """Makes connections, and room for them."""

    def __init__(self, limits: ConnectionLimits, handler: Any, **settings: Any) -> None:
        super().__init__(handler, **settings)
        self.limits = limits
        self._addresses: Counter[str] = Counter()

    def __call__(self) -> RequestHandler:
        return _BoundedConnection(self, loop=self._loop, **self._kwargs)

    def enter(self, address: str) -> bool:
        """Count one more connection from an address; tell whether it may stay. `leave` when it ends."""
        self._addresses[address] += 1
        most = self.limits.from_one_address
        return most is None or self._addresses[address] <= most or address in _OF_A_PROXY_HERE

    def leave(self, address: str) -> None:
        """Count one less."""
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]

    def make_room(self) -> None:
        """Close the connection that has asked for nothing for longest, where there are too many."""
        connections = self.connections
        if len(connections) <= self.limits.connections:
            return
        waiting = (each for each in connections if isinstance(each, _BoundedConnection) and each.is_waiting)
        chosen = next(waiting, connections[-1])
        log.warning("connections.one_closed", reason="too many", count=len(connections))
        chosen.force_close()


class _BoundedConnection(RequestHandler):
    """One connection; its clock runs whenever a head has begun and is not complete."""

    __slots__ = ("_address", "_head_timer", "_server")

    def __init__(self, server: _BoundedServer, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._server = server
        self._head_timer: asyncio.TimerHandle | None = None
        self._address = ""

    @property
    def is_waiting(self) -> bool:
        """Whether it has no request that is complete."""
        return self._waiter is not None and not self._waiter.done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        transport.max_size = READ_BYTES  # type: ignore[attr-defined] # asyncio's own, and no part of its interface
        self._start_clock()
        self._address = str((transport.get_extra_info("peername") or ("",))[0])
        if self._server.enter(self._address):
            self._server.make_room()
        else:
            self.force_close()

    def data_received(self, data: bytes) -> None:
        """Take bytes; those that begin a head must be followed by the rest of it in time."""
        super().data_received(data)
        if not self.is_waiting:
            self._stop_clock()
        elif self._head_timer is None:
            self._start_clock()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read on, where reading is paused: aiohttp says so with every chunk that is taken, and parses nothing then."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._stop_clock()
        self._server.leave(self._address)
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer to its end; where it is the last one, say so at once, and take what still comes after that.

        A connection that is closed while a byte is on its way is reset, and the client loses the answer that it had not
        read yet.
        """
        finished = await super().finish_response(request, resp, start_time)
        if resp.keep_alive is False and isinstance(resp, web.Response):
            self._say_last()
        return finished

    def _say_last(self) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing() and transport.can_write_eof():
            transport.write_eof()

    def _start_clock(self) -> None:
        self._head_timer = self._loop.call_later(self._server.limits.head_s, self._give_up)

    def _stop_clock(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self.is_waiting:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP with a problem, and close: nobody knows where the next request would begin."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        if status >= Internal.status:
            log.error("connection.broke", exc_info=exc)
        response = problem_response(_refusal(status, exc, message), request_id=uuid4().hex)
        response.force_close()
        return response


def _refusal(status: int, exc: BaseException | None, message: str | None) -> ZlhError:
    if status >= Internal.status:
        return Internal()
    if isinstance(exc, LineTooLong) or "Too many headers" in (message or ""):
        return HeadersTooLarge(MAX_LINE_BYTES, MAX_HEADERS)
    return RequestRefused("it is no HTTP that we read")
