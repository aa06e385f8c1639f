"""Hashing passwords: slow on purpose, so few at a time, and as slow for somebody who does not exist."""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from zlh_common.errors import ZlhError

# Each takes 64 MiB for some 50 ms; more at a time would only wait for the same cores.
MAX_AT_A_TIME = 2
# Whoever comes when so many wait is asked to come again, before he waits for more than a second or two.
MAX_WAITING = 20
MIN_CHARS = 12


class SignInBusy(ZlhError):
    """Too many are signing in at this moment."""

    code, status, retryable = "sign_in_busy", 429, True

    def __init__(self) -> None:
        super().__init__("Too many are signing in at this moment; try again in a few seconds.")


class PasswordTooShort(ZlhError):
    """A password must have at least twelve characters."""

    code, status = "password_too_short", 400

    def __init__(self) -> None:
        super().__init__(f"A password must have at least {MIN_CHARS} characters.")


class Passwords:
    """One for each API process."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._seats = asyncio.Semaphore(MAX_AT_A_TIME)
        self._waiting = 0
        # Checked when there is no such user, so that both refusals take the same time.
        self._nobody = _hash_of_nobody()

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Tell whether a password is right; None, for nobody, takes as long. Raise SignInBusy."""
        async with self._seat():
            return await asyncio.to_thread(self._verify, password_hash or self._nobody, password)

    async def hash(self, password: str) -> str:
        """Return what is kept of a password; raise PasswordTooShort, SignInBusy."""
        if len(password) < MIN_CHARS:
            raise PasswordTooShort
        async with self._seat():
            return await asyncio.to_thread(self._hasher.hash, password)

    @asynccontextmanager
    async def _seat(self) -> AsyncIterator[None]:
        if self._waiting >= MAX_WAITING:
            raise SignInBusy
        self._waiting += 1
        try:
            async with self._seats:
                yield
        finally:
            self._waiting -= 1

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


@functools.cache
def _hash_of_nobody() -> str:
    """Return the hash of a password that nobody knows, made as those of users are."""
    return PasswordHasher().hash(secrets.token_hex(16))
