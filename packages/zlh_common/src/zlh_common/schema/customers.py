"""Customers, who belongs to them, and how much they may have."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from zlh_common.schema.permissions import Permission, Role
from zlh_common.schema.secrets import ShownOnce
from zlh_common.schema.structs import Report, Request

# Nothing in a name or an address moves a cursor, turns the direction of writing, or cannot be seen.
_UNSEEN = (
    r"\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0"
)
CustomerId = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$(?!\n)")]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=rf"^(?!\s)[^{_UNSEEN}]+(?<!\s)$(?!\n)")]
Email = Annotated[str, Meta(min_length=3, max_length=254, pattern=rf"^[^@\s{_UNSEEN}]+@[^@\s{_UNSEEN}]+$(?!\n)")]
Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
# Cores.
QuotaCpu = Annotated[float, Meta(ge=0, le=1_000_000)]
QuotaMib = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Quota(Request):
    """How much a customer may have in all of their containers; what is null is the platform's default."""

    containers: Count | None = None
    cpu: QuotaCpu | None = None
    memory_mib: QuotaMib | None = None
    disk_mib: QuotaMib | None = None
    # Published ports.
    exposures: Count | None = None
    members: Count | None = None


class QuotaUse(Report):
    """One kind of thing that is counted: `quota` is what holds for this customer, null for no limit."""

    name: str
    used: float
    quota: float | None
    # Whether an operator has set it for this customer.
    is_own: bool


class Customer(Report):
    """A tenant, as its own people and operators see it."""

    id: str
    name: str
    created_at: datetime
    suspended: bool
    suspended_reason: str | None
    # What the caller is to it; null for an operator who does not belong to it.
    role: Role | None
    # What the caller may do for it.
    permissions: tuple[Permission, ...]


class CreateCustomer(Request):
    """`POST /api/customers`, for operators."""

    name: Name


class PatchCustomer(Request):
    """`PATCH /api/customers/{customer}`."""

    name: Name


class Suspend(Request):
    """`POST …/suspend`, of a customer or a user; the reason is shown to them."""

    reason: Reason


class Member(Report):
    """Somebody who belongs to a customer."""

    user_id: str
    email: str
    role: Role
    since: datetime
    suspended: bool


class PatchMember(Request):
    """`PATCH /api/customers/{customer}/members/{user}`."""

    role: Role


class Invite(Request):
    """`POST /api/customers/{customer}/invitations`."""

    email: Email
    role: Role
    expires_in_s: Annotated[int, Meta(ge=60, le=30 * 24 * 3600)] = 7 * 24 * 3600


class Invitation(Report):
    """Somebody who was asked to join and has not answered."""

    id: str
    email: str
    role: Role
    invited_by: str | None
    created_at: datetime
    expires_at: datetime


class InvitationMade(Report):
    """The code is shown this once; the page that takes it is `url`, which holds it behind the #."""

    invitation: Invitation
    code: ShownOnce
    url: ShownOnce
