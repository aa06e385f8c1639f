"""From what a request is signed with to who calls: cookie, bearer token or ticket."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from zlh_api.customers import credential_store as store
from zlh_api.customers import user_store
from zlh_api.customers.last_use import LastUse
from zlh_api.customers.model import Caller, Credential
from zlh_api.customers.refusals import CREDENTIAL_OVER, NotSignedIn, RoleMissing, TicketInvalid
from zlh_api.customers.rules import TICKET_LASTS
from zlh_api.customers.secret import TICKET_PREFIX, Secret, new_secret, token_digest
from zlh_api.database.pool import Connection, Database
from zlh_common.errors import NotFound, ZlhError
from zlh_common.names import Vmid
from zlh_common.schema.permissions import Permission

# So many of one session or token wait to be used at a time.
MAX_TICKETS = 100


class TooManyTickets(ZlhError):
    """Too many tickets wait to be used."""

    code, status, retryable = "too_many_tickets", 429, True

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(
            f"{MAX_TICKETS} tickets of this session or token wait to be used, and no more are made. Use them, or try "
            f"again in {retry_after_s} s, when the oldest is over.",
            limit=MAX_TICKETS,
            retryAfterS=retry_after_s,
        )


def find_credential(*, bearer: str | None, cookie: str | None) -> Credential:
    """Return what a request is signed with; a bearer token counts alone where there is one. Raise NotSignedIn."""
    token = cookie if bearer is None else bearer
    if token is None:
        raise NotSignedIn
    return Credential(token_digest(token), by_cookie=bearer is None)


class Callers:
    """Who calls."""

    def __init__(self, database: Database, last_use: LastUse) -> None:
        self._database = database
        self._last_use = last_use

    async def identify(self, *, bearer: str | None, cookie: str | None) -> Caller:
        """Return who calls; a bearer token counts alone where there is one. Raise NotSignedIn."""
        return await self.identify_credential(find_credential(bearer=bearer, cookie=cookie))

    async def identify_credential(self, credential: Credential) -> Caller:
        """Return whose credential this is as of now; raise NotSignedIn."""
        find = store.find_user_by_session if credential.by_cookie else store.find_user_by_api_token
        async with self._database.connection() as connection:
            user = await find(connection, credential.digest)
        if user is None or user["is_suspended"]:
            raise NotSignedIn(CREDENTIAL_OVER)
        caller = user_store.to_caller(user, by_cookie=credential.by_cookie)
        self._last_use.note(caller)
        return caller

    async def issue_ticket(self, vmid: Vmid, *, bearer: str | None, cookie: str | None) -> tuple[Secret, datetime]:
        """Return a ticket for one WebSocket of this container, and when it is over.

        Raise NotSignedIn, TooManyTickets.
        """
        credential, ticket = find_credential(bearer=bearer, cookie=cookie), new_secret(TICKET_PREFIX)
        async with self._database.transaction() as connection:
            count, first_over_in_s = await store.hold_tickets(connection, credential)
            if count >= MAX_TICKETS:
                raise TooManyTickets(retry_after_s=max(1, math.ceil(first_over_in_s)))
            expires_at = await store.insert_ticket(
                connection, ticket_sha256=ticket.digest, vmid=vmid, credential=credential, lasts=TICKET_LASTS
            )
        return ticket, expires_at

    async def redeem_ticket(self, ticket: str, vmid: Vmid) -> Credential:
        """Use a ticket up and return whose it is; raise TicketInvalid."""
        async with self._database.connection() as connection:
            credential = await store.take_ticket(connection, token_digest(ticket), vmid)
        if credential is None:
            raise TicketInvalid
        return credential


async def as_of_now(connection: Connection, caller: Caller) -> Caller:
    """Return the caller with what their user is by now; raise NotSignedIn."""
    user = await user_store.find(connection, caller.user_id)
    if user is None or user["is_suspended"]:
        raise NotSignedIn("This account is suspended or gone.")
    now = user_store.to_caller(user, by_cookie=caller.by_cookie)
    return replace(
        caller,
        is_operator=now.is_operator and caller.bound_to is None,
        memberships=tuple(entry for entry in now.memberships if caller.bound_to in {None, entry.customer_id}),
    )


async def look_again(connection: Connection, caller: Caller, permission: Permission, customer_id: UUID) -> None:
    """Raise where the caller may no longer act so for a customer, which is locked by now.

    The gate has let them in a moment ago: two owners who take each other's role at the same time must not both succeed.
    """
    again = await as_of_now(connection, caller)
    if not again.may_know(customer_id):
        raise NotFound("customer")
    if not again.may(permission, customer_id):
        raise RoleMissing(permission)
