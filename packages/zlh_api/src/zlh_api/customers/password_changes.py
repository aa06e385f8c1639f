"""How a password becomes another one: by who knows the old one, or by a reset that an operator hands over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from zlh_api.customers import credential_store, one_time_store, user_store
from zlh_api.customers.model import Caller
from zlh_api.customers.passwords import Passwords, SignInBusy
from zlh_api.customers.refusals import NotSignedIn
from zlh_api.customers.rules import TRIES_OF_PASSWORD
from zlh_api.customers.secret import PASSWORD_RESET_PREFIX, Secret, new_secret, token_digest
from zlh_api.customers.sessions import end_other_sessions, refuse_bound
from zlh_api.customers.tries import Tries
from zlh_api.database.pool import Database
from zlh_common.errors import NotFound, ZlhError

RESET_LASTS = timedelta(hours=24)


class PasswordWrong(ZlhError):
    """The current password is another one."""

    code, status = "password_wrong", 403

    def __init__(self) -> None:
        super().__init__("This is not your current password.")


class PasswordResetInvalid(ZlhError):
    """The code of a password reset opens nothing."""

    code, status = "password_reset_invalid", 404

    def __init__(self) -> None:
        super().__init__(
            "This password reset is unknown, used, replaced or over; ask who runs the platform for another one."
        )


@dataclass(frozen=True, slots=True)
class MadeReset:
    """What an operator hands over."""

    code: Secret
    expires_at: datetime


class PasswordChanges:
    """Changes passwords, and ends the sessions that the old one has opened."""

    def __init__(self, database: Database, passwords: Passwords, tries: Tries) -> None:
        self._database = database
        self._passwords = passwords
        self._tries = tries

    async def change(self, caller: Caller, *, current: str, new: str) -> None:
        """Give the caller another password and end all their other sessions.

        Raise PasswordWrong, TooManyTries, TokenBound.
        """
        refuse_bound(caller)
        key = f"password:{caller.user_id}"
        await self._tries.begin([key], partial(_find_spent, key))
        async with self._database.connection() as connection:
            user = await user_store.find(connection, caller.user_id)
        if user is None:
            raise NotSignedIn
        try:
            if not await self._passwords.matches(user["password_hash"], current):
                raise PasswordWrong
            await self._tries.forget(key)
            password_hash = await self._passwords.hash(new)
        except SignInBusy:
            await self._tries.take_back([key])
            raise
        async with self._database.transaction() as connection:
            if not await user_store.replace_password(
                connection, caller.user_id, old_hash=user["password_hash"], new_hash=password_hash
            ):
                # Somebody else was faster, and what was right is wrong by now.
                raise PasswordWrong
            await end_other_sessions(connection, caller)
            await one_time_store.delete_reset(connection, caller.user_id)

    async def make_reset(self, operator: Caller, user_id: UUID) -> MadeReset:
        """Return what a user sets a new password with, in the place of an earlier one; raise NotFound."""
        code = new_secret(PASSWORD_RESET_PREFIX)
        async with self._database.transaction() as connection:
            if await user_store.find(connection, user_id) is None:
                raise NotFound("user")
            expires_at = await one_time_store.upsert_reset(
                connection,
                code_sha256=code.digest,
                user_id=user_id,
                made_by=operator.user_id,
                expires_in=RESET_LASTS,
            )
        return MadeReset(code, expires_at)

    async def accept_reset(
        self, code: str, password: str, *, on_known: Callable[[Caller], Awaitable[None]] | None = None
    ) -> None:
        """Set a new password and end all sessions of the user; raise PasswordResetInvalid.

        `on_known` is told whose it is before anything is done.
        """
        digest = token_digest(code)
        async with self._database.connection() as connection:
            # Whoever has no code costs no hash.
            user_id = await one_time_store.find_reset(connection, digest)
            user = None if user_id is None else await user_store.find(connection, user_id)
        if user is None:
            raise PasswordResetInvalid
        password_hash = await self._passwords.hash(password)
        if on_known is not None:
            await on_known(user_store.to_caller(user, by_cookie=True))
        async with self._database.transaction() as connection:
            user_id = await one_time_store.take_reset(connection, digest)
            if user_id is None:
                raise PasswordResetInvalid
            await user_store.set_password(connection, user_id, password_hash)
            await credential_store.delete_sessions(connection, user_id, but=None)


def _find_spent(key: str, counts: Mapping[str, int]) -> str | None:
    return key if counts[key] > TRIES_OF_PASSWORD else None
