"""What a viewer of a shared console gets next: followed from every place to its end, it misses and repeats nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.console.rules import (
    NEAR_BYTES,
    Bounds,
    Held,
    Join,
    Lost,
    Notice,
    Own,
    Part,
    Place,
    Wait,
    first_gap,
    is_whole,
    next_move,
    place_in_window,
    runs_on,
)
from zlh_common.schema.console_wire import (
    DEFAULT_REPLAY_BYTES,
    LIVE_ONLY,
    MAX_OFFSET,
    Exit,
    Gap,
    Hello,
    State,
    resume_point,
)

# Held are 100 to 300; there was a gap that ended at 150; the agent has told of 320.
WINDOW = Bounds(first=100, tail=150, end=300, written=320)
offsets = st.integers(0, 400)
bounds = st.lists(offsets, min_size=4, max_size=4).map(sorted).map(lambda four: Bounds(*four))
places = st.builds(Place, offsets, st.booleans(), st.booleans(), st.booleans())


@pytest.mark.parametrize(
    ("place", "notice_at", "expected"),
    [
        (Place(100), None, Held(100, 300)),
        (Place(100), 200, Held(100, 200)),
        (Place(200), 200, Notice()),
        (Place(99), None, Part()),
        (Place(300), None, Wait()),
        (Place(310), None, Wait()),
        (Place(10, is_apart=True), None, Own(300)),
        (Place(10, is_apart=True), 200, Own(200)),
        (Place(149, is_apart=True), None, Own(300)),
        (Place(150, is_apart=True), None, Join()),
        (Place(300, is_apart=True), None, Join()),
        (Place(301, is_apart=True), None, Wait()),
        (Place(299, is_apart=True, has_fallen_out=True), None, Join()),
        (Place(149, is_apart=True, has_fallen_out=True), None, Own(300)),
        (Place(300, is_apart=True, has_fallen_out=True), None, Join()),
        (Place(200, is_apart=True, has_fallen_out=True, is_own_over=True), None, Join()),
        (Place(149, is_apart=True, is_own_over=True), None, Lost()),
    ],
)
def test_next_move_for_each_place_of_a_viewer(place: Place, notice_at: int | None, expected: object) -> None:
    """Notices at their place, then the window, then the way to it."""
    assert next_move(place, WINDOW, notice_at=notice_at) == expected


def test_one_that_fell_out_comes_back_near_the_end_alone() -> None:
    """Where an agent puts one that was too slow it stays apart; a newcomer is taken anywhere in the window."""
    window = Bounds(first=0, tail=0, end=500_000, written=500_000)
    lapped = window.end - DEFAULT_REPLAY_BYTES
    assert next_move(Place(lapped, is_apart=True, has_fallen_out=True), window, notice_at=None) == Own(window.end)
    near = window.end - NEAR_BYTES
    assert next_move(Place(near, is_apart=True, has_fallen_out=True), window, notice_at=None) == Join()
    assert next_move(Place(lapped, is_apart=True), window, notice_at=None) == Join()


@given(places, bounds, st.none() | offsets)
def test_nothing_is_taken_beyond_what_may_be(place: Place, window: Bounds, notice_at: int | None) -> None:
    """No output before its notice, none that is not held, no join where bytes would be missing."""
    match next_move(place, window, notice_at=notice_at):
        case Held(position, end):
            assert window.first <= position < end <= window.end
            assert not place.is_apart
            assert notice_at is None or end <= notice_at
        case Own(end):
            assert place.position < end <= window.end
            assert notice_at is None or end <= notice_at
            assert not place.is_own_over
        case Join():
            assert place.is_apart
            assert max(window.first, window.tail) <= place.position <= window.end
        case Notice():
            assert notice_at is not None
            assert place.position >= notice_at
        case Wait():
            assert place.position >= window.end
        case Part():
            assert place.position < window.first
        case Lost():
            assert place.is_own_over


@given(bounds, st.none() | st.integers(LIVE_ONLY, 400))
def test_the_window_serves_a_newcomer_exactly_as_the_agent_would(window: Bounds, asked: int | None) -> None:
    """Where it can serve one at all, its first byte is the one that the agent would have begun with."""
    start = place_in_window(asked, window)
    if start is not None:
        assert (start, "gap") != resume_point(asked, oldest=0, written=window.written)
        assert start == resume_point(asked, oldest=0, written=window.written)[0]
        assert start >= max(window.first, window.tail) or start == window.written


@pytest.mark.parametrize(
    ("asked", "start"),
    [(LIVE_ONLY, 320), (150, 150), (149, None), (320, 320), (321, None), (310, 310), (None, None)],
)
def test_place_of_a_newcomer(asked: int | None, start: int | None) -> None:
    """Behind the last gap up to the newest; the default replay begins before this window."""
    assert place_in_window(asked, WINDOW) == start


def test_default_replay_of_a_long_window_is_its_end() -> None:
    """64 KiB, as from the agent; of a short stream all of it."""
    assert place_in_window(None, Bounds(0, 0, 200_000, 200_000)) == 200_000 - 65536
    assert place_in_window(None, Bounds(0, 0, 100, 100)) == 0


@pytest.mark.parametrize(
    ("asked", "gap"), [(None, None), (LIVE_ONLY, None), (7, None), (3, Gap(start=3, to=7)), (9, Gap(start=9, to=7))]
)
def test_gap_of_one_that_asked_for_another_offset(asked: int | None, gap: Gap | None) -> None:
    """Told as the agent tells it, also where the offset was never written."""
    assert first_gap(asked, Hello(stream="s", start=7, to=7, state="running")) == gap


@pytest.mark.parametrize(
    ("message", "is_sense"),
    [
        (Gap(start=5, to=6), True),
        (Gap(start=5, to=5), False),
        (Gap(start=4, to=6), False),
        (Gap(start=5, to=MAX_OFFSET + 1), False),
        (State(state="running"), True),
        (State(state="x" * 65), False),
        (Exit(code=0, signal=None), True),
        (Exit(code=2**40, signal=None), False),
        (Exit(code=None, signal="x" * 65), False),
    ],
)
def test_message_of_an_agent_makes_sense_or_not(message: Gap | State | Exit, is_sense: bool) -> None:
    """A gap begins where the output stands and leads forward; texts are short."""
    assert runs_on(5, message) is is_sense


@pytest.mark.parametrize(("start", "to"), [(-1, 0), (2, 1), (0, MAX_OFFSET + 1)])
def test_hello_with_impossible_offsets_is_no_greeting(start: int, to: int) -> None:
    """Whatever would make no sense later is refused at once."""
    assert not is_whole(Hello(stream="s", start=start, to=to, state="running"))
    assert not is_whole(Hello(stream="s" * 65, start=0, to=0, state="running"))
    assert is_whole(Hello(stream="s", start=0, to=0, state="running"))
