"""Installs on a disk that has no room, or runs out of it half-way, in bytes and in files: told, undone, tried again."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from component.agent.harness import AgentProcess, end, eventually, step
from fakes.artifact_origin import ArtifactOrigin, Fault
from fakes.runtime_shop import RuntimeShop, member, noise, program
from zlh_agent.runtimes.installing import disk_room
from zlh_agent.runtimes.installing.disk_room import RESERVE_BYTES
from zlh_common.schema.status import StepState

pytestmark = [pytest.mark.real("mounts"), pytest.mark.timeout(120)]
MIB = 1024 * 1024
# Where it is told to install, and has less room than its reserve: it would not begin.
SMALL_BYTES = RESERVE_BYTES - MIB


@asynccontextmanager
async def small_disk(agent: AgentProcess, options: str) -> AsyncIterator[None]:
    """Run an agent whose runtimes lie on a file system of their own."""
    await asyncio.to_thread(agent.runtimes.mkdir, parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(agent.runtimes)]
    await asyncio.to_thread(subprocess.run, mount, check=True)
    try:
        await agent.start()
        yield
    finally:
        await end(agent)
        await asyncio.to_thread(subprocess.run, ["umount", "--lazy", str(agent.runtimes)], check=True)


async def grow(agent: AgentProcess, options: str) -> None:
    """Give the disk more room."""
    await asyncio.to_thread(subprocess.run, ["mount", "-o", f"remount,{options}", str(agent.runtimes)], check=True)


def files(shop: RuntimeShop, version: str, count: int, size: int) -> None:
    """Offer a version with so many more files of that size."""
    shop.add(version, members=[program(version), *(member(f"d/{n}", noise(size, str(n))) for n in range(count))])


async def told_full(agent: AgentProcess) -> str:
    """Wait until the step says that there is no room; return its words."""
    status = await agent.until(lambda seen: step(seen).state is StepState.FAILED)
    assert step(status).code == "disk_full"
    return step(status).message or ""


@pytest.mark.parametrize(
    ("little", "much", "word"),
    [(f"size={SMALL_BYTES}", "size=256m", "bytes"), ("size=256m,nr_inodes=900", "size=256m,nr_inodes=0", "files")],
)
async def test_a_disk_without_room_is_told_before_anything_is_fetched(
    little: str, much: str, word: str, *, unstarted: AgentProcess, origin: ArtifactOrigin, shop: RuntimeShop
) -> None:
    """With the numbers; once there is room it installs by itself."""
    async with small_disk(unstarted, little):
        await unstarted.want(("tiny", "1.0"))
        assert word in await told_full(unstarted)
        assert origin.ranges(shop.path("1.0")) == []
        assert unstarted.leftovers() == []
        await grow(unstarted, much)
        assert step(await unstarted.settled()).state is StepState.DONE
        assert unstarted.current() == "1.0"


@pytest.mark.parametrize("what", ["bytes", "files"])
async def test_a_disk_that_fills_half_way_is_told_and_nothing_is_left(
    what: str, unstarted: AgentProcess, origin: ArtifactOrigin, shop: RuntimeShop
) -> None:
    """Somebody else took the room after it was looked for; the version before goes on, and the new one comes later."""
    files(shop, "3.0", 400, 20_000)
    await asyncio.to_thread(shop.publish)
    async with small_disk(unstarted, "size=96m,nr_inodes=4000"):
        await unstarted.want(("tiny", "1.0"))
        assert step(await unstarted.settled()).state is StepState.DONE
        origin.misbehave(shop.path("3.0"), Fault(stall_after=1000))
        await unstarted.want(("tiny", "3.0"))
        await eventually(origin.is_stalling.is_set)
        await origin.stop()
        await asyncio.to_thread(_fill, unstarted.runtimes, what)
        await origin.start()
        message = await told_full(unstarted)
        assert "free" in message
        assert (unstarted.current(), unstarted.leftovers()) == ("1.0", [])
        assert not (unstarted.runtimes / "tiny/3.0").exists()
        await asyncio.to_thread(_empty, unstarted.runtimes)
        assert step(await unstarted.settled()).state is StepState.DONE
        assert (unstarted.current(), unstarted.leftovers()) == ("3.0", [])


def _fill(folder: Path, what: str) -> None:
    """Leave room for a little of what is to come, and for no more."""
    aside = folder / ".filler"
    aside.mkdir()
    room = disk_room.read_room(folder)
    if what == "bytes":
        (aside / "big").write_bytes(bytes(room.size - 2 * MIB))
    else:
        for number in range((room.files or 0) - 50):
            (aside / str(number)).touch()


def _empty(folder: Path) -> None:
    for path in (folder / ".filler").iterdir():
        path.unlink()
