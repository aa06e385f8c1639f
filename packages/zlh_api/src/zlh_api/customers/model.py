"""Who calls, as the rest of the API sees it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What a user is to a customer."""

    OWNER = "owner"
    MEMBER = "member"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Membership:
    """One customer that a user belongs to."""

    customer_id: UUID
    customer_name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Credential:
    """A session or token as it is stored, and never the secret itself: what a long call is checked again by."""

    digest: bytes
    by_cookie: bool


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in user with everything that decides what they may do."""

    user_id: UUID
    email: str
    is_operator: bool
    memberships: tuple[Membership, ...]
    # A cookie is sent by browsers without being asked, so its requests must prove where they come from.
    by_cookie: bool

    def role_with(self, customer_id: UUID) -> Role | None:
        """Return the caller's role with a customer, or None for a stranger."""
        return next((entry.role for entry in self.memberships if entry.customer_id == customer_id), None)

    def may_view(self, customer_id: UUID) -> bool:
        """Tell whether the caller may know what this customer has."""
        return self.is_operator or self.role_with(customer_id) is not None

    def may_change(self, customer_id: UUID) -> bool:
        """Tell whether the caller may act for this customer."""
        return self.is_operator or self.role_with(customer_id) in {Role.OWNER, Role.MEMBER}
