"""How a server on loopback misbehaves to order: requests break off, get lost, are refused or answered with junk."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum

from aiohttp import web

FLOOD_BYTES = 40 * 2**20
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Trick(StrEnum):
    """What happens to one request."""

    # The connection breaks before anything is done …
    DROP = "drop"
    # … or after all of it is.
    COMMIT_AND_DROP = "commit-and-drop"
    HANG = "hang"
    BUSY = "busy"
    TOO_MANY = "too-many"
    JUNK = "junk"
    # Half of an answer.
    CUT = "cut"
    REDIRECT = "redirect"
    # It says that all went well, and does nothing.
    LIE = "lie"
    FLOOD = "flood"


class Tricks:
    """Shared by a server and its test."""

    def __init__(self) -> None:
        self.waiting: deque[Trick] = deque()
        # Whether the next request that changes something is the one, or the next of all.
        self.only_changes = False
        self.requests: list[str] = []
        self.retry_after = "7"

    def play(self, *tricks: Trick, only_changes: bool = False) -> None:
        """Let the next requests go like this, one after the other, and all later ones well."""
        self.waiting = deque(tricks)
        self.only_changes = only_changes

    async def answer(
        self, request: web.Request, handler: Handler, *, changes: bool, lie: web.Response
    ) -> web.StreamResponse:
        """Answer one request as it was ordered."""
        self.requests.append(f"{request.method} {request.path}")
        trick = self.waiting.popleft() if self.waiting and (changes or not self.only_changes) else None
        if trick is Trick.COMMIT_AND_DROP:
            await handler(request)
        if trick is Trick.HANG:
            await asyncio.sleep(60)
        if trick in {Trick.DROP, Trick.COMMIT_AND_DROP, Trick.HANG}:
            return _drop(request)
        if trick is Trick.LIE:
            return lie
        return await handler(request) if trick is None else self._render(trick)

    def _render(self, trick: Trick) -> web.Response:
        return {
            Trick.BUSY: web.Response(status=503, text="<html>busy</html>"),
            Trick.TOO_MANY: web.json_response({}, status=429, headers={"Retry-After": self.retry_after}),
            Trick.JUNK: web.Response(text="<html>welcome</html>", content_type="text/html"),
            Trick.CUT: web.Response(body=b'{"success": true, "status": "ok", "res', content_type="application/json"),
            Trick.REDIRECT: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
            Trick.FLOOD: web.Response(body=b"[" * (FLOOD_BYTES if trick is Trick.FLOOD else 1)),
        }[trick]


def _drop(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
