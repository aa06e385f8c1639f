"""Folders that are gone after they were deleted, and what stands beside them that is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.deep_tree import make_deep_tree
from zlh_common.trees import delete_tree

NOBODY = 65534


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of an ordinary user, who is what this test then is: no mode is in the way of root."""
    folder = Path(tempfile.mkdtemp(prefix="zlh-tree-", dir="/tmp"))
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        shutil.rmtree(folder)


def test_folders_that_may_not_be_written_go_too(home: Path) -> None:
    """As the module cache of go has them, and worse: unreadable, at every level."""
    for mode in (0o555, 0o500, 0o000):
        tree = home / "tree"
        (tree / "a/b").mkdir(parents=True)
        (tree / "a/b/file").write_text("x")
        (tree / "a/b/file").chmod(0o400)
        for folder in (tree / "a/b", tree / "a", tree):
            folder.chmod(mode)
        delete_tree(tree)
        assert list(home.iterdir()) == []


def test_a_tree_that_is_very_deep_goes_too(home: Path) -> None:
    """Neither recursion, nor the length of a path, nor the number of descriptors ends it, also where it is sealed."""
    make_deep_tree(home)
    delete_tree(home / "deep")
    make_deep_tree(home, bottom_mode=0)
    delete_tree(home / "deep")
    assert list(home.iterdir()) == []


def test_links_are_deleted_and_not_followed(home: Path) -> None:
    """Neither what they lead to, nor its mode, is touched."""
    kept = home / "kept"
    kept.mkdir(0o500)
    tree = home / "tree"
    (tree / "sealed").mkdir(parents=True)
    (tree / "sealed/link").symlink_to(kept)
    (tree / "sealed").chmod(0o500)
    (tree / "-rf *").symlink_to(kept)
    delete_tree(tree)
    assert list(home.iterdir()) == [kept]
    assert kept.stat().st_mode & 0o777 == 0o500


def test_a_link_in_place_of_the_tree_is_deleted_alone(home: Path) -> None:
    """Whoever puts one there gains nothing."""
    (home / "kept").mkdir()
    (home / "tree").symlink_to(home / "kept")
    delete_tree(home / "tree")
    assert list(home.iterdir()) == [home / "kept"]


def test_what_is_not_there_is_deleted_and_what_stays_is_told(home: Path) -> None:
    """Repeating it is harmless; a folder that cannot be changed is an error with its reason."""
    delete_tree(home / "none")
    (home / "tree").mkdir()
    (home / "other").mkdir(0o500)
    (home / "link").symlink_to("other")
    home.chmod(0o500)
    for name in ("tree", "link"):
        with pytest.raises(OSError, match="Permission denied"):
            delete_tree(home / name)
    assert (home / "other").stat().st_mode & 0o777 == 0o500
    home.chmod(0o700)


@pytest.mark.real("mounts")
def test_another_file_system_inside_is_left_as_it_is(tmp_path: Path) -> None:
    """Neither its files nor their modes; the tree is then told to stay."""
    inside = tmp_path / "tree/inside"
    inside.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(inside)], check=True)
    try:
        (inside / "sealed").mkdir(0o500)
        (inside / "file").touch(0o400)
        with pytest.raises(OSError, match="inside"):
            delete_tree(tmp_path / "tree")
        assert sorted((file.name, file.stat().st_mode & 0o777) for file in inside.iterdir()) == [
            ("file", 0o400),
            ("sealed", 0o500),
        ]
    finally:
        subprocess.run(["umount", str(inside)], check=True)
    delete_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []
