"""Looks every second whether a server has signed something new, for the price of an answer without a body.

What it sees is no reason to believe anything: it only says when the catalog is worth reading again.
"""

from __future__ import annotations

import hashlib
import random

import aiohttp

# As tuf allows for a timestamp.
MAX_TIMESTAMP_BYTES = 16_384
TIMEOUT_S = 5.0
LOOK_S, LONGEST_LOOK_S = 1.0, 30.0


class TimestampWatch:
    """Remembers the timestamp of one server; ever longer pauses while it does not answer."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/metadata/timestamp.json"
        self._session: aiohttp.ClientSession | None = None
        self._tag: str | None = None
        self._digest: bytes | None = None
        self._failures = 0

    @property
    def is_failing(self) -> bool:
        """Whether the last look got no answer."""
        return self._failures > 0

    @property
    def pause_s(self) -> float:
        """How long to wait before the next look; spread, so that many processes do not look at once."""
        longest = min(LONGEST_LOOK_S, LOOK_S * 2.0**self._failures)
        return longest * random.uniform(0.75, 1.0) if self._failures else LOOK_S  # noqa: S311 - no secret

    async def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def has_changed(self) -> bool:
        """Look once, and tell whether the timestamp is another than at the last look; False where nobody answers."""
        try:
            seen = await self._ask()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            self._failures = min(self._failures + 1, 10)
            return False
        self._failures = 0
        if seen is None or seen == self._digest:
            return False
        self._digest = seen
        return True

    async def _ask(self) -> bytes | None:
        """Return what stands there, as its hash; None for what was there at the last look."""
        headers = {"If-None-Match": self._tag} if self._tag else {}
        async with self._open().get(self._url, headers=headers, allow_redirects=False) as answer:
            if answer.status == 304:
                return None
            if answer.status != 200:
                raise ValueError(f"status {answer.status}")
            body = await answer.content.read(MAX_TIMESTAMP_BYTES + 1)
            if len(body) > MAX_TIMESTAMP_BYTES:
                raise ValueError("too long")
            tag = answer.headers.get("ETag")
            self._tag = tag if tag and len(tag) < 200 else None
            return hashlib.sha256(body).digest()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session
