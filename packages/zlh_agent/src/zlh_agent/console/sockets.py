"""The WebSocket of a console, whatever is behind it; shapes and rules stand in docs/agent-protocol.md."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from aiohttp import ClientConnectionError, WSCloseCode, WSMsgType, web

from zlh_agent.console.errors import OffsetInvalid
from zlh_agent.console.rules import parse_from, parse_number
from zlh_agent.console.seats import Seats
from zlh_agent.console.viewer import CLOSED, Ended, Viewer
from zlh_common.errors import InvalidBody
from zlh_common.input_pace import InputPace
from zlh_common.schema.console_wire import (
    CONFIRM,
    CONFIRM_INPUT,
    MAX_INPUT_BYTES,
    MAX_OFFSET,
    SUBPROTOCOL,
    Redraw,
    parse_agent_client_message,
    render_message,
)
from zlh_common.schema.terminal import DEFAULT_HISTORY_BYTES, MAX_HISTORY_BYTES, MAX_NEEDLE_BYTES, SubprotocolMissing
from zlh_common.websocket_frames import FrameWriter, OutputFrame

MAX_TEXT_CHARS = 4096
# A client that does not answer a ping within half of this is gone.
HEARTBEAT_S = 30.0
# How long a client may take to say goodbye; one that reads nothing is then cut off.
GOODBYE_S = 2.0
# A viewer that catches up from the ring gives way to the others after each frame of this size.
_YIELD_BYTES = 32 * 1024

# Asked for with (offset to go on at, whether it may type).
Attach = Callable[[int | None, bool], Awaitable[Viewer]]


async def serve_console(request: web.Request, attach: Attach, seats: Seats) -> web.WebSocketResponse:
    """Serve one viewer until either side goes.

    `?from=` is where it goes on, `?input=off` makes it one that only looks: the API asks so for whoever may not type.
    With `?confirm=input` it is told what becomes of its input.
    """
    # Everything that can be refused is refused before the upgrade, as a problem with a code.
    text = request.query.get("from")
    try:
        asked = parse_from(text)
    except ValueError as exc:
        raise OffsetInvalid(field="from", value=text or "") from exc
    offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if SUBPROTOCOL not in offered:
        raise SubprotocolMissing
    with seats.taken(request.path):
        return await _serve(request, attach, asked)


async def _serve(request: web.Request, attach: Attach, asked: int | None) -> web.WebSocketResponse:
    # Compression costs more than it saves on this link, and would let a client send a bomb.
    socket = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,),
        heartbeat=HEARTBEAT_S,
        compress=False,
        # Pings are answered by `_receive`, at the pace of everything else: by itself it would not let go of the loop
        # before the last of a flood.
        autoping=False,
        max_msg_size=MAX_INPUT_BYTES + 1,
        timeout=GOODBYE_S,
    )
    viewer = await attach(asked, request.query.get("input") != "off")
    if request.query.get(CONFIRM) == CONFIRM_INPUT:
        viewer.confirm_input()
    try:
        flow = await socket.prepare(request)
        await _show(socket, viewer, FrameWriter(_transport(request), flow))
    finally:
        viewer.close()
        _cut(request)
    return socket


def parse_history_query(request: web.Request) -> tuple[int | None, int, bytes]:
    """Return (offset, limit in bytes, what to search for) of a question for history."""
    start = _number(request, "from", lowest=0, highest=MAX_OFFSET)
    limit = _number(request, "limit", lowest=0, highest=MAX_HISTORY_BYTES)
    needle = request.query.get("q", "").encode()
    if len(needle) > MAX_NEEDLE_BYTES:
        raise InvalidBody(reason=f"q has {len(needle)} bytes, and at most {MAX_NEEDLE_BYTES} are searched for")
    return start, DEFAULT_HISTORY_BYTES if limit is None else limit, needle


def _number(request: web.Request, field: str, *, lowest: int, highest: int) -> int | None:
    text = request.query.get(field)
    try:
        return parse_number(text, lowest=lowest, highest=highest)
    except ValueError as exc:
        raise OffsetInvalid(field=field, value=text or "") from exc


async def _show(socket: web.WebSocketResponse, viewer: Viewer, writer: FrameWriter) -> None:
    """Run both directions of one viewer until either ends."""
    sending = asyncio.create_task(_send(socket, viewer, writer))
    receiving = asyncio.create_task(_receive(socket, viewer))
    try:
        await asyncio.wait([sending, receiving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, receiving):
            task.cancel()
        results = await asyncio.gather(sending, receiving, return_exceptions=True)
    broken = next((result for result in results if isinstance(result, Exception)), None)
    if broken is not None:
        raise broken
    ended = viewer.ended or next((result for result in results if isinstance(result, Ended)), CLOSED)
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(GOODBYE_S):
            await socket.close(code=ended.code, message=ended.reason.encode())


async def _send(socket: web.WebSocketResponse, viewer: Viewer, writer: FrameWriter) -> None:
    """Send what the viewer is due, at the pace of the client; every send waits for the transport."""
    # A wait for room ends in aiohttp's own kind of error where the client is cut off.
    with contextlib.suppress(ConnectionError, ClientConnectionError):
        await socket.send_str(render_message(viewer.hello))
        async for item in viewer:
            if isinstance(item, OutputFrame):
                await writer.write(item)
                if item.size >= _YIELD_BYTES:
                    await asyncio.sleep(0)
            else:
                await socket.send_str(render_message(item))


async def _receive(socket: web.WebSocketResponse, viewer: Viewer) -> Ended:
    """Take what the client says until it goes or says something that it may not; return why this ended.

    One that sends faster than the pace is not read for a while: its own connection fills up, and nobody else's.
    """
    pace = InputPace()
    with contextlib.suppress(ConnectionError):
        async for message in socket:
            match message.type:
                case WSMsgType.BINARY:
                    await viewer.write(message.data)
                case WSMsgType.TEXT:
                    if reason := _take_text(message.data, viewer):
                        return Ended(WSCloseCode.POLICY_VIOLATION, reason)
                case WSMsgType.PING:
                    await socket.pong(message.data)
                case _:
                    pass
            await pace.keep(message.data)
    return CLOSED


def _take_text(text: str, viewer: Viewer) -> str | None:
    """Do what a text message says; return what is wrong with it, if anything."""
    if len(text) > MAX_TEXT_CHARS:
        return "message too long"
    try:
        said = parse_agent_client_message(text)
    except ValueError:
        return "text must be a resize message"
    if isinstance(said, Redraw):
        viewer.redraw()
    else:
        viewer.resize(said.cols, said.rows)
    return None


def _cut(request: web.Request) -> None:
    """Drop the connection of a client that does not read: a plain close would wait for it for ever."""
    transport = _transport(request)
    if transport is not None and transport.get_write_buffer_size():
        transport.abort()


def _transport(request: web.Request) -> asyncio.WriteTransport | None:
    transport = request.transport
    return transport if isinstance(transport, asyncio.WriteTransport) else None
