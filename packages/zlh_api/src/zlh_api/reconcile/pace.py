"""How fast the reconciler goes: its times and numbers in one value, and what chance makes of them. Pure.

Nothing that goes wrong is waited for longer than `most_retry_s`, so a guest that runs with an open network is seen
within that time whatever else its container waits for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zlh_api.reconcile.plan import Await, Do

# Each container is looked at this often even if nobody says that anything has changed …
DRIFT_S = 30.0
# … and this often once it is as it should be, where the patrol sees every change that such a look could see.
PATROLLED_DRIFT_S = 300.0
LEASE_S = 10.0
# Between a look at the clock and the effect that follows, a process may lose a moment.
MARGIN_S = 1.0
STEP_TIMEOUT_S = 120.0
# Templates of some gigabytes are unpacked, and volumes wiped, while others wait for the same disks.
SLOW_STEPS_S: Mapping[Do, float] = {
    Do.CREATE_GUEST: 900.0,
    Do.DESTROY_GUEST: 600.0,
    Do.RESIZE_GUEST: 300.0,
    Do.STOP_GUEST: 180.0,
}
# Containers whose step merely takes its time (a guest that stops in order) cost little, so many more may be at it.
SEATS_PER_WORKER = 8
# Chance takes up to this share off a time, so that what began together does not come back together.
JITTER = 0.25


@dataclass(frozen=True, slots=True)
class Pace:
    """One installation has one; tests have faster ones."""

    # How many containers one process works on at a time, not counting those whose step merely takes its time …
    workers: int = 16
    # … which a step does once it lasts this long; of all together there are at most `most_workers`.
    slow_after_s: float = 2.0
    most_workers: int = 128
    lease_s: float = LEASE_S
    margin_s: float = MARGIN_S
    poll_s: float = 1.0
    drift_s: float = DRIFT_S
    patrolled_drift_s: float = PATROLLED_DRIFT_S
    first_retry_s: float = 0.5
    most_retry_s: float = 30.0
    # After an error that nobody foresaw, outside of any step: rare, and nothing says when it will be over.
    break_s: float = 5.0
    # How long a turn is waited for before somebody looks whether it was forgotten; usually one is woken.
    turn_s: float = 10.0
    # Those who waited for the same system come back over this long.
    spread_s: float = 2.0
    # How long the agent of a started guest may stay silent before that is an error to show.
    connect_s: float = 20.0
    # The same of an addon of a new container, which its agent has installed.
    addon_s: float = 90.0
    # The same of a game server whose files are there: the first world of one is made meanwhile.
    server_s: float = 900.0
    # How long a look may take, and a step that is none of the slow ones.
    observe_s: float = 30.0
    step_s: float = STEP_TIMEOUT_S
    slow_steps_s: Mapping[Do, float] = field(default_factory=lambda: SLOW_STEPS_S)

    @property
    def share(self) -> int:
        """How many containers of one customer are worked on at a time, so that others always find room."""
        return max(1, self.most_workers // 2)

    def step_limit_s(self, step: Do) -> float:
        """Return how long a step may take."""
        return self.slow_steps_s.get(step, self.step_s)

    def await_limit_s(self, step: Await) -> float:
        """Return how long somebody else may take for a step before that is an error to show."""
        match step:
            case Await.RUN_CODE_SERVER:
                return self.addon_s
            case Await.RUN_SERVER:
                return self.server_s
            case _:
                return self.connect_s

    def drift_after_s(self, *, chance: float, is_patrolled: bool = False) -> float:
        """Return when to look again at a container that is as it should be; `chance` lies between 0 and 1."""
        return (self.patrolled_drift_s if is_patrolled else self.drift_s) * (1 - JITTER * chance)

    def retry_after_s(self, attempts: int, *, chance: float) -> float:
        """Return how long to wait after the n-th failure in a row (from 1): ever twice as long, up to the most."""
        longest = min(self.most_retry_s, self.first_retry_s * 2.0 ** min(max(attempts - 1, 0), 16))
        return longest * (1 - JITTER * chance)

    def turn_after_s(self, *, chance: float) -> float:
        """Return when to ask again for a turn, unless one is woken before."""
        return self.turn_s * (1 - JITTER * chance)

    def away_after_s(self, retry_in_s: float, *, chance: float) -> float:
        """Return when to ask again for a system that is asked itself in `retry_in_s`: later, and not all at once."""
        return min(self.most_retry_s, max(retry_in_s, self.first_retry_s) * (1 + chance))
