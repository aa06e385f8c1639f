"""The right to act on one container: a claim, the moment until which it is good, and what it lets a driver keep.

The database decides who holds a claim; this decides when its holder stops by itself. The clock counts on while the
process is frozen or its machine asleep, so a worker that wakes too late finds out before its next effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.drivers.port import SlotBusy
from zlh_api.reconcile import store
from zlh_api.reconcile.model import Claim, LeaseLost
from zlh_api.reconcile.pace import Pace

# How often a lease is renewed within its time: twice in vain is still good.
RENEWALS = 3


def boottime() -> float:
    """Return seconds since the machine started, those that it slept through included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClaimWarrant:
    """A claim that knows its own end."""

    def __init__(self, database: Database, claim: Claim, *, asked_at: float, pace: Pace) -> None:
        self.claim = claim
        self._database = database
        self._pace = pace
        self._good_until = self._end_of(asked_at)

    def check(self) -> None:
        """Raise LeaseLost where another may have the container by now; may be called in any thread."""
        if not self.is_good:
            raise LeaseLost(self.claim.vmid)

    @property
    def is_good(self) -> bool:
        """Whether nobody else can have the container yet."""
        return boottime() < self._good_until

    async def renew(self) -> None:
        """Make it last again, counted from before the question; raise LeaseLost, DatabaseUnavailable."""
        asked_at = boottime()
        async with self._database.connection() as connection:
            await store.renew(connection, self.claim, lease_s=self._pace.lease_s)
        self._good_until = self._end_of(asked_at)

    async def renew_for_ever(self) -> None:
        """Keep it good until this is cancelled; raise LeaseLost where the database is away for too long for that."""
        while True:
            await asyncio.sleep(self._pace.lease_s / RENEWALS)
            try:
                await self.renew()
            except DatabaseUnavailable:
                # As long as the lease lasts nobody else can have it, and the next try may reach the database again.
                self.check()

    def _end_of(self, asked_at: float) -> float:
        return asked_at + self._pace.lease_s - self._pace.margin_s


class StepWarrant:
    """The right to take one step: it ends with the claim's, and with the step, whichever comes first.

    A step that was given up, because its time was over or its lease lost, may go on in a thread that nobody can cancel;
    there it finds out before its next effect.
    """

    def __init__(self, database: Database, warrant: ClaimWarrant) -> None:
        self.claim = warrant.claim
        self._database = database
        self._warrant = warrant
        self._is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True

    def check(self) -> None:
        """Raise LeaseLost where the step is over, or another may have the container by now; for any thread."""
        if self._is_over:
            raise LeaseLost(self.claim.vmid)
        self._warrant.check()

    async def note(self, key: str, value: str | None) -> None:
        """Keep a note of the driver; raise LeaseLost."""
        self.check()
        async with self._database.connection() as connection:
            await store.save_note(connection, self.claim, key, value)

    @asynccontextmanager
    async def slot(self, name: str) -> AsyncIterator[None]:
        """Hold what only one may use at a time; raise SlotBusy, LeaseLost."""
        self.check()
        async with self._database.transaction() as connection:
            is_ours = await store.take_slot(connection, self.claim, name)
        # Only now: what was written says who waits.
        if not is_ours:
            raise SlotBusy(name)
        try:
            yield
        finally:
            await asyncio.shield(self._leave(name))

    async def _leave(self, name: str) -> None:
        # A slot that cannot be let go of is nobody's once the lease is over, and its effect stands in any case.
        with contextlib.suppress(DatabaseUnavailable):
            async with self._database.transaction() as connection:
                await store.leave_slot(connection, self.claim, name)
