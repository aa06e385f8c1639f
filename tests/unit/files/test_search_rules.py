"""What is found by a name or a text."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.files.search_rules import MAX_LINE_CHARS, Needle, cut_line, name_matches


@given(st.text("abc.", max_size=12), st.text("abc.*?", max_size=8))
def test_a_glob_is_one(name: str, pattern: str) -> None:
    """As everybody knows it; without its signs it is a part of a name."""
    expected = fnmatch.fnmatchcase(name, pattern) if set(pattern) & set("*?") else pattern in name
    assert name_matches(name, pattern, match_case=True) == expected


@pytest.mark.parametrize(
    ("name", "wanted", "match_case", "is_found"),
    [
        ("README.md", "readme", False, True), ("README.md", "readme", True, False), ("a[1].txt", "a[1]*", True, True),
        ("STRASSE", "straße", False, True), ("\udcff", "?", True, True),
    ],
)  # fmt: skip
def test_names(name: str, wanted: str, match_case: bool, is_found: bool) -> None:
    """In any case or in this one; brackets mean themselves."""
    assert name_matches(name, wanted, match_case=match_case) is is_found


def test_many_stars_end_soon() -> None:
    """They take no more than the product of both lengths."""
    assert not name_matches("a" * 255, "*a" * 120 + "b", match_case=True)


@given(st.text(max_size=3000), st.text("xyz", min_size=1, max_size=20))
def test_what_was_found_is_seen(line: str, needle: str) -> None:
    """Wherever in the line it stands."""
    raw = (line.replace("\n", "").replace("\r", "") + needle).encode("utf-8", "replace")
    at = Needle(needle, match_case=True).find_in(raw)
    shown = cut_line(raw, at).decode()
    assert needle in shown
    assert len(shown) <= MAX_LINE_CHARS
