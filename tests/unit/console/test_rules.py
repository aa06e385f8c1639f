"""What a viewer gets next, and how history is searched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.console.rules import (
    MAX_OUTPUT_BYTES,
    Notice,
    Output,
    Skip,
    Wait,
    find_matches,
    next_move,
    parse_from,
)


@pytest.mark.parametrize(
    ("position", "oldest", "written", "notice_at", "expected"),
    [
        (5, 0, 5, None, Wait()),
        (5, 0, 9, None, Output(5, 4)),
        (0, 0, 10**7, None, Output(0, MAX_OUTPUT_BYTES)),
        (5, 0, 9, 7, Output(5, 2)),
        (7, 0, 9, 7, Notice()),
        (9, 0, 9, 7, Notice()),
        (5, 6, 100, None, Skip(5, 6)),
        (5, 10**6, 2 * 10**6, None, Skip(5, 2 * 10**6 - 65536)),
        (5, 10**6, 2 * 10**6, 3, Skip(5, 2 * 10**6 - 65536)),
    ],
)
def test_next_move_for_each_place_of_a_viewer(
    position: int, oldest: int, written: int, notice_at: int | None, expected: object
) -> None:
    """A lap is told first, then output up to the notice, then the notice."""
    assert next_move(position=position, oldest=oldest, written=written, notice_at=notice_at) == expected


@pytest.mark.parametrize(("text", "value"), [(None, None), ("", None), ("-1", -1), ("0", 0), ("123", 123)])
def test_from_of_a_viewer_is_read(text: str | None, value: int | None) -> None:
    """Left out, live only, or an offset."""
    assert parse_from(text) == value


@pytest.mark.parametrize("text", ["-2", "1.5", "abc", " 1", "\u0661", "9" * 17, "0x10", "1e3", "+1"])
def test_from_that_is_no_offset_is_refused(text: str) -> None:
    """Nothing else passes, whatever int() would take."""
    with pytest.raises(ValueError, match=r".*"):
        parse_from(text)


@given(st.text("ab", max_size=60).map(str.encode), st.text("ab", min_size=1, max_size=4).map(str.encode), st.data())
def test_matches_are_the_same_however_the_text_is_cut(text: bytes, needle: bytes, data: st.DataObject) -> None:
    """A match across two chunks is found, and none twice."""
    whole, at = [], 0
    while (found := text.find(needle, at)) >= 0:
        whole.append(found)
        at = found + len(needle)
    size = data.draw(st.integers(1, 20))
    chunks = [(at, text[at : at + size]) for at in range(0, len(text), size)]
    assert list(find_matches(chunks, needle)) == whole
