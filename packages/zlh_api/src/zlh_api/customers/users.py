"""All people of the platform, as operators see and change them. One operator stays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from zlh_api.customers import credential_store, store, user_store
from zlh_api.customers.emails import checked_email
from zlh_api.customers.model import Caller
from zlh_api.customers.passwords import Passwords
from zlh_api.customers.refusals import LastOperator, LastOwner
from zlh_api.customers.rules import canonical_email
from zlh_api.customers.secret import Secret
from zlh_api.database.pool import Connection, Database
from zlh_common.errors import NotFound
from zlh_common.schema.permissions import Role


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A person with all that they are."""

    # As somebody who is signed in with a session.
    caller: Caller
    created_at: datetime
    is_suspended: bool
    suspended_reason: str | None


class Users:
    """Everybody."""

    def __init__(self, database: Database, passwords: Passwords) -> None:
        self._database = database
        self._passwords = passwords

    async def fetch_page(self, *, after: str, q: str, limit: int) -> tuple[list[KnownUser], str | None]:
        """Return users by address, and what to ask for the next page."""
        async with self._database.connection() as connection:
            rows = await user_store.fetch_page(connection, after=after, q=q, limit=limit + 1)
        return [_to_known(row) for row in rows[:limit]], rows[limit - 1]["email"] if len(rows) > limit else None

    async def set_operator(self, operator: Caller, user_id: UUID, is_operator: bool) -> KnownUser:
        """Make somebody an operator, or no longer, and return them; raise LastOperator, NotFound."""
        async with self._database.transaction() as connection:
            others = await _hold(connection, operator, user_id)
            if not is_operator and not others:
                raise LastOperator
            await user_store.set_operator(connection, user_id, is_operator)
            return await _read(connection, user_id)

    async def suspend(self, operator: Caller, user_id: UUID, reason: str) -> KnownUser:
        """Hold a user back, end their sessions, and return them; raise LastOperator, LastOwner, NotFound."""
        async with self._database.transaction() as connection:
            # Customers are locked before users.
            await store.lock_owned(connection, user_id)
            others = await _hold(connection, operator, user_id)
            known = await _read(connection, user_id)
            if not known.is_suspended:
                if known.caller.is_operator and not others:
                    raise LastOperator
                if await store.owns_alone(connection, user_id):
                    raise LastOwner
            await user_store.suspend(connection, user_id, reason)
            return await _read(connection, user_id)

    async def resume(self, user_id: UUID) -> KnownUser:
        """Let a user in again and return them; raise NotFound."""
        async with self._database.transaction() as connection:
            if not await user_store.resume(connection, user_id):
                raise NotFound("user")
            return await _read(connection, user_id)

    async def put_operator(self, email: str, password: Secret) -> UUID:
        """Make sure that there is an operator of this address, with this password and no session of before.

        For whoever has the machine: it also helps who is suspended. Raise EmailInvalid, PasswordTooShort.
        """
        password_hash = await self._passwords.hash(password.value)
        async with self._database.transaction() as connection:
            user_id = await _make_operator(connection, email, password_hash)
            await credential_store.delete_sessions(connection, user_id, but=None)
            return user_id

    async def ensure_operator(self, *, email: str, password: Secret, customer_name: str, api_token: Secret) -> None:
        """Make sure that an operator with this password, customer and token exists; sessions and the token go on."""
        password_hash = await self._passwords.hash(password.value)
        async with self._database.transaction() as connection:
            customer_id = await store.find_namesake(connection, customer_name)
            if customer_id is None:
                customer_id = uuid4()
                await store.insert_customer(connection, customer_id, customer_name)
            user_id = await _make_operator(connection, email, password_hash)
            await user_store.insert_membership(connection, customer_id, user_id, Role.OWNER)
            await credential_store.ensure_named_token(
                connection,
                token_id=uuid4(),
                token_sha256=api_token.digest,
                user_id=user_id,
                name="operator",
                hint=api_token.hint,
            )


async def _make_operator(connection: Connection, email: str, password_hash: str) -> UUID:
    """Return the id; who is there already keeps an address that was taken under former rules. Raise EmailInvalid."""
    is_known = await user_store.find_by_email(connection, canonical_email(email)) is not None
    address = canonical_email(email) if is_known else checked_email(email)
    return await user_store.upsert_operator(connection, user_id=uuid4(), email=address, password_hash=password_hash)


async def _hold(connection: Connection, operator: Caller, user_id: UUID) -> frozenset[UUID]:
    """Hold a user and all operators; return the operators besides that user. Raise NotFound.

    Whoever acts must still be one of them: of two who take each other's right, one is too late.
    """
    exists, operators = await user_store.lock_operators(connection, user_id)
    if operator.user_id not in operators:
        raise NotFound
    if not exists:
        raise NotFound("user")
    return operators - {user_id}


async def _read(connection: Connection, user_id: UUID) -> KnownUser:
    return _to_known(await user_store.find(connection, user_id))


def _to_known(row: Any) -> KnownUser:
    return KnownUser(
        caller=user_store.to_caller(row, by_cookie=True),
        created_at=row["created_at"],
        is_suspended=row["is_suspended"],
        suspended_reason=row["suspended_reason"],
    )
