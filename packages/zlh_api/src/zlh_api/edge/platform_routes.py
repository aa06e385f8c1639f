"""What the proxy must know of the platform itself: two files beside those of the containers, kept as they should be.

portal.yml   the name of the portal, which the API serves
hosts.yml    `traefik_hosts.py`
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import structlog

from zlh_api.edge import traefik_hosts
from zlh_api.edge.model import PLATFORM_OWNER, ProxySetting, RouteFile
from zlh_api.edge.port import RouteDirectory
from zlh_api.edge.traefik_text import RouteUnsafe, check_values, compute_digest, render_text, render_tls, service_to
from zlh_common.errors import ZlhError
from zlh_common.names import is_domain

log = structlog.get_logger()
PORTAL_FILE = "portal.yml"
FILE_NAMES = frozenset({PORTAL_FILE, traefik_hosts.FILE_NAME})
# A file that was edited by hand or lost is put right this soon: without it no container is reached.
LOOK_S = 5.0
# How long a browser that has seen the portal's certificate insists on one.
STRICT_S = 31_536_000


def render_portal_file(portal_url: str, setting: ProxySetting) -> RouteFile:
    """Return the file by which `portal_url` leads to the API, which serves the portal; raise RouteUnsafe."""
    host = urlsplit(portal_url).hostname or ""
    if not is_domain(host):
        raise RouteUnsafe(f"portal_url {portal_url!r} has no host that a rule could name")
    check_values(asdict(setting))
    tls = render_tls([host], setting)
    digest = compute_digest(host, setting.entry_point, setting.api_url, tls)
    service = f"portal-{digest}"
    router = {"rule": f"Host(`{host}`)", "entryPoints": [setting.entry_point], "service": service, **tls}
    http: dict[str, Any] = {
        "routers": {"portal": router},
        "services": {service: service_to(setting.api_url)},
    }
    if tls:
        router["middlewares"] = ["portal-strict"]
        http["middlewares"] = {"portal-strict": {"headers": {"stsSeconds": STRICT_S}}}
    text = render_text(PLATFORM_OWNER, {"http": http})
    return RouteFile(name=PORTAL_FILE, text=text, digest=digest, routers=(("portal", service),))


def render_platform_files(portal_url: str, setting: ProxySetting) -> tuple[RouteFile, ...]:
    """Return every file of the platform's own; raise RouteUnsafe."""
    # What the files of containers refer to comes first.
    return traefik_hosts.render_hosts_file(setting), render_portal_file(portal_url, setting)


class PlatformRoutes:
    """Publishes the files, and again whenever one is not there as it should be."""

    def __init__(self, directory: RouteDirectory, files: Sequence[RouteFile]) -> None:
        self._directory = directory
        self._files = files

    async def run(self) -> None:
        """Keep the files for ever; what hinders is logged and tried again."""
        while True:
            for file in self._files:
                await self._keep(file)
            await asyncio.sleep(LOOK_S)

    async def _keep(self, file: RouteFile) -> None:
        try:
            if await self._directory.fetch(file.name) != file.text:
                await self._directory.publish(file)
                log.info("platform.route_published", file=file.name)
        except ZlhError as error:
            log.warning("platform.route_failed", file=file.name, code=error.code, error=error.detail)
