"""Signing in, who one is, and one's own sessions and tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from zlh_common.schema.customers import Name
from zlh_common.schema.permissions import Permission, Role
from zlh_common.schema.secrets import ShownOnce
from zlh_common.schema.structs import Report, Request

# Long enough that nobody guesses it, and short enough to be hashed quickly.
Password = Annotated[str, Meta(min_length=12, max_length=1024)]


class Login(Request):
    """`POST /api/auth/login`."""

    email: Annotated[str, Meta(min_length=3, max_length=254)]
    password: Annotated[str, Meta(min_length=1, max_length=1024)]


class User(Report):
    """A person."""

    id: str
    email: str
    is_operator: bool
    # Null for a token that is held to one customer.
    password_changed_at: datetime | None


class CustomerRole(Report):
    """A customer that the user belongs to, and as what."""

    id: str
    name: str
    role: Role
    suspended: bool
    permissions: tuple[Permission, ...]


class Me(Report):
    """`GET /api/me`, and the answer of login."""

    user: User
    customers: tuple[CustomerRole, ...]
    # What the caller may do apart from any customer; of an operator, all of it.
    permissions: tuple[Permission, ...]


class ChangePassword(Request):
    """`POST /api/me/password`; every other session of the user ends."""

    current_password: Annotated[str, Meta(min_length=1, max_length=1024)]
    new_password: Password


class Session(Report):
    """A browser that is signed in."""

    id: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    address: str | None
    user_agent: str | None
    # Whether it is the one that asks.
    is_current: bool


class CreateToken(Request):
    """`POST /api/tokens`. Without scopes it can do all that its user can, without a customer for all of them."""

    name: Name
    scopes: tuple[Permission, ...] | None = None
    customer_id: str | None = None
    # None for one that does not expire; left out, it is 90 days, or what the token has left that it is made with.
    expires_in_s: Annotated[int, Meta(ge=60, le=5 * 366 * 24 * 3600)] | UnsetType | None = UNSET


class ApiToken(Report):
    """A token, without its secret; `hint` is how it ends."""

    id: str
    name: str
    hint: str
    scopes: tuple[Permission, ...] | None
    customer_id: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class TokenMade(Report):
    """A new token; its secret is shown this once."""

    token: ApiToken
    secret: ShownOnce


class OneTimeCode(Request):
    """A code out of an invitation or a password reset, to be looked at."""

    code: Annotated[str, Meta(min_length=1, max_length=200)]


class InvitationSeen(Report):
    """What a code leads to, for whoever has it."""

    customer: str
    email: str
    role: Role
    expires_at: datetime
    # Whether the address belongs to a user already, who then signs in; else a password is chosen.
    has_account: bool


class AcceptInvitation(Request):
    """`POST /api/invitations/accept`: with a password by somebody new, signed in by a user of that address."""

    code: Annotated[str, Meta(min_length=1, max_length=200)]
    password: Password | None = None


class ResetPassword(Request):
    """`POST /api/password-resets/accept`."""

    code: Annotated[str, Meta(min_length=1, max_length=200)]
    new_password: Password


class PasswordResetMade(Report):
    """What an operator hands to a user who has lost their password; it works once."""

    code: ShownOnce
    # It holds the code.
    url: ShownOnce
    expires_at: datetime


class UserReport(Report):
    """A person, as operators see them."""

    id: str
    email: str
    is_operator: bool
    created_at: datetime
    suspended: bool
    suspended_reason: str | None
    customers: tuple[CustomerRole, ...]


class PatchUser(Request):
    """`PATCH /api/users/{user}`, for operators."""

    is_operator: bool


class Ticket(Report):
    """`POST …/tickets`: offer `zlh.ticket.<ticket>` beside the WebSocket's own subprotocol, or `?ticket=`."""

    ticket: ShownOnce
    expires_at: datetime
