"""The OpenAPI document without a running API, for the portal's client and for whoever writes one."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from zlh_api import __version__
from zlh_api.app.parts import make_endpoints, open_parts
from zlh_api.config.driver_tables import ProcessDriverSection
from zlh_api.config.edge_tables import TraefikSection
from zlh_api.config.model import ApiConfig
from zlh_api.config.tables import ArtifactsSection, DatabaseSection
from zlh_api.web.endpoint import Endpoint
from zlh_api.web.openapi import render_openapi

# Nothing is dialled while the parts are made, so no address in here is ever used.
_NOWHERE = "http://127.0.0.1:1"


async def describe_api() -> dict[str, Any]:
    """Return the document of this version."""
    return render_openapi(await describe_endpoints(), version=__version__)


async def describe_endpoints() -> list[Endpoint]:
    """Return every endpoint of this version; none of them can be called."""
    folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="zlh-describe-")
    try:
        config = _placeholder(Path(folder))
        async with open_parts(config) as parts:
            return make_endpoints(parts, config)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)


def _placeholder(folder: Path) -> ApiConfig:
    return ApiConfig(
        portal_url=_NOWHERE,
        container_domain="localhost",
        keys_dir=folder / "keys",
        state_dir=folder / "state",
        database=DatabaseSection(dsn=""),
        artifacts=ArtifactsSection(url=_NOWHERE, trusted_root=folder / "root.json"),
        process=ProcessDriverSection(root=folder / "containers"),
        traefik=TraefikSection(directory=folder / "routes", api_url=_NOWHERE, web_url=_NOWHERE),
    )
