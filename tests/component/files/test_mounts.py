"""Other file systems below a root, and folders and files from outside that an operator has mounted there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from component.files.asked import CALLS, outcome_of
from component.files.code_table import DONE
from component.files.harness import names_in
from fakes.hostile_files import SECRET, Ground, made_ground
from zlh_agent.files.link import FilePlace
from zlh_agent.files.model import REPLACE_PRESENT
from zlh_agent.files.refusals import (
    FILE_EXISTS,
    IS_A_FOLDER,
    NOT_A_FOLDER,
    OTHER_FILE_SYSTEM,
    PATH_OUTSIDE,
)
from zlh_agent.files.service import Files, FileService

pytestmark = pytest.mark.real("mounts")
STAGING = ".s.zlh-staging"


@contextmanager
def mounted(*how: str, at: Path) -> Iterator[None]:
    """Have something mounted, which nobody but root can do."""
    subprocess.run(["mount", *how, str(at)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


@pytest.fixture
def ground() -> Iterator[Ground]:
    """A root with a file system of its own at `tree/disk`, and parts of the outside at `tree/bound` and `tree/file`."""
    with made_ground() as ground:
        tree = ground.inside / "tree"
        for name in ("disk", "bound", "folder"):
            (tree / name).mkdir(parents=True)
        for path in (tree / "file", tree / "folder/file", ground.inside / "held", tree / "plain"):
            path.write_text("inside")
        (ground.inside / "empty").mkdir()
        ground.own()
        outside = ground.outside
        with (
            mounted("-t", "tmpfs", "-o", "size=4M", "tmpfs", at=tree / "disk"),
            mounted("--bind", str(outside / "folder"), at=tree / "bound"),
            mounted("--bind", str(outside / "file"), at=tree / "file"),
        ):
            (tree / "disk/file").write_text("mounted")
            ground.own()
            yield ground
        assert ground.is_untouched()


@pytest.fixture
async def files(ground: Ground) -> AsyncIterator[Files]:
    """Files by a real child."""
    service = FileService(FilePlace(str(ground.inside), ground.own()))
    async with service.borrow() as files:
        yield files
    await service.close()


# What is done to the very place where something is mounted, by the call: to a folder, and to a file.
AT_A_MOUNT: dict[str, tuple[str, str]] = {
    "move": (OTHER_FILE_SYSTEM, OTHER_FILE_SYSTEM),
    "move a file to": (FILE_EXISTS, FILE_EXISTS),
    "move a file over": (IS_A_FOLDER, OTHER_FILE_SYSTEM),
    "move a folder over": (OTHER_FILE_SYSTEM, NOT_A_FOLDER),
    "exchange with": (OTHER_FILE_SYSTEM, OTHER_FILE_SYSTEM),
    "place an upload at": (IS_A_FOLDER, OTHER_FILE_SYSTEM),
    "place a new upload at": (IS_A_FOLDER, FILE_EXISTS),
    "place as an upload": (OTHER_FILE_SYSTEM, OTHER_FILE_SYSTEM),
    "go on with": (OTHER_FILE_SYSTEM, OTHER_FILE_SYSTEM),
    "write": (IS_A_FOLDER, OTHER_FILE_SYSTEM),
    "give up": (IS_A_FOLDER, OTHER_FILE_SYSTEM),
    "copy a file over": (IS_A_FOLDER, OTHER_FILE_SYSTEM),
    "copy a link over": (IS_A_FOLDER, OTHER_FILE_SYSTEM),
    "remove": (OTHER_FILE_SYSTEM, OTHER_FILE_SYSTEM),
    "remove all of": (OTHER_FILE_SYSTEM, OTHER_FILE_SYSTEM),
    "copy": (DONE, DONE),
    "measure": (DONE, DONE),
    "list": (DONE, NOT_A_FOLDER),
    "read": (IS_A_FOLDER, DONE),
}


@pytest.mark.parametrize("call", AT_A_MOUNT)
async def test_what_stands_where_something_is_mounted(ground: Ground, files: Files, call: str) -> None:
    """It can be looked at and copied, and is neither moved, replaced nor removed; the code is that of its kind."""
    (ground.inside / "dangling").symlink_to("none")
    ground.own()
    found = []
    for path in ("tree/bound", "tree/file"):
        found.append(await outcome_of(CALLS[call](files, path), path, of_both=OTHER_FILE_SYSTEM))
        for made in ("copied", "placed"):
            await files.remove_tree(made)
    assert tuple(found) == AT_A_MOUNT[call]
    assert [name for name in names_in(ground.inside / "tree") if name.startswith(".")] == []
    assert names_in(ground.inside / "tree") == ["bound", "disk", "file", "folder", "plain"]


async def test_a_tree_is_copied_around_what_is_mounted_in_it(ground: Ground, files: Files) -> None:
    """What another file system holds, and what comes from outside, is left out and told by its place."""
    done = await files.copy_tree("tree", "copy", staging=STAGING)
    left = {(skipped.path, skipped.code) for skipped in done.skipped}
    assert left == {(name, OTHER_FILE_SYSTEM) for name in ("bound", "disk", "file")}
    found = {str(path.relative_to(ground.inside)) for path in (ground.inside / "copy").rglob("*")}
    assert found == {"copy/folder", "copy/folder/file", "copy/plain"}


async def test_a_tree_is_measured_and_searched_around_what_is_mounted_in_it(files: Files) -> None:
    """The same, and nothing of outside is found."""
    counted = await files.measure("tree")
    assert {skipped.path for skipped in counted.skipped} == {"bound", "disk"}
    # A file that is mounted has a name in the tree, and no content that was opened.
    found = await files.search("tree", text=SECRET)
    assert (found.found, found.skipped_count) == ((), 3)


async def test_a_tree_with_a_mount_is_removed_up_to_it(ground: Ground, files: Files) -> None:
    """It is told where it stops; what is mounted is whole."""
    assert await outcome_of(files.remove_tree("tree"), "tree", of_both=OTHER_FILE_SYSTEM) == OTHER_FILE_SYSTEM
    assert (ground.inside / "tree/disk/file").read_text() == "mounted"
    assert (ground.inside / "tree/bound/file").read_text() == SECRET


async def test_a_mounted_disk_is_worked_in(ground: Ground, files: Files) -> None:
    """By every way into it: written, uploaded, copied to and merged into, with links and files replaced."""
    disk = ground.inside / "tree/disk"
    await CALLS["write"](files, "tree/disk/file")

    await files.copy_tree("tree/folder", "tree/disk/new", staging=f"tree/disk/{STAGING}")
    assert (disk / "new/file").read_text() == "inside"
    (ground.inside / "source").mkdir()
    (ground.inside / "source/file").write_text("merged")
    (ground.inside / "source/link").symlink_to("merged")
    (disk / "link").symlink_to("old")
    ground.own()
    done = await files.copy_tree("source", "tree/disk", staging=f"tree/{STAGING}", overwrite=REPLACE_PRESENT)
    assert (done.skipped_count, done.amount.files) == (0, 2)
    assert ((disk / "file").read_text(), str((disk / "link").readlink())) == ("merged", "merged")
    assert [path.name for path in ground.inside.rglob(".*")] == []


async def test_nothing_is_moved_across_file_systems(files: Files) -> None:
    """Neither there nor back, nor exchanged: that would be a copy, which nobody has asked for."""
    for source, target in (("held", "tree/disk/held"), ("tree/disk/file", "moved"), ("held", "tree/bound/held")):
        assert await outcome_of(files.move(source, target), source) == OTHER_FILE_SYSTEM


async def test_a_mount_is_no_way_out(ground: Ground, files: Files) -> None:
    """From where a folder of outside is mounted, `..` leads back into the root, and no further."""
    assert (await files.stat("tree/bound/../plain")).kind == "file"
    (ground.inside / "tree/disk/out").symlink_to("../../../outside/file")
    (ground.inside / "tree/disk/back").symlink_to("../plain")
    for path in ("tree/bound/../../../outside", "tree/disk/../../../outside/file", "tree/disk/out"):
        assert await outcome_of(CALLS["read"](files, path), path) == PATH_OUTSIDE
    assert await outcome_of(CALLS["read"](files, "tree/disk/back"), "") == DONE


async def test_an_upload_over_which_something_is_mounted_is_kept(ground: Ground, files: Files) -> None:
    """It is not put in place while its hidden file is covered, and goes on where it was once that is gone."""
    await files.make_partial(".p.zlh-part")
    partial = ground.inside / ".p.zlh-part"
    fd = await files.open_to_append(".p.zlh-part", offset=0)
    os.write(fd, b"come")
    os.close(fd)
    with mounted("--bind", str(ground.outside / "file"), at=partial):
        placing = files.put_in_place(".p.zlh-part", "placed", size=len(SECRET), replace=False)
        for work in (placing, files.open_to_append(".p.zlh-part", offset=0), files.remove_if_there(".p.zlh-part")):
            assert await outcome_of(work, ".p.zlh-part") == OTHER_FILE_SYSTEM
    assert partial.read_bytes() == b"come"
    await files.put_in_place(".p.zlh-part", "placed", size=4, replace=False)
    assert (ground.inside / "placed").read_bytes() == b"come"
