"""An agent killed before and after each of its writes, of an upload and of long work: old or new, and nothing hidden.

The acts are counted: what the agent does in its own folder, each call that has a child write, before it is sent, after
that and after its answer, and each block that the agent itself writes.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import sys
import tarfile
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol

from fakes.clock import FakeClock
from fakes.doomed import Act, run_doomed
from zlh_agent.archives.service import Archives
from zlh_agent.files.blocks import Blocks
from zlh_agent.files.link import FileLink, FilePlace
from zlh_agent.files.long_work import LongWork
from zlh_agent.files.model import Answer, Request
from zlh_agent.files.operations import About, OperationService
from zlh_agent.files.roots import OfferedRoot, Roots
from zlh_agent.files.staging_store import StagingStore
from zlh_agent.uploads.bodies import OpenBody
from zlh_agent.uploads.model import Asked, PieceChecksum
from zlh_agent.uploads.partials import Partials
from zlh_agent.uploads.puts import PutService
from zlh_agent.uploads.rules import WHOLE_KEPT_FOR
from zlh_agent.uploads.service import UploadService
from zlh_agent.uploads.store import UploadStore
from zlh_agent.uploads.stream_body import StreamBody
from zlh_common.schema.files import OperationKind, OperationState, Overwrite

pytestmark = pytest.mark.timeout(300)
WRITING = {"make-partial", "append", "place", "remove-if-there", "copy-tree", "remove-tree", "unpack"}
EVENTS = {"os.rename", "os.remove", "os.truncate"}
OLD, NEW = b"old" * 1000, bytes(range(256)) * 40
HALF = len(NEW) // 2


@dataclass(frozen=True)
class Ground:
    """A customer's folder, and the agent's own beside it."""

    folder: Path

    @property
    def workspace(self) -> Path:
        """The customer's."""
        return self.folder / "workspace"

    @property
    def state(self) -> Path:
        """The agent's."""
        return self.folder / "state"

    @property
    def told(self) -> Path:
        """What the client of an upload has heard: its id."""
        return self.folder / "told"

    def names(self) -> list[str]:
        """Return what stands in the workspace, hidden things too."""
        return sorted(path.name for path in self.workspace.iterdir())

    def kept(self) -> list[str]:
        """Return what the agent keeps on disk."""
        return sorted(path.name for path in self.state.rglob("*") if path.is_file())

    def place(self) -> OfferedRoot:
        """Return the workspace as an agent offers it."""
        return OfferedRoot("workspace", "/workspace", FilePlace(str(self.workspace), None))


@pytest.fixture
def grounds(tmp_path: Path) -> Callable[[int], Ground]:
    """Return how to make a ground for each kill."""

    def make(number: int) -> Ground:
        ground = Ground(tmp_path / f"at-{number}")
        ground.workspace.mkdir(parents=True)
        ground.state.mkdir()
        return ground

    return make


def count_acts(ground: Ground, act: Act) -> None:
    """Have every write of this process counted; it is one that a test has forked, and ends with it."""
    state, exchange, wait, pwrite = str(ground.state), FileLink._exchange, FileLink._wait_for_answer, os.pwrite

    def hear(event: str, args: tuple[Any, ...]) -> None:
        is_write = event in EVENTS or (event == "open" and isinstance(args[2], int) and args[2] & os.O_CREAT)
        if is_write and (event == "os.truncate" or any(state in str(arg) for arg in args)):
            act()

    async def counted(link: FileLink, request: Request, *rest: Any, **more: Any) -> tuple[Answer, list[int]]:
        if request.call not in WRITING:
            return await exchange(link, request, *rest, **more)
        act()
        link.is_writing = True  # type: ignore[attr-defined]
        answer = await exchange(link, request, *rest, **more)
        act()
        return answer

    async def waited(link: FileLink, *rest: Any) -> tuple[Answer, list[int]]:
        # The child may have done all of it by now, a part or nothing.
        if link.__dict__.pop("is_writing", False):
            act()
        return await wait(link, *rest)

    def written(*args: Any) -> int:
        act()
        done = pwrite(*args)
        act()
        return done

    FileLink._exchange = counted  # type: ignore[method-assign, assignment]
    FileLink._wait_for_answer = waited  # type: ignore[method-assign, assignment]
    os.pwrite = written
    sys.addaudithook(hear)


