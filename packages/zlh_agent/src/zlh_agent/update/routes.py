"""HTTP of the agent's update of itself."""

from __future__ import annotations

from aiohttp import web

from zlh_agent.update.service import UpdateService
from zlh_common.schema.agent_update import StartAgentUpdate
from zlh_common.schema.structs import decode, encode


def routes(service: UpdateService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice."""

    async def start(request: web.Request) -> web.Response:
        wish = decode(await request.read(), StartAgentUpdate)
        return web.Response(status=202, body=encode(await service.start(wish)), content_type="application/json")

    return [web.post("/update", start)]
