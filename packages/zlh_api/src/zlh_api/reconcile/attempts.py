"""Hands out how tries of steps ended, and forgets what is old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.reconcile import attempts_store
from zlh_api.reconcile.model import Attempt, WantedAttempts
from zlh_common.clock import Clock

log = structlog.get_logger()
PRUNE_S = 300.0


@dataclass(frozen=True, slots=True)
class KeptAttempts:
    """How many tries are kept, of all and of each container, and for how long; whichever ends first."""

    # Where there are more, those of containers that are gone go first.
    most: int = 1_000_000
    # Whoever has his steps taken again and again pushes out his own tries, and not those of others.
    most_each: int = 10_000
    age: timedelta = timedelta(days=30)


class AttemptsService:
    """One for each API process; `run` prunes."""

    def __init__(self, database: Database, clock: Clock, kept: KeptAttempts | None = None) -> None:
        self._database = database
        self._clock = clock
        self._kept = kept or KeptAttempts()

    async def fetch_page(self, wanted: WantedAttempts) -> Sequence[Attempt]:
        """Return attempts, the newest first."""
        async with self._database.connection() as connection:
            return await attempts_store.fetch_page(connection, wanted)

    async def run(self) -> None:
        """Forget what is old, until cancelled."""
        while True:
            try:
                await self.prune()
            except DatabaseUnavailable as error:
                log.warning("attempts.not_pruned", error=error.detail)
            await self._clock.sleep(PRUNE_S)

    async def prune(self) -> None:
        """Forget what is beyond what is kept, slice by slice; any number of processes may do so at once."""
        pruned = 1
        while pruned:
            async with self._database.transaction() as connection:
                pruned = await attempts_store.prune(
                    connection, age=self._kept.age, most=self._kept.most, most_each=self._kept.most_each
                )
