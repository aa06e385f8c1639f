"""Who waits for the journal is told of what is on the disk, soon and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fakes.clock import FakeClock
from zlh_agent.journal.model import Occurrence
from zlh_agent.journal.service import RETRY_S, SYNC_PAUSE_S, JournalService
from zlh_agent.journal.store import JournalStore

SOON_S = SYNC_PAUSE_S + RETRY_S / 5


class BusyStore(JournalStore):
    """While the first sync is on the disk something happens, of which the service has not heard yet."""

    late: Occurrence | None = Occurrence("process.exited", "web", "late")

    def sync(self) -> None:
        super().sync()
        late, self.late = self.late, None
        if late is not None:
            self.append([late], FakeClock().now())


@asynccontextmanager
async def running(store: JournalStore) -> AsyncIterator[JournalService]:
    service = JournalService(store, FakeClock())
    await service.open()
    loop = asyncio.create_task(service.run())
    try:
        yield service
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await service.close()


async def read_until(service: JournalService, count: int) -> list[str]:
    with service.watch() as written:
        async with asyncio.timeout(SOON_S):
            while len(items := service.read_after(0, 10)) < count:
                await written.wait()
                written.clear()
    return [item.message for item in items]


async def test_what_happens_is_told_once_it_is_on_the_disk(tmp_path: Path) -> None:
    """Together with what came right after it."""
    async with running(JournalStore(tmp_path / "journal")) as service:
        await service.note(Occurrence("agent.started", None, "one"))
        assert service.read_after(0, 10) == []
        await service.note(Occurrence("agent.stopped", None, "two"))
        assert await read_until(service, 2) == ["one", "two"]


async def test_what_happens_over_a_sync_is_not_held_back_like_a_broken_disk(tmp_path: Path) -> None:
    """The word of it comes a moment after the entry, in the middle of a pause that is meant for a disk that refuses."""
    async with running(BusyStore(tmp_path / "journal")) as service:
        await service.note(Occurrence("agent.started", None, "early"))
        assert await read_until(service, 1) == ["early"]
        await asyncio.sleep(0.05)
        await service.note(Occurrence("agent.stopped", None, "last"))
        assert await read_until(service, 3) == ["early", "late", "last"]
