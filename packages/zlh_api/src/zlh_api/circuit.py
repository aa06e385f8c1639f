"""A circuit before each system that we depend on: while the system is away, nobody waits for it and nobody storms it.

    closed ── a call finds it away ──► open ── its time has come ──► probing ── the one call answers ──► closed
                                        ▲                               │
                                        └── away still, for longer ─────┘

The rules are pure; `Circuit` holds the state of one system in one process. Invariants: while it is open no call goes
out; while it is probing one does; between two calls to a system that is away lies at least a second. What a call that
began before the circuit opened finds out changes nothing any more.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

import structlog

from zlh_api.drivers.port import SystemAway
from zlh_common.clock import Clock

log = structlog.get_logger()
# The first wait lies between one and one and a half seconds; each that follows is twice as long, up to the most.
FIRST_WAIT_S = 1.5
MOST_WAIT_S = 30.0
# Chance takes up to this share off a wait, so that many processes do not come back in one moment.
JITTER = 1 / 3
# A system may ask for a longer pause itself (Retry-After); more than this is taken for a mistake.
MOST_ASKED_WAIT_S = 300.0
# A probe that has not come back by then is given up on, and another is let through.
PROBE_S = 30.0


class Phase(StrEnum):
    """Whether calls go out."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(frozen=True, slots=True)
class CircuitState:
    """What is known of the system; times are those of one monotonic clock."""

    phase: Phase = Phase.CLOSED
    # How often in a row it was found away.
    failures: int = 0
    # When the next call may go out, unless it is closed.
    try_at: float = 0.0
    reason: str = ""
    # Counts the calls that decide: what a call with an older number finds out is old.
    number: int = 0


def decide_admission(state: CircuitState, *, now: float) -> tuple[CircuitState, bool]:
    """Tell whether a call may go out now; one that is let through an open circuit is its probe."""
    if state.phase is Phase.CLOSED:
        return state, True
    if now < state.try_at:
        return state, False
    return replace(state, phase=Phase.PROBING, try_at=now + PROBE_S, number=state.number + 1), True


def decide_answered(state: CircuitState, *, number: int) -> CircuitState:
    """Return the state after the call with this number was answered, in whatever way."""
    if state.phase is Phase.CLOSED or number != state.number:
        return state
    return CircuitState(number=state.number + 1)


def decide_away(
    state: CircuitState, *, number: int, now: float, reason: str, asked_wait_s: float, chance: float
) -> CircuitState:
    """Return the state after the call with this number found the system away; `chance` lies between 0 and 1."""
    if number != state.number:
        return state
    failures = state.failures + 1
    wait_s = max(wait_after(failures, chance=chance), min(asked_wait_s, MOST_ASKED_WAIT_S))
    return CircuitState(Phase.OPEN, failures, now + wait_s, reason, state.number + 1)


def decide_given_up(state: CircuitState, *, number: int, now: float) -> CircuitState:
    """Return the state after a call was cancelled: if it was the probe, another is let through a second later."""
    if state.phase is not Phase.PROBING or number != state.number:
        return state
    return replace(state, phase=Phase.OPEN, try_at=now + FIRST_WAIT_S)


def wait_after(failures: int, *, chance: float) -> float:
    """Return for how many seconds nothing is sent after the n-th failure in a row (from 1): 1 at least, 30 at most."""
    longest = min(MOST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(max(failures - 1, 0), 10))
    return longest * (1 - JITTER * chance)


def is_unreachable(error: Exception) -> bool:
    """Tell whether an error means by itself that nobody is there: refused, reset, out of time."""
    return isinstance(error, ConnectionError | TimeoutError)


class Circuit:
    """The circuit of one system in this process.

    Its user says what counts: a SystemAway raised within a call does, with its `retry_in_s` as the least wait
    (for answers such as 502, or 429 with Retry-After), and what `is_away` names. Any other outcome is an answer.
    """

    def __init__(
        self,
        system: str,
        *,
        clock: Clock,
        is_away: Callable[[Exception], bool] = is_unreachable,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.system = system
        # Called with the system's name whenever it is back.
        self.on_closed: Callable[[str], None] | None = None
        self._clock = clock
        self._is_away = is_away
        self._chance = chance
        self._state = CircuitState()

    @property
    def is_closed(self) -> bool:
        """Whether calls go out, as far as is known."""
        return self._state.phase is Phase.CLOSED

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Surround one call to the system; raise SystemAway at once while it is away, and where the call finds it so.

        Every call needs a time limit of its own: one that is cancelled from outside says nothing about the system.
        """
        self._state, is_admitted = decide_admission(self._state, now=self._clock.monotonic())
        if not is_admitted:
            raise self._away()
        number = self._state.number
        try:
            yield
        except Exception as error:
            if not isinstance(error, SystemAway) and not self._is_away(error):
                self._note_answer(number)
                raise
            self._note_away(number, error)
            raise self._away(error) from error
        except BaseException:
            self._state = decide_given_up(self._state, number=number, now=self._clock.monotonic())
            raise
        self._note_answer(number)

    def _note_answer(self, number: int) -> None:
        before, self._state = self._state, decide_answered(self._state, number=number)
        if before.phase is not Phase.CLOSED and self.is_closed:
            log.info("system.back", system=self.system, failures=before.failures)
            if self.on_closed is not None:
                self.on_closed(self.system)

    def _note_away(self, number: int, error: Exception) -> None:
        before = self._state
        self._state = decide_away(
            before,
            number=number,
            now=self._clock.monotonic(),
            reason=_reason_of(error),
            asked_wait_s=error.retry_in_s if isinstance(error, SystemAway) else 0.0,
            chance=self._chance(),
        )
        if self._state is before:
            return
        log.warning(
            "system.away",
            system=self.system,
            reason=self._state.reason,
            failures=self._state.failures,
            retry_in_s=round(self._left_s(), 2),
        )

    def _away(self, error: Exception | None = None) -> SystemAway:
        reason = _reason_of(error) if error else self._state.reason
        return SystemAway(system=self.system, reason=reason, retry_in_s=self._left_s())

    def _left_s(self) -> float:
        return max(0.0, self._state.try_at - self._clock.monotonic())


class Circuits:
    """Makes the circuit of each system that this process depends on, and hands on which one is back."""

    def __init__(self, clock: Clock) -> None:
        # Called with a system's name whenever it is back.
        self.on_closed: Callable[[str], None] | None = None
        self._clock = clock
        self._made: list[Circuit] = []

    def make(self, system: str) -> Circuit:
        """Return what keeps calls from a system while it is away; made once for each, and kept."""
        circuit = Circuit(system, clock=self._clock)
        circuit.on_closed = self._tell
        self._made.append(circuit)
        return circuit

    def are_closed(self) -> dict[str, bool]:
        """Return of each system whether calls go out to it, as far as is known."""
        known: dict[str, bool] = {}
        for circuit in self._made:
            known[circuit.system] = circuit.is_closed and known.get(circuit.system, True)
        return known

    def _tell(self, system: str) -> None:
        if self.on_closed is not None:
            self.on_closed(system)


def _reason_of(error: Exception) -> str:
    if isinstance(error, SystemAway):
        return error.reason
    return str(error) or type(error).__name__
