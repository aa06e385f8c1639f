"""The right to take away what a deleted container has left: a claim on its tombstone, since it has no row any more.

It obeys the same rules as a claim on a container: good while its lease lasts, every write names the fence, and whoever
holds it stops by itself before another may begin.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zlh_api.audit import tombstones
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.drivers.port import SlotBusy
from zlh_api.reconcile import store as reconcile
from zlh_api.reconcile.model import Claim, LeaseLost
from zlh_api.reconcile.pace import LEASE_S, MARGIN_S
from zlh_api.reconcile.warrant import boottime


class DepartedWarrant:
    """A claim on a tombstone that knows its own end."""

    def __init__(self, database: Database, claim: Claim, *, asked_at: float) -> None:
        self.claim = claim
        self._database = database
        self._good_until = asked_at + LEASE_S - MARGIN_S

    def check(self) -> None:
        """Raise LeaseLost where another may act by now."""
        if boottime() >= self._good_until:
            raise LeaseLost(self.claim.vmid)

    async def renew(self) -> None:
        """Make it last again, counted from before the question; raise LeaseLost."""
        asked_at = boottime()
        async with self._database.connection() as connection:
            await tombstones.renew(connection, self.claim)
        self._good_until = asked_at + LEASE_S - MARGIN_S

    async def note(self, key: str, value: str | None) -> None:
        """Keep a note of the driver with the tombstone; raise LeaseLost."""
        self.check()
        async with self._database.connection() as connection:
            await tombstones.save_note(connection, self.claim, key, value)

    @asynccontextmanager
    async def slot(self, name: str) -> AsyncIterator[None]:
        """Hold what only one may use at a time; raise SlotBusy. Nobody waits in line here: the next look asks again."""
        self.check()
        async with self._database.transaction() as connection:
            if not await reconcile.seize_slot(connection, self.claim, name):
                raise SlotBusy(name)
        try:
            yield
        finally:
            await asyncio.shield(self._leave(name))

    async def _leave(self, name: str) -> None:
        # A slot that cannot be let go of is nobody's once the lease is over, and its effect stands in any case.
        with contextlib.suppress(DatabaseUnavailable):
            async with self._database.transaction() as connection:
                await reconcile.leave_slot(connection, self.claim, name)
