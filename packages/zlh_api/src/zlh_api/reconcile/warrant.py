"""The right to act on one container: a claim, the moment until which it is good, and what it lets a driver keep.

The database decides who holds a claim; this decides when its holder stops by itself. The clock counts on while the
process is frozen or its machine asleep, so a worker that wakes too late finds out before its next effect.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zlh_api.database.pool import Database
from zlh_api.drivers.port import SlotBusy
from zlh_api.reconcile import store
from zlh_api.reconcile.model import Claim, LeaseLost

# Between a look at the clock and the effect that follows, a process may lose a moment.
MARGIN_S = 1.0


def boottime() -> float:
    """Return seconds since the machine started, those that it slept through included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClaimWarrant:
    """A claim that knows its own end."""

    def __init__(self, database: Database, claim: Claim, *, asked_at: float) -> None:
        self.claim = claim
        self._database = database
        self._good_until = asked_at + store.LEASE_S - MARGIN_S

    def check(self) -> None:
        """Raise LeaseLost where another may have the container by now."""
        if boottime() >= self._good_until:
            raise LeaseLost(self.claim.vmid)

    async def renew(self) -> None:
        """Make it last again, counted from before the question; raise LeaseLost."""
        asked_at = boottime()
        async with self._database.connection() as connection:
            await store.renew(connection, self.claim)
        self._good_until = asked_at + store.LEASE_S - MARGIN_S

    async def note(self, key: str, value: str | None) -> None:
        """Keep a note of the driver; raise LeaseLost."""
        self.check()
        async with self._database.connection() as connection:
            await store.save_note(connection, self.claim, key, value)

    @asynccontextmanager
    async def slot(self, name: str) -> AsyncIterator[None]:
        """Hold what only one may use at a time; raise SlotBusy, LeaseLost."""
        async with self._database.transaction() as connection:
            if not await store.take_slot(connection, self.claim, name):
                raise SlotBusy(name)
        try:
            yield
        finally:
            async with self._database.transaction() as connection:
                await store.leave_slot(connection, self.claim, name)
