"""The circuit before a system that may be away: who is let through, when, and who is told."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest

from fakes.clock import FakeClock
from zlh_api.circuit import (
    FIRST_WAIT_S,
    MOST_ASKED_WAIT_S,
    MOST_WAIT_S,
    PROBE_S,
    Circuit,
    CircuitState,
    Phase,
    decide_admission,
    decide_answered,
    decide_away,
    decide_given_up,
    wait_after,
)
from zlh_api.drivers.port import SystemAway

OPEN = CircuitState(Phase.OPEN, failures=1, try_at=10.0, reason="refused", number=4)


class Refused(Exception):
    """An answer that says no, and by that says that somebody is there."""


def made(clock: FakeClock, chance: float = 0.0) -> Circuit:
    """Return a circuit that leaves nothing to chance."""
    return Circuit("the cluster", clock=clock, chance=lambda: chance)


async def find_away(circuit: Circuit, error: Exception | None = None) -> SystemAway:
    """Make a call that finds the system away."""
    with pytest.raises(SystemAway) as caught:
        async with circuit.call():
            raise error or ConnectionRefusedError("refused")
    return caught.value


def test_an_open_circuit_lets_one_probe_through_when_its_time_has_come() -> None:
    """And nobody else until that has come back, or is given up on."""
    assert decide_admission(OPEN, now=9.9) == (OPEN, False)
    probing, is_admitted = decide_admission(OPEN, now=10.0)
    assert (is_admitted, probing.phase, probing.number) == (True, Phase.PROBING, 5)
    assert decide_admission(probing, now=10.0 + PROBE_S - 0.1) == (probing, False)
    again, is_admitted = decide_admission(probing, now=10.0 + PROBE_S)
    assert (is_admitted, again.number) == (True, 6)
    assert decide_answered(again, number=5) == again
    assert decide_answered(again, number=6).phase is Phase.CLOSED


def test_what_an_old_call_finds_out_changes_nothing() -> None:
    """Twenty calls that were under way when the system went are one failure, not twenty."""
    first = CircuitState()
    opened = decide_away(first, number=0, now=0.0, reason="reset", asked_wait_s=0, chance=0)
    late = decide_away(opened, number=0, now=5.0, reason="reset", asked_wait_s=0, chance=0)
    assert (opened.failures, late) == (1, opened)
    assert decide_answered(opened, number=0) == opened
    assert decide_given_up(opened, number=0, now=5.0) == opened


def test_a_cancelled_probe_makes_way_for_another_and_counts_as_nothing() -> None:
    """Whoever cancels a call has learned nothing about the system."""
    probing, _ = decide_admission(OPEN, now=10.0)
    given_up = decide_given_up(probing, number=probing.number, now=11.0)
    assert (given_up.phase, given_up.failures, given_up.try_at) == (Phase.OPEN, 1, 11.0 + FIRST_WAIT_S)
    assert decide_given_up(CircuitState(), number=0, now=1.0) == CircuitState()


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_waits_grow_from_a_second_to_half_a_minute(chance: float) -> None:
    """Whatever chance says, never less than a second and never more than thirty."""
    waits = [wait_after(failures, chance=chance) for failures in range(1, 40)]
    assert min(waits) >= 1.0
    assert max(waits) <= MOST_WAIT_S
    assert all(one <= other for one, other in pairwise(waits))
    assert waits[5] > 4 * waits[0]


def test_a_pause_that_the_system_asks_for_is_kept_within_reason() -> None:
    """Retry-After is the least wait; a day of it is taken for a mistake."""
    for asked, wait in ((0.0, FIRST_WAIT_S), (20.0, 20.0), (86_400.0, MOST_ASKED_WAIT_S)):
        state = decide_away(CircuitState(), number=0, now=100.0, reason="429", asked_wait_s=asked, chance=0)
        assert state.try_at == 100.0 + wait


async def test_an_open_circuit_refuses_at_once_and_says_why_and_until_when(clock: FakeClock) -> None:
    """The call is not made."""
    circuit = made(clock)
    found = await find_away(circuit)
    assert (found.system, found.reason, found.retry_in_s) == ("the cluster", "refused", FIRST_WAIT_S)
    clock.advance(0.5)
    with pytest.raises(SystemAway) as refused:
        async with circuit.call():
            pytest.fail("it was called")
    assert (refused.value.reason, refused.value.retry_in_s) == ("refused", FIRST_WAIT_S - 0.5)


async def test_an_answer_that_says_no_is_an_answer(clock: FakeClock) -> None:
    """It closes the circuit, and keeps its own name."""
    circuit = made(clock)
    await find_away(circuit)
    clock.advance(FIRST_WAIT_S)
    with pytest.raises(Refused):
        async with circuit.call():
            raise Refused
    assert circuit.is_closed


async def test_its_user_says_what_counts(clock: FakeClock) -> None:
    """By kind of exception, or by raising what every circuit knows."""
    circuit = Circuit("x", clock=clock, is_away=lambda error: isinstance(error, Refused), chance=lambda: 0.0)
    with pytest.raises(TimeoutError):
        async with circuit.call():
            raise TimeoutError
    assert circuit.is_closed
    await find_away(circuit, Refused("nobody"))
    clock.advance(FIRST_WAIT_S)
    found = await find_away(circuit, SystemAway(system="x", reason="status 429", retry_in_s=25.0))
    assert (found.reason, found.retry_in_s) == ("status 429", 25.0)


async def test_who_has_asked_to_be_told_is_told_once_when_it_closes(clock: FakeClock) -> None:
    """Not while it is away, and not again while it answers."""
    circuit, told = made(clock), list[str]()
    circuit.on_closed = told.append
    await find_away(circuit)
    clock.advance(FIRST_WAIT_S)
    await find_away(circuit)
    clock.advance(2 * FIRST_WAIT_S)
    async with circuit.call():
        assert told == []
    assert told == ["the cluster"]
    async with circuit.call():
        pass
    assert told == ["the cluster"]


async def test_a_cancelled_probe_is_followed_by_another(clock: FakeClock) -> None:
    """A step whose time is up takes its call with it, and not the hope that the system is back."""
    circuit = made(clock)
    await find_away(circuit)
    clock.advance(FIRST_WAIT_S)

    async def hang() -> None:
        async with circuit.call():
            await asyncio.Event().wait()

    probe = asyncio.create_task(hang())
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    with pytest.raises(SystemAway):
        async with circuit.call():
            pytest.fail("within the same second")
    clock.advance(FIRST_WAIT_S)
    async with circuit.call():
        pass
    assert circuit.is_closed


@pytest.mark.parametrize("seed", range(4))
async def test_an_hour_away_sees_no_storm_and_ends_within_half_a_minute(clock: FakeClock, seed: int) -> None:
    """Twenty callers that never give up: never two calls within a second, and all is well soon after."""
    chance = random.Random(seed)
    circuit = Circuit("x", clock=clock, chance=chance.random)
    began, calls, answered = clock.monotonic(), list[float](), list[float]()
    while clock.monotonic() < began + 3700 and not answered:
        for _ in range(20):
            try:
                async with circuit.call():
                    calls.append(clock.monotonic())
                    if clock.monotonic() < began + 3600:
                        raise ConnectionRefusedError
                    answered.append(clock.monotonic())
            except SystemAway:
                continue
        clock.advance(chance.uniform(0.01, 0.4))
    away = [at for at in calls if at < began + 3600]
    assert min(after - before for before, after in pairwise(away)) >= 1.0
    assert len(away) < 3600 / 10
    assert answered[0] < began + 3600 + MOST_WAIT_S + 1
