"""The agent's calls about terminals; shapes and rules stand in docs/agent-protocol.md."""

from __future__ import annotations

from aiohttp import web

from zlh_agent.console.seats import Seats
from zlh_agent.console.sockets import parse_history_query, serve_console
from zlh_agent.console.viewer import Viewer
from zlh_agent.terminals.service import TerminalService
from zlh_common.errors import InvalidBody
from zlh_common.schema.structs import decode, encode
from zlh_common.schema.terminal import OpenTerminal, TerminalOpened

MAX_OPEN_BODY_BYTES = 4096


def routes(service: TerminalService, seats: Seats) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice, for the composition root to mount."""

    async def list_terminals(_request: web.Request) -> web.Response:
        return _json({"items": service.rows()})

    async def open_terminal(request: web.Request) -> web.Response:
        raw = await request.content.read(MAX_OPEN_BODY_BYTES + 1)
        if len(raw) > MAX_OPEN_BODY_BYTES:
            raise InvalidBody(reason=f"it has more than {MAX_OPEN_BODY_BYTES} bytes")
        asked = decode(raw, OpenTerminal) if raw else OpenTerminal()
        return _json(TerminalOpened(id=await service.open_terminal(asked.cols, asked.rows)), status=201)

    async def close_terminal(request: web.Request) -> web.Response:
        await service.close(request.match_info["id"])
        return web.Response(status=204)

    async def read_history(request: web.Request) -> web.Response:
        start, limit, needle = parse_history_query(request)
        return _json(await service.history(request.match_info["id"], start=start, limit=limit, needle=needle))

    async def watch(request: web.Request) -> web.WebSocketResponse:
        id_ = request.match_info["id"]

        async def attach(asked: int | None, may_write: bool) -> Viewer:
            return await service.attach(id_, asked, may_write=may_write)

        return await serve_console(request, attach, seats)

    return [
        web.get("/terminals", list_terminals),
        web.post("/terminals", open_terminal),
        web.delete("/terminals/{id}", close_terminal),
        web.get("/terminals/{id}", watch),
        web.get("/terminals/{id}/history", read_history),
    ]


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(body=encode(value), status=status, content_type="application/json")
