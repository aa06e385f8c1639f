"""Whatever a customer has made and whatever is asked for: what is reached lies beneath the root."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from component.files.harness import CALLS, code_of
from fakes.hostile_files import Ground, made_ground, opened
from zlh_agent.files.refusals import FILES_FAILED, Refused

names = st.sampled_from(["a", "b", "c"])
# Of names, ways up, and words that lead elsewhere when they are believed.
words = st.sampled_from(["a", "b", "c", "..", ".", "", "inside", "outside", "file", "folder", "proc", "self", "root"])
paths = st.lists(words, max_size=7).map("/".join)
targets = paths | paths.map(lambda path: "/" + path) | st.sampled_from(["/", "/proc/self/root", "../outside", "../../"])
things = st.tuples(st.lists(names, min_size=1, max_size=3), st.sampled_from(["file", "folder", "link"]), targets)


def make(ground: Ground, made: list[tuple[list[str], str, str]]) -> None:
    """Make things where they can be made, never through a link."""
    for parts, kind, target in made:
        path = ground.inside.joinpath(*parts)
        if any(
            above.is_symlink() or not above.is_dir() for above in path.parents if above.is_relative_to(ground.inside)
        ):
            continue
        if os.path.lexists(path):
            continue
        if kind == "file":
            path.write_text("inside")
        elif kind == "folder":
            path.mkdir()
        elif target:
            path.symlink_to(target)


def inodes(folder: Path) -> set[int]:
    """Return what there is, the folder included."""
    return {path.lstat().st_ino for path in (folder, *folder.rglob("*"))}


@settings(max_examples=150, deadline=None)
@given(st.lists(things, max_size=12), st.lists(paths, min_size=1, max_size=6))
def test_what_is_seen_lies_beneath_the_root(made: list[tuple[list[str], str, str]], asked: list[str]) -> None:
    """And what the kernel finds there without leaving is found by us too."""
    with made_ground(in_memory=True) as ground, opened(ground.inside) as root:
        make(ground, made)
        beneath = inodes(ground.inside)
        for path in asked:
            try:
                assert root.stat(path.encode(), follow=True).inode in beneath
            except (Refused, OSError):
                continue
            real = Path(os.path.realpath(ground.inside / path.lstrip("/")))
            assert real.lstat().st_ino == root.stat(path.encode(), follow=True).inode
        assert ground.is_untouched()


@settings(max_examples=150, deadline=None)
@given(st.lists(things, max_size=12), st.lists(st.tuples(st.sampled_from(sorted(CALLS)), paths), max_size=8))
def test_what_is_done_stays_beneath_the_root(
    made: list[tuple[list[str], str, str]], asked: list[tuple[str, str]]
) -> None:
    """Any calls in any order; each is done, or refused with a code that says why."""
    with made_ground(in_memory=True) as ground, opened(ground.inside) as root:
        make(ground, made)
        for call, path in asked:
            assert code_of(CALLS[call], root, path.encode()) != FILES_FAILED
            assert ground.is_untouched()
        assert all(
            path.read_text() in {"inside", "changed", ""}
            for path in ground.inside.rglob("*")
            if path.is_file() and not path.is_symlink()
        )
