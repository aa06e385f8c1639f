"""The portal's own name at the proxy: one file beside those of the containers, kept as it should be."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog

from zlh_api.edge.model import ProxySetting, RouteFile
from zlh_api.edge.port import RouteDirectory
from zlh_api.edge.traefik_http import render_tls
from zlh_api.edge.traefik_text import RouteUnsafe, check_values, compute_digest, render_text
from zlh_common.errors import ZlhError
from zlh_common.names import is_domain

log = structlog.get_logger()
FILE_NAME = "portal.yml"
# What belongs to the platform itself carries this mark, which no container can have.
PLATFORM_OWNER = str(UUID(int=0))
# A file that was edited by hand or lost is put right this soon.
LOOK_S = 30.0
# How long a browser that has seen the portal's certificate insists on one.
STRICT_S = 31_536_000


def render_portal_file(portal_url: str, setting: ProxySetting) -> RouteFile:
    """Return the file by which `portal_url` leads to the API, which serves the portal; raise RouteUnsafe."""
    host = urlsplit(portal_url).hostname or ""
    if not is_domain(host):
        raise RouteUnsafe(f"portal_url {portal_url!r} has no host that a rule could name")
    check_values((setting.entry_point, setting.api_url, setting.domain))
    digest = compute_digest(asdict(setting), _render_http(host, setting, "portal"))
    service = f"portal-{digest}"
    text = render_text(PLATFORM_OWNER, {"http": _render_http(host, setting, service)})
    return RouteFile(name=FILE_NAME, text=text, digest=digest, routers=(("portal", service),))


def _render_http(host: str, setting: ProxySetting, service: str) -> dict[str, Any]:
    tls = render_tls(host, setting)
    router = {"rule": f"Host(`{host}`)", "entryPoints": [setting.entry_point], "service": service, **tls}
    http: dict[str, Any] = {
        "routers": {"portal": router},
        "services": {service: {"loadBalancer": {"servers": [{"url": setting.api_url}]}}},
    }
    if tls:
        router["middlewares"] = ["portal-strict"]
        http["middlewares"] = {"portal-strict": {"headers": {"stsSeconds": STRICT_S}}}
    return http


class PortalRoute:
    """Publishes the file, and again whenever it is not there as it should be."""

    def __init__(self, directory: RouteDirectory, file: RouteFile) -> None:
        self._directory = directory
        self._file = file

    async def run(self) -> None:
        """Keep the file for ever; what hinders is logged and tried again."""
        while True:
            try:
                if await self._directory.fetch(self._file.name) != self._file.text:
                    await self._directory.publish(self._file)
                    log.info("portal.route_published", file=self._file.name)
            except ZlhError as error:
                log.warning("portal.route_failed", code=error.code, error=error.detail)
            await asyncio.sleep(LOOK_S)
