"""The agent's calls about metrics: a sample for programs, and the same for Prometheus."""

from __future__ import annotations

from aiohttp import web

from zlh_agent.metrics.service import MetricsService
from zlh_common.exposition import CONTENT_TYPE, render_exposition
from zlh_common.schema.structs import encode


def routes(service: MetricsService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice."""

    async def now(_request: web.Request) -> web.Response:
        return web.Response(body=encode(await service.sample()), content_type="application/json")

    async def scrape(_request: web.Request) -> web.Response:
        text = render_exposition(await service.sample(), {})
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    return [web.get("/metrics/now", now), web.get("/metrics", scrape)]
