"""How much of something may be taken at a moment: so many at once, and so many a second after that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """A number that may come at once, and how fast it grows again."""

    at_once: float
    per_s: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """What was left at a moment."""

    left: float
    at: float


def take(allowance: Allowance, wanted: int, rate: Rate, now: float) -> tuple[int, Allowance]:
    """Return how many of `wanted` may be taken now, and what is left then."""
    left = min(rate.at_once, allowance.left + max(0.0, now - allowance.at) * rate.per_s)
    taken = min(wanted, int(left))
    return taken, Allowance(left - taken, now)


def pay(paid_until: float, cost_s: float, *, burst_s: float, now: float) -> float:
    """Return until when is paid after one thing more; it may be done at once where that is not in the future.

    Who has done nothing for a while has `burst_s` in hand, and never more.
    """
    return max(paid_until, now - burst_s) + cost_s
