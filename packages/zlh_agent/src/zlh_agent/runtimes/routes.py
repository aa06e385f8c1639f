"""The agent's calls about installed versions; what should be installed is said by the spec alone."""

from __future__ import annotations

from aiohttp import web

from zlh_agent.runtimes.service import RuntimeService
from zlh_common.schema.runtime import RuntimeUsers
from zlh_common.schema.structs import encode


def routes(service: RuntimeService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice."""

    async def users(request: web.Request) -> web.Response:
        name, version = request.match_info["name"], request.match_info["version"]
        return _json(RuntimeUsers(users=await service.users(name, version)))

    async def verify(request: web.Request) -> web.Response:
        return _json(await service.verify(request.match_info["name"], request.match_info["version"]))

    return [
        web.get("/runtimes/{name}/{version}/users", users),
        web.post("/runtimes/{name}/{version}/verify", verify),
    ]


def _json(value: object) -> web.Response:
    return web.Response(body=encode(value), content_type="application/json")
