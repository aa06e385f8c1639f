"""The agent's calls about its game server; what should be installed is said by the spec alone."""

from __future__ import annotations

from aiohttp import web

from zlh_agent.games.errors import NoGame
from zlh_agent.games.service import GameService
from zlh_common.schema.structs import encode


def routes(service: GameService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice."""

    async def report(_request: web.Request) -> web.Response:
        found = service.report()
        if found is None:
            raise NoGame
        return _json(found)

    async def verify(_request: web.Request) -> web.Response:
        return _json(await service.verify())

    return [web.get("/game", report), web.post("/game/verify", verify)]


def _json(value: object) -> web.Response:
    return web.Response(body=encode(value), content_type="application/json")
