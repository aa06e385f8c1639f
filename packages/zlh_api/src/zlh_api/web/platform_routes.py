"""What the API says of itself: is it well, which version, how is it spoken to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from zlh_api import __version__
from zlh_api.web.docs_page import CONTENT_SECURITY_POLICY, render_docs
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_api.web.openapi import Document, render_openapi
from zlh_common.schema.platform import Health, Version
from zlh_common.schema.status import PROTOCOL_VERSION

# Each check returns None where the dependency is well, else what is wrong with it.
Check = Callable[[], Awaitable[str | None]]
# What is told of a dependency besides, in camelCase.
Facts = Callable[[], Mapping[str, object]]


class _Description:
    """What the API says of its endpoints, rendered in a thread for who asks first: most processes are never asked."""

    def __init__(self, endpoints: Sequence[Endpoint], cookie_name: str) -> None:
        self._endpoints = endpoints
        self._cookie_name = cookie_name
        self._rendering = asyncio.Lock()
        self._rendered: tuple[Document, str] | None = None

    async def render(self) -> tuple[Document, str]:
        """Return the document and its page."""
        async with self._rendering:
            if self._rendered is None:
                self._rendered = await asyncio.to_thread(self._render)
            return self._rendered

    def _render(self) -> tuple[Document, str]:
        document = render_openapi(self._endpoints, version=__version__, cookie_name=self._cookie_name)
        return document, render_docs(document)


def endpoints(
    checks: Mapping[str, Check],
    others: list[Endpoint],
    *,
    facts: Mapping[str, Facts] | None = None,
    cookie_name: str = "zlh_session",
) -> list[Endpoint]:
    """Return the endpoints of the platform itself; the document lists these and `others`."""

    told = facts or {}

    async def health(_call: Call) -> Answer:
        troubles = {name: await check() for name, check in checks.items()}
        # Some dependencies tell more of themselves than their shape has.
        body = {
            "status": "degraded" if any(troubles.values()) else "ok",
            "dependencies": {
                name: {"ok": trouble is None, "message": trouble, **(told[name]() if name in told else {})}
                for name, trouble in troubles.items()
            },
        }
        # Without the database nothing works; without the others what runs goes on.
        return Answer(body, status=503 if troubles.get("database") else 200, headers={"Cache-Control": "no-store"})

    async def version(_call: Call) -> Version:
        return Version(version=__version__, protocol_version=PROTOCOL_VERSION)

    async def openapi(_call: Call) -> Answer:
        document, _ = await description.render()
        return Answer(document)

    async def docs(_call: Call) -> web.Response:
        _, page = await description.render()
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-cache"}
        return web.Response(text=page, content_type="text/html", headers=headers)

    own = [
        Endpoint(
            "GET",
            "/api/healthz",
            Policy.PUBLIC,
            health,
            "Whether the API and what it depends on are well",
            response=Health,
            is_stable=False,
            also={503: "The database is away, and without it nothing works"},
            name="getHealth",
        ),
        Endpoint("GET", "/api/version", Policy.PUBLIC, version, "The version of the API", response=Version),
        Endpoint(
            "GET",
            "/api/openapi.json",
            Policy.PUBLIC,
            openapi,
            "This API as an OpenAPI document",
            response=dict[str, Any],
            name="getOpenapi",
        ),
        Endpoint("GET", "/api/docs", Policy.PUBLIC, docs, "This API as a page", media_type="text/html"),
    ]
    description = _Description([*own, *others], cookie_name)
    return own
