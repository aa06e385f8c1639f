"""Where a request comes from and what has sent it, as a session keeps it for its user."""

from __future__ import annotations

from aiohttp import web

from zlh_api.customers.model import Client
from zlh_api.customers.rules import shown_user_agent
from zlh_api.web.client_address import client_address


def read_client(request: web.Request) -> Client:
    """Return the client of a request."""
    return Client(client_address(request), shown_user_agent(request.headers.get("User-Agent")))
