"""HTTP of the agent's identity."""

from __future__ import annotations

from aiohttp import web

from zlh_agent.identity.service import IdentityService
from zlh_common.schema.identity import RenewIdentity
from zlh_common.schema.structs import decode, encode


def routes(service: IdentityService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice."""

    async def renew(request: web.Request) -> web.Response:
        taken = await service.renew(decode(await request.read(), RenewIdentity))
        return web.Response(body=encode(taken), content_type="application/json")

    return [web.post("/identity", renew)]
