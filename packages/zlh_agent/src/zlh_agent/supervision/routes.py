"""The agent's calls about processes; shapes and rules stand in docs/agent-protocol.md."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from zlh_agent.console.seats import Seats
from zlh_agent.console.sockets import parse_history_query, serve_console
from zlh_agent.console.viewer import Viewer
from zlh_agent.supervision.service import ProcessService
from zlh_common.schema.structs import encode


def routes(service: ProcessService, seats: Seats) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice."""

    def order(do: Callable[[str], None]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(request: web.Request) -> web.Response:
            do(request.match_info["name"])
            return web.Response(status=202)

        return handler

    async def index(_request: web.Request) -> web.Response:
        return _json({"items": service.statuses()})

    async def read_history(request: web.Request) -> web.Response:
        start, limit, needle = parse_history_query(request)
        return _json(await service.history(request.match_info["name"], start=start, limit=limit, needle=needle))

    async def watch(request: web.Request) -> web.WebSocketResponse:
        async def attach(asked: int | None, may_write: bool) -> Viewer:
            return service.view(request.match_info["name"], asked, may_write=may_write)

        return await serve_console(request, attach, seats)

    return [
        web.get("/processes", index),
        web.post("/processes/{name}/restart", order(service.restart)),
        web.post("/processes/{name}/kill", order(service.kill)),
        web.post("/processes/{name}/retry", order(service.retry)),
        web.post("/processes/{name}/give-up", order(service.give_up)),
        web.get("/processes/{name}/console", watch),
        web.get("/processes/{name}/history", read_history),
    ]


def _json(value: object) -> web.Response:
    return web.Response(body=encode(value), content_type="application/json")
