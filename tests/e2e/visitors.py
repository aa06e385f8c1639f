"""People who open a published port through the proxy: with a session at the portal, and a WebSocket of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PASSWORD = "correct horse battery"


class Platform(Protocol):
    """An installation, as far as people use it."""

    @property
    def dev(self) -> Mapping[str, str]:
        """Where `apiUrl`, `portalUrl` and `traefikUrl` are."""

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Call the API as the operator."""


@dataclass
class Person:
    """Somebody with a session at the portal, and what their browser holds for the published host."""

    platform: Platform
    email: str
    id: str
    session: str
    access: str = ""

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Call the API as the portal does."""
        headers = {"Cookie": f"zlh_session={self.session}", "Origin": self.platform.dev["portalUrl"].rstrip("/")}
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(method, self.platform.dev["apiUrl"] + path, json=body, headers=headers) as answer,
        ):
            return answer.status, await answer.json() if answer.content_type.endswith("json") else None

    async def fetch(self, url: str, cookie: str = "") -> tuple[int, str, dict[str, str], str]:
        """Ask the proxy for a page; return status, location, cookies that were set, and the body."""
        headers = {"Host": urlsplit(url).netloc, "Accept": "text/html", **({"Cookie": cookie} if cookie else {})}
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(_at_proxy(self.platform, url), headers=headers, allow_redirects=False) as answer,
        ):
            put = {name: morsel.value for name, morsel in answer.cookies.items()}
            return answer.status, answer.headers.get("Location", ""), put, await answer.text()

    async def enter(self, url: str) -> None:
        """Sign in at a host, as a browser does that holds the portal's session."""
        status, portal, put, said = await self.fetch(url)
        assert status == 302, said
        status, back, _, said = await self.fetch(portal, f"zlh_session={self.session}")
        assert status == 302, said
        _, _, got, _ = await self.fetch(back, f"zlh_enter={put['zlh_enter']}")
        self.access = got["zlh_access"]

    async def watch(self, url: str) -> ClientConnection:
        """Open a WebSocket at the host."""
        parts, proxy = urlsplit(url), urlsplit(self.platform.dev["traefikUrl"])
        headers = {"Cookie": f"zlh_access={self.access}", "Origin": f"{parts.scheme}://{parts.netloc}"}
        return await connect(
            f"ws://{parts.netloc}/",
            host=proxy.hostname,
            port=proxy.port,
            additional_headers=headers,
            proxy=None,
            # The servers here answer no ping, and what was not cut is to stay.
            ping_interval=None,
        )


def _at_proxy(platform: Platform, url: str) -> str:
    parts = urlsplit(url)
    return f"{platform.dev['traefikUrl']}{parts.path}" + (f"?{parts.query}" if parts.query else "")


async def join(platform: Platform, customer: str, name: str, role: str) -> Person:
    """Have somebody join a customer."""
    email = f"{name}-{time.monotonic_ns()}@access.example"
    status, made = await platform.call("POST", f"/api/customers/{customer}/invitations", {"email": email, "role": role})
    assert status == 201, made
    code = made.get("code") or urlsplit(made["url"]).fragment
    origin = {"Origin": platform.dev["portalUrl"].rstrip("/")}
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
        client.post(
            f"{platform.dev['apiUrl']}/api/invitations/accept",
            json={"code": code, "password": PASSWORD},
            headers=origin,
        ) as answer,
    ):
        me = await answer.json()
        assert answer.status in {200, 201}, me
        # With TLS it has a prefix.
        session = next(each.value for name, each in answer.cookies.items() if name.endswith("zlh_session"))
        return Person(platform, email, me["user"]["id"], session)


async def is_open(socket: ClientConnection) -> bool:
    """Tell whether a WebSocket on which nothing is said stays open for a while."""
    try:
        async with asyncio.timeout(0.3):
            await socket.recv()
    except TimeoutError:
        return True
    except ConnectionClosed:
        return False
    raise AssertionError
