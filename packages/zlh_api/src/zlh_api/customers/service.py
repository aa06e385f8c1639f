"""Signing in and out, and turning a cookie or a bearer token into a caller."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from zlh_api.customers import store
from zlh_api.customers.model import Caller, Credential, Customer
from zlh_api.database.pool import Database
from zlh_common.clock import Clock
from zlh_common.errors import NotFound, ZlhError
from zlh_common.names import Vmid

SESSION_LASTS = timedelta(days=14)
# A token says what it is, so that a leaked one is found by scanners.
API_TOKEN_PREFIX = "zlh_pat_"  # noqa: S105 - the public part of a token
# Long enough to open a socket with, and too short to be worth stealing from a log.
TICKET_LASTS = timedelta(seconds=30)
TICKET_PREFIX = "zlh_tkt_"
# Each check of a password takes 64 MiB for some 50 ms; more at a time would only wait for the same cores.
MAX_PASSWORD_CHECKS = 2
# Whoever comes when so many wait is asked to come again, before he waits for more than a second or two.
MAX_WAITING_SIGN_INS = 20


class NotSignedIn(ZlhError):
    """The call needs a signed-in caller."""

    code, status = "not_signed_in", 401

    def __init__(self, why: str = "Sign in, or send a valid bearer token.") -> None:
        super().__init__(why)


class LoginRefused(ZlhError):
    """The e-mail address and the password do not belong together."""

    code, status = "login_refused", 401

    def __init__(self, user_id: UUID | None = None) -> None:
        super().__init__("This e-mail address and password do not belong together.")
        # Whose address it is; told to nobody but the audit log.
        self.user_id = user_id


class AccountSuspended(ZlhError):
    """The user is held back by the platform; told to nobody but who knows the password."""

    code, status = "account_suspended", 403

    def __init__(self, user_id: UUID) -> None:
        super().__init__("This account is suspended; ask who runs the platform.")
        self.user_id = user_id


class SignInBusy(ZlhError):
    """Too many are signing in at this moment."""

    code, status, retryable = "sign_in_busy", 429, True

    def __init__(self) -> None:
        super().__init__("Too many are signing in at this moment; try again in a few seconds.")


class PasswordTooShort(ZlhError):
    """A password must have at least twelve characters."""

    code, status = "password_too_short", 400

    def __init__(self) -> None:
        super().__init__("A password must have at least 12 characters.")


class TicketInvalid(ZlhError):
    """The ticket opens nothing."""

    code, status = "ticket_invalid", 401

    def __init__(self) -> None:
        super().__init__(
            "This ticket is unknown, used, over or another container's; one opens a single WebSocket within "
            f"{TICKET_LASTS.total_seconds():.0f} s. Ask for a new one."
        )


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that never shows itself."""

    value: str

    def __repr__(self) -> str:
        return "***"


def find_credential(*, bearer: str | None, cookie: str | None) -> Credential:
    """Return what a request is signed with; a bearer token counts alone where there is one. Raise NotSignedIn."""
    token = cookie if bearer is None else bearer
    if token is None:
        raise NotSignedIn
    return Credential(token_digest(token), by_cookie=bearer is None)


