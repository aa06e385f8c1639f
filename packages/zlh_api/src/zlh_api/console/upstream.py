"""One connection to a console at an agent, a stranger: what it says is bounded and checked before it is believed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from zlh_api.agents.client import AgentAddress, AgentClient, AgentNonsense, AgentUnreachable
from zlh_api.console.rules import is_next_done, is_whole, runs_on
from zlh_common.pace import pay
from zlh_common.schema.console_wire import (
    CONFIRM,
    CONFIRM_INPUT,
    SUBPROTOCOL,
    Announcement,
    Exit,
    Gap,
    Hello,
    InputDone,
    Redraw,
    Resize,
    ServerMessage,
    State,
    parse_server_message,
    render_message,
)
from zlh_common.websocket_frames import OutputFrame, parse_payload

# So long may an agent take to greet a connection that it has accepted.
HELLO_TIMEOUT_S = 10
MAX_TEXT_CHARS = 4096
# How fast one console is read, after a burst of a quarter of a second: an agent that sends byte by byte would have a
# core to itself. An honest one that waits has larger frames to send then, so no output is slower for it.
MESSAGES_PER_S = 4000
BURST_S = 0.25
# A shorter wait is not worth a timer; the debt stays.
_SHORTEST_WAIT_S = 0.01
_CLOSE_CODES = frozenset({1000, 1001, 1003, 1008, 1009, 1011})
GOING_AWAY = 1001
AGENT_ERROR = 1011


# What comes after the greeting.
# Of a notice as it comes, in characters of JSON.
MAX_NOTICE_CHARS = 2000
Message = OutputFrame | Gap | State | Exit | InputDone | Announcement


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more comes; why, as a WebSocket close code and reason for the viewer."""

    code: int
    reason: str


NONSENSE = Ended(AGENT_ERROR, "agent_nonsense")


class UpstreamEnded(Exception):
    """The agent has said its last word here."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.reason)
        self.ended = ended


class Upstream:
    """A console at an agent from `hello.start` on; `end` is how far it has been read."""

    def __init__(self, connection: ClientConnection, hello: Hello) -> None:
        self.hello = hello
        self.end = hello.start
        self._connection = connection
        # Input bytes that were sent, and what the agent has last said of them.
        self._sent = 0
        self._done = InputDone(taken=0, refused=0)
        self._sending: set[asyncio.Task[None]] = set()
        self._has_begun = False
        self._paid_until = 0.0

    async def take(self) -> Message:
        """Return what comes next, in order; raise UpstreamEnded. A cancelled call loses nothing."""
        while True:
            await self._keep_pace()
            try:
                raw = await self._connection.recv()
            except ConnectionClosed:
                raise UpstreamEnded(_farewell(self._connection)) from None
            try:
                message = self._parse(raw)
            except ValueError:
                raise UpstreamEnded(NONSENSE) from None
            if message is not None:
                return message

    async def _keep_pace(self) -> None:
        now = asyncio.get_running_loop().time()
        self._paid_until = pay(self._paid_until, 1 / MESSAGES_PER_S, burst_s=BURST_S, now=now)
        if self._paid_until - now >= _SHORTEST_WAIT_S:
            await asyncio.sleep(self._paid_until - now)

    async def write(self, data: bytes) -> None:
        """Type; waits while the agent does not take it. Raise UpstreamEnded. A call that is cancelled has typed it."""
        self._sent += len(data)
        # Else nobody would know whether it was sent, and so of whose input the agent speaks next.
        sending = asyncio.create_task(self._send(data))
        self._sending.add(sending)
        sending.add_done_callback(self._note_sent)
        await asyncio.shield(sending)

    def _note_sent(self, sending: asyncio.Task[None]) -> None:
        self._sending.discard(sending)
        # Seen, whatever it was, should nobody wait any more.
        _ = sending.cancelled() or sending.exception()

    async def close(self) -> None:
        """Drop the connection, and return once nothing is on its way any more."""
        # An agent in the middle of a flood would be two seconds in answering a goodbye, and is owed none.
        self._connection.transport.abort()
        if self._sending:
            await asyncio.wait(self._sending)

    async def say(self, message: Resize | Redraw) -> None:
        """Tell the agent something; raise UpstreamEnded."""
        await self._send(render_message(message))

    async def _send(self, data: bytes | str) -> None:
        try:
            await self._connection.send(data)
        except ConnectionClosed:
            raise UpstreamEnded(_farewell(self._connection)) from None

    def _parse(self, raw: bytes | str) -> Message | None:
        is_first, self._has_begun = not self._has_begun, True
        if isinstance(raw, bytes):
            frame = parse_payload(raw)
            if frame.start != self.end:
                raise ValueError("output that does not run on")
            self.end = frame.end
            return frame
        message = _parse_text(raw)
        if isinstance(message, InputDone):
            if not self.hello.confirms or not is_next_done(self._done, message, sent=self._sent):
                raise ValueError("a word on input that there was none of")
            self._done = message
            return message
        if isinstance(message, Announcement):
            if len(raw) > MAX_NOTICE_CHARS:
                raise ValueError("a notice that nobody reads")
            return message
        if isinstance(message, Gap) and is_first and message.to == self.end:
            # It repeats what hello has said already to whoever asked for another offset.
            return None
        if isinstance(message, Hello) or not runs_on(self.end, message):
            raise ValueError("a message out of place")
        if isinstance(message, Gap):
            self.end = message.to
        return message


@asynccontextmanager
async def open_upstream(
    client: AgentClient, agent: AgentAddress, path: str, asked: int | None
) -> AsyncIterator[Upstream]:
    """Open a console at `asked`, greeted; raise AgentUnreachable, AgentRefused or AgentNonsense."""
    query = {CONFIRM: CONFIRM_INPUT} if asked is None else {CONFIRM: CONFIRM_INPUT, "from": str(asked)}
    async with client.open_socket(agent, path, query=query, subprotocol=SUBPROTOCOL) as connection:
        try:
            upstream = Upstream(connection, await _greeting(connection))
        except BaseException:
            connection.transport.abort()
            raise
        try:
            yield upstream
        finally:
            await upstream.close()


async def _greeting(connection: ClientConnection) -> Hello:
    try:
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            raw = await connection.recv()
        hello = _parse_text(raw) if isinstance(raw, str) else None
    except (ConnectionClosed, TimeoutError) as exc:
        raise AgentUnreachable("its console closed without a word") from exc
    except ValueError as exc:
        raise AgentNonsense("its console greets with what is no message") from exc
    if not isinstance(hello, Hello) or not is_whole(hello):
        raise AgentNonsense("its console does not begin with where it stands")
    return hello


def _parse_text(text: str) -> ServerMessage:
    if len(text) > MAX_TEXT_CHARS:
        raise ValueError("a message that is too long")
    return parse_server_message(text)


def _farewell(connection: ClientConnection) -> Ended:
    """Return the agent's own reason where it may be handed on, or that it has just gone."""
    code = connection.close_code
    usable = code is not None and (code in _CLOSE_CODES or 4000 <= code < 5000)
    reason = (connection.close_reason or "the agent has gone")[:100]
    return Ended(code if usable and code is not None else GOING_AWAY, reason)
