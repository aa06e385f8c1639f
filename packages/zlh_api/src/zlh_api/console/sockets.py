"""The WebSocket of one viewer of a console: output at the pace at which it reads, input, and whether it still may."""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from aiohttp import ClientConnectionError, WSCloseCode, WSMsgType, web

from zlh_api.agents.client import AgentAddress, AgentRefused
from zlh_api.console.service import ConsoleService
from zlh_api.console.upstream import Ended, UpstreamEnded
from zlh_api.console.viewer import ConsoleViewer
from zlh_api.web.endpoint import Call
from zlh_api.web.query import one_of, whole_number
from zlh_common.errors import NotFound, ZlhError
from zlh_common.input_pace import InputPace
from zlh_common.schema.console_wire import (
    CONFIRM,
    CONFIRM_INPUT,
    LIVE_ONLY,
    MAX_INPUT_BYTES,
    MAX_OFFSET,
    SUBPROTOCOL,
    parse_client_message,
    render_message,
)
from zlh_common.schema.terminal import MAX_VIEWERS, SubprotocolMissing, ViewerLimit
from zlh_common.websocket_frames import FrameWriter, OutputFrame

log = structlog.get_logger()
HEARTBEAT_S = 20
# A viewer that takes nothing for this long is gone; it resumes by offset when it is back.
WRITE_TIMEOUT_S = 60
GOODBYE_S = 2
# A viewer that catches up gives way to the others after each frame of this size.
_YIELD_BYTES = 32 * 1024
# How a viewer goes who says that he does: a page that is closed says 1001, and some clients give no code (1005).
_IN_ORDER = frozenset({1000, 1001, 1005})
FROM = whole_number(
    "from",
    f"The offset to go on at; {LIVE_ONLY} for new output alone, left out for the last bytes too.",
    low=LIVE_ONLY,
    high=MAX_OFFSET,
)
CONFIRMS = one_of(
    CONFIRM,
    "Tells what becomes of input, by messages of the type `input`; hello has `confirms` then, where the agent can.",
    (CONFIRM_INPUT,),
)
# What all consoles take.
CONSOLE_QUERY = (FROM, CONFIRMS)
_GONE = Ended(WSCloseCode.GOING_AWAY, "the agent has gone")


class ConsoleProxy:
    """Joins browsers and programs to the consoles of agents."""

    def __init__(self, consoles: ConsoleService) -> None:
        self._consoles = consoles

    async def serve(self, call: Call, agent: AgentAddress, path: str, *, missing: ZlhError) -> web.WebSocketResponse:
        """Serve one viewer until either side goes, or may no longer; refuse before the upgrade where the agent does.

        `path` is the console's at the agent; where that knows none there, `missing` is raised.
        """
        request = call.request
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        if SUBPROTOCOL not in {name.strip() for name in offered}:
            raise SubprotocolMissing
        start = call.asked(FROM)
        try:
            async with self._consoles.attach(
                agent,
                path,
                start,
                customer=call.container.customer_id,
                confirms=call.asked(CONFIRMS) is not None,
            ) as viewer:
                return await _join(call, viewer)
        except AgentRefused as error:
            if error.agent_status == NotFound.status:
                raise missing from error
            if error.agent_code == ViewerLimit.code:
                raise ViewerLimit(limit=MAX_VIEWERS, where="at the consoles of this container") from error
            raise


async def _join(call: Call, viewer: ConsoleViewer) -> web.WebSocketResponse:
    # A socket that compressed could not be given frames that are shared by all. Pings are answered by `_pump_input`.
    socket = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,),
        heartbeat=HEARTBEAT_S,
        # aiohttp refuses what is as long as this.
        max_msg_size=MAX_INPUT_BYTES + 1,
        compress=False,
        autoping=False,
    )
    await call.record.note_open()
    flow = await socket.prepare(call.request)
    transport = call.request.transport
    writer = FrameWriter(transport if isinstance(transport, asyncio.WriteTransport) else None, flow)
    work = (_pump_output(viewer, socket, writer), _pump_input(call, socket, viewer))
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        # Before anything is awaited: whoever is gone has this called off.
        _note_end(call, socket, viewer.ended)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await _say_goodbye(socket, _reason(call) or viewer.ended or _GONE)
    broken = next((result for result in results if isinstance(result, Exception)), None)
    if broken is not None:
        raise broken
    return socket


async def _say_goodbye(socket: web.WebSocketResponse, ended: Ended) -> None:
    if socket.closed:
        return
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(GOODBYE_S):
            await socket.close(code=ended.code, message=ended.reason.encode())


def _reason(call: Call) -> Ended | None:
    """Return how a viewer is told that he may look no longer, where that is so."""
    return None if call.refusal is None else Ended(WSCloseCode.POLICY_VIOLATION, call.refusal.code)


def _note_end(call: Call, socket: web.WebSocketResponse, ended: Ended | None) -> None:
    """Tell the audit log why nobody looks any more."""
    if call.refusal is not None:
        call.record.note_end("revoked", call.refusal.code)
    elif ended is not None:
        call.note("because", ended.reason)
        call.record.note_end("ended")
    else:
        call.record.note_end("left" if socket.close_code in _IN_ORDER else "broken")


async def _pump_output(viewer: ConsoleViewer, socket: web.WebSocketResponse, writer: FrameWriter) -> None:
    try:
        await socket.send_str(render_message(viewer.hello))
        async for item in viewer:
            if isinstance(item, OutputFrame):
                if not writer.write_nowait(item):
                    async with asyncio.timeout(WRITE_TIMEOUT_S):
                        await writer.drain()
                if item.size >= _YIELD_BYTES:
                    await asyncio.sleep(0)
            else:
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    await socket.send_str(render_message(item))
    # A wait for room ends in aiohttp's own kind of error where the client is cut off.
    except (ConnectionError, ClientConnectionError, TimeoutError) as exc:
        log.info("console.output_ended", error=str(exc) or type(exc).__name__)


async def _pump_input(call: Call, socket: web.WebSocketResponse, viewer: ConsoleViewer) -> None:
    pace = InputPace()
    try:
        async for message in socket:
            # Nothing is typed for one of whom it is not known whether he still may.
            await call.wait_certain()
            match message.type:
                case WSMsgType.BINARY:
                    await viewer.write(message.data)
                case WSMsgType.TEXT:
                    size = parse_client_message(message.data)
                    await viewer.resize(size.cols, size.rows)
                case WSMsgType.PING:
                    await socket.pong(message.data)
                case WSMsgType.PONG:
                    pass
                case _:
                    return
            await pace.keep(message.data)
    except ValueError:
        viewer.end(Ended(WSCloseCode.UNSUPPORTED_DATA, "this is no message of the console protocol"))
    except UpstreamEnded as exc:
        viewer.end(exc.ended)
    except ConnectionError as exc:
        log.info("console.input_ended", error=str(exc) or type(exc).__name__)
