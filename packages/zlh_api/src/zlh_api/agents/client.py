"""Calls to one agent, which is a stranger to us; files go by `transfers`.

No redirect is followed, answers are bounded in size and in time, and the certificate must carry the name of the very
container that is dialled and be the one that its agent was given last. What is open when that changes is closed.
"""

from __future__ import annotations

import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlencode

import aiohttp
import structlog
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.frames import CTRL_OPCODES, Frame
from websockets.protocol import Event
from websockets.typing import Subprotocol
from yarl import URL

from zlh_api.agents.identity_check import TRIES, CheckedConnector, IdentityUnknown, check_identity
from zlh_api.agents.pins import REDIRECTS, SHOWS_ANOTHER, NoPins, PinBook
from zlh_api.agents.transfers import READ_BUFFER_BYTES, Outgoing, Transfer, TransferBroken, begin
from zlh_api.database.pool import DatabaseUnavailable
from zlh_api.direct_bytes import Bytes
from zlh_common.errors import InvalidBody, ZlhError
from zlh_common.names import OwnerMark, agent_name
from zlh_common.pace import Allowance, Rate, take
from zlh_common.request_ids import HEADER, current_request_id
from zlh_common.schema.agent_events import StreamMessage, parse_message, parse_status
from zlh_common.schema.problem import Problem
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.status import AgentStatus
from zlh_common.schema.structs import decode, encode

log = structlog.get_logger()
T = TypeVar("T")
CALL_TIMEOUT_S = 10
OPEN_TIMEOUT_S = 10
MAX_ANSWER_BYTES = 1024 * 1024
# So many calls to one agent may be unanswered: each holds a descriptor and up to an answer's size for CALL_TIMEOUT_S,
# and a viewer of a container whose agent never answers could ask without end.
MAX_CALLS = 32
# So many files may go to and from one agent at a time.
MAX_TRANSFERS = 64
STREAM_BUFFER_BYTES = 4096
# A frame of a console is at most 128 KiB of output and its offset, and a report is shorter than that.
MAX_FRAME_BYTES = 256 * 1024
# So much may wait for an agent that does not read.
MAX_UNREAD_BYTES = 1024 * 1024
# How many pings and pongs an agent may send: an honest one has a few a minute. Neither is held back by a full queue.
CONTROL_RATE = Rate(50, 5)
# What has come is looked through in parts of this size, so that a flood of the shortest frames is noticed before all
# of it was taken: 256 KiB of pings would keep the event loop for seconds.
PART_BYTES = 4096


class AgentUnreachable(ZlhError):
    """The agent of the container does not answer."""

    code, status, retryable = "agent_unreachable", 503, True

    def __init__(self, reason: str) -> None:
        super().__init__(f"The agent of this container does not answer: {reason}.")


class AgentRefused(ZlhError):
    """The agent answered with an error."""

    code, status = "agent_refused", 502

    def __init__(self, *, status: int, agent_code: str, detail: str) -> None:
        super().__init__(f"The agent refused: {detail}", agentStatus=status, agentCode=agent_code)
        self.agent_status = status
        self.agent_code = agent_code
        self.agent_detail = detail


class AgentNonsense(ZlhError):
    """The agent answered something that it must not."""

    code, status = "agent_nonsense", 502

    def __init__(self, reason: str) -> None:
        super().__init__(f"The agent's answer makes no sense: {reason}.")


