"""A child that is killed before and after each change of a disk while it copies: all is old or new, and known.

The child's own code runs in a process that a test has forked; what it does to names and contents is counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.doomed import Act, run_doomed
from fakes.hostile_files import opened
from zlh_agent.files import renaming
from zlh_agent.files.work import Work
from zlh_common.trees import delete_tree

pytestmark = pytest.mark.timeout(300)
STAGING = b".token.zlh-staging"
CHANGES = ("link", "rename", "mkdir", "symlink", "unlink", "rmdir", "copy_file_range", "ftruncate", "fchmod", "utime")
OLD, NEW = b"old " * 3000, b"new " * 2000


@pytest.fixture
def make_root(tmp_path: Path) -> Callable[[], Path]:
    """Return how to make a root anew, with a tree and another that it is merged into."""

    def make() -> Path:
        folder = tmp_path / "root"
        delete_tree(folder)
        for tree, content in (("tree", NEW), ("there", OLD)):
            for name in ("a/1", "a/2", "b/c/1"):
                path = folder / tree / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            (folder / tree / "a/link").symlink_to(content[:3])
        (folder / "tree/a/new").write_bytes(NEW)
        return folder

    return make


def copy_and_be_killed(folder: Path, source: bytes, target: bytes, kill_at: int) -> bool:
    """Copy, replacing what is there, in a process that is killed at an act; tell whether it got to its end."""

    def doomed(act: Act) -> None:
        with opened(folder) as root:
            count_changes(act)
            root.copy_tree(source, target, staging=STAGING, overwrite="replace", work=Work())

    return run_doomed(doomed, kill_at)


def count_changes(act: Act) -> None:
    """Have each change of a disk by this process counted, before and after it; the process ends with the test."""

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def do(*arguments: Any, **named: Any) -> Any:
            act()
            result = change(*arguments, **named)
            act()
            return result

        return do

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))
    renaming.renameat2 = counted(renaming.renameat2)  # type: ignore[attr-defined]


def contents(folder: Path) -> dict[str, bytes]:
    """Return all that a tree holds by its path, the target of a link for a link."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = os.fsencode(path.readlink())
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def sweep(folder: Path) -> list[str]:
    """Do what the agent does for an operation that has not ended, by the one name that it knows; return the rest."""
    with opened(folder) as root:
        root.remove_tree(STAGING, work=Work())
    return sorted(path.name for path in folder.iterdir())


def test_a_merging_copy_that_is_killed_leaves_nothing_hidden(make_root: Callable[[], Path]) -> None:
    """Each file and link is the old one or the new one, whole, and after the sweep there is nothing else."""
    kills, seen = 0, set[int]()
    while True:
        folder = make_root()
        if copy_and_be_killed(folder, b"tree", b"there", kills + 1):
            break
        kills += 1
        assert sweep(folder) == ["there", "tree"], kills
        found = contents(folder / "there")
        assert set(found) - {"a/new"} == {"a/1", "a/2", "a/link", "b/c/1"}, kills
        assert set(found.values()) <= {OLD, NEW, OLD[:3], NEW[:3]}, kills
        seen.add(sum(value in {NEW, NEW[:3]} for value in found.values()))
    assert contents(folder / "there") == contents(folder / "tree")
    assert sorted(path.name for path in folder.iterdir()) == ["there", "tree"]
    assert kills > 40
    assert seen == {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("name", ["1", "link"])
def test_a_copy_over_a_file_or_link_that_is_killed_leaves_nothing_hidden(
    make_root: Callable[[], Path], name: str
) -> None:
    """The same for one name, of which there is only one hidden one."""
    kills, seen = 0, set[bytes]()
    while True:
        folder = make_root()
        (folder / "at").symlink_to("nowhere") if name == "link" else (folder / "at").write_bytes(OLD)
        if copy_and_be_killed(folder, b"tree/a/" + name.encode(), b"at", kills + 1):
            break
        kills += 1
        assert sweep(folder) == ["at", "there", "tree"], kills
        seen.add(contents(folder)["at"])
    assert kills >= 4
    assert len(seen) == 2


def test_a_copy_to_a_new_place_that_is_killed_leaves_all_or_nothing(make_root: Callable[[], Path]) -> None:
    """A folder that was free is free after the sweep, or holds everything."""
    kills, seen = 0, set[bool]()
    while True:
        folder = make_root()
        if copy_and_be_killed(folder, b"tree", b"new", kills + 1):
            break
        kills += 1
        names = sweep(folder)
        seen.add("new" in names)
        assert names in (["there", "tree"], ["new", "there", "tree"]), kills
        if "new" in names:
            assert contents(folder / "new") == contents(folder / "tree")
    assert kills > 30
    assert seen == {True, False}
