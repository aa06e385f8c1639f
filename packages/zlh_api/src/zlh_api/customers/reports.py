"""From what is kept to what is told: the wire structs of people."""

from __future__ import annotations

from zlh_api.customers.credential_store import KeptSession, KeptToken
from zlh_api.customers.model import Caller, Customer, Membership
from zlh_api.customers.one_time_store import KeptInvitation
from zlh_api.customers.store import KeptMember
from zlh_api.customers.users import KnownUser
from zlh_common.schema import customers as wire
from zlh_common.schema.account import ApiToken, CustomerRole, Me, Session, User, UserReport
from zlh_common.schema.customers import Invitation, Member
from zlh_common.schema.permissions import Permission


def render_me(caller: Caller) -> Me:
    """Return what callers are told of themselves."""
    return Me(
        user=User(
            id=str(caller.user_id),
            email=caller.email,
            is_operator=caller.is_operator,
            # A token that is held to one customer does not reach the password.
            password_changed_at=caller.password_changed_at if caller.bound_to is None else None,
        ),
        customers=_customer_roles(caller),
        permissions=tuple(permission for permission in Permission if caller.may(permission)),
    )


def render_customer(caller: Caller, customer: Customer) -> wire.Customer:
    """Return a customer as this caller sees it."""
    entry = caller.membership_of(customer.id)
    return wire.Customer(
        id=str(customer.id),
        name=customer.name,
        created_at=customer.created_at,
        suspended=customer.suspended_at is not None,
        suspended_reason=customer.suspended_reason,
        role=None if entry is None else entry.role,
        permissions=tuple(permission for permission in Permission if caller.may(permission, customer.id)),
    )


def render_member(member: KeptMember) -> Member:
    """Return a member."""
    return Member(
        user_id=str(member.user_id),
        email=member.email,
        role=member.role,
        since=member.since,
        suspended=member.is_suspended,
    )


def render_invitation(invitation: KeptInvitation) -> Invitation:
    """Return an invitation, without its code."""
    return Invitation(
        id=str(invitation.id),
        email=invitation.email,
        role=invitation.role,
        invited_by=invitation.invited_by_email,
        created_at=invitation.created_at,
        expires_at=invitation.expires_at,
    )


def render_session(caller: Caller, session: KeptSession) -> Session:
    """Return a session of the caller."""
    return Session(
        id=str(session.id),
        created_at=session.created_at,
        last_seen_at=session.last_seen_at,
        expires_at=session.expires_at,
        address=session.address,
        user_agent=session.user_agent,
        is_current=caller.by_cookie and session.id == caller.credential_id,
    )


def render_token(token: KeptToken) -> ApiToken:
    """Return a token, without its secret."""
    return ApiToken(
        id=str(token.id),
        name=token.name,
        hint=token.hint,
        scopes=token.scopes,
        customer_id=None if token.customer_id is None else str(token.customer_id),
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
    )


def render_user(user: KnownUser) -> UserReport:
    """Return a person as operators see them."""
    return UserReport(
        id=str(user.caller.user_id),
        email=user.caller.email,
        is_operator=user.caller.is_operator,
        created_at=user.created_at,
        suspended=user.is_suspended,
        suspended_reason=user.suspended_reason,
        customers=_customer_roles(user.caller),
    )


def _customer_roles(caller: Caller) -> tuple[CustomerRole, ...]:
    return tuple(_customer_role(caller, entry) for entry in caller.memberships)


def _customer_role(caller: Caller, entry: Membership) -> CustomerRole:
    return CustomerRole(
        id=str(entry.customer_id),
        name=entry.customer_name,
        role=entry.role,
        suspended=entry.is_suspended,
        permissions=tuple(permission for permission in Permission if caller.may(permission, entry.customer_id)),
    )
