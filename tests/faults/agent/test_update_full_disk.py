"""A disk that fills up at each step of an update: the former version goes on, says why, and takes it with room again.

The whole container lies on a small file system. It is filled to its last byte and its last file, at each thing that the
agent tells on its way and before each file operation of its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from component.agent.harness import eventually
from component.agent.update_harness import FIRST, SECOND, Container, Engine, make_container
from fakes.agent_bundles import Bundle
from fakes.artifact_origin import ArtifactOrigin
from fakes.runtime_shop import RuntimeShop
from zlh_agent import launcher
from zlh_agent.launcher import PROVING
from zlh_agent.runtimes.installing import disk_room
from zlh_agent.update.errors import AgentUpdateNotKept
from zlh_common.schema.agent_update import AgentUpdate, AgentUpdateState, StartAgentUpdate

pytestmark = [pytest.mark.real("mounts"), pytest.mark.timeout(600)]
STATE = AgentUpdateState
FILES, BLOCK_BYTES = 6000, 4096
# What the file system has beside what an install leaves free for others.
ROOM_BYTES = 32 * 1024 * 1024
# What may need room, as an audit hook hears of it; of files that are opened, those that are opened to be written.
_EVENTS = {"open", "os.rename", "os.mkdir", "os.symlink"}
_WRITING = os.O_WRONLY | os.O_RDWR
# What `_watch` is to call: an audit hook stays for as long as its process.
_listeners: list[Callable[[str, str], None]] = []


class Filler:
    """Takes all room of a file system, and gives it back."""

    def __init__(self, disk: Path) -> None:
        self._folder = disk / "filling"
        self._folder.mkdir()
        self.is_full = False

    def fill(self) -> None:
        """Leave not a byte and not a file."""
        with suppress(OSError), (self._folder / "bytes").open("ab") as file:
            room = disk_room.read_room(self._folder).size
            subprocess.run(["fallocate", "--length", str(room), file.name], check=False, stderr=subprocess.DEVNULL)
        with suppress(OSError), (self._folder / "bytes").open("ab", buffering=0) as file:
            while file.write(bytes(BLOCK_BYTES)):
                pass
        with suppress(OSError):
            for number in range(FILES):
                (self._folder / str(number)).touch()
        self.is_full = True

    def empty(self) -> None:
        """Give all of it back."""
        for path in self._folder.iterdir():
            path.unlink()
        self.is_full = False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Lend a small file system."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = disk_room.RESERVE_BYTES + ROOM_BYTES
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes={FILES}", "tmpfs", str(folder)], check=True
    )  # fmt: skip
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
async def container(disk: Path, tmp_path: Path) -> AsyncIterator[Container]:
    """Lend a container on that disk whose agent is FIRST, and a shop elsewhere that offers SECOND."""
    shop = RuntimeShop(tmp_path / "shop")
    await asyncio.to_thread(Bundle(SECOND).offer, shop)
    await asyncio.to_thread(shop.publish)
    async with ArtifactOrigin(shop.tree) as origin:
        yield await asyncio.to_thread(make_container, disk / "root", shop, origin)


@pytest.fixture
def filler(disk: Path) -> Filler:
    """Return what fills the disk."""
    return Filler(disk)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon what may pass."""
    monkeypatch.setattr("zlh_agent.update.service.TRIES", 2)
    monkeypatch.setattr("zlh_agent.update.service.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("zlh_agent.update.service.KEEP_PAUSE_S", 0.05)
    monkeypatch.setattr("zlh_agent.update.service.TIDY_PAUSE_S", 0.05)


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if _listeners and event in _EVENTS and (event != "open" or args[2] & _WRITING):
        for listener in tuple(_listeners):
            listener(event, " ".join(map(str, args)))


@cache
def _lay_hook() -> None:
    sys.addaudithook(_hear)


@contextmanager
def filled_before(step: int, filler: Filler, folder: Path) -> Iterator[list[str]]:
    """Fill the disk before the n-th file operation below a folder; yields what has been done there."""
    _lay_hook()
    seen: list[str] = []

    def listen(event: str, args: str) -> None:
        if str(folder) in args and "/filling" not in args:
            seen.append(f"{event} {args}")
            if len(seen) == step:
                filler.fill()

    _listeners.append(listen)
    try:
        yield seen
    finally:
        _listeners.remove(listen)


def check_told(engine: Engine) -> None:
    """It has failed, and the disk is said to be the reason."""
    update = engine.service.report().update
    assert update is not None
    assert (update.state, update.version) == (STATE.FAILED, SECOND), engine.seen
    assert update.code in {"disk_full", "agent_switch_failed"}, update
    assert "free" in (update.message or "") or "No space left" in (update.message or "")


async def check_tidy(container: Container) -> None:
    """Nothing of what was begun lies there."""
    assert await container.versions() == [FIRST]
    assert not list(container.folder.glob("downloads/*"))
    assert not list(container.folder.rglob("*.new"))


async def test_a_full_disk_at_the_order_is_told_to_who_gives_it(container: Container, filler: Filler) -> None:
    """507, nothing is begun, and the same order is taken once there is room."""
    async with container.engine() as engine:
        await asyncio.to_thread(filler.fill)
        with pytest.raises(AgentUpdateNotKept):
            await engine.service.start(StartAgentUpdate(version=SECOND))
        assert engine.service.report().update is None
        await asyncio.to_thread(filler.empty)
    assert (await container.update(SECOND)).state is STATE.DONE


async def test_a_disk_that_fills_while_a_version_is_prepared(container: Container, filler: Filler) -> None:
    """At each thing that is told on the way, to the last byte and file; then once more, with room."""
    failed = 0
    while await fails_when_filled(failed + 1, container, filler):
        failed += 1
        # What was told outlives the agent, since it was kept as soon as there was room.
        async with container.engine() as engine:
            assert await engine.settled()
            check_told(engine)
    assert failed >= 5
    await asyncio.to_thread(filler.empty)
    assert (await container.settle()).state is STATE.DONE


async def fails_when_filled(at: int, container: Container, filler: Filler) -> bool:
    """Order SECOND and fill the disk at the n-th thing that is told of it; return whether it failed, and was told."""
    async with container.engine() as engine:

        def fill(_update: AgentUpdate) -> None:
            if len(engine.seen) == at:
                threading.Thread(target=filler.fill).start()
                # The agent stands still meanwhile: on a busy machine it would be done before the disk is full.
                while not filler.is_full:
                    os.sched_yield()

        engine.on_told = fill
        await engine.service.start(StartAgentUpdate(version=SECOND, attempt=at))
        await eventually(lambda: engine.has_left.is_set() or is_over(engine), explain=lambda: repr(engine.seen))
        if engine.has_left.is_set():
            return False
        await check_stays(container, engine, filler)
        return True


async def check_stays(container: Container, engine: Engine, filler: Filler) -> None:
    """The former version goes on and says why on the full disk; with room, what was begun is taken away."""
    check_told(engine)
    assert (filler.is_full, await container.current()) == (True, FIRST)
    await asyncio.to_thread(filler.empty)
    assert await engine.settled()
    await check_tidy(container)


def is_over(engine: Engine) -> bool:
    """Tell whether the update is told to have its end."""
    update = engine.service.report().update
    return update is not None and update.finished_at is not None


async def test_a_disk_that_fills_before_any_file_operation_of_the_former_version(
    container: Container, filler: Filler
) -> None:
    """It stays and says why, or has switched to a version that can be undone without any room."""
    step, stayed, switched = 0, 0, 0
    while True:
        step += 1
        # As the launcher does at each start.
        await asyncio.to_thread(launcher.reserve, container.folder)
        with filled_before(step, filler, container.root):
            async with container.engine() as engine:
                try:
                    await engine.service.start(StartAgentUpdate(version=SECOND, attempt=step))
                except AgentUpdateNotKept:
                    assert filler.is_full
                    await asyncio.to_thread(filler.empty)
                    continue
                await eventually(lambda: engine.has_left.is_set() or is_over(engine), explain=lambda: repr(engine.seen))
                if not engine.has_left.is_set():
                    stayed += 1
                    await check_stays(container, engine, filler)
                    continue
        if not filler.is_full:
            break
        switched += 1
        await check_undone(container, filler)
    assert stayed >= 3, (step, stayed, switched)
    assert (await container.settle()).state is STATE.DONE


async def check_undone(container: Container, filler: Filler) -> None:
    """It is on trial, and the full disk does not keep anybody from going back."""
    state = await container.state()
    assert (await container.current(), state.phase, state.former) == (SECOND, PROVING, FIRST)
    await asyncio.to_thread(launcher.undo, container.folder, container.bundles, code="agent_update_ended", message=".")
    assert await container.current() == FIRST
    await asyncio.to_thread(filler.empty)
    assert (await container.settle()).state is STATE.UNDONE


async def test_a_disk_that_fills_before_any_file_operation_of_the_new_version(
    container: Container, filler: Filler, tmp_path: Path
) -> None:
    """It is accepted all the same; what it has not placed and taken away follows once there is room."""
    async with container.engine() as engine:
        await engine.service.start(StartAgentUpdate(version=SECOND))
        assert not await engine.settled()
    # As the launcher does at each start.
    await asyncio.to_thread(launcher.reserve, container.folder)
    pristine = tmp_path / "pristine"
    await asyncio.to_thread(copy, container.root, pristine)
    step = 0
    while True:
        step += 1
        with filled_before(step, filler, container.root):
            async with container.engine() as engine:
                await eventually(
                    lambda: engine.is_at_rest() or (filler.is_full and is_over(engine)),
                    explain=lambda: repr(engine.seen),
                )
                was_full = filler.is_full
                if was_full:
                    await asyncio.to_thread(filler.empty)
                assert await engine.settled()
        assert [update.state for update in engine.seen][-1] is STATE.DONE
        brought = container.bundles / SECOND / "system/launcher.py"
        assert (container.bundles / "launcher.py").read_bytes() == brought.read_bytes()
        assert (await container.versions(), await container.current()) == ([FIRST, SECOND], SECOND)
        if not was_full:
            break
        await asyncio.to_thread(shutil.rmtree, container.root)
        await asyncio.to_thread(copy, pristine, container.root)
    assert step > 6


def copy(source: Path, target: Path) -> None:
    """Copy a tree with its links."""
    shutil.copytree(source, target, symlinks=True)
