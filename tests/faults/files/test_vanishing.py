"""A folder that goes, or becomes something else, at every moment of work on it: told, bounded, and nothing left behind.

Real children stand still before each of their calls to the kernel; there the customer's other program acts.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from component.archives.harness import Odd, contents_of, write_archive
from fakes.hostile_files import SECRET, Ground
from fakes.paused_child import meet, paused_command
from zlh_agent.archives import service as archive_service
from zlh_agent.archives.service import ArchiveLink
from zlh_agent.files.calls import Files
from zlh_agent.files.link import FileLink, FilePlace
from zlh_agent.files.model import Request
from zlh_agent.files.refusals import (
    FILE_CHANGED,
    FILE_EXISTS,
    FOLDER_NOT_EMPTY,
    INTO_ITSELF,
    IS_A_FOLDER,
    NOT_A_FOLDER,
    PATH_BUSY,
    PATH_NOT_FOUND,
    PATH_OUTSIDE,
    TOO_MANY_LINKS,
)
from zlh_agent.files.told import Outcome
from zlh_agent.sandbox.launch import bare_child
from zlh_common.schema.file_refusals import FileRefused

pytestmark = pytest.mark.timeout(600)
Act = Callable[[Path], None]
STAGING = ".s.zlh-staging"
NAMES = ("a/1", "m/x/1", "m/x/2", "m/y", "z")
# What may be said of what is not any more what it was.
CLEAR = {
    FILE_CHANGED, FILE_EXISTS, FOLDER_NOT_EMPTY, INTO_ITSELF, IS_A_FOLDER, NOT_A_FOLDER, PATH_BUSY, PATH_NOT_FOUND,
    PATH_OUTSIDE,
    TOO_MANY_LINKS,
}  # fmt: skip


def remove(folder: Path) -> None:
    """Remove it with all that is in it."""
    shutil.rmtree(folder)


def move_away(folder: Path) -> None:
    """Give it another name elsewhere."""
    folder.rename(folder.parent.parent / "away")


def become_a_link(folder: Path) -> None:
    """Put a link that leads out in its place."""
    move_away(folder)
    folder.symlink_to("../../outside/folder")


def become_a_file(folder: Path) -> None:
    """Put a file in its place."""
    move_away(folder)
    folder.write_text("a file")


def do_to(folder: Path, act: Act) -> None:
    """Act on a folder, unless the child was the first who has removed it."""
    if folder.is_dir():
        act(folder)


ACTS: tuple[Act, ...] = (remove, move_away, become_a_link, become_a_file)
Work = Callable[[Files], Coroutine[Any, Any, object]]


def make_trees(ground: Ground) -> None:
    """Make the root anew: a tree, another of the same names with other content, and an archive of such."""
    for path in ground.inside.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for tree in ("tree", "there"):
        for name in NAMES:
            (ground.inside / tree / name).parent.mkdir(parents=True, exist_ok=True)
            (ground.inside / tree / name).write_text(f"of {tree}")
    write_archive(ground.inside / "packed", "tar", [Odd(name, content=b"of packed") for name in NAMES])
    ground.own()


def check(ground: Ground, result: object) -> None:
    """Hold a result to what may be told, and the ground to what may be left."""
    if isinstance(result, FileRefused):
        assert result.code in CLEAR, result
    elif isinstance(result, BaseException):
        raise result
    elif isinstance(result, Outcome):
        assert {skipped.code for skipped in result.skipped} <= CLEAR
    assert ground.is_untouched()
    assert [path.name for path in ground.inside.rglob("*.zlh-*")] == []
    for path in ground.inside.rglob("*"):
        if path.is_file() and not path.is_symlink():
            held = contents_of(path) if path.name == "made" else {path.read_bytes()}
            assert SECRET.encode() not in held


def check_nothing_lost(folder: Path, result: object) -> None:
    """Whatever is not where it was to go was told, by its path or by that of a folder above."""
    if isinstance(result, Outcome):
        told = {skipped.path for skipped in result.skipped}
        for name in NAMES:
            above = {str(path) for path in (Path(name), *Path(name).parents)}
            path = folder / name
            # What was put in place before the act is where that has moved it, or has gone with it.
            is_there = path.is_file() or not folder.joinpath("m").is_dir() or folder.joinpath("m").is_symlink()
            assert told & above or is_there, (name, told)


@asynccontextmanager
async def paused(ground: Ground, call: str) -> AsyncIterator[Files]:
    """Lend files by a child that stands still at each moment of this call, one after the other."""
    command = paused_command(bare_child("zlh_agent.files.child", "zlh-files"), call)
    link = await FileLink.start(FilePlace(str(ground.inside), ground.own()), command=command)
    try:
        yield Files(link)
    finally:
        await link.end()


async def every_moment(ground: Ground, call: str, work: Work, victim: str, acts: Sequence[Act]) -> int:
    """Do some work with an act at each of its moments, one act after the other; return how many moments there were."""
    moments = 0
    async with paused(ground, call) as files:
        while True:
            make_trees(ground)
            met, result = await meet(
                files.link.pid, work(files), partial(do_to, ground.inside / victim, acts[moments % len(acts)])
            )
            check(ground, result)
            if victim.startswith("there"):
                check_nothing_lost(ground.inside / "there", result)
            if not met:
                break
            moments += 1
        # The very child that has met all of this goes on.
        assert (await files.stat("packed")).kind == "file"
    return moments


async def test_without_an_act_all_is_done(ground: Ground) -> None:
    """The control: a child that stands still at every moment does what it was asked."""

    def nothing(_folder: Path) -> None:
        pass

    assert await every_moment(ground, "copy-tree", MERGE, "there/m", [nothing]) > 60
    assert {(ground.inside / "there" / name).read_text() for name in NAMES} == {"of tree"}


def COPY(files: Files) -> Coroutine[Any, Any, object]:  # noqa: N802 - one of a table
    """Copy to a new place."""
    return files.copy_tree("tree", "copied", staging=STAGING)


def MERGE(files: Files) -> Coroutine[Any, Any, object]:  # noqa: N802
    """Copy into a folder that is there."""
    return files.copy_tree("tree", "there", staging=STAGING, overwrite="replace")


LOOKS: dict[str, tuple[str, Work, int]] = {
    "measure": ("measure", lambda files: files.measure("tree"), 20),
    "measure the folder": ("measure", lambda files: files.measure("tree/m"), 10),
    "list": ("list", lambda files: files.list_folder("tree"), 5),
    "list the folder": ("list", lambda files: files.list_folder("tree/m"), 4),
    "list the folder by size": ("list", lambda files: files.list_folder("tree/m", sort="size"), 2),
    "search": ("search", lambda files: files.search("tree", name="*", text="of"), 30),
    "search the folder": ("search", lambda files: files.search("tree/m", name="1"), 10),
    "copy": ("copy-tree", COPY, 60),
    "merge": ("copy-tree", MERGE, 80),
    "remove": ("remove-tree", lambda files: files.remove_tree("tree"), 20),
    "remove the folder": ("remove-tree", lambda files: files.remove_tree("tree/m"), 10),
}


@pytest.mark.parametrize("what", LOOKS)
async def test_a_folder_that_goes_while_it_is_worked_on(ground: Ground, what: str) -> None:
    """Its rest is done, or it is refused with a code that says what it is by now; the child goes on."""
    call, work, least = LOOKS[what]
    assert await every_moment(ground, call, work, "tree/m", ACTS) >= least


@pytest.mark.parametrize("act", ACTS)
async def test_a_folder_that_goes_while_it_is_copied_into(ground: Ground, act: Act) -> None:
    """What found no place is told by its name: nothing is lost without a word."""
    assert await every_moment(ground, "copy-tree", MERGE, "there/m", [act]) > 60


ARCHIVES = {
    "pack": ("tree/m", Request("pack", STAGING.encode(), other=b"made", number=1)),
    "pack as zip": ("tree/m", Request("pack", STAGING.encode(), other=b"made", number=0)),
    "unpack": ("there/m", Request("unpack", b"packed", other=b"there\0" + STAGING.encode(), number=2)),
}


@pytest.mark.parametrize("what", ARCHIVES)
async def test_a_folder_that_goes_while_it_is_packed_or_unpacked_into(ground: Ground, what: str) -> None:
    """The archive is whole and has what was met; a merge ends with what it has placed, and its staging is known."""
    victim, request = ARCHIVES[what]
    command = paused_command(archive_service._command(), request.call, is_archives=True)
    link = await ArchiveLink.start(FilePlace(str(ground.inside), ground.own()), command=command)
    moments = 0
    try:
        while True:
            make_trees(ground)
            await link.call(Request("choose", b"", other=b"tree"))
            met, result = await meet(
                link.pid, link.call(request), partial(do_to, ground.inside / victim, ACTS[moments % len(ACTS)])
            )
            # As whoever has asked does where it does not end well.
            await link.call(Request("remove-tree", STAGING.encode()))
            check(ground, result)
            if not met:
                break
            moments += 1
    finally:
        await link.end()
    assert moments > 40
