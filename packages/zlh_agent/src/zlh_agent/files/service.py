"""A container's files for the rest of the agent: each call in a child that is confined to them, never in the agent.

A child serves one piece of work at a time, so a long one holds nobody up; there are a few at most, and one that has
had nothing to do for a while ends. Routes, uploads, archives and operations are built on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from zlh_agent.files.calls import Files
from zlh_agent.files.link import FileLink, FilePlace
from zlh_agent.files.told import Found, FoundLine, Outcome, Page, Room, SearchOutcome, Skipped
from zlh_common.schema.file_refusals import FilesBusy

MAX_CHILDREN = 12
# So many of them are for what is done at once: whoever keeps all others at work for hours holds up no listing.
KEPT_FOR_QUICK = 4
IDLE_S = 30.0
WAIT_FOR_CHILD_S = 10.0


class FileService:
    """Lends children of one place, and ends them."""

    def __init__(self, place: FilePlace, *, idle_s: float = IDLE_S, limit: int = MAX_CHILDREN) -> None:
        self._place = place
        self._idle_s = idle_s
        self._limit = limit
        self._seats = asyncio.Semaphore(limit)
        self._long_seats = asyncio.Semaphore(max(1, limit - KEPT_FOR_QUICK))
        self._idle: list[tuple[FileLink, asyncio.TimerHandle]] = []
        # Children that are on their way out, which nobody waits for.
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @asynccontextmanager
    async def borrow(self, *, is_long: bool = False) -> AsyncIterator[Files]:
        """Lend the files by way of a child that nobody else uses meanwhile; `is_long` for work that may take long.

        Raises FilesBusy where there are as many as may be, FilesNotSafe or FilesUnavailable where none can be had.
        """
        async with AsyncExitStack() as seats:
            try:
                async with asyncio.timeout(WAIT_FOR_CHILD_S):
                    if is_long:
                        await seats.enter_async_context(self._long_seats)
                    await seats.enter_async_context(self._seats)
            except TimeoutError as exc:
                raise FilesBusy(limit=self._limit) from exc
            files = Files(await self._take_idle() or await FileLink.start(self._place))
            try:
                yield files
            finally:
                # Perhaps another one by now: see `Files.checksum`.
                self._give_back(files.link)

    async def close(self) -> None:
        """End all children; one that is borrowed ends when it is given back."""
        self._is_closed = True
        while self._idle:
            link, timer = self._idle.pop()
            timer.cancel()
            self._end_beside(link)
        if self._ending:
            await asyncio.wait(self._ending)

    async def _take_idle(self) -> FileLink | None:
        while self._idle:
            link, timer = self._idle.pop()
            timer.cancel()
            is_current = False
            try:
                is_current = await link.is_current()
            finally:
                if not is_current:
                    self._end_beside(link)
            if is_current:
                return link
        return None

    def _give_back(self, link: FileLink) -> None:
        if self._is_closed or not link.is_usable:
            self._end_beside(link)
            return
        timer = asyncio.get_running_loop().call_later(self._idle_s, self._end_idle, link)
        self._idle.append((link, timer))

    def _end_idle(self, link: FileLink) -> None:
        self._idle = [(held, timer) for held, timer in self._idle if held is not link]
        self._end_beside(link)

    def _end_beside(self, link: FileLink) -> None:
        task = asyncio.create_task(link.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


__all__ = [
    "FileService", "Files", "Found", "FoundLine", "Outcome", "Page", "Room", "SearchOutcome", "Skipped",
]  # fmt: skip
