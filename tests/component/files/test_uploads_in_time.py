"""Uploads of which nothing comes, that two send at once, that nobody goes on with: by a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import ClientPayloadError, StreamReader
from aiohttp.base_protocol import BaseProtocol

from fakes.clock import FakeClock
from zlh_agent.files.blocks import Blocks
from zlh_agent.files.link import FilePlace
from zlh_agent.files.roots import OfferedRoot, Roots
from zlh_agent.uploads import service
from zlh_agent.uploads.bodies import OpenBody
from zlh_agent.uploads.model import Asked
from zlh_agent.uploads.partials import Partials
from zlh_agent.uploads.puts import PutService
from zlh_agent.uploads.receiving import Sink
from zlh_agent.uploads.rules import KEPT_FOR, WHOLE_KEPT_FOR
from zlh_agent.uploads.service import UploadService
from zlh_agent.uploads.store import UploadStore
from zlh_agent.uploads.stream_body import StreamBody
from zlh_common.schema.file_refusals import BodyStalled, FileRefused, UploadBusy, UploadLimit, UploadNotFound

CONTENT = b"0123456789" * 100
ASKED = Asked(root=None, path="a.bin", size=len(CONTENT))


@dataclass
class Place:
    """What takes uploads into a folder, real but for its clock."""

    folder: Path
    roots: Roots
    threads: ThreadPoolExecutor
    clock: FakeClock

    @property
    def partials(self) -> Partials:
        """The hidden files."""
        return Partials(self.roots, UploadStore(self.folder / "uploads"), self.threads)

    async def uploads(self, *, silence_s: float = 60.0) -> UploadService:
        """Return what an agent that has just started takes uploads with."""
        found = UploadService(self.roots, self.partials, self.clock, Blocks(), silence_s=silence_s)
        await found.load()
        return found

    def names(self) -> set[str]:
        """Return what stands in the customer's folder, hidden things too."""
        return {path.name for path in (self.folder / "workspace").iterdir()}

    def records(self) -> list[Path]:
        """Return what is kept of uploads."""
        return list((self.folder / "uploads").glob("*"))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Return a folder that uploads go to."""
    (tmp_path / "workspace").mkdir()
    roots = Roots([OfferedRoot("workspace", "/workspace", FilePlace(str(tmp_path / "workspace"), None))])
    with ThreadPoolExecutor(2) as threads:
        yield Place(tmp_path, roots, threads, FakeClock())
        await roots.close()


def body(*parts: bytes, is_whole: bool = True, is_cut: bool = False) -> OpenBody:
    """Return a body of which this has come, and all of it or not; or whose connection broke behind it."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    reader = StreamReader(protocol, 2**20, loop=loop)
    for part in parts:
        reader.feed_data(part)
    if is_cut:
        loop.call_later(0.05, reader.set_exception, ClientPayloadError())
    elif is_whole:
        reader.feed_eof()
    return lambda blocks, silence_s: StreamBody(reader, blocks, silence_s=silence_s)


async def begin(uploads: UploadService) -> str:
    """Begin an upload; return its id."""
    return (await uploads.begin(ASKED, None, None)).record.id


async def test_a_body_of_which_nothing_comes_ends_and_what_came_counts(place: Place) -> None:
    """The upload goes on after it."""
    uploads = await place.uploads(silence_s=0.05)
    upload = await begin(uploads)
    with pytest.raises(BodyStalled):
        await uploads.append(upload, 0, body(CONTENT[:300], is_whole=False), None, len(CONTENT))
    assert (await uploads.look(upload)).offset == 300
    assert (await uploads.append(upload, 300, body(CONTENT[300:]), None, 700)).is_whole
    assert (place.folder / "workspace/a.bin").read_bytes() == CONTENT


async def test_a_whole_file_of_which_nothing_comes_leaves_nothing(place: Place) -> None:
    """It cannot be gone on with."""
    puts = PutService(place.roots, place.partials, place.clock, Blocks(), silence_s=0.05)
    with pytest.raises(BodyStalled):
        await puts.put(ASKED, body(CONTENT[:300], is_whole=False))
    assert (place.names(), place.records()) == (set(), [])


async def test_who_comes_later_cuts_off_who_sends(place: Place) -> None:
    """A dead connection is told that it was given way for, and what had come over it counts."""
    uploads = await place.uploads()
    upload = await begin(uploads)
    dead = asyncio.create_task(uploads.append(upload, 0, body(CONTENT[:300], is_whole=False), None, len(CONTENT)))
    (partial,) = (place.folder / "workspace").iterdir()
    while partial.stat().st_size < 300:
        await asyncio.sleep(0.01)
    assert (await uploads.look(upload)).offset == 300
    with pytest.raises(UploadBusy):
        await dead
    assert (await uploads.append(upload, 300, body(CONTENT[300:]), None, 700)).is_whole


