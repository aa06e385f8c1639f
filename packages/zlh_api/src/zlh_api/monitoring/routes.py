"""HTTP of the figures."""

from __future__ import annotations

from aiohttp import web

from zlh_api.monitoring.service import Monitor
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_common.exposition import CONTENT_TYPE


def endpoints(monitor: Monitor) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    async def scrape(_call: Call) -> web.Response:
        return web.Response(body=(await monitor.render()).encode(), headers={"Content-Type": CONTENT_TYPE})

    return [
        Endpoint(
            "GET",
            "/metrics",
            Policy.VIEW_PLATFORM,
            scrape,
            "The figures of this process and of the platform for Prometheus, as text",
            media_type="text/plain",
            name="getPlatformMetrics",
        )
    ]
