"""Traefik as it shows itself: what it has loaded, and whether a public name answers."""

from __future__ import annotations

import asyncio
import base64
import ssl
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from zlh_api.edge.game_ping import PublicPort, check_game
from zlh_api.edge.model import ProxySeen, RouteFile, Router
from zlh_api.edge.port import ProxyAway, RouteNotLoaded
from zlh_api.edge.public_name import PublicName
from zlh_api.edge.router_list import MAX_PAGE_BYTES, MAX_PAGES, PER_PAGE, PROTOCOLS, parse_page, parse_version
from zlh_common.errors import ConfigInvalid
from zlh_common.names import Protocol
from zlh_common.schema.edge import Certificate

LOAD_TIMEOUT_S = 10.0
POLL_S = 0.05
CALL_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True)
class ApiTrust:
    """What the private API is checked by, and by what we are known to it."""

    # None where this system's own authorities are asked.
    context: ssl.SSLContext | None = None
    # A header; never shown.
    authorization: str | None = field(default=None, repr=False)


def read_api_trust(ca: Path | None, credentials: Path | None) -> ApiTrust:
    """Return what the files say; raise ConfigInvalid where one cannot be used, or others may read the credentials."""
    return ApiTrust(
        None if ca is None else _read_ca(ca),
        None if credentials is None else _read_credentials(credentials),
    )


def _read_ca(file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(file))
    except (OSError, ssl.SSLError) as exc:
        raise ConfigInvalid(source=str(file), problems=[f"it holds no certificates: {exc}"]) from exc


def _read_credentials(file: Path) -> str:
    try:
        mode, text = file.stat().st_mode, file.read_text().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigInvalid(source=str(file), problems=[f"it cannot be read: {exc}"]) from exc
    if mode & 0o077:
        raise ConfigInvalid(source=str(file), problems=["others may read it; set its mode to 0600"])
    user, colon, password = text.partition(":")
    if not colon or not user or not password or "\n" in text:
        raise ConfigInvalid(source=str(file), problems=["it is not one line user:password"])
    return f"Basic {base64.b64encode(text.encode()).decode()}"


class Traefik:
    """Asks the private API and the public side of one Traefik."""

    def __init__(self, *, api_url: str, web_url: str, ca: Path | None = None, trust: ApiTrust | None = None) -> None:
        self._api_url = api_url.rstrip("/")
        self._web_url = web_url
        self._public = PublicName(web_url=web_url, ca=ca)
        self._trust = trust or ApiTrust()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )
        await self._public.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._public.__aexit__(kind, error, trace)
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
        routers: dict[tuple[str, str], Router] = {}
        for protocol in PROTOCOLS:
            page: int | None = 1
            while page is not None:
                body, following = await self._fetch_page(f"/api/{protocol}/routers?per_page={PER_PAGE}&page={page}")
                routers |= parse_page(body, protocol)
                # The last page names the first as the one that follows.
                page = int(following) if following.isdecimal() and page < int(following) <= MAX_PAGES else None
        return ProxySeen(version, routers)

    async def wait_loaded(self, file: RouteFile) -> None:
        """Return when every router of the file is enabled with the service of this very version."""
        trouble, is_behind = "", False
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S):
                for protocol, name, service in (*(("http", *router) for router in file.routers), *file.game_routers):
                    while True:
                        trouble, is_behind = await self._find_trouble(protocol, name, service)
                        if not trouble:
                            break
                        await asyncio.sleep(POLL_S)
        except TimeoutError as exc:
            raise RouteNotLoaded(trouble or "its API is slow", is_behind=is_behind) from exc

    async def wait_unloaded(
        self, routers: tuple[str, ...], game_routers: tuple[tuple[Protocol, str], ...] = ()
    ) -> None:
        """Return when none of the routers is listed any more."""
        listed = (*(("http", name) for name in routers), *game_routers)
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S):
                for protocol, name in listed:
                    while await self._fetch(f"/api/{protocol}/routers/{name}@file") is not None:
                        await asyncio.sleep(POLL_S)
        except TimeoutError as exc:
            raise RouteNotLoaded(f"it still lists {', '.join(name for _, name in listed)}", is_behind=True) from exc

    async def check_ready(self, host: str, vmid: int) -> None:
        """Ask for `/.zlh/ready` by its public name; the answer must come from us and speak of this container."""
        await self._public.check_ready(host, vmid)

    async def check_game(self, host: str, port: int) -> None:
        """Ask a game server for its status as players do: at the machine of the public side, whatever DNS says."""
        await check_game(PublicPort(host, urlsplit(self._web_url).hostname or "", port))

    async def fetch_certificate(self, host: str) -> Certificate | None:
        """Return what the public side shows for a host, however wrong or old it is; None where nothing is."""
        return await self._public.fetch_certificate(host)

    async def _find_trouble(self, protocol: str, name: str, service: str) -> tuple[str, bool]:
        """Return what is wrong, if anything, and whether it is that Traefik shows an earlier state."""
        router = await self._fetch(f"/api/{protocol}/routers/{name}@file")
        if router is None:
            return f"it does not list {name}", True
        if router.get("service") != service:
            return f"it still uses an earlier file of {name}", True
        if router.get("status") != "enabled":
            return f"{name} is {router.get('status')}: {router.get('error') or router.get('errors')}", False
        return "", False

    async def _fetch_page(self, path: str) -> tuple[bytes, str]:
        """Return one answer of its API and the number of the page that follows; raise ProxyAway."""
        try:
            async with self._get(path) as response:
                if response.status != 200:
                    raise ProxyAway(f"status {response.status}")
                body = bytearray()
                while len(body) <= MAX_PAGE_BYTES and not response.content.at_eof():
                    body += await response.content.read(MAX_PAGE_BYTES + 1 - len(body))
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise ProxyAway(_describe(exc)) from exc
        if len(body) > MAX_PAGE_BYTES:
            raise ProxyAway(f"an answer has more than {MAX_PAGE_BYTES} bytes")
        return bytes(body), response.headers.get("X-Next-Page", "")

    def _get(self, path: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        assert self._session is not None
        trust = self._trust
        return self._session.get(
            f"{self._api_url}{path}",
            allow_redirects=False,
            headers={} if trust.authorization is None else {"Authorization": trust.authorization},
            ssl=trust.context if trust.context is not None else True,
        )

    async def _fetch(self, path: str) -> Any:
        try:
            async with self._get(path) as response:
                if response.status == 404:
                    return None
                if response.status in {401, 403}:
                    raise RouteNotLoaded("its API refuses our credentials; traefik.api_credentials names their file")
                if response.status != 200:
                    raise RouteNotLoaded(f"its API answers {response.status}")
                return await response.json(content_type=None)
        except aiohttp.ClientConnectorCertificateError as exc:
            raise RouteNotLoaded(f"its API shows a certificate that traefik.api_ca does not hold ({exc})") from exc
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
            raise RouteNotLoaded(f"its API does not answer ({_describe(exc)})") from exc


def _describe(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {CALL_TIMEOUT_S} s"
    return str(error) or type(error).__name__
