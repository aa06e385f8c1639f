"""Asking somebody to join a customer.

No mail is sent: whoever invites hands the link over. So they have seen the code, and an invitation is worth no more
than what its inviter may do at the moment that it is accepted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

from zlh_api.customers import one_time_store as codes
from zlh_api.customers import store, user_store
from zlh_api.customers.callers import as_of_now, look_again
from zlh_api.customers.emails import checked_email
from zlh_api.customers.model import Caller, Client, Membership
from zlh_api.customers.one_time_store import KeptInvitation
from zlh_api.customers.passwords import Passwords
from zlh_api.customers.port import MemberQuota
from zlh_api.customers.refusals import CustomerSuspended, NotSignedIn, ScopeMissing, TokenBound
from zlh_api.customers.secret import INVITATION_PREFIX, Secret, new_secret, token_digest
from zlh_api.customers.sessions import open_session
from zlh_api.database.pool import Connection, Database
from zlh_common.errors import NotFound, ZlhError
from zlh_common.schema.permissions import Permission, Role

MAX_WAITING = 100


class InvitationInvalid(ZlhError):
    """The code of an invitation opens nothing."""

    code, status = "invitation_invalid", 404

    def __init__(self) -> None:
        super().__init__(
            "This invitation is unknown, used, withdrawn, replaced or over, or whoever sent it may invite nobody any "
            "more; ask for a new one."
        )


class InvitationForAnother(ZlhError):
    """The invitation is for another address than the one that is signed in."""

    code, status = "invitation_for_another", 403

    def __init__(self, email: str) -> None:
        super().__init__(
            f"This invitation is for {email}, and you are signed in as somebody else; sign out, or sign in as {email}.",
            email=email,
        )


class AlreadyMember(ZlhError):
    """Whoever is invited belongs to the customer already."""

    code, status = "already_member", 409

    def __init__(self, email: str, role: Role) -> None:
        super().__init__(
            f"{email} belongs to this customer as {role} already, and an invitation changes no role; change it there.",
            email=email,
            role=role,
        )


class PasswordMissing(ZlhError):
    """Somebody new chooses a password."""

    code, status = "password_missing", 422

    def __init__(self) -> None:
        super().__init__("Nobody has this address yet: choose a password, and the account is made with it.")


class PasswordNotWanted(ZlhError):
    """Somebody who has an account keeps their password."""

    code, status = "password_not_wanted", 422

    def __init__(self) -> None:
        super().__init__("This address has an account, whose password an invitation does not change; leave it out.")


class TooManyInvitations(ZlhError):
    """A customer has a limited number of invitations that wait."""

    code, status = "too_many_invitations", 409

    def __init__(self) -> None:
        super().__init__(f"{MAX_WAITING} invitations wait for an answer, which is the most; withdraw one.")


@dataclass(frozen=True, slots=True)
class Accepted:
    """Who has joined; the session of somebody new."""

    caller: Caller
    session: Secret | None


class Invitations:
    """The invitations of all customers."""

    def __init__(self, database: Database, passwords: Passwords, quota: MemberQuota) -> None:
        self._database = database
        self._passwords = passwords
        self._quota = quota

    @property
    def quota_refusals(self) -> tuple[type[ZlhError], ...]:
        """What `accept` may raise besides, where a customer has as many members as it may have."""
        return self._quota.member_refusals

    async def fetch(self, customer_id: UUID) -> list[KeptInvitation]:
        """Return the invitations of a customer that hold, oldest first."""
        async with self._database.connection() as connection:
            return await codes.fetch_invitations(connection, customer_id)

    async def invite(
        self, caller: Caller, customer_id: UUID, *, email: str, role: Role, expires_in: timedelta
    ) -> tuple[KeptInvitation, Secret]:
        """Return an invitation, in the place of an earlier one of this address, and its code.

        Raise EmailInvalid, AlreadyMember, TooManyInvitations, RoleMissing.
        """
        email, code = checked_email(email), new_secret(INVITATION_PREFIX)
        async with self._database.transaction() as connection:
            if await store.lock_customer(connection, customer_id) is None:
                raise NotFound("customer")
            await look_again(connection, caller, Permission.MANAGE_CUSTOMER, customer_id)
            await _check_stranger(connection, customer_id, email)
            if await codes.count_invitations(connection, customer_id, but_for=email) >= MAX_WAITING:
                raise TooManyInvitations
            kept = await codes.upsert_invitation(
                connection,
                invitation_id=uuid4(),
                code_sha256=code.digest,
                customer_id=customer_id,
                email=email,
                role=role,
                invited_by=caller.user_id,
                expires_in=expires_in,
            )
        return kept, code

    async def withdraw(self, customer_id: UUID, invitation_id: UUID) -> None:
        """Make an invitation worth nothing; raise NotFound."""
        async with self._database.transaction() as connection:
            if not await codes.delete_invitation(connection, customer_id, invitation_id):
                raise NotFound("invitation")

    async def look(self, code: str) -> tuple[KeptInvitation, bool]:
        """Return the invitation of a code, and whether its address has an account; raise InvitationInvalid."""
        async with self._database.connection() as connection:
            found = await codes.find_invitation(connection, token_digest(code))
            if found is None:
                raise InvitationInvalid
            return found, await user_store.find_by_email(connection, found.email) is not None

    async def accept(
        self,
        code: str,
        *,
        caller: Caller | None,
        password: str | None,
        client: Client,
        on_known: Callable[[Caller, UUID], Awaitable[None]] | None = None,
    ) -> Accepted:
        """Make whoever was invited a member, and a user where the address has none; return them as they are by then.

        `on_known` is told who they will be, and of which customer, before anything is done.

        Raise InvitationInvalid, InvitationForAnother, NotSignedIn, AlreadyMember, PasswordMissing, PasswordNotWanted,
        CustomerSuspended, and what `quota_refusals` names.
        """
        # Whoever has no code costs no hash.
        invitation, has_account = await self.look(code)
        if caller is not None:
            _check_caller(caller, invitation, has_account=has_account)
        elif has_account:
            raise NotSignedIn(f"{invitation.email} has an account: sign in with it, then accept the invitation.")
        if has_account and password is not None:
            raise PasswordNotWanted
        password_hash = None if has_account else await self._hash(password)
        invitee = _as_member(caller, invitation)
        if on_known is not None:
            await on_known(invitee, invitation.customer_id)
        async with self._database.transaction() as connection:
            taken = await self._take(connection, token_digest(code), invitation.customer_id)
            if caller is not None:
                return await _join(connection, caller, taken)
            assert password_hash is not None
            return await _begin(connection, invitee.user_id, taken, password_hash, client)

    async def _take(self, connection: Connection, digest: bytes, customer_id: UUID) -> KeptInvitation:
        """Use an invitation up, while nobody else changes who belongs to its customer."""
        customer = await store.lock_customer(connection, customer_id)
        taken = await codes.take_invitation(connection, digest)
        if customer is None or taken is None:
            raise InvitationInvalid
        if customer.suspended_at is not None:
            raise CustomerSuspended
        await _check_stranger(connection, customer_id, taken.email)
        await self._quota.ensure_member(connection, customer_id)
        return taken

    async def _hash(self, password: str | None) -> str:
        if password is None:
            raise PasswordMissing
        return await self._passwords.hash(password)


def _check_caller(caller: Caller, invitation: KeptInvitation, *, has_account: bool) -> None:
    if Permission.MANAGE_ACCOUNT not in caller.scope:
        raise ScopeMissing(Permission.MANAGE_ACCOUNT)
    if caller.bound_to is not None:
        raise TokenBound
    if not has_account or caller.email.lower() != invitation.email.lower():
        raise InvitationForAnother(invitation.email)


def _as_member(caller: Caller | None, invitation: KeptInvitation) -> Caller:
    """Return who was invited as they will be: the caller, or a user who is not there yet."""
    joined = Membership(invitation.customer_id, invitation.customer_name, invitation.role)
    if caller is not None:
        return replace(caller, memberships=(*caller.memberships, joined))
    return Caller(uuid4(), invitation.email, is_operator=False, memberships=(joined,), by_cookie=True)


async def _check_stranger(connection: Connection, customer_id: UUID, email: str) -> None:
    member = await store.find_member_by_email(connection, customer_id, email)
    if member is not None:
        raise AlreadyMember(member.email, member.role)


async def _join(connection: Connection, caller: Caller, invitation: KeptInvitation) -> Accepted:
    """Make the caller a member."""
    await user_store.insert_membership(connection, invitation.customer_id, caller.user_id, invitation.role)
    return Accepted(await as_of_now(connection, caller), None)


async def _begin(
    connection: Connection, user_id: UUID, invitation: KeptInvitation, password_hash: str, client: Client
) -> Accepted:
    """Make a user who is a member and signed in."""
    if not await user_store.insert(connection, user_id=user_id, email=invitation.email, password_hash=password_hash):
        raise NotSignedIn(f"{invitation.email} has an account by now: sign in with it, then accept the invitation.")
    await user_store.insert_membership(connection, invitation.customer_id, user_id, invitation.role)
    caller, session = await open_session(connection, user_id, client)
    return Accepted(caller, session)
