"""Keeps what agents tell of happenings and samples, hands it out, and forgets what is old.

Happenings are rare and written as they come, each once. Samples come from every agent each minute, so they wait here
for a moment and are written together; what an API process loses by its end is sent again by the agent, which begins
with its newest one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec
import structlog

from zlh_api.containers.model import Container
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.history import store
from zlh_api.history.rules import JournalPosition, Span, believe_sample_time, believe_time
from zlh_common.clock import Clock
from zlh_common.names import OwnerMark
from zlh_common.schema.history import Happening, HistoryEntry
from zlh_common.schema.metrics import Metrics

log = structlog.get_logger()
FLUSH_S = 2.0
FLUSH_ROWS = 500
# So many samples wait at most; beyond that the oldest go, for a database that stays away.
MAX_WAITING = 20_000
PRUNE_S = 300.0


@dataclass(frozen=True, slots=True)
class Keeping:
    """How much history a container has."""

    entries: int = 1000
    samples: timedelta = timedelta(hours=24)


class HistoryService:
    """One for each API process; `run` writes what waits and prunes."""

    def __init__(self, database: Database, clock: Clock, keeping: Keeping) -> None:
        self._database = database
        self._clock = clock
        self._keeping = keeping
        self._waiting: list[store.Sample] = []

    # What links bring

    async def find_newest(self, owner: OwnerMark) -> JournalPosition | None:
        """Return where the kept history of a container ends; its agent goes on from there."""
        async with self._database.connection() as connection:
            return await store.find_newest(connection, owner)

    async def take_happenings(self, owner: OwnerMark, fence: int, journal: str, items: Sequence[Happening]) -> None:
        """Keep entries of a journal, each once, and wake those who watch."""
        if not items:
            return
        now = self._clock.now()
        believed = [msgspec.structs.replace(item, at=believe_time(item.at, now)) for item in items]
        async with self._database.transaction() as connection:
            await store.insert_happenings(connection, owner, fence, journal, believed)

    def take_sample(self, owner: OwnerMark, fence: int, metrics: Metrics) -> None:
        """Keep a sample soon."""
        at = believe_sample_time(metrics.observed_at, self._clock.now())
        self._waiting.append(store.Sample(owner, fence, at, msgspec.structs.replace(metrics, observed_at=at)))
        del self._waiting[:-MAX_WAITING]

    # What people ask

    async def fetch_entries(self, container: Container, *, before: int | None, limit: int) -> list[HistoryEntry]:
        """Return entries before an id, or the newest ones, newest first."""
        async with self._database.connection() as connection:
            return await store.fetch_entries(connection, container.owner, before=before, limit=limit)

    async def fetch_entries_from(self, container: Container, *, start: int, limit: int) -> list[HistoryEntry]:
        """Return entries from an id on, oldest first."""
        async with self._database.connection() as connection:
            return await store.fetch_entries_from(connection, container.owner, start=start, limit=limit)

    async def fetch_samples(self, container: Container, span: Span) -> list[Metrics]:
        """Return samples within a span, oldest first and thinned to its points."""
        async with self._database.connection() as connection:
            return await store.fetch_samples(connection, container.owner, span)

    # The loops

    async def run(self) -> None:
        """Write what waits and forget what is old, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._flush_for_ever())
            group.create_task(self._prune_for_ever())

    async def _flush_for_ever(self) -> None:
        while True:
            await self._clock.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits; what cannot be written waits on."""
        while self._waiting:
            batch = self._waiting[:FLUSH_ROWS]
            try:
                await self._write(batch)
            except DatabaseUnavailable:
                return
            written = set(map(id, batch))
            self._waiting = [sample for sample in self._waiting if id(sample) not in written]

    async def _write(self, batch: Sequence[store.Sample]) -> None:
        try:
            async with self._database.connection() as connection:
                await store.insert_samples(connection, batch)
        except DatabaseUnavailable:
            raise
        except Exception:
            # One that no rule has foreseen must not keep out the others.
            if len(batch) == 1:
                log.exception("history.sample_refused", owner=batch[0].owner)
                return
            for sample in batch:
                await self._write([sample])

    async def _prune_for_ever(self) -> None:
        while True:
            try:
                await self.prune()
            except DatabaseUnavailable as error:
                log.warning("history.not_pruned", error=error.detail)
            await self._clock.sleep(PRUNE_S)

    async def prune(self) -> None:
        """Forget what is beyond what is kept; any number of processes may do so at once."""
        pruned = True
        while pruned:
            async with self._database.transaction() as connection:
                pruned = bool(await store.prune(connection, entries=self._keeping.entries, age=self._keeping.samples))