@dataclass(frozen=True, slots=True)
class AgentAddress:
    """Which agent is dialled: the address that we gave it, and the owner mark that its certificate must name."""

    owner: OwnerMark
    host: str
    port: int

    @property
    def name(self) -> str:
        """The name in its certificate."""
        return agent_name(self.owner)


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    """What an agent has answered below 300; its headers are to be checked like its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class AgentClient:
    """Dials agents with the API's own certificate."""

    def __init__(self, context: ssl.SSLContext, pins: PinBook | None = None) -> None:
        self._context = context
        self._pins = pins or NoPins()
        self._session: aiohttp.ClientSession | None = None
        self._bytes_session: aiohttp.ClientSession | None = None
        self._calls: Counter[AgentAddress] = Counter()
        self._transfers: Counter[AgentAddress] = Counter()
        self._sockets: dict[_PoliteConnection, tuple[OwnerMark, bytes]] = {}

    def use(self, context: ssl.SSLContext) -> None:
        """Dial with another certificate and other CAs from now on; what is open stays open."""
        self._context = context

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=CheckedConnector(self._pins),
            cookie_jar=aiohttp.DummyCookieJar(),
            response_class=OnlyAnswer,
            trust_env=False,
        )
        self._bytes_session = aiohttp.ClientSession(
            connector=self._session.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            response_class=OnlyAnswer,
            trust_env=False,
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bytes_session is not None:
            await self._bytes_session.close()
        if self._session is not None:
            await self._session.close()

    async def put_spec(self, agent: AgentAddress, spec: AgentSpec) -> AgentStatus:
        """Tell the agent what must become true; return its report."""
        return decode_status(await self.call(agent, "PUT", "/spec", body=encode(spec)))

    async def call(
        self,
        agent: AgentAddress,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> bytes:
        """Return the body of an answer below 300; raise AgentUnreachable, AgentRefused, AgentNonsense."""
        return (await self.exchange(agent, method, path, body=body, timeout_s=timeout_s)).body

    async def exchange(
        self,
        agent: AgentAddress,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> AgentAnswer:
        """Return an answer below 300 of at most `max_bytes`; raise AgentUnreachable, AgentRefused, AgentNonsense."""
        sent = _on_behalf() | dict(headers or {}) | ({"Content-Type": "application/json"} if body is not None else {})
        if self._calls[agent] >= MAX_CALLS:
            raise AgentUnreachable(f"{MAX_CALLS} calls wait for it already")
        self._calls[agent] += 1
        try:
            return await self._ask(agent, method, path, body, headers=sent, timeout_s=timeout_s, max_bytes=max_bytes)
        finally:
            self._calls -= Counter({agent: 1})

    @asynccontextmanager
    async def open_transfer(
        self,
        agent: AgentAddress,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: AsyncIterator[Bytes] | None = None,
        also: Collection[int] = (),
    ) -> AsyncIterator[Transfer]:
        """Send a body bit by bit, and lend an answer that is read bit by bit; for as long as bytes move.

        An answer below 300 or of a status of `also` is lent; raise AgentUnreachable, AgentRefused, AgentNonsense and
        whatever `body` raises.
        """
        if self._transfers[agent] >= MAX_TRANSFERS:
            raise AgentUnreachable(f"{MAX_TRANSFERS} transfers go on with it already")
        assert self._bytes_session is not None
        self._transfers[agent] += 1
        outgoing = None if body is None else Outgoing(body)
        transfer: Transfer | None = None
        url = URL(f"https://{agent.host}:{agent.port}{path}", encoded=True)
        sent = {**_on_behalf(), "Accept-Encoding": "identity", **headers}
        try:
            transfer = Transfer(
                await begin(self._bytes_session, method, url, sent, outgoing, context=self._context, name=agent.name)
            )
            if not (200 <= transfer.status < 300 or transfer.status in also):
                raise await self._refuse(agent, transfer.status, await transfer.read(MAX_ANSWER_BYTES))
            if outgoing is not None and not outgoing.is_complete:
                raise AgentNonsense("it says that it is done before it has got all")
            yield transfer
        except IdentityUnknown as exc:
            raise await self._tell_stranger(agent, exc) from exc
        except TransferBroken as exc:
            raise AgentUnreachable(str(exc)) from exc
        finally:
            self._transfers -= Counter({agent: 1})
            if transfer is not None:
                transfer.close()

    async def _ask(
        self,
        agent: AgentAddress,
        method: str,
        path: str,
        body: bytes | None,
        *,
        headers: Mapping[str, str],
        timeout_s: float,
        max_bytes: int,
    ) -> AgentAnswer:
        assert self._session is not None
        try:
            async with self._session.request(
                method,
                URL(f"https://{agent.host}:{agent.port}{path}", encoded=True),
                data=body,
                headers=headers,
                ssl=self._context,
                server_hostname=agent.name,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                # Not `bytes`: one that comes byte by byte would be copied as a whole for each of them.
                answer = bytearray()
                while len(answer) <= max_bytes and not response.content.at_eof():
                    answer += await response.content.read(max_bytes + 1 - len(answer))
                status, told = response.status, response.headers
        except IdentityUnknown as exc:
            raise await self._tell_stranger(agent, exc) from exc
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise AgentUnreachable(_describe(exc, timeout_s)) from exc
        if len(answer) > max_bytes:
            raise AgentNonsense(f"it has more than {max_bytes} bytes")
        if not 200 <= status < 300:
            raise await self._refuse(agent, status, bytes(answer))
        return AgentAnswer(status, told, bytes(answer))

    async def _refuse(self, agent: AgentAddress, status: int, body: bytes) -> ZlhError:
        """Return what an answer beyond 2xx is as an error; a redirect is an attack, and written down as one."""
        if 300 <= status < 400:
            log.warning("agent.redirects", owner=agent.owner, address=agent.host, status=status)
            await self._note(self._pins.note_fault(agent.owner, REDIRECTS))
        return _refusal(status, body)

    async def _tell_stranger(self, agent: AgentAddress, why: IdentityUnknown) -> AgentUnreachable:
        """Return the error for something at an agent's address that is not, or no more, the agent."""
        log.warning("agent.identity_unknown", owner=agent.owner, address=agent.host)
        await self._note(self._pins.note_fault(agent.owner, SHOWS_ANOTHER))
        return AgentUnreachable(str(why))

    async def _note(self, note: Awaitable[None]) -> None:
        # The next time writes it down.
        with contextlib.suppress(DatabaseUnavailable):
            await note

    @asynccontextmanager
    async def open_socket(
        self,
        agent: AgentAddress,
        path: str,
        *,
        query: dict[str, str] | None = None,
        subprotocol: str | None = None,
        has_heartbeat: bool = False,
    ) -> AsyncIterator[ClientConnection]:
        """Open a WebSocket; raise AgentUnreachable or AgentRefused where the agent does not take it.

        One that `has_heartbeat` says something by itself so often that it need not be asked whether it is there.
        """
        url = f"wss://{agent.host}:{agent.port}{path}{'?' + urlencode(query) if query else ''}"
        socket, shown = await self._open_checked(agent, url, subprotocol, has_heartbeat=has_heartbeat)
        self._sockets[socket] = (agent.owner, shown)
        try:
            if has_heartbeat:
                _make_small(socket)
            yield socket
        finally:
            del self._sockets[socket]
            await socket.close()

    async def end_superseded(self, owner: OwnerMark | None = None) -> None:
        """Close what is open with an identity that its agent has no more; of one agent, or of all."""
        open_ones = [(socket, *of) for socket, of in self._sockets.items() if owner is None or of[0] == owner]
        accepted = await self._pins.fetch_all(list({of for _, of, _ in open_ones}))
        for socket, of, shown in open_ones:
            pins = accepted[of]
            if pins is not None and shown not in pins:
                socket.is_superseded = True
                # Whoever has copied a key would take his time with a goodbye.
                socket.transport.abort()

    async def _open_checked(
        self, agent: AgentAddress, url: str, subprotocol: str | None, *, has_heartbeat: bool
    ) -> tuple[_PoliteConnection, bytes]:
        for left in reversed(range(TRIES)):
            socket = await self._open(agent, url, subprotocol, has_heartbeat=has_heartbeat)
            try:
                return socket, await check_identity(self._pins, agent.owner, socket.transport)
            except IdentityUnknown as exc:
                socket.transport.abort()
                if not left:
                    raise await self._tell_stranger(agent, exc) from exc
            except BaseException:
                socket.transport.abort()
                raise
        raise AssertionError

    async def _open(
        self, agent: AgentAddress, url: str, subprotocol: str | None, *, has_heartbeat: bool
    ) -> _PoliteConnection:
        try:
            opened = await _ConnectDirectly(
                url,
                additional_headers=_on_behalf(),
                ssl=self._context,
                server_hostname=agent.name,
                subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
                compression=None,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=2,
                ping_interval=None if has_heartbeat else 20,
                ping_timeout=20,
                max_size=MAX_FRAME_BYTES,
                max_queue=(8, 2),
                process_exception=_raise,
                create_connection=_PoliteConnection,
                proxy=None,
            )
        except InvalidStatus as exc:
            raise await self._refuse(agent, exc.response.status_code, bytes(exc.response.body or b"")) from exc
        except (InvalidHandshake, WebSocketException, OSError, TimeoutError) as exc:
            raise AgentUnreachable(_describe(exc, OPEN_TIMEOUT_S)) from exc
        assert isinstance(opened, _PoliteConnection)
        return opened


def was_superseded(socket: ClientConnection) -> bool:
    """Tell whether a connection was closed by us, since the agent has another identity by now."""
    return isinstance(socket, _PoliteConnection) and socket.is_superseded


def _on_behalf() -> dict[str, str]:
    request_id = current_request_id()
    return {HEADER: request_id} if request_id is not None else {}


def decode_report(raw: bytes | str, shape: type[T]) -> T:
    """Return what an agent said as a `shape`; raise AgentNonsense."""
    try:
        return decode(raw, shape)
    except InvalidBody as exc:
        raise AgentNonsense(exc.detail) from exc


def decode_status(raw: bytes | str) -> AgentStatus:
    """Return what an agent said of itself, of a newer one as far as it is understood; raise AgentNonsense."""
    try:
        return parse_status(raw)
    except InvalidBody as exc:
        raise AgentNonsense(exc.detail) from exc


def parse_stream(raw: bytes | str) -> StreamMessage | None:
    """Return one message of an event stream, None for a type that is not known here; raise AgentNonsense."""
    try:
        return parse_message(raw)
    except InvalidBody as exc:
        raise AgentNonsense(exc.detail) from exc


class OnlyAnswer(aiohttp.ClientResponse):
    """The first answer is the answer: interim ones (1xx) could go on for ever, and keep us busy with them."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Look at the first message, and put it back for the reader of the rest."""
        assert connection.protocol is not None
        try:
            message, payload = await connection.protocol.read()
        except HttpProcessingError as exc:
            raise aiohttp.ClientPayloadError(exc.message) from exc
        if message.code < 200:
            connection.close()
            raise aiohttp.ClientPayloadError(f"status {message.code}, which asks to wait for another answer")
        connection.protocol.feed_data((message, payload))
        return await super().start(connection)


class _PoliteConnection(ClientConnection):
    """Ends where the agent floods with pings and pongs, or reads nothing of what it has us write."""

    _control = Allowance(CONTROL_RATE.at_once, 0.0)
    _control_frames = 0
    # Whether its agent has another identity than the one that it was opened with.
    is_superseded = False

    def data_received(self, data: bytes) -> None:
        """Take what has come, part by part, and hang up where it is too much."""
        view = memoryview(data)
        for at in range(0, len(data), PART_BYTES):
            super().data_received(bytes(view[at : at + PART_BYTES]))
            if self._is_flooding() or self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
                self.transport.abort()
                return

    def process_event(self, event: Event) -> None:
        """Take one frame, and count it where it is none of data."""
        if isinstance(event, Frame) and event.opcode in CTRL_OPCODES:
            self._control_frames += 1
        super().process_event(event)

    def _is_flooding(self) -> bool:
        asked, self._control_frames = self._control_frames, 0
        taken, self._control = take(self._control, asked, CONTROL_RATE, self.loop.time())
        return taken < asked


class _ConnectDirectly(connect):
    """Opens a WebSocket where it was told to, and nowhere else: a redirect is an answer like any other refusal."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the error as it is."""
        return exc


def _make_small(socket: ClientConnection) -> None:
    """Take from a connection what one of thousands cannot have, which brings a few kilobytes each ten seconds.

    asyncio keeps 256 KiB for each TLS connection to read into, all of it in memory from the first moment on, and has no
    setting for that. The buffer is only looked at while the loop reads, which it does not do now.
    """
    tls = socket.transport._ssl_protocol  # type: ignore[attr-defined] # noqa: SLF001 - see above
    buffer = tls._ssl_buffer = bytearray(STREAM_BUFFER_BYTES)  # noqa: SLF001 - see above
    tls._ssl_buffer_view = memoryview(buffer)  # noqa: SLF001 - see above
    tls.max_size = STREAM_BUFFER_BYTES
    # What was said to open it.
    for said in (socket.request, socket.response):
        assert said is not None
        said.headers.clear()


def _raise(exc: Exception) -> Exception:
    return exc


def _refusal(status: int, body: bytes) -> ZlhError:
    if 300 <= status < 400:
        return AgentNonsense(f"it redirects ({status}), which agents have no reason to do")
    try:
        problem = decode_report(body[:MAX_ANSWER_BYTES], Problem)
    except AgentNonsense:
        return AgentNonsense(f"status {status} without a reason")
    return AgentRefused(status=status, agent_code=problem.code[:64], detail=problem.detail[:1000])


def _describe(error: Exception, limit_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {limit_s:g} s"
    return str(error) or type(error).__name__
