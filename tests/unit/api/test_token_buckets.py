"""Token buckets: what is let through, how long one waits, and how much memory strangers can take."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.web.token_buckets import SWEEP_S, Rate, TokenBuckets

RATES = st.builds(Rate, per_s=st.floats(0.1, 1000), burst=st.integers(1, 50))


def take_if_any(buckets: TokenBuckets, key: str, now: float) -> bool:
    """Take a token where there is one."""
    if buckets.look(key, now).wait_s > 0:
        return False
    buckets.take(key, now)
    return True


@given(RATES, st.lists(st.floats(0, 2), max_size=200))
def test_no_more_is_let_through_than_the_rate_allows(rate: Rate, pauses: list[float]) -> None:
    """Over any time: the burst, and the rate for as long as it took."""
    buckets, now, taken = TokenBuckets(rate, most_keys=10), 0.0, []
    for pause in pauses:
        now += pause
        if take_if_any(buckets, "a", now):
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            allowed = rate.burst + (taken[last] - taken[first]) * rate.per_s
            assert last - first + 1 <= allowed + 1e-3


@given(RATES, st.integers(0, 100))
def test_whoever_waits_as_long_as_he_is_told_gets_in(rate: Rate, calls: int) -> None:
    """And not before, but for what the rounding to whole seconds adds."""
    buckets = TokenBuckets(rate, most_keys=10)
    for _ in range(calls):
        take_if_any(buckets, "a", 0.0)
    standing = buckets.look("a", 0.0)
    assert (standing.wait_s > 0) is (calls >= rate.burst)
    if standing.wait_s > 0:
        assert not take_if_any(buckets, "a", standing.wait_s * 0.99)
    assert take_if_any(buckets, "a", float(math.ceil(standing.wait_s)))


@given(RATES, st.integers(0, 60))
def test_what_is_left_and_when_it_is_full_are_true(rate: Rate, calls: int) -> None:
    """As many as are left can be taken at once, and at the time that is told all of them."""
    buckets = TokenBuckets(rate, most_keys=10)
    for _ in range(calls):
        take_if_any(buckets, "a", 0.0)
    standing = buckets.look("a", 0.0)
    assert sum(take_if_any(buckets, "a", 0.0) for _ in range(100)) == math.floor(standing.left + 1e-6)
    full_in_s = buckets.look("a", 0.0).full_in_s + 1e-9
    assert sum(take_if_any(buckets, "a", full_in_s) for _ in range(100)) == rate.burst


def test_keys_do_not_touch_each_other() -> None:
    """One that is empty is nobody else's trouble."""
    buckets = TokenBuckets(Rate(1.0, 2), most_keys=10)
    assert [take_if_any(buckets, "a", 0.0) for _ in range(3)] == [True, True, False]
    assert take_if_any(buckets, "b", 0.0)


def test_a_flood_of_keys_takes_no_memory_and_pushes_nobody_out() -> None:
    """Not even the one who floods: his own bucket stays empty, and what finds no place shares one."""
    buckets = TokenBuckets(Rate(1.0, 2), most_keys=100)
    assert [take_if_any(buckets, "a", 0.0) for _ in range(3)] == [True, True, False]
    let_in = sum(take_if_any(buckets, f"made up {number}", 0.1) for number in range(100_000))
    assert len(buckets) == 100
    assert let_in == 99 + 2
    assert not take_if_any(buckets, "a", 0.1)


@pytest.mark.parametrize("later", [SWEEP_S, 60.0])
def test_a_bucket_that_is_full_again_makes_room(later: float) -> None:
    """It is as good as none."""
    buckets = TokenBuckets(Rate(2.0, 2), most_keys=3)
    for key in "abc":
        buckets.take(key, 0.0)
    assert take_if_any(buckets, "d", later)
    assert len(buckets) == 1