async def test_who_asks_while_the_rest_of_a_cut_body_is_written_waits_for_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that comes back at once is told what counts, and no thread is at the file or its block by then."""
    uploads = await place.uploads()
    upload = await begin(uploads)
    may_go_on, has_begun = threading.Event(), asyncio.Event()
    loop, write = asyncio.get_running_loop(), Sink.write

    def slow(sink: Sink, fd: int, view: memoryview) -> None:
        loop.call_soon_threadsafe(has_begun.set)
        assert may_go_on.wait(60)
        write(sink, fd, view)

    monkeypatch.setattr(Sink, "write", slow)
    dead = asyncio.create_task(uploads.append(upload, 0, body(CONTENT[:300], is_cut=True), None, len(CONTENT)))
    await has_begun.wait()
    asked = asyncio.create_task(uploads.look(upload))
    # Whoever was cut off without waiting for its thread would be gone after so many turns of the loop.
    for _ in range(100):
        await asyncio.sleep(0)
    is_over = (asked.done(), dead.done())
    may_go_on.set()
    assert (is_over, (await asked).offset) == ((False, False), 300)
    with pytest.raises(UploadBusy):
        await dead


async def test_who_puts_a_file_in_place_is_not_cut_off(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes meanwhile waits for it, is told that it is busy, and later that it is whole."""
    uploads = await place.uploads()
    upload = await begin(uploads)
    may_go_on, has_begun = asyncio.Event(), asyncio.Event()
    put_in_place = Partials.put_in_place

    async def slow(*arguments: object) -> object:
        has_begun.set()
        await may_go_on.wait()
        return await put_in_place(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Partials, "put_in_place", slow)
    monkeypatch.setattr(service, "BUSY_S", 0.05)
    last = asyncio.create_task(uploads.append(upload, 0, body(CONTENT), None, len(CONTENT)))
    await has_begun.wait()
    with pytest.raises(UploadBusy):
        await uploads.look(upload)
    may_go_on.set()
    assert (await last).is_whole
    assert (await uploads.look(upload)).is_whole


async def test_an_upload_that_nobody_goes_on_with_is_removed_a_day_after_its_last_byte(place: Place) -> None:
    """And not before: each piece counts anew."""
    uploads = await place.uploads()
    upload = await begin(uploads)
    place.clock.advance(timedelta(hours=23).total_seconds())
    await uploads.append(upload, 0, body(CONTENT[:300]), None, 300)
    place.clock.advance(KEPT_FOR.total_seconds() - 1)
    await uploads.sweep()
    assert (await uploads.look(upload)).offset == 300
    place.clock.advance(1)
    await uploads.sweep()
    assert (place.names(), place.records()) == (set(), [])
    with pytest.raises(UploadNotFound):
        await uploads.look(upload)


async def test_an_upload_whose_time_ran_out_while_no_agent_ran_is_removed(place: Place) -> None:
    """By the record on disk."""
    upload = await begin(await place.uploads())
    place.clock.advance(KEPT_FOR.total_seconds())
    uploads = await place.uploads()
    await uploads.sweep()
    assert (place.names(), place.records()) == (set(), [])
    with pytest.raises(UploadNotFound):
        await uploads.look(upload)


async def test_an_upload_that_is_whole_is_known_for_an_hour_by_any_agent(place: Place) -> None:
    """Who did not hear the last answer may ask, or send nothing at the end again; then it is forgotten."""
    uploads = await place.uploads()
    upload = await begin(uploads)
    await uploads.append(upload, 0, body(CONTENT), None, len(CONTENT))
    uploads = await place.uploads()
    await uploads.sweep()
    assert (await uploads.look(upload)).offset == len(CONTENT)
    assert (await uploads.append(upload, len(CONTENT), body(), None, 0)).is_whole
    assert await uploads.rows() == []
    place.clock.advance(WHOLE_KEPT_FOR.total_seconds())
    await uploads.sweep()
    assert (place.names(), place.records()) == ({"a.bin"}, [])
    with pytest.raises(UploadNotFound):
        await uploads.look(upload)


async def test_whole_uploads_that_are_too_many_are_forgotten_oldest_first(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept on disk is bounded, over restarts too."""
    monkeypatch.setattr(service, "MAX_ENDED", 2)
    known: list[str] = []
    while len(known) < 4:
        uploads = await place.uploads()
        asked = Asked(root=None, path="a.bin", size=0, replace=True)
        known.append((await uploads.begin(asked, None, None)).record.id)
        place.clock.advance(1)
        assert len(place.records()) == min(len(known), 2)
    uploads = await place.uploads()
    for upload in known[2:]:
        assert (await uploads.look(upload)).is_whole
    with pytest.raises(UploadNotFound):
        await uploads.look(known[0])


async def test_no_more_are_begun_at_once_than_may_be(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are asked for in one moment; a place that was given up, or not used after all, is had by another."""
    monkeypatch.setattr(service, "MAX_UPLOADS", 3)
    uploads = await place.uploads()
    asked = [Asked(root=None, path=f"{number}.bin", size=10) for number in range(8)]
    found = await asyncio.gather(*(uploads.begin(each, None, None) for each in asked), return_exceptions=True)
    begun = [each for each in found if isinstance(each, service.Progress)]
    assert len(begun) == len(place.names()) == len(place.records()) == 3
    assert sum(isinstance(each, UploadLimit) for each in found) == 5
    await uploads.give_up(begun[0].record.id)
    with pytest.raises(FileRefused):
        await uploads.begin(Asked(root=None, path="nowhere/a.bin", size=10), None, None)
    await uploads.begin(asked[-1], None, None)
    with pytest.raises(UploadLimit):
        await uploads.begin(asked[0], None, None)


async def test_an_upload_whose_file_is_gone_is_forgotten_by_the_next_agent(place: Place) -> None:
    """The customer has removed it; nothing is kept of it for a day."""
    await begin(await place.uploads())
    (partial,) = (place.folder / "workspace").iterdir()
    partial.unlink()
    uploads = await place.uploads()
    await uploads.sweep()
    assert place.records() == []


async def test_a_file_of_the_customers_is_not_taken_for_an_upload_that_is_whole(place: Place) -> None:
    """The partial file was removed, and something of the same size put to its place."""
    uploads = await place.uploads()
    upload = await begin(uploads)
    await uploads.append(upload, 0, body(CONTENT[:300]), None, 300)
    (partial,) = (place.folder / "workspace").iterdir()
    (place.folder / "workspace/a.bin").write_bytes(bytes(len(CONTENT)))
    partial.unlink()
    with pytest.raises(UploadNotFound):
        await uploads.look(upload)
