"""How long the reconciler waits for what: bounds that hold whatever chance says."""

from __future__ import annotations

from itertools import pairwise

import pytest

from zlh_api.drivers.port import ORDERLY_STOP_S
from zlh_api.reconcile.pace import DRIFT_S, JITTER, SLOW_STEPS_S, STEP_TIMEOUT_S, Pace
from zlh_api.reconcile.plan import Do

PACE = Pace()
CHANCES = [0.0, 0.3, 1.0]


@pytest.mark.parametrize("chance", CHANCES)
def test_retries_slow_down_up_to_half_a_minute(chance: float) -> None:
    """Delays start below half a second, never shrink, and never exceed what an open guest may go unseen."""
    delays = [PACE.retry_after_s(attempts, chance=chance) for attempts in range(1, 2000)]
    assert 0.5 * (1 - JITTER) <= delays[0] <= 0.5
    assert all(one <= other for one, other in pairwise(delays))
    assert 30.0 * (1 - JITTER) <= delays[-1] <= 30.0
    assert PACE.retry_after_s(0, chance=chance) == delays[0]


@pytest.mark.parametrize("chance", CHANCES)
def test_nothing_is_out_of_sight_for_more_than_half_a_minute(chance: float) -> None:
    """Neither what is well, nor what waits for a turn, nor what waits for a system that is away for long."""
    waits = [PACE.drift_after_s(chance=chance), PACE.turn_after_s(chance=chance)]
    waits += [PACE.away_after_s(retry_in_s, chance=chance) for retry_in_s in (0.0, 1.0, 29.0, 300.0)]
    assert 0 < min(waits) <= max(waits) <= DRIFT_S


def test_those_who_wait_for_a_system_do_not_come_back_before_it_is_asked() -> None:
    """Nor in one moment."""
    waits = [PACE.away_after_s(4.0, chance=number / 100) for number in range(101)]
    assert min(waits) == 4.0
    assert max(waits) == 8.0
    assert len(set(waits)) == len(waits)


def test_each_step_has_a_limit() -> None:
    """Those that move gigabytes a longer one."""
    limits = {step: PACE.step_limit_s(step) for step in Do}
    assert {step for step, limit in limits.items() if limit != STEP_TIMEOUT_S} == set(SLOW_STEPS_S)
    assert limits[Do.STOP_GUEST] > 100


def test_one_customer_never_has_all_seats() -> None:
    """However few there are, and one at least."""
    assert Pace().share < Pace().most_workers
    assert Pace(workers=1, most_workers=1).share == 1


def test_a_stop_in_order_comes_to_its_end_within_its_step() -> None:
    """With what is done to a guest that has not heard, or the same stop would be begun anew for ever."""
    assert PACE.step_limit_s(Do.STOP_GUEST) > ORDERLY_STOP_S + 30
