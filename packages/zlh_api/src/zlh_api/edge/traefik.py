"""Traefik as it shows itself: what it has loaded, and whether a public name answers."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import aiohttp

from zlh_api.edge.model import ProxySeen, RouteFile, Router
from zlh_api.edge.port import NameNotAnswering, ProxyAway, RouteNotLoaded
from zlh_api.edge.router_list import MAX_PAGE_BYTES, MAX_PAGES, PER_PAGE, parse_page, parse_version
from zlh_common.names import PLATFORM_PATH

LOAD_TIMEOUT_S = 10.0
POLL_S = 0.05
CALL_TIMEOUT_S = 5


class Traefik:
    """Asks the private API and the public side of one Traefik."""

    def __init__(self, *, api_url: str, web_url: str) -> None:
        self._api_url = api_url.rstrip("/")
        self._web_url = web_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def is_alive(self) -> bool:
        """Tell whether the proxy's API answers."""
        try:
            return await self._fetch("/api/version") is not None
        except RouteNotLoaded:
            return False

    async def fetch_seen(self) -> ProxySeen:
        """Return its version and every router that it lists, page by page; raise ProxyAway."""
        version = parse_version((await self._fetch_page("/api/version"))[0])
        routers: dict[str, Router] = {}
        page: int | None = 1
        while page is not None:
            body, following = await self._fetch_page(f"/api/http/routers?per_page={PER_PAGE}&page={page}")
            routers |= parse_page(body)
            # The last page names the first as the one that follows.
            page = int(following) if following.isdecimal() and page < int(following) <= MAX_PAGES else None
        return ProxySeen(version, routers)

    async def wait_loaded(self, file: RouteFile) -> None:
        """Return when every router of the file is enabled with the service of this very version."""
        trouble = ""
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S):
                for name, service in file.routers:
                    while trouble := await self._find_trouble(name, service):
                        await asyncio.sleep(POLL_S)
        except TimeoutError as exc:
            raise RouteNotLoaded(trouble) from exc

    async def wait_unloaded(self, routers: tuple[str, ...]) -> None:
        """Return when none of the routers is listed any more."""
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S):
                for name in routers:
                    while await self._fetch(f"/api/http/routers/{name}@file") is not None:
                        await asyncio.sleep(POLL_S)
        except TimeoutError as exc:
            raise RouteNotLoaded(f"it still lists {', '.join(routers)}") from exc

    async def check_ready(self, host: str, vmid: int) -> None:
        """Ask for `/.zlh/ready` by its public name; the answer must come from us and speak of this container."""
        assert self._session is not None
        url = f"http://{host}{PLATFORM_PATH}ready"
        try:
            async with self._session.get(
                f"{self._web_url}{PLATFORM_PATH}ready", headers={"Host": host}, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise NameNotAnswering(url=url, reason=f"status {response.status}")
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
            raise NameNotAnswering(url=url, reason=str(exc) or type(exc).__name__) from exc
        if not isinstance(answer, dict) or answer.get("vmid") != vmid:
            raise NameNotAnswering(url=url, reason="something else answers there")

    async def _find_trouble(self, name: str, service: str) -> str:
        router = await self._fetch(f"/api/http/routers/{name}@file")
        if router is None:
            return f"it does not list {name}"
        if router.get("service") != service:
            return f"it still uses an earlier file of {name}"
        if router.get("status") != "enabled":
            return f"{name} is {router.get('status')}: {router.get('error') or router.get('errors')}"
        return ""

    async def _fetch_page(self, path: str) -> tuple[bytes, str]:
        """Return one answer of its API and the number of the page that follows; raise ProxyAway."""
        assert self._session is not None
        try:
            async with self._session.get(f"{self._api_url}{path}", allow_redirects=False) as response:
                if response.status != 200:
                    raise ProxyAway(f"status {response.status}")
                body = bytearray()
                while len(body) <= MAX_PAGE_BYTES and not response.content.at_eof():
                    body += await response.content.read(MAX_PAGE_BYTES + 1 - len(body))
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise ProxyAway(str(exc) or type(exc).__name__) from exc
        if len(body) > MAX_PAGE_BYTES:
            raise ProxyAway(f"an answer has more than {MAX_PAGE_BYTES} bytes")
        return bytes(body), response.headers.get("X-Next-Page", "")

    async def _fetch(self, path: str) -> Any:
        assert self._session is not None
        try:
            async with self._session.get(f"{self._api_url}{path}", allow_redirects=False) as response:
                if response.status == 404:
                    return None
                if response.status != 200:
                    raise RouteNotLoaded(f"its API answers {response.status}")
                return await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
            raise RouteNotLoaded(f"its API does not answer ({str(exc) or type(exc).__name__})") from exc
