"""The agent's calls about what goes on in a game server; shapes and rules stand in docs/agent-protocol.md."""

from __future__ import annotations

from aiohttp import web

from zlh_agent.gameplay.service import MAX_HISTORY, GameplayService
from zlh_common.errors import InvalidBody
from zlh_common.schema.game import SendCommand
from zlh_common.schema.structs import decode, encode


def routes(service: GameplayService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice."""

    async def players(_request: web.Request) -> web.Response:
        return _json(service.players())

    async def history(request: web.Request) -> web.Response:
        limit = _number(request, "limit", MAX_HISTORY) or MAX_HISTORY
        return _json(await service.history(min(limit, MAX_HISTORY), _number(request, "before", 2**31)))

    async def telemetry(_request: web.Request) -> web.Response:
        return _json(service.telemetry())

    async def command(request: web.Request) -> web.Response:
        return _json(await service.command(decode(await request.read(), SendCommand).command))

    return [
        web.get("/game/players", players),
        web.get("/game/players/history", history),
        web.get("/game/telemetry", telemetry),
        web.post("/game/commands", command),
    ]


def _number(request: web.Request, name: str, most: int) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 0 <= int(text) <= most):
        raise InvalidBody(reason=f"{name} is no number from 0 to {most}")
    return int(text)


def _json(value: object) -> web.Response:
    return web.Response(body=encode(value), content_type="application/json")
