"""The agent's call about ports; shapes and rules stand in docs/agent-protocol.md."""

from __future__ import annotations

from aiohttp import web

from zlh_agent.ports.service import PortService
from zlh_common.errors import NotFound
from zlh_common.schema.structs import encode


def routes(service: PortService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice."""

    async def cut(request: web.Request) -> web.Response:
        done = await service.cut(_port(request.match_info["port"]))
        return web.Response(body=encode(done), content_type="application/json")

    return [web.post("/ports/{port}/cut", cut)]


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535):
        raise NotFound("port")
    return int(text)
