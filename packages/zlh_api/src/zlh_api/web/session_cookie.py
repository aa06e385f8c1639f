"""The session cookie of the portal: which name and flags it has, and which origins its requests may come from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """Host-only, unreadable for scripts, and sent by our own pages alone.

    With TLS it has the `__Host-` prefix, which no other host can set. A laptop has no TLS, and browsers then refuse the
    prefix.
    """

    has_tls: bool

    @property
    def name(self) -> str:
        """The cookie's name."""
        return "__Host-zlh_session" if self.has_tls else "zlh_session"

    def read(self, request: web.Request) -> str | None:
        """Return the session token of a request."""
        return request.cookies.get(self.name) or None

    def put(self, response: web.Response, token: str, *, lasts: timedelta) -> None:
        """Set the cookie; no time at all takes it away."""
        response.set_cookie(
            self.name,
            token,
            max_age=int(lasts.total_seconds()),
            path="/",
            secure=self.has_tls,
            httponly=True,
            samesite="Lax",
        )
