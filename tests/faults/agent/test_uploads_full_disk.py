"""Files sent to a disk without room, or one that fills half-way, in bytes and in files: told, and nothing is lost."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from component.agent.harness import AgentProcess, end, eventually
from component.agent.test_uploads import MIB, Answer, Sender, noise

pytestmark = [pytest.mark.real("mounts"), pytest.mark.timeout(180)]


@asynccontextmanager
async def small_disk(agent: AgentProcess, options: str) -> AsyncIterator[Sender]:
    """Run an agent whose workspace is a file system of its own; its own folder is on another."""
    sender = Sender(agent)
    await asyncio.to_thread(sender.workspace.mkdir, parents=True)
    await run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(sender.workspace))
    try:
        await agent.start()
        yield sender
    finally:
        await end(agent)
        await run("umount", "--lazy", str(sender.workspace))


async def run(*command: str) -> None:
    """Run a program of the system."""
    await asyncio.to_thread(subprocess.run, command, check=True)


async def grow(sender: Sender, options: str) -> None:
    """Give the disk more room."""
    await run("mount", "-o", f"remount,{options}", str(sender.workspace))


def told(answer: Answer) -> dict[str, object]:
    """Return a refusal's own words."""
    found: dict[str, object] = msgspec.json.decode(answer.body)
    return found


def take_all_files(folder: Path) -> int:
    """Make files until the disk can hold no more; return how many."""
    number = 0
    while True:
        try:
            (folder / f"taken-{number}").touch()
        except OSError:
            return number
        number += 1


async def test_what_is_too_large_is_refused_before_its_first_byte(unstarted: AgentProcess) -> None:
    """With both numbers, for an upload in pieces and for a whole file, and nothing is left of either."""
    async with small_disk(unstarted, "size=2m") as sender:
        for answer in [await sender.create(3 * MIB, path="a"), await sender.put("a", noise(3 * MIB))]:
            assert (answer.status, answer.code) == (507, "no_room_on_disk")
            assert told(answer)["wantedBytes"] == 3 * MIB
            assert told(answer)["freeBytes"] == 2 * MIB
        await sender.nothing_left()
        await grow(sender, "size=8m")
        assert (await sender.put("a", noise(3 * MIB))).status == 201


async def test_a_disk_that_can_hold_no_more_files_is_told_before_the_first_byte(unstarted: AgentProcess) -> None:
    """Though it has bytes enough; once there is one to spare the same is taken."""
    async with small_disk(unstarted, "size=64m,nr_inodes=50") as sender:
        assert await asyncio.to_thread(take_all_files, sender.workspace) > 10
        before = sender.names()
        for answer in [await sender.create(10, path="a"), await sender.put("a", b"0123456789")]:
            assert (answer.status, answer.code) == (507, "no_room_on_disk")
            assert told(answer)["freeFiles"] == 0
        await sender.nothing_left(*before)
        (sender.workspace / "taken-0").unlink()
        assert (await sender.put("a", b"0123456789")).status == 201


async def test_folders_that_a_full_disk_cannot_hold_are_told(unstarted: AgentProcess) -> None:
    """Of a path whose folders are made on the way, the first missing one already takes a file."""
    async with small_disk(unstarted, "size=64m,nr_inodes=50") as sender:
        await asyncio.to_thread(take_all_files, sender.workspace)
        before = sender.names()
        answer = await sender.put("x/y/z", b"z", query="&parents=true")
        assert (answer.code, told(answer)["freeFiles"]) == ("no_room_on_disk", 0)
        await sender.nothing_left(*before)


async def test_an_upload_on_a_disk_that_fills_goes_on_once_there_is_room(unstarted: AgentProcess) -> None:
    """Somebody else took the room after it was looked for: what had come counts, and the whole is what was sent."""
    content = noise(3 * MIB)
    async with small_disk(unstarted, "size=4m") as sender:
        upload = await sender.begin(len(content), path="a")
        filler = sender.workspace / "filler"
        await asyncio.to_thread(filler.write_bytes, bytes(2 * MIB))
        answer = await sender.append(upload, 0, content)
        assert (answer.status, answer.code) == (507, "disk_full")
        offset = await sender.offset(upload)
        assert MIB <= offset <= 2 * MIB
        again = await sender.append(upload, offset, content[offset:])
        assert (again.status, again.code) == (507, "disk_full")
        filler.unlink()
        offset = await sender.offset(upload)
        assert (await sender.append(upload, offset, content[offset:])).status == 204
        assert await asyncio.to_thread((sender.workspace / "a").read_bytes) == content
        await sender.nothing_left("a")


async def test_a_whole_file_on_a_disk_that_fills_leaves_what_was_there(unstarted: AgentProcess) -> None:
    """The old file is as it was, and the room that was taken is given back."""
    async with small_disk(unstarted, "size=4m") as sender:
        await sender.put("a", b"old")
        filler = sender.workspace / "filler"

        async def parts() -> AsyncIterator[bytes]:
            yield noise(MIB)
            await eventually(lambda: any(name.endswith(".zlh-part") for name in sender.names()))
            await asyncio.to_thread(filler.write_bytes, bytes(2 * MIB))
            for _ in range(4):
                yield noise(MIB)

        answer = await sender.put("a", parts())
        assert (answer.status, answer.code) == (507, "disk_full")
        assert (sender.workspace / "a").read_bytes() == b"old"
        await sender.nothing_left("a", "filler")


async def test_long_work_on_a_disk_that_is_full_leaves_nothing(unstarted: AgentProcess) -> None:
    """A copy that does not fit is refused, and what it had copied is gone."""
    async with small_disk(unstarted, "size=4m") as sender:
        (sender.workspace / "tree").mkdir()
        for number in range(3):
            await asyncio.to_thread((sender.workspace / f"tree/{number}").write_bytes, noise(MIB))
        answer = await sender.call("POST", "/files/copy", json={"path": "tree", "to": "new"})
        assert (answer.status, answer.code) == (507, "disk_full")
        await sender.nothing_left("tree")
