"""HTTP of the report: asked for, or pushed on every change and every 30 s."""

from __future__ import annotations

import asyncio

from aiohttp import WSCloseCode, web

from zlh_agent.status.service import StatusService
from zlh_common.schema.status import AgentEvent
from zlh_common.schema.structs import encode

HEARTBEAT_S = 30.0
# At most ten pushes a second: the first at once, what follows together.
MIN_INTERVAL_S = 0.1
WRITE_TIMEOUT_S = 30.0


def routes(service: StatusService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice."""

    async def health(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def status(_request: web.Request) -> web.Response:
        return web.Response(body=encode(service.report()), content_type="application/json")

    async def events(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, compress=False, max_msg_size=4096)
        await socket.prepare(request)
        push = asyncio.create_task(_push(socket, service))
        try:
            # The API says nothing on this stream; reading is how its end is seen.
            async for _message in socket:
                pass
        finally:
            push.cancel()
            await asyncio.gather(push, return_exceptions=True)
        return socket

    return [web.get("/healthz", health), web.get("/status", status), web.get("/events", events)]


async def _push(socket: web.WebSocketResponse, service: StatusService) -> None:
    """Send the newest report, again and again; a slow reader gets fewer of them, never older ones."""
    with service.watch() as changed:
        while not service.is_closing:
            changed.clear()
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await socket.send_str(encode(AgentEvent(status=service.report())).decode())
            await asyncio.sleep(MIN_INTERVAL_S)
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await changed.wait()
            except TimeoutError:
                continue
    await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the agent goes")
