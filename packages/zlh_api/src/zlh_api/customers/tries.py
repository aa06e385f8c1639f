"""Wrong passwords are counted for all API processes together, so that asking another one gains nothing.

A try is counted before the password is looked at and taken back where it was right: a hundred at once are a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from zlh_api.customers import try_store as store
from zlh_api.customers.rules import TRIES_COUNT_FOR
from zlh_api.database.pool import Database
from zlh_common.errors import ZlhError

# Names the key that has no try left; given what stands under each key, this try included.
FindSpent = Callable[[Mapping[str, int]], str | None]


class TooManyTries(ZlhError):
    """The password was wrong too often."""

    code, status, retryable = "too_many_tries", 429, True

    def __init__(self, wait_s: float) -> None:
        wait = max(1, math.ceil(wait_s))
        super().__init__(f"The password was wrong too often; try again in {wait} s.", retryAfterS=wait)


class Tries:
    """Counts, and says when it is enough."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, keys: Sequence[str], find_spent: FindSpent) -> None:
        """Count one try; raise TooManyTries, and count nothing, where there is none left."""
        async with self._database.connection() as connection:
            before = await store.find(connection, keys, TRIES_COUNT_FOR)
            # Whoever is refused already costs no write.
            _refuse(find_spent({key: before[key].count + 1 if key in before else 1 for key in keys}), before)
            counted = await store.count(connection, keys, TRIES_COUNT_FOR)
            spent = find_spent({key: counted[key].count for key in keys})
            if spent is not None:
                await store.take_back(connection, keys)
            _refuse(spent, counted)

    async def take_back(self, keys: Sequence[str]) -> None:
        """The password was right, or nobody has looked at it."""
        async with self._database.connection() as connection:
            await store.take_back(connection, keys)

    async def forget(self, key: str) -> None:
        """Begin anew under a key."""
        async with self._database.connection() as connection:
            await store.forget(connection, key)


def _refuse(spent: str | None, counted: Mapping[str, store.Counted]) -> None:
    if spent is not None:
        raise TooManyTries(counted[spent].left_s)
