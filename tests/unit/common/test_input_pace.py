"""How fast the client of a console is read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zlh_common.input_pace import INPUT_BURST_S, INPUT_BYTES_PER_S, INPUT_MESSAGES_PER_S, input_cost_s
from zlh_common.pace import pay


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