def token_digest(token: str) -> bytes:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class CustomerService:
    """Who calls, and how one becomes a caller."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._hasher = PasswordHasher()
        self._checks = asyncio.Semaphore(MAX_PASSWORD_CHECKS)
        self._signing_in = 0
        # Checked when there is no such user, so that both refusals take the same time.
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    async def sign_in(
        self, email: str, password: str, *, on_known: Callable[[Caller], Awaitable[None]] | None = None
    ) -> tuple[Caller, Secret]:
        """Return the caller and a new session token; raise LoginRefused, AccountSuspended, SignInBusy.

        `on_known` is told who it is before the session is there.
        """
        if "\0" in email:
            # PostgreSQL has no such text, so nobody can have this address.
            raise LoginRefused
        async with self._database.connection() as connection:
            user = await store.find_user_by_email(connection, email)
        matches = await self._check(user["password_hash"] if user else self._nobody, password)
        if user is None or not matches:
            raise LoginRefused(None if user is None else user["id"])
        if user["is_suspended"]:
            raise AccountSuspended(user["id"])
        caller = store.to_caller(user, by_cookie=True)
        if on_known is not None:
            await on_known(caller)
        token = Secret(secrets.token_urlsafe(32))
        async with self._database.transaction() as connection:
            session = await store.insert_session(
                connection,
                token_sha256=token_digest(token.value),
                user_id=user["id"],
                expires_at=self._clock.now() + SESSION_LASTS,
            )
        return replace(caller, credential_id=session), token

    async def sign_out(self, token: str) -> None:
        """End the session of this cookie, if there is one."""
        async with self._database.connection() as connection:
            await store.delete_session(connection, token_digest(token))

    async def identify(self, *, bearer: str | None, cookie: str | None) -> Caller:
        """Return who calls; a bearer token counts alone where there is one. Raise NotSignedIn."""
        return await self.identify_credential(find_credential(bearer=bearer, cookie=cookie))

    async def identify_credential(self, credential: Credential) -> Caller:
        """Return whose credential this is as of now; raise NotSignedIn."""
        find = store.find_user_by_session if credential.by_cookie else store.find_user_by_api_token
        async with self._database.connection() as connection:
            user = await find(connection, credential.digest)
        if user is None or user["is_suspended"]:
            raise NotSignedIn("This token or session is unknown or over; sign in again.")
        return store.to_caller(user, by_cookie=credential.by_cookie)

    async def find_visible(self, caller: Caller, customer_id: UUID) -> Customer:
        """Return a customer that the caller may know of; raise NotFound for any other, existing or not."""
        async with self._database.connection() as connection:
            customer = await store.find_customer(connection, customer_id)
        if customer is None or not caller.may_know(customer.id):
            raise NotFound("customer")
        return customer

    async def issue_ticket(self, vmid: Vmid, *, bearer: str | None, cookie: str | None) -> tuple[Secret, datetime]:
        """Return a ticket for one WebSocket of this container, and when it is over; raise NotSignedIn."""
        credential = find_credential(bearer=bearer, cookie=cookie)
        ticket = Secret(TICKET_PREFIX + secrets.token_urlsafe(32))
        async with self._database.transaction() as connection:
            expires_at = await store.insert_ticket(
                connection,
                ticket_sha256=token_digest(ticket.value),
                vmid=vmid,
                credential=credential,
                lasts_s=TICKET_LASTS.total_seconds(),
            )
        return ticket, expires_at

    async def redeem_ticket(self, ticket: str, vmid: Vmid) -> Credential:
        """Use a ticket up and return whose it is; raise TicketInvalid."""
        async with self._database.connection() as connection:
            credential = await store.take_ticket(connection, token_digest(ticket), vmid)
        if credential is None:
            raise TicketInvalid
        return credential

    async def ensure_operator(self, *, email: str, password: Secret, customer_name: str, api_token: Secret) -> None:
        """Make sure that an operator with this password, customer and token exists."""
        if len(password.value) < 12:
            raise PasswordTooShort
        password_hash = await asyncio.to_thread(self._hasher.hash, password.value)
        async with self._database.transaction() as connection:
            user_id = await store.upsert_operator(
                connection,
                user_id=uuid4(),
                email=email,
                password_hash=password_hash,
                customer_id=uuid4(),
                customer_name=customer_name,
            )
            await store.replace_api_token(
                connection,
                token_id=uuid4(),
                token_sha256=token_digest(api_token.value),
                user_id=user_id,
                name="operator",
            )

    async def _check(self, password_hash: str, password: str) -> bool:
        if self._signing_in >= MAX_WAITING_SIGN_INS:
            raise SignInBusy
        self._signing_in += 1
        try:
            async with self._checks:
                return await asyncio.to_thread(self._matches, password_hash, password)
        finally:
            self._signing_in -= 1

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


def new_api_token() -> Secret:
    """Return a fresh bearer token."""
    return Secret(API_TOKEN_PREFIX + secrets.token_urlsafe(32))
