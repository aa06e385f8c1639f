"""HTTP of the report, for who asks; the stream pushes it."""

from __future__ import annotations

from aiohttp import web

from zlh_agent.status.service import StatusService
from zlh_common.schema.structs import encode


def routes(service: StatusService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice."""

    async def health(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def status(_request: web.Request) -> web.Response:
        return web.Response(body=encode(service.report()), content_type="application/json")

    return [web.get("/healthz", health), web.get("/status", status)]
