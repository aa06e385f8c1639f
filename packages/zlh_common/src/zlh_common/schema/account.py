"""Signing in, and who one is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from zlh_common.schema.structs import Report, Request


class Login(Request):
    """`POST /api/auth/login`."""

    email: Annotated[str, Meta(min_length=3, max_length=254)]
    password: Annotated[str, Meta(min_length=1, max_length=1024)]


class User(Report):
    """A person."""

    id: str
    email: str
    is_operator: bool


class CustomerRole(Report):
    """A customer that the user belongs to, and as what."""

    id: str
    name: str
    role: str


class Me(Report):
    """`GET /api/me`, and the answer of login."""

    user: User
    customers: tuple[CustomerRole, ...]


class Ticket(Report):
    """`POST …/tickets`: offer `zlh.ticket.<ticket>` beside the WebSocket's own subprotocol, or `?ticket=`."""

    ticket: str
    expires_at: datetime
