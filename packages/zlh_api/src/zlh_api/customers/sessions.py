"""Browsers that are signed in: the one place that opens a session, and how they are seen and ended."""

from __future__ import annotations

from uuid import UUID

from zlh_api.customers import credential_store as store
from zlh_api.customers import user_store
from zlh_api.customers.credential_store import KeptSession
from zlh_api.customers.model import Caller, Client
from zlh_api.customers.refusals import AccountSuspended, LoginRefused, TokenBound
from zlh_api.customers.secret import SESSION_PREFIX, Secret, new_secret, token_digest
from zlh_api.customers.sign_in import Proof
from zlh_api.database.pool import Connection, Database
from zlh_common.errors import NotFound


class Sessions:
    """The sessions of all users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, proof: Proof, client: Client, *, instead_of: str | None = None) -> tuple[Caller, Secret]:
        """Return the caller and a new session token; raise LoginRefused, AccountSuspended.

        The browser forgets the session whose token is `instead_of`, so that one ends.
        """
        async with self._database.transaction() as connection:
            user = await user_store.lock_proved(connection, proof.caller.user_id, proof.password_hash)
            if user is None:
                raise LoginRefused(proof.caller.user_id)
            if user["is_suspended"]:
                raise AccountSuspended(proof.caller.user_id)
            if instead_of is not None:
                await store.delete_session_by_token(connection, token_digest(instead_of))
            return await open_session(connection, proof.caller.user_id, client)

    async def sign_out(self, token: str) -> None:
        """End the session of this cookie, if there is one."""
        async with self._database.connection() as connection:
            await store.delete_session_by_token(connection, token_digest(token))

    async def fetch(self, caller: Caller) -> list[KeptSession]:
        """Return the caller's sessions, the newest first; raise TokenBound."""
        refuse_bound(caller)
        async with self._database.connection() as connection:
            return await store.fetch_sessions(connection, caller.user_id)

    async def end(self, caller: Caller, session_id: UUID) -> None:
        """End one of the caller's sessions; raise NotFound, TokenBound."""
        refuse_bound(caller)
        async with self._database.transaction() as connection:
            if not await store.delete_session(connection, caller.user_id, session_id):
                raise NotFound("session")

    async def end_others(self, caller: Caller) -> None:
        """End all of the caller's sessions but the one that asks; raise TokenBound."""
        refuse_bound(caller)
        async with self._database.transaction() as connection:
            await end_other_sessions(connection, caller)


async def open_session(connection: Connection, user_id: UUID, client: Client) -> tuple[Caller, Secret]:
    """Write a session of a user who was proved or made in this very transaction; return the caller and its token."""
    token = new_secret(SESSION_PREFIX)
    await store.insert_session(connection, token_sha256=token.digest, user_id=user_id, client=client)
    user = await store.find_user_by_session(connection, token.digest)
    return user_store.to_caller(user, by_cookie=True), token


async def end_other_sessions(connection: Connection, caller: Caller) -> None:
    """End all of the caller's sessions but the one that asks."""
    kept = caller.credential_id if caller.by_cookie else None
    await store.delete_sessions(connection, caller.user_id, but=kept)


def refuse_bound(caller: Caller) -> None:
    """Raise TokenBound for a token that is held to one customer: this is about the whole account."""
    if caller.bound_to is not None:
        raise TokenBound
