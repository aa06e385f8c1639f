"""The lease of the patrol: of all API processes of an installation one at a time looks over everything.

Whatever looks for the whole installation shares it, and every write of theirs names its fence.
"""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import structlog

from zlh_api.audit import store
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.reconcile.pace import MARGIN_S
from zlh_api.reconcile.warrant import boottime

log = structlog.get_logger()
HOLD_S = store.PATROL_LEASE_S / 4


class PatrolLease:
    """Held by `run` in one process at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holder: UUID = uuid4()
        self._fence: int | None = None
        self._good_until = 0.0
        self._held = asyncio.Event()

    @property
    def fence(self) -> int | None:
        """The fence by which this process may write; None where another one looks, or this one was asleep for long."""
        return self._fence if boottime() < self._good_until else None

    async def wait_held(self) -> int:
        """Return the fence once this process is the one who looks."""
        while (fence := self.fence) is None:
            # Of one that has run out while nobody could renew it, the event may still tell.
            if self._held.is_set():
                await asyncio.sleep(HOLD_S)
            await self._held.wait()
        return fence

    async def run(self) -> None:
        """Hold the lease, or become the one who does; another process takes over at once when this is cancelled."""
        try:
            while True:
                await self._renew()
                await asyncio.sleep(HOLD_S)
        finally:
            await asyncio.shield(self._leave())

    async def _renew(self) -> None:
        asked_at = boottime()
        try:
            async with self._database.connection() as connection:
                fence = await store.take_patrol(connection, self._holder)
        except DatabaseUnavailable:
            fence = self.fence
        else:
            self._good_until = asked_at + store.PATROL_LEASE_S - MARGIN_S
        if fence != self._fence:
            log.info("patrol.begun" if fence is not None else "patrol.ended")
        self._fence = fence
        if fence is None:
            self._held.clear()
        else:
            self._held.set()

    async def _leave(self) -> None:
        try:
            async with self._database.connection() as connection:
                await store.leave_patrol(connection, self._holder)
        except DatabaseUnavailable:
            return
