"""Decides when an agent is dialled again."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_S, MOST_S = 0.05, 10.0
# A link that held this long was a good one: the next wait is the first one again.
STABLE_S = 30.0
# So many times in a row it may fail until an agent counts as offline instead of on its way.
CONNECTING_TRIES = 7


@dataclass(frozen=True, slots=True)
class Redial:
    """What came before: links in a row that ended early, and those of them that never came to be."""

    ends: int = 0
    failures: int = 0


def next_redial(before: Redial, *, failed: bool, held_s: float, chance: float) -> tuple[Redial, float]:
    """Return what counts after a link has ended, and how long to wait.

    The wait doubles with each end in a row. `chance`, from 0 to 1, spreads it over its upper half: agents that were
    lost together are not dialled together.
    """
    ends = 1 if held_s >= STABLE_S and not failed else before.ends + 1
    failures = before.failures + 1 if failed else 0
    longest_s = min(MOST_S, FIRST_S * 2.0 ** min(ends - 1, 30))
    return Redial(ends, failures), longest_s * (0.5 + chance / 2)
