"""The loop: claim what is due, let a worker see to it, give it back, and wake who waits for what is back.

Any number of processes do this on one database, and share nothing else.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID, uuid4

import structlog

from zlh_api.database.pool import Connection, Database, DatabaseUnavailable
from zlh_api.drivers.port import ContainerDriver
from zlh_api.reconcile import store
from zlh_api.reconcile.crew import Crew
from zlh_api.reconcile.model import Claim, LeaseLost
from zlh_api.reconcile.pace import Pace
from zlh_api.reconcile.step_figures import StepFigures
from zlh_api.reconcile.steps import Steps
from zlh_api.reconcile.warrant import ClaimWarrant, boottime
from zlh_api.reconcile.worker import Pause, Worker, Workplace

log = structlog.get_logger()
# The line of those who are due is made anew after this long, or after so many times as long as making it took.
LINE_S = 0.1
LINE_REST = 5.0
# How soon the database is asked again to take a container back.
GIVE_BACK_AGAIN_S = 0.5


class Reconciler:
    """One of any number of workers' homes; all of them share the database and nothing else."""

    def __init__(
        self,
        database: Database,
        driver: ContainerDriver,
        steps: Steps,
        pace: Pace | None = None,
        *,
        chance: Callable[[], float] = random.random,
        figures: StepFigures | None = None,
    ) -> None:
        self._database = database
        self._pace = pace or Pace()
        self.figures = figures or StepFigures()
        self._place = Workplace(database, driver, steps, self._pace, chance, self.figures)
        self._crew = Crew(self._pace)
        self._holder = uuid4()
        self._due = asyncio.Event()
        self._back: set[str] = set()
        # Who is due, in the order of turns, as it was a moment ago.
        self._line: list[UUID] = []
        self._line_good_until = 0.0

    def wake(self, _payload: str = "") -> None:
        """Look for due containers now."""
        self._due.set()

    def note_back(self, system: str) -> None:
        """Note that a system answers again, whoever has found out; all containers that wait for it are woken."""
        self._back.add(system)
        self._due.set()

    async def run(self) -> None:
        """Work for ever; what is under way when this is cancelled is given back."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._due.clear()
                await self._wake_waiting()
                await self._claim(group)
                try:
                    async with asyncio.timeout(self._pace.poll_s):
                        await self._due.wait()
                except TimeoutError:
                    continue

    async def _wake_waiting(self) -> None:
        try:
            while self._back:
                system = next(iter(self._back))
                async with self._database.connection() as connection:
                    await store.wake_all(connection, system, spread_s=self._pace.spread_s)
                self._back.discard(system)
        except DatabaseUnavailable:
            # It stays noted, and is tried again with the next claim.
            return

    async def _claim(self, group: asyncio.TaskGroup) -> None:
        """Claim as much as there is room for, and begin work on it."""
        # Claiming more than can be worked on would only hold leases.
        room = self._crew.room
        if not room:
            return
        asking = asyncio.create_task(self._fetch_claims(room))
        try:
            warrants = await asyncio.shield(asking)
        except asyncio.CancelledError:
            # The process stops, and what it is being given is nobody's work yet.
            for warrant in await asking:
                await self._give_back(warrant, Pause(0.0))
            raise
        for warrant in warrants:
            self._crew.join(warrant.claim)
            group.create_task(self._work(warrant))

    async def _fetch_claims(self, limit: int) -> list[ClaimWarrant]:
        claims: list[Claim] = []
        asked_at = boottime()
        try:
            async with self._database.connection() as connection:
                if self._line and time.monotonic() < self._line_good_until:
                    claims += await self._claim_out_of_line(connection, limit)
                if len(claims) < limit:
                    # At its end, old, or taken by others.
                    await self._line_up(connection)
                    claims += await self._claim_out_of_line(connection, limit - len(claims))
        except DatabaseUnavailable:
            log.warning("reconcile.database_away")
        return [ClaimWarrant(self._database, claim, asked_at=asked_at, pace=self._pace) for claim in claims]

    async def _line_up(self, connection: Connection) -> None:
        """Make the line anew; that is dear where thousands are due."""
        began = time.monotonic()
        self._line = await store.find_due(connection, sated=self._crew.sated())
        took_s = time.monotonic() - began
        self._line_good_until = began + took_s + max(LINE_S, LINE_REST * took_s)

    async def _claim_out_of_line(self, connection: Connection, limit: int) -> list[Claim]:
        claims = await store.claim(connection, self._line, holder=self._holder, limit=limit, lease_s=self._pace.lease_s)
        taken = {UUID(claim.owner) for claim in claims}
        # Where there were fewer than asked for, what is left of the line is somebody else's.
        self._line = [owner for owner in self._line if owner not in taken] if len(claims) == limit else []
        return claims

    async def _work(self, warrant: ClaimWarrant) -> None:
        """Work on one claim until it waits or is settled, then give it back."""
        pause, claim = Pause(0.0), warrant.claim

        def mark(is_slow: bool) -> None:
            self._crew.mark(claim, is_slow=is_slow)
            if is_slow:
                self._due.set()

        try:
            async with asyncio.TaskGroup() as group:
                renewal = group.create_task(warrant.renew_for_ever())
                pause = await Worker(self._place, warrant, on_slow=mark).reconcile()
                renewal.cancel()
        except* LeaseLost:
            pause = Pause(self._pace.poll_s)
            log.warning("reconcile.lease_lost", vmid=claim.vmid)
        except* DatabaseUnavailable:
            pause = Pause(self._pace.poll_s)
            log.warning("reconcile.database_away", vmid=claim.vmid)
        except* Exception:
            # One container must never cost all others their worker.
            pause = Pause(self._pace.break_s, is_held=True)
            log.exception("reconcile.broke", vmid=claim.vmid)
        finally:
            try:
                await self._give_back(warrant, pause)
            finally:
                self._crew.leave(claim)
                self._due.set()

    async def _give_back(self, warrant: ClaimWarrant, pause: Pause) -> None:
        """Give the container back as soon as the database is there, or let the lease run out."""
        hold_s = pause.seconds if pause.is_held else 0.0
        while True:
            try:
                await _to_its_end(self._release(warrant, wake_in_s=pause.seconds, hold_s=hold_s))
            except LeaseLost:
                # Forgotten, or lost: somebody else's from here on.
                return
            except DatabaseUnavailable:
                if not warrant.is_good or _is_cancelled():
                    return
                await asyncio.sleep(GIVE_BACK_AGAIN_S)
            else:
                return

    async def _release(self, warrant: ClaimWarrant, *, wake_in_s: float, hold_s: float) -> None:
        async with self._database.connection() as connection:
            await store.release(connection, warrant.claim, wake_in_s=wake_in_s, hold_s=hold_s)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for a few moments of work even where the process stops, and for what it raises; then be cancelled."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        # Whatever it raises: a lease that was lost is another's, and one that could not be given back runs out.
        await asyncio.gather(task, return_exceptions=True)
        raise


def _is_cancelled() -> bool:
    """Tell whether the process stops: then nothing is waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
