"""Work that may take long and is cancelled: more than once, and as often as a client likes."""

from __future__ import annotations

import asyncio
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from zlh_agent.files import operations
from zlh_agent.files.operations import About, OperationService, Tell
from zlh_agent.files.staging_store import StagingRecord, StagingStore
from zlh_common.schema.file_refusals import OperationLimit
from zlh_common.schema.files import OperationKind, OperationResult, OperationState


@dataclass
class Place:
    """A customer's folder in which work leaves something, and an agent's that knows of it."""

    folder: Path
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    is_removing: asyncio.Event = field(default_factory=asyncio.Event)
    may_remove: asyncio.Event = field(default_factory=asyncio.Event)

    def service(self) -> OperationService:
        """Return what keeps operations."""
        return OperationService(FakeClock(), StagingStore(self.folder / "records"), self._sweep, wait_s=0)

    def about(self, name: str) -> About:
        """Return what is asked for: a copy that is staged under this name."""
        return About(OperationKind.COPY, "workspace", "a", "b", staging=name)

    async def work_for_ever(self, _tell: Tell) -> OperationResult:
        """Stage something, and come to no end."""
        await asyncio.to_thread((self.folder / "staged").mkdir)
        self.has_begun.set()
        await asyncio.Event().wait()
        return OperationResult()

    def left(self) -> list[str]:
        """Return what stands in both folders."""
        return sorted(path.name for path in [*self.folder.glob("staged"), *(self.folder / "records").glob("*")])

    async def _sweep(self, _root: str, staging: str) -> None:
        self.is_removing.set()
        await self.may_remove.wait()
        await asyncio.to_thread(shutil.rmtree, self.folder / staging, ignore_errors=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return folders of their own."""
    (tmp_path / "records").mkdir()
    return Place(tmp_path)


async def test_what_is_cancelled_twice_leaves_nothing(place: Place) -> None:
    """The second one waits for the removal that the first has begun, and does not end it."""
    service = place.service()
    started = await service.start(place.about("staged"), place.work_for_ever)
    await place.has_begun.wait()
    first = asyncio.create_task(service.cancel(started.id))
    await place.is_removing.wait()
    second = asyncio.create_task(service.cancel(started.id))
    # Its first turn is all that it takes to cancel.
    await asyncio.sleep(0)
    place.may_remove.set()
    ended = [await first, await second]
    assert [each.state for each in ended] == [OperationState.CANCELLED] * 2
    assert all(each.finished_at is not None for each in ended)
    assert place.left() == []


async def test_what_is_cancelled_while_it_is_written_down_is_forgotten(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record does not come after its own removal, or the next agent would tell of it, and each one pile up."""
    may_save, is_saving, save = threading.Event(), asyncio.Event(), StagingStore.save
    loop = asyncio.get_running_loop()

    def slow(store: StagingStore, record: StagingRecord) -> None:
        loop.call_soon_threadsafe(is_saving.set)
        assert may_save.wait(60)
        save(store, record)

    monkeypatch.setattr(StagingStore, "save", slow)
    place.may_remove.set()
    service = place.service()
    started = await service.start(place.about("staged"), place.work_for_ever)
    await is_saving.wait()
    cancelling = asyncio.create_task(service.cancel(started.id))
    # So many turns are more than it takes to forget it, where nobody waits for the thread.
    for _ in range(100):
        await asyncio.sleep(0)
    is_over = cancelling.done()
    may_save.set()
    assert ((await cancelling).state, is_over) == (OperationState.CANCELLED, False)
    assert place.left() == []


async def test_what_is_being_removed_counts_as_under_way(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who begins and cancels in a loop has no more going on than who waits."""
    monkeypatch.setattr(operations, "MAX_RUNNING", 1)
    service = place.service()
    started = await service.start(place.about("staged"), place.work_for_ever)
    await place.has_begun.wait()
    cancelling = asyncio.create_task(service.cancel(started.id))
    await place.is_removing.wait()
    with pytest.raises(OperationLimit):
        await service.start(place.about("other"), place.work_for_ever)
    place.may_remove.set()
    await cancelling
    again = await service.start(place.about("staged"), place.work_for_ever)
    await service.cancel(again.id)
    assert place.left() == []
