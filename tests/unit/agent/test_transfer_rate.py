"""How fast bytes come and how long the rest takes: told when it is known, never negative, whatever the clock does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.runtimes.installing.transfer_rate import LEAST_S, WINDOW_S, TransferRate, advance


def seen(*moments: tuple[float, int]) -> TransferRate:
    """Return the rate after these looks."""
    rate = TransferRate()
    for now, done in moments:
        rate = advance(rate, now=now, done=done)
    return rate


def test_nothing_is_told_before_it_is_known() -> None:
    """Not by one look, nor by two that are too close."""
    for rate in (TransferRate(), seen((0, 0)), seen((0, 0), (LEAST_S / 2, 1000))):
        assert (rate.bytes_per_s(), rate.left_s(5000)) == (None, None)


def test_rate_and_time_left() -> None:
    """Over what was seen."""
    rate = seen((0, 0), (1, 1000), (2, 3000))
    assert (rate.bytes_per_s(), rate.left_s(6000), rate.left_s(3000)) == (1500, 2, 0)


def test_only_the_last_seconds_count() -> None:
    """A slow beginning is forgotten."""
    rate = seen((0, 0), *((100 + second, second * 1000) for second in range(20)))
    assert rate.bytes_per_s() == 1000
    assert len(rate.seen) <= WINDOW_S + 2


def test_a_stall_shows_and_has_no_end() -> None:
    """The rate falls to nothing, and then no time left can be told."""
    rate = seen((0, 0), (1, 1000))
    falling = [rate := advance(rate, now=float(second), done=1000) for second in range(2, 15)]
    rates = [one.bytes_per_s() or 0.0 for one in falling]
    assert rates == sorted(rates, reverse=True)
    assert (falling[-1].bytes_per_s(), falling[-1].left_s(2000)) == (0, None)


def test_what_begins_anew_is_measured_anew() -> None:
    """A part that was thrown away is no negative rate."""
    rate = seen((0, 0), (1, 100_000), (2, 0))
    assert rate.bytes_per_s() is None
    assert advance(rate, now=3, done=500).bytes_per_s() == 500


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 10**12)), max_size=40), st.integers(0, 10**12))
def test_it_is_never_negative(moments: list[tuple[float, int]], total: int) -> None:
    """Whatever comes in whatever order."""
    rate = seen(*moments)
    assert (rate.bytes_per_s() or 0) >= 0
    assert (rate.left_s(total) or 0) >= 0
