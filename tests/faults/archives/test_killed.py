"""A child that is killed at any moment: what was there is there, each file old or new, and one hidden name is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Awaitable
from pathlib import Path

import pytest

from component.archives.harness import PARTIAL, STAGING, Odd, Workshop, write_archive
from zlh_common.schema.file_refusals import FilesUnavailable
from zlh_common.trees import delete_tree

pytestmark = pytest.mark.timeout(180)
MOMENTS = 50
FILES = 150
OLD, NEW = "old " * 500, "new " * 600


def children() -> set[int]:
    """Return the pids of what this process has started."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


async def killed_after(work: Awaitable[object], delay_s: float) -> bool:
    """Kill the child of some work after a while; tell whether that ended the work."""
    before = await asyncio.to_thread(children)
    task = asyncio.ensure_future(work)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(delay_s):
            await asyncio.shield(task)
    for pid in await asyncio.to_thread(children) - before:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
    try:
        await task
    except FilesUnavailable:
        return True
    return False


def whole_files(folder: Path) -> set[str]:
    """Return the texts of all files; each is whole."""
    return {path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", ["zip", "tar.gz", "tar.zst"])
async def test_unpacking_that_is_killed_leaves_old_or_new(workshop: Workshop, form: str) -> None:
    """At fifty moments: a new place is whole or free, and a folder that is merged into holds whole files."""
    entries = [Odd(f"d{number % 7}/f{number}", content=NEW.encode()) for number in range(FILES)]
    write_archive(workshop.folder / "good", form, entries)
    chance = random.Random(27)
    killed = 0
    for moment in range(MOMENTS):
        merged = moment % 2 == 1
        to = workshop.folder / "new"
        if merged:
            for number in range(0, FILES, 2):
                path = to / f"d{number % 7}/f{number}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(OLD)
        workshop.own()
        killed += await killed_after(
            workshop.unpack("good", to.name, "replace" if merged else "refuse"), chance.uniform(0.02, 0.25)
        )
        if merged:
            texts = whole_files(to)
            assert texts <= {OLD, NEW}
            assert len([path for path in to.rglob("f*") if path.is_file()]) >= FILES / 2
        elif to.exists():
            assert len([path for path in to.rglob("f*") if path.is_file()]) == FILES
            assert whole_files(to) == {NEW}
        left = {path.name for path in workshop.folder.iterdir() if path.name.startswith(".")}
        assert left <= {STAGING}
        for name in {*left, "new"}:
            await asyncio.to_thread(delete_tree, workshop.folder / name)
    assert killed > 0


async def test_packing_that_is_killed_leaves_what_was_there(workshop: Workshop) -> None:
    """At fifty moments: the archive of before or the new one, and one hidden name."""
    (workshop.folder / "tree").mkdir()
    for number in range(100):
        (workshop.folder / f"tree/{number}").write_bytes(os.urandom(20_000))
    workshop.own()
    await workshop.pack("tree", form="zip", to="whole")
    whole = (workshop.folder / "whole").read_bytes()
    (workshop.folder / "made").write_text("old")
    chance = random.Random(28)
    killed = 0
    for _ in range(MOMENTS):
        killed += await killed_after(
            workshop.pack("tree", form="zip", to="made", replace=True), chance.uniform(0.02, 0.2)
        )
        assert (workshop.folder / "made").read_bytes() in {b"old", whole}
        (workshop.folder / PARTIAL).unlink(missing_ok=True)
    assert killed > 0
