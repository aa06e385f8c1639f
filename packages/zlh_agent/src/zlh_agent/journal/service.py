"""Takes down what happens, brings it to the disk a moment later, and wakes those who want to hear of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager

import structlog

from zlh_agent.journal.model import Occurrence
from zlh_agent.journal.store import JournalStore
from zlh_agent.watchers import Watchers
from zlh_common.clock import Clock
from zlh_common.schema.history import Happening

log = structlog.get_logger()
# The disk is left alone for so long after an end: the next start has the way to itself, and what follows goes together.
SYNC_PAUSE_S = 0.1
RETRY_S = 5.0


class JournalService:
    """Call `open` first, `run` for as long as the agent lives, `close` at last."""

    def __init__(self, store: JournalStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._written = asyncio.Event()
        self._watchers = Watchers()

    @property
    def id(self) -> str:
        """Which journal this is."""
        return self._store.id

    async def open(self) -> None:
        """Take up what a former agent has written."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._store.open)

    def record(self, occurrences: Sequence[Occurrence]) -> None:
        """Write something down, so that it outlives the agent. It blocks, and may be called from any thread."""
        if not occurrences:
            return
        self._store.append(occurrences, self._clock.now())
        if self._loop is not None:
            # A loop that has ended has nobody to wake.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._written.set)

    async def note(self, *occurrences: Occurrence) -> None:
        """Write something down, beside the loop."""
        await asyncio.to_thread(self.record, occurrences)

    def read_after(self, number: int, limit: int) -> list[Happening]:
        """Return entries after `number`, oldest first; none that a crash of the machine could still undo."""
        return self._store.read_after(number, limit)

    async def run(self) -> None:
        """Bring to the disk what was written, and tell the watchers, until cancelled."""
        while True:
            await self._written.wait()
            await asyncio.sleep(SYNC_PAUSE_S)
            self._written.clear()
            try:
                await asyncio.to_thread(self._store.sync)
            except OSError as error:
                log.warning("journal.not_synced", error=str(error))
            self._watchers.wake()
            if self._store.has_unsynced():
                # More has come meanwhile, and the word of that comes at once; or the disk refuses.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S):
                        await self._written.wait()
                self._written.set()

    def watch(self) -> AbstractContextManager[asyncio.Event]:
        """Lend an event that is set when there may be more; whoever waits on it clears it."""
        return self._watchers.watch()

    async def close(self) -> None:
        """Bring the rest to the disk and let go; may be called twice."""
        if self._loop is None:
            return
        self._loop = None
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._store.sync)
        await asyncio.to_thread(self._store.close)
