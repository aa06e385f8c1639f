"""API tokens: what a program signs its requests with. One never gives more than what it was made with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from msgspec import UNSET, UnsetType

from zlh_api.customers import credential_store as store
from zlh_api.customers import store as customer_store
from zlh_api.customers.credential_store import KeptToken
from zlh_api.customers.model import Caller
from zlh_api.customers.refusals import NotSignedIn
from zlh_api.customers.rules import find_missing_scope
from zlh_api.customers.secret import Secret, new_api_token
from zlh_api.database.pool import Connection, Database
from zlh_common.errors import NotFound, ZlhError
from zlh_common.schema.permissions import Permission

MAX_TOKENS = 50
USUALLY_LASTS = timedelta(days=90)


class ScopeNotYours(ZlhError):
    """Nobody hands on what they may not do themselves."""

    code, status = "scope_not_yours", 403

    def __init__(self, scope: Permission) -> None:
        super().__init__(
            f"A token of yours cannot carry the scope {scope}: what it is made with does not have it, or no role of "
            "yours includes it. Name the scopes that it shall have.",
            permission=scope,
        )


class TokenExceedsMaker(ZlhError):
    """A token that is made with another one has no wider reach and no later end."""

    code, status = "token_exceeds_maker", 403

    def __init__(self, field: str, limit: str) -> None:
        super().__init__(f"The token that this one is made with is narrower: {field} can be {limit}.", field=field)


class TooManyTokens(ZlhError):
    """A user has a limited number of tokens."""

    code, status = "too_many_tokens", 409

    def __init__(self) -> None:
        super().__init__(f"You have {MAX_TOKENS} tokens, which is the most; delete one that is not used.")


@dataclass(frozen=True, slots=True)
class TokenWish:
    """What is asked for."""

    name: str
    scopes: tuple[Permission, ...] | None
    customer_id: UUID | None
    # None for no end; UNSET for what is usual, and no later than the end of what it is made with.
    expires_in: timedelta | UnsetType | None


class Tokens:
    """The API tokens of all users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch(self, caller: Caller) -> list[KeptToken]:
        """Return the caller's tokens, oldest first; a bound one sees those of its customer."""
        async with self._database.connection() as connection:
            return await store.fetch_tokens(connection, caller.user_id, bound_to=caller.bound_to)

    async def make(self, caller: Caller, wish: TokenWish) -> tuple[KeptToken, Secret]:
        """Return a new token and its secret, which nobody sees again.

        Raise NotFound for a customer out of reach, ScopeNotYours, TokenExceedsMaker, TooManyTokens.
        """
        if wish.customer_id is not None and caller.membership_of(wish.customer_id) is None:
            raise NotFound("customer")
        if caller.bound_to is not None and wish.customer_id is None:
            raise TokenExceedsMaker("customerId", f"{caller.bound_to} alone")
        missing = find_missing_scope(caller, wish.scopes, wish.customer_id)
        if missing is not None:
            raise ScopeNotYours(missing)
        secret = new_api_token()
        async with self._database.transaction() as connection:
            ends = await _hold_maker(connection, caller, wish)
            kept = await store.insert_token(
                connection,
                token_id=uuid4(),
                token_sha256=secret.digest,
                user_id=caller.user_id,
                name=wish.name,
                hint=secret.hint,
                scopes=wish.scopes,
                customer_id=wish.customer_id,
                expires_in=USUALLY_LASTS if wish.expires_in is UNSET else wish.expires_in,
                ends_by=ends if wish.expires_in is UNSET else None,
                made_by=None if caller.by_cookie else caller.credential_id,
            )
            if ends is not None and (kept.expires_at is None or kept.expires_at > ends):
                raise TokenExceedsMaker("expiresInS", f"{(ends - kept.created_at).total_seconds():.0f} at most")
        return kept, secret

    async def delete(self, caller: Caller, token_id: UUID) -> None:
        """End one of the caller's tokens, and all that were made with it; raise NotFound."""
        async with self._database.transaction() as connection:
            if not await store.delete_token(connection, caller.user_id, token_id, bound_to=caller.bound_to):
                raise NotFound("token")


async def _hold_maker(connection: Connection, caller: Caller, wish: TokenWish) -> datetime | None:
    """Hold what the token is made with, and count; return its end, None where it has none or is a session.

    The customer comes first, as in every order of locks.
    """
    if wish.customer_id is not None and await customer_store.lock_customer(connection, wish.customer_id) is None:
        raise NotFound("customer")
    if await store.count_tokens(connection, caller.user_id) >= MAX_TOKENS:
        raise TooManyTokens
    if caller.credential_id is None:
        return None
    maker = await store.lock_credential(connection, caller.credential_id, by_cookie=caller.by_cookie)
    if maker is None:
        raise NotSignedIn
    ends: datetime | None = maker["expires_at"]
    return ends
