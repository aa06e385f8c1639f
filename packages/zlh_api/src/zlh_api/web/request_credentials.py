"""What a request brings to show who sends it, besides the session cookie."""

from __future__ import annotations

from aiohttp import web

from zlh_api.web.endpoint import Endpoint

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# A ticket is offered as one more subprotocol, so that it stands in no URL; it is never the one that is chosen.
TICKET_SUBPROTOCOL = "zlh.ticket."


def read_bearer(request: web.Request) -> str | None:
    """Return the bearer token of a request; an empty one is one too."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def read_ticket(request: web.Request) -> str | None:
    """Return the ticket of a WebSocket's request: offered as a subprotocol, or else in the query."""
    offered = (name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(","))
    found = (name.removeprefix(TICKET_SUBPROTOCOL) for name in offered if name.startswith(TICKET_SUBPROTOCOL))
    return next(found, request.query.get("ticket"))


def find_ticket(endpoint: Endpoint, request: web.Request) -> str | None:
    """Return the ticket that counts: for a WebSocket of a container, and only without a bearer token."""
    if not endpoint.is_websocket or "vmid" not in request.match_info or read_bearer(request) is not None:
        return None
    return read_ticket(request)
