"""Who calls, and for whom, as the rest of the API sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from zlh_api.customers.permissions import BY_ROLE, EVERYTHING, OF_EVERYBODY, OF_OPERATORS, WHILE_SUSPENDED
from zlh_common.schema.customers import Quota
from zlh_common.schema.permissions import Permission, Role


@dataclass(frozen=True, slots=True)
class Customer:
    """A tenant."""

    id: UUID
    name: str
    created_at: datetime
    suspended_at: datetime | None
    suspended_reason: str | None
    # What an operator has set for this customer; what is None is the platform's default.
    quota: Quota


@dataclass(frozen=True, slots=True)
class Membership:
    """One customer that a user belongs to."""

    customer_id: UUID
    customer_name: str
    role: Role
    is_suspended: bool = False


@dataclass(frozen=True, slots=True)
class Credential:
    """A session or token as it is stored, and never the secret itself: what a long call is checked again by."""

    digest: bytes
    by_cookie: bool


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from, as far as we can know."""

    address: str
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in user with everything that decides what they may do."""

    user_id: UUID
    email: str
    # Not so for a token that is held to one customer, whoever it belongs to.
    is_operator: bool
    # Those that the credential reaches.
    memberships: tuple[Membership, ...]
    # A cookie is sent by browsers without being asked, so its requests must prove where they come from.
    by_cookie: bool
    # What the credential can be used for; a session is good for everything.
    scope: frozenset[Permission] = EVERYTHING
    # The session's or the token's own id, which is no secret; None where a test has made the caller.
    credential_id: UUID | None = None
    # The one customer that the token is held to.
    bound_to: UUID | None = None
    # None where a test has made the caller, and of somebody who has no account yet.
    password_changed_at: datetime | None = None

    def membership_of(self, customer_id: UUID) -> Membership | None:
        """Return what the caller is to a customer, or None for a stranger."""
        return next((entry for entry in self.memberships if entry.customer_id == customer_id), None)

    def may_know(self, customer_id: UUID) -> bool:
        """Tell whether the caller may know that this customer exists, and what it has."""
        return self.is_operator or self.membership_of(customer_id) is not None

    def may(self, permission: Permission, customer_id: UUID | None = None) -> bool:
        """Tell whether the caller may act so, for this customer, or of themselves where none is named."""
        return permission in self.scope & self._granted(customer_id)

    def is_held_back(self, permission: Permission, customer_id: UUID) -> bool:
        """Tell whether it is for the customer's suspension alone that the caller may not."""
        entry = self.membership_of(customer_id)
        return (
            entry is not None
            and entry.is_suspended
            and permission in BY_ROLE[entry.role]
            and not self.may(permission, customer_id)
        )

    def customers_with(self, permission: Permission) -> tuple[UUID, ...]:
        """Return the caller's own customers, oldest first, for which they may act so."""
        return tuple(e.customer_id for e in self.memberships if self.may(permission, e.customer_id))

    def most(self, bound_to: UUID | None) -> frozenset[Permission]:
        """Return all that a token of the caller could ever carry, held to one customer or to none."""
        if bound_to is None and self.is_operator:
            return self.scope & OF_OPERATORS
        reached = (e for e in self.memberships if bound_to in {None, e.customer_id})
        return self.scope & OF_EVERYBODY.union(*(BY_ROLE[entry.role] for entry in reached))

    def _granted(self, customer_id: UUID | None) -> frozenset[Permission]:
        if self.is_operator:
            return OF_OPERATORS
        entry = None if customer_id is None else self.membership_of(customer_id)
        if entry is None:
            return OF_EVERYBODY
        granted = OF_EVERYBODY | BY_ROLE[entry.role]
        return granted & (WHILE_SUSPENDED | OF_EVERYBODY) if entry.is_suspended else granted