def run(ground: Ground, work: Callable[[Ground], Coroutine[Any, Any, None]], kill_at: int = 0) -> bool:
    """Run some work of an agent in a process of its own; tell whether it got to its end."""

    def doomed(act: Act) -> None:
        if kill_at:
            count_acts(ground, act)
        asyncio.run(work(ground))

    return run_doomed(doomed, kill_at)


# ── uploads ──


@asynccontextmanager
async def taking(ground: Ground, clock: FakeClock) -> AsyncIterator[tuple[UploadService, PutService]]:
    """Lend what takes files, once it has done what an agent does when it starts."""
    roots = Roots([ground.place()])
    with ThreadPoolExecutor(2) as threads:
        partials, blocks = Partials(roots, UploadStore(ground.state / "uploads"), threads), Blocks()
        uploads = UploadService(roots, partials, clock, blocks)
        await uploads.load()
        await uploads.sweep()
        try:
            yield uploads, PutService(roots, partials, clock, blocks)
        finally:
            await uploads.close()
            await roots.close()


def body(content: bytes) -> OpenBody:
    """Return a body that has come."""
    loop = asyncio.get_running_loop()
    reader = StreamReader(BaseProtocol(loop), 2**20, loop=loop)
    reader.feed_data(content)
    reader.feed_eof()
    return lambda blocks, silence_s: StreamBody(reader, blocks, silence_s=silence_s)


ASKED = Asked(root=None, path="a.bin", size=len(NEW), replace=True)


async def send_in_pieces(ground: Ground) -> None:
    """Send an upload in two pieces, the second with a checksum."""
    async with taking(ground, FakeClock()) as (uploads, _):
        upload = (await uploads.begin(ASKED, None, None)).record.id
        ground.told.write_text(upload)
        await uploads.append(upload, 0, body(NEW[:HALF]), None, HALF)
        checksum = PieceChecksum("sha256", hashlib.sha256(NEW[HALF:]).digest())
        await uploads.append(upload, HALF, body(NEW[HALF:]), checksum, len(NEW) - HALF)


async def go_on(ground: Ground) -> None:
    """Do as the client does once the agent is there again; nothing is kept an hour later."""
    clock = FakeClock()
    async with taking(ground, clock) as (uploads, _):
        if ground.told.exists():
            # It is never told that there is no such upload: it would begin anew, and overwrite what it has sent.
            upload = ground.told.read_text()
            offset = (await uploads.look(upload)).offset
            done = await uploads.append(upload, offset, body(NEW[offset:]), None, len(NEW) - offset)
            assert done.is_whole
            assert (await uploads.look(upload)).is_whole
        else:
            for row in await uploads.rows():
                await uploads.give_up(row.id)
        assert await uploads.rows() == []
        clock.advance(WHOLE_KEPT_FOR.total_seconds())
        await uploads.sweep()
        assert ground.kept() == []


def test_an_upload_goes_on_wherever_its_agent_is_killed(grounds: Callable[[int], Ground]) -> None:
    """The file is the old one or the new one at any time, and the new one once the client has gone on."""
    kills, heard = 0, 0
    while True:
        ground = grounds(kills)
        (ground.workspace / "a.bin").write_bytes(OLD)
        if run(ground, send_in_pieces, kills + 1):
            break
        kills += 1
        assert (ground.workspace / "a.bin").read_bytes() in {OLD, NEW}, kills
        assert run(ground, go_on)
        heard += ground.told.exists()
        assert (ground.workspace / "a.bin").read_bytes() == (NEW if ground.told.exists() else OLD), kills
        assert ground.names() == ["a.bin"], kills
    assert kills > 25
    assert 10 < heard < kills


