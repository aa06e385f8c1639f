"""What a path means before anything is opened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.files.rules import MAX_PATH_BYTES, cut_into_steps, is_name, leads_inside, split_path


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (b"", []), (b"/", []), (b".", []), (b"//./", []), (b"/a", [b"a"]), (b"a//b/./c/", [b"a", b"b", b"c"]),
        (b"a/../b", [b"a", b"..", b"b"]), (b"...", [b"..."]), (b"line\nfeed", [b"line\nfeed"]),
        (b"\xff\xfe", [b"\xff\xfe"]), (b"a\0b", None), (b"a" * (MAX_PATH_BYTES + 1), None),
    ],
)  # fmt: skip
def test_a_path_is_its_parts(path: bytes, parts: list[bytes] | None) -> None:
    """A leading slash is the root; `..` stays for the kernel."""
    assert split_path(path) == parts


@given(st.lists(st.binary(min_size=1, max_size=255).filter(is_name), max_size=60))
def test_steps_are_the_whole_path_and_none_is_too_long(parts: list[bytes]) -> None:
    """However deep it is."""
    steps = cut_into_steps(parts)
    assert [part for step in steps for part in split_path(step) or ()] == parts
    assert all(0 < len(step) < 4096 for step in steps)
    assert len(steps) <= 1 + sum(map(len, parts)) // 3000


@pytest.mark.parametrize(
    ("folder", "target", "is_inside"),
    [
        ([], b"a", True), ([], b"./a/b", True), ([], b"..", False), ([b"x"], b"..", True), ([b"x"], b"../y", True),
        ([b"x"], b"../../y", False), ([b"x"], b"a/../../../x", False), ([b"x"], b"/etc", False), ([], b"", False),
        ([], b"a\0", False), ([b"x", b"y"], b"../../z", True),
    ],
)  # fmt: skip
def test_a_link_may_lead_inside_alone(folder: list[bytes], target: bytes, is_inside: bool) -> None:
    """By what is written in it, from the folder that it stands in."""
    assert leads_inside(folder, target) is is_inside


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0", b"a" * 256])
def test_no_name(name: bytes) -> None:
    """What no folder can hold."""
    assert not is_name(name)
