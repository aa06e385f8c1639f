"""HTTP of the spec."""

from __future__ import annotations

from aiohttp import web

from zlh_agent.spec.service import SpecService
from zlh_agent.status.service import StatusService
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.structs import decode, encode, unknown_fields


def routes(service: SpecService, status: StatusService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice."""

    async def put_spec(request: web.Request) -> web.Response:
        raw = await request.read()
        await service.accept(decode(raw, AgentSpec), unknown_fields=unknown_fields(raw, AgentSpec))
        return web.Response(status=202, body=encode(status.report()), content_type="application/json")

    return [web.put("/spec", put_spec)]
