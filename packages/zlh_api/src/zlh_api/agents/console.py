"""The console proxy: one socket of a viewer, one to the agent, and back-pressure from end to end.

Nothing is read from one side before the other has taken what was read last, so a slow browser slows its own upstream
alone, and the agent skips that viewer ahead. The agent is a stranger: what it sends is bounded, and handed on only
where it is a frame of the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from aiohttp import WSCloseCode, WSMsgType, web
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from zlh_api.agents.client import AgentAddress, AgentClient, AgentRefused
from zlh_api.web.endpoint import Call
from zlh_api.web.query import whole_number
from zlh_common.errors import NotFound, ZlhError
from zlh_common.schema.console_wire import (
    LIVE_ONLY,
    MAX_INPUT_BYTES,
    MAX_OFFSET,
    OFFSET_BYTES,
    SUBPROTOCOL,
    parse_client_message,
    parse_server_message,
    render_message,
)
from zlh_common.schema.terminal import ViewerLimit

log = structlog.get_logger()
HEARTBEAT_S = 20
# A viewer that takes nothing for this long is gone; it resumes by offset when it is back.
WRITE_TIMEOUT_S = 60
GOODBYE_S = 2
# So long after a sign-out may a console still be used.
PERMISSION_CHECK_S = 5


class SubprotocolMissing(ZlhError):
    """A console socket must speak the console protocol."""

    code, status = "subprotocol_missing", 400

    def __init__(self) -> None:
        super().__init__(f"Open this address as a WebSocket with the subprotocol {SUBPROTOCOL}.")


class ConsoleProxy:
    """Joins viewers to the consoles of agents."""

    def __init__(self, client: AgentClient) -> None:
        self._client = client

    async def serve(self, call: Call, agent: AgentAddress, path: str, *, missing: ZlhError) -> web.WebSocketResponse:
        """Serve one viewer until either side goes, or may no longer; refuse before the upgrade where the agent does.

        `path` is the console's at the agent; where that knows none there, `missing` is raised.
        """
        request = call.request
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        if SUBPROTOCOL not in {name.strip() for name in offered}:
            raise SubprotocolMissing
        start = whole_number(request, "from", low=LIVE_ONLY, high=MAX_OFFSET)
        query = None if start is None else {"from": str(start)}
        try:
            async with self._client.open_socket(agent, path, query=query, subprotocol=SUBPROTOCOL) as upstream:
                return await self._join(call, upstream)
        except AgentRefused as error:
            if error.agent_status == NotFound.status:
                raise missing from error
            if error.agent_code == ViewerLimit.code:
                raise ViewerLimit from error
            raise

    async def _join(self, call: Call, upstream: ClientConnection) -> web.WebSocketResponse:
        viewer = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,), heartbeat=HEARTBEAT_S, max_msg_size=MAX_INPUT_BYTES, compress=False
        )
        await viewer.prepare(call.request)
        work = (_pump_output(upstream, viewer), _pump_input(viewer, upstream), _watch_permission(call, viewer))
        tasks = [asyncio.create_task(each) for each in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await _say_goodbye(viewer, upstream)
        return viewer


async def _say_goodbye(viewer: web.WebSocketResponse, upstream: ClientConnection) -> None:
    """Close the viewer's socket with the agent's reason, or as going away where the agent just went."""
    if viewer.closed:
        return
    code = upstream.close_code
    usable = code is not None and (code in {1000, 1001, 1003, 1008, 1009, 1011} or 4000 <= code < 5000)
    reason = (upstream.close_reason or "the agent has gone")[:100]
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(GOODBYE_S):
            await viewer.close(code=code if usable and code else WSCloseCode.GOING_AWAY, message=reason.encode())


async def _watch_permission(call: Call, viewer: web.WebSocketResponse) -> None:
    """Return, with the socket closed, once the viewer is signed out or has lost his role."""
    while True:
        await asyncio.sleep(PERMISSION_CHECK_S)
        try:
            await call.check_again()
        except ZlhError as error:
            if error.retryable:
                continue
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await viewer.close(code=WSCloseCode.POLICY_VIOLATION, message=error.code.encode())
            return


async def _pump_output(upstream: ClientConnection, viewer: web.WebSocketResponse) -> None:
    try:
        async for message in upstream:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                if isinstance(message, bytes):
                    if len(message) >= OFFSET_BYTES:
                        await viewer.send_bytes(message)
                else:
                    await viewer.send_str(render_message(parse_server_message(message)))
    except (ConnectionClosed, ConnectionError, TimeoutError, RuntimeError, ValueError) as exc:
        log.info("console.output_ended", error=str(exc) or type(exc).__name__)


async def _pump_input(viewer: web.WebSocketResponse, upstream: ClientConnection) -> None:
    try:
        async for message in viewer:
            match message.type:
                case WSMsgType.BINARY:
                    await upstream.send(message.data)
                case WSMsgType.TEXT:
                    await upstream.send(render_message(parse_client_message(message.data)))
                case _:
                    return
    except ValueError:
        await viewer.close(code=WSCloseCode.UNSUPPORTED_DATA, message=b"this is no message of the console protocol")
    except (ConnectionClosed, ConnectionError) as exc:
        log.info("console.input_ended", error=str(exc) or type(exc).__name__)
