"""What a viewer gets next, and how history is searched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.console.rules import (
    INPUT_BURST_S,
    INPUT_BYTES_PER_S,
    INPUT_MESSAGES_PER_S,
    MAX_OUTPUT_BYTES,
    Notice,
    Output,
    Skip,
    Wait,
    find_matches,
    input_cost_s,
    next_move,
    parse_from,
    pay,
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


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 65536)), max_size=300))
def test_whoever_keeps_to_the_pace_sends_no_more_than_it_allows(steps: list[tuple[float, int]]) -> None:
    """However pauses and sizes are mixed: a burst, and after that the rate."""
    began = now = 1000.0
    paid_until, count, size = 0.0, 0, 0
    for pause_s, length in steps:
        now = max(now + pause_s, paid_until)
        paid_until = pay(paid_until, input_cost_s(length), burst_s=INPUT_BURST_S, now=now)
        count, size = count + 1, size + length
        in_hand_s = INPUT_BURST_S + (paid_until - began if paid_until > now else now - began) + 1e-6
        assert count <= INPUT_MESSAGES_PER_S * in_hand_s + 1
        assert size <= INPUT_BYTES_PER_S * in_hand_s + 65536


def test_a_pause_is_no_credit_for_later() -> None:
    """An hour of silence leaves no more in hand than a quarter of a second."""
    assert pay(0.0, 0.25, burst_s=0.25, now=3600.0) == 3600.0
    assert pay(3600.0, 0.25, burst_s=0.25, now=3600.0) == 3600.25
