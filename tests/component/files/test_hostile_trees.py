"""Trees that a customer has made to be in the way: deep, shut, mounted, and a disk that is full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from component.files.harness import code_of, read, write
from fakes.deep_tree import make_deep_tree
from fakes.hostile_files import NOBODY, Ground, made_ground
from zlh_agent.files import refusals
from zlh_agent.files.beneath import Root
from zlh_agent.files.model import KEEP, Amount
from zlh_agent.files.work import Work


@pytest.fixture
def ground() -> Iterator[Ground]:
    """In memory: disks take their time for ten thousand folders."""
    with made_ground(in_memory=True) as made:
        yield made
        assert made.is_untouched()


@pytest.fixture
def as_the_owner(ground: Ground) -> Iterator[None]:
    """Be an ordinary user: no mode is in the way of root."""
    is_root = os.geteuid() == 0
    if is_root:
        ground.own()
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
            os.setegid(0)


def test_a_tree_of_ten_thousand_levels_is_reached_and_removed(ground: Ground, root: Root) -> None:
    """Deeper than a path may be long, than Python recurses, and than one may hold folders open."""
    make_deep_tree(ground.inside, depth=10_000)
    deep = b"deep/" * 10_000
    write(root, deep + b"file", b"x")
    assert read(root, deep + b"file") == b"x"
    root.move(deep + b"file", b"up", how=KEEP)
    root.make_folder(deep + b"a/b/c", parents=True)
    assert [entry.name for entry in root.list_folder(deep, limit=9)[0]] == ["a", "sealed"]
    root.change_mode(deep + b"sealed", 0o711)
    told = 0

    def note(_amount: Amount) -> None:
        nonlocal told
        told += 1

    root.remove_tree(b"deep", work=Work(note))
    assert [path.name for path in ground.inside.iterdir()] == ["up"]
    assert told > 10_000


def test_a_wide_tree_is_removed(ground: Ground, root: Root) -> None:
    """More folders in one than are entered at a time, each with something in it."""
    for number in range(2500):
        (ground.inside / f"wide/{number}/deeper").mkdir(parents=True)
        (ground.inside / f"wide/{number}/file").touch()
    root.remove_tree(b"wide", work=Work())
    assert list(ground.inside.iterdir()) == []


@pytest.mark.usefixtures("as_the_owner")
@pytest.mark.parametrize("mode", [0o000, 0o100, 0o200, 0o400, 0o500, 0o555, 0o666])
def test_a_tree_that_is_shut_is_opened_and_removed(ground: Ground, root: Root, mode: int) -> None:
    """As the module cache of go has it, and worse, at every level; what stands beside it keeps its rights."""
    (ground.inside / "tree/a/b").mkdir(parents=True)
    (ground.inside / "tree/a/b/file").touch(0o400)
    (ground.inside / "tree/a/link").symlink_to("../../beside")
    (ground.inside / "beside").mkdir(0o500)
    for name in ("tree/a/b", "tree/a", "tree"):
        (ground.inside / name).chmod(mode)
    root.remove_tree(b"tree", work=Work())
    assert [path.name for path in ground.inside.iterdir()] == ["beside"]
    assert (ground.inside / "beside").stat().st_mode & 0o777 == 0o500


@pytest.mark.usefixtures("as_the_owner")
def test_the_folder_of_a_tree_is_not_opened_for_it(ground: Ground, root: Root) -> None:
    """Only what is to be removed is changed: a folder that is shut keeps its tree."""
    (ground.inside / "shut/tree").mkdir(parents=True)
    (ground.inside / "shut").chmod(0o500)
    assert code_of(root.remove_tree, b"shut/tree", work=Work()) == refusals.PERMISSION_DENIED
    assert (ground.inside / "shut").stat().st_mode & 0o777 == 0o500
    assert code_of(root.make_folder, b"shut/new", parents=True) == refusals.PERMISSION_DENIED
    assert code_of(write, root, b"shut/new", b"") == refusals.PERMISSION_DENIED
    (ground.inside / "shut").chmod(0o700)


def test_a_folder_that_vanishes_is_gone_and_no_failure(ground: Ground, root: Root) -> None:
    """In the middle of its removal, by somebody else's hand."""
    (ground.inside / "tree/a/b").mkdir(parents=True)
    (ground.inside / "tree/c").mkdir()

    def interfere(_amount: Amount) -> None:
        subprocess.run(["rm", "-rf", str(ground.inside / "tree")], check=True)

    root.remove_tree(b"tree", work=Work(interfere))
    assert list(ground.inside.iterdir()) == []


@pytest.mark.real("mounts")
def test_another_file_system_is_worked_in_and_not_removed(ground: Ground, root: Root) -> None:
    """An operator may have mounted one; removing a tree around it leaves it whole, and moves do not cross."""
    inside = ground.inside / "tree/mounted"
    inside.mkdir(parents=True)
    (ground.inside / "file").touch()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(inside)], check=True)
    try:
        write(root, b"tree/mounted/file", b"x")
        assert code_of(root.remove_tree, b"tree", work=Work()) == refusals.OTHER_FILE_SYSTEM
        assert code_of(root.move, b"file", b"tree/mounted/moved", how=KEEP) == refusals.OTHER_FILE_SYSTEM
        root.copy(b"file", b"tree/mounted/copied", replace=False, work=Work())
        assert sorted(path.name for path in inside.iterdir()) == ["copied", "file"]
    finally:
        subprocess.run(["umount", str(inside)], check=True)


@pytest.fixture
def small_disk(ground: Ground) -> Iterator[Path]:
    """A disk of 256 KiB and 20 files for the root's folder `disk`."""
    disk = ground.inside / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=20", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.real("mounts")
def test_a_full_disk_is_told_and_leaves_what_was(ground: Ground, root: Root, small_disk: Path) -> None:
    """A copy that does not fit leaves the old file and no half of a new one."""
    (ground.inside / "large").write_bytes(os.urandom(400_000))
    write(root, b"disk/file", b"old")
    assert code_of(root.copy, b"large", b"disk/file", replace=True, work=Work()) == refusals.DISK_FULL
    assert [(path.name, path.read_bytes()) for path in small_disk.iterdir()] == [("file", b"old")]
    for number in range(30):
        code = code_of(root.make_folder, b"disk/%d" % number, parents=False)
        if code == refusals.DISK_FULL:
            break
    assert number < 20
    assert code_of(write, root, b"disk/another", b"") == refusals.DISK_FULL
    # What is there can still be removed, which is how one gets out of it.
    for path in list(small_disk.iterdir()):
        root.remove_tree(b"disk/" + path.name.encode(), work=Work())
    write(root, b"disk/file", b"new")


@pytest.mark.real("mounts")
def test_a_disk_that_can_only_be_read_is_told(root: Root, small_disk: Path) -> None:
    """And it can be read."""
    write(root, b"disk/file", b"x")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert code_of(write, root, b"disk/file", b"y") == refusals.DISK_READ_ONLY
    assert code_of(root.remove_tree, b"disk/file", work=Work()) == refusals.DISK_READ_ONLY
    assert code_of(root.change_mode, b"disk/file", 0o600) == refusals.DISK_READ_ONLY
    assert read(root, b"disk/file") == b"x"