async def put(ground: Ground) -> None:
    """Send a whole file."""
    async with taking(ground, FakeClock()) as (_, puts):
        await puts.put(ASKED, body(NEW))


async def start_anew(ground: Ground) -> None:
    """Do what an agent does when it starts."""
    async with taking(ground, FakeClock()):
        assert ground.kept() == []


def test_a_whole_file_is_there_or_not_wherever_its_agent_is_killed(grounds: Callable[[int], Ground]) -> None:
    """And the next start leaves nothing beside it."""
    kills, seen = 0, set[bytes]()
    while True:
        ground = grounds(kills)
        (ground.workspace / "a.bin").write_bytes(OLD)
        if run(ground, put, kills + 1):
            break
        kills += 1
        assert run(ground, start_anew)
        seen.add((ground.workspace / "a.bin").read_bytes())
        assert ground.names() == ["a.bin"], kills
    assert kills > 12
    assert seen == {OLD, NEW}


# ── long work ──


@asynccontextmanager
async def working(ground: Ground) -> AsyncIterator[tuple[OperationService, LongWork]]:
    """Lend what does long work, once what was left is swept."""
    roots, store = Roots([ground.place()]), StagingStore(ground.state / "operations")
    work = LongWork(roots, Archives(roots))
    operations = OperationService(FakeClock(), store, work.sweep, wait_s=600)
    await operations.load()
    sweeping = asyncio.create_task(operations.run())
    try:
        while ground.kept():
            await asyncio.sleep(0.01)
        yield operations, work
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])
        await operations.close()
        await roots.close()


async def copy(ground: Ground) -> None:
    """Copy a tree to a place that is free."""
    async with working(ground) as (operations, work):
        about = About(OperationKind.COPY, "workspace", "tree", "new", staging=".token.zlh-staging")
        done = work.copy("workspace", "tree", "new", staging=".token.zlh-staging", overwrite=Overwrite.REFUSE)
        assert (await operations.start(about, done)).state is OperationState.DONE


async def extract(ground: Ground) -> None:
    """Unpack an archive to a place that is free."""
    async with working(ground) as (operations, work):
        about = About(OperationKind.EXTRACT, "workspace", "tree.tar.gz", "new", staging=".token.zlh-staging")
        done = work.unpack("workspace", "tree.tar.gz", "new", staging=".token.zlh-staging", overwrite=Overwrite.REFUSE)
        assert (await operations.start(about, done)).state is OperationState.DONE


async def sweep(ground: Ground) -> None:
    """Start, and see what was left be swept; it is told as interrupted."""
    was_left = any((ground.state / "operations").glob("*.json"))
    async with working(ground) as (operations, _):
        assert [row.state for row in operations.rows()] == [OperationState.INTERRUPTED] * was_left


def make_tree(ground: Ground) -> dict[str, bytes]:
    """Make a tree and its archive; return its files by their paths."""
    files = {f"d{number % 5}/{number}": bytes([number]) * 50_000 for number in range(40)}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in files.items():
            path = ground.workspace / "tree" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            tar.add(path, name)
    (ground.workspace / "tree.tar.gz").write_bytes(archive.getvalue())
    return files


@pytest.mark.parametrize("work", [copy, extract])
def test_long_work_is_done_or_undone_wherever_its_agent_is_killed(
    work: Callable[[Ground], Coroutine[Any, Any, None]], grounds: Callable[[int], Ground]
) -> None:
    """What it makes is whole or not there, nothing is left beside it, and the same once more is done."""
    kills, seen = 0, set[bool]()
    while True:
        ground = grounds(kills)
        files = make_tree(ground)
        if run(ground, work, kills + 1):
            break
        kills += 1
        assert run(ground, sweep)
        new = ground.workspace / "new"
        assert set(ground.names()) == {"tree", "tree.tar.gz", *(["new"] if new.exists() else [])}, kills
        seen.add(new.exists())
        if not new.exists():
            assert run(ground, work)
        assert {str(path.relative_to(new)): path.read_bytes() for path in new.rglob("*") if path.is_file()} == files
    assert kills >= 6
    assert seen == {True, False}
