"""Carries a request out once: its effect, its key and its answer are one transaction.

A process that ends at any line has done nothing and kept nothing, or has done it and kept what it answered. Who comes
with the same key meanwhile waits for that transaction and then gets the same answer. Refusals are not kept: what is
sent again after one is tried again. Secrets are not kept either (`zlh_common.schema.secrets`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID
from weakref import WeakValueDictionary

import asyncpg

from zlh_api.database.pool import Database
from zlh_api.once import store
from zlh_common.errors import ZlhError

KEY_CHARS = 255
# So long does a request wait for another one with its key; longer than any that makes something takes.
WAIT_S = 10.0


class IdempotencyKeyReused(ZlhError):
    """The key was used for another request before."""

    code, status = "idempotency_key_reused", 422

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key stands for another request; use a new key for a new request.")


class IdempotencyKeyInvalid(ZlhError):
    """The Idempotency-Key cannot be used."""

    code, status = "idempotency_key_invalid", 400

    def __init__(self) -> None:
        super().__init__(f"An Idempotency-Key has 1 to {KEY_CHARS} visible ASCII characters and is sent once.")


class IdempotencyKeyBusy(ZlhError):
    """Another request with this key is still being carried out."""

    code, status, retryable = "idempotency_key_busy", 409, True

    def __init__(self) -> None:
        super().__init__("A request with this Idempotency-Key is still being carried out; send this one again soon.")


@dataclass(frozen=True, slots=True)
class Made:
    """What is kept of an answer: its status and its JSON, without what is secret."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Key:
    """A key and the request that it stands for."""

    user_id: UUID
    text: str
    request_sha256: bytes


def read_key(given: list[str]) -> str | None:
    """Return the key of a request's headers, None where there is none; raise IdempotencyKeyInvalid."""
    if not given:
        return None
    if len(given) > 1 or not 0 < len(given[0]) <= KEY_CHARS or not all("!" <= char <= "~" for char in given[0]):
        raise IdempotencyKeyInvalid
    return given[0]


def digest_of(*parts: bytes) -> bytes:
    """Return what stands for a request: the digest of its parts and of where each of them ends."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.digest()


class Once:
    """One for each API process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Those with one key wait here, and not each with a connection of the pool.
        self._locks: WeakValueDictionary[tuple[UUID, str], asyncio.Lock] = WeakValueDictionary()

    async def carry_out(self, key: Key, act: Callable[[], Awaitable[Made]]) -> Made | None:
        """Do what `act` does, with all that it writes, if that was not done with this key; return None.

        Return what it was answered with where it was done before. Raise IdempotencyKeyReused, IdempotencyKeyBusy.
        """
        async with self._alone(key), self._database.joined() as connection:
            try:
                await connection.execute(f"set local lock_timeout = {round(WAIT_S * 1000)}")
                is_new = await store.claim(connection, key.user_id, key.text, key.request_sha256)
                await connection.execute("set local lock_timeout = default")
            except asyncpg.LockNotAvailableError:
                raise IdempotencyKeyBusy from None
            if is_new:
                made = await act()
                await store.keep(connection, key.user_id, key.text, status=made.status, answer=made.body)
                return None
            kept = await store.find(connection, key.user_id, key.text)
        if kept is None:
            # It was over, and forgotten between the two looks.
            raise IdempotencyKeyBusy
        if kept.request_sha256 != key.request_sha256 or kept.status is None or kept.answer is None:
            raise IdempotencyKeyReused
        return Made(kept.status, kept.answer)

    @asynccontextmanager
    async def _alone(self, key: Key) -> AsyncIterator[None]:
        lock = self._locks.setdefault((key.user_id, key.text), asyncio.Lock())
        try:
            async with asyncio.timeout(WAIT_S):
                await lock.acquire()
        except TimeoutError:
            raise IdempotencyKeyBusy from None
        try:
            yield
        finally:
            lock.release()
