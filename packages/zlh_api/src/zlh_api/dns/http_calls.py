"""One call to a provider's HTTP API: bounded in time and size, never redirected, and behind the provider's circuit.

Nothing is retried here but a GET whose connection broke, which aiohttp does by itself: whoever writes looks first what
is there, and does so again after an answer that was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp

from zlh_api.dns.port import Check, DnsRefused
from zlh_api.drivers.port import SystemAway
from zlh_api.http_answers import read_bounded, spell_failure

CALL_TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 32 * 2**20
MAX_CONNECTIONS = 8
# What is waited for where a provider says that it was asked too often, and not for how long.
UNTOLD_WAIT_S = 60.0


class CallGuard(Protocol):
    """What keeps calls from a system that is away: its circuit."""

    @property
    def system(self) -> str:
        """What the system is called."""
        ...

    def call(self) -> AbstractAsyncContextManager[None]:
        """Surround one call; raise SystemAway at once while the system is away."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpCalls:
    """Calls one provider."""

    def __init__(self, provider: str, circuit: CallGuard, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._provider = provider
        self._circuit = circuit
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, method: str, url: str, *, check: Check | None = None, **options: Any) -> Reply:
        """Return the answer; raise SystemAway where there is none, and DnsRefused where it leads elsewhere."""
        async with self._circuit.call():
            reply = await self._ask(method, url, check, options)
            if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise self._away("it was asked too often", wait_s=_read_wait(reply.headers))
            if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise self._away(f"it answers {reply.status}", wait_s=_read_wait(reply.headers, untold_s=0.0))
        if HTTPStatus.MULTIPLE_CHOICES <= reply.status < HTTPStatus.BAD_REQUEST:
            raise DnsRefused(provider=self._provider, reason=f"its URL leads elsewhere ({reply.status})")
        return reply

    async def _ask(self, method: str, url: str, check: Check | None, options: dict[str, Any]) -> Reply:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                timeout=self._timeout,
            )
        if check is not None:
            check()
        try:
            async with self._session.request(method, url, allow_redirects=False, **options) as response:
                return Reply(response.status, response.headers, await read_bounded(response, MAX_ANSWER_BYTES))
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as exc:
            raise self._away(spell_failure(exc)) from exc

    def _away(self, reason: str, *, wait_s: float = 0.0) -> SystemAway:
        return SystemAway(system=self._circuit.system, reason=reason, retry_in_s=wait_s)


def _read_wait(headers: Mapping[str, str], *, untold_s: float = UNTOLD_WAIT_S) -> float:
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else untold_s
