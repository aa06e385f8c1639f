"""How fast bytes come and how long the rest will take, from what was seen in the last seconds: pure."""

from __future__ import annotations

from dataclasses import dataclass

WINDOW_S = 10.0
# Less than this says nothing yet.
LEAST_S = 0.5


@dataclass(frozen=True, slots=True)
class TransferRate:
    """Moments of the window, oldest first: (monotonic seconds, bytes done)."""

    seen: tuple[tuple[float, int], ...] = ()

    def bytes_per_s(self) -> float | None:
        """Return the rate over the window, or None where too little was seen."""
        if not self.seen:
            return None
        (began, first), (now, done) = self.seen[0], self.seen[-1]
        return (done - first) / (now - began) if now - began >= LEAST_S else None

    def left_s(self, total: int) -> float | None:
        """Return how long the rest takes at this rate; None where that cannot be told, as while nothing comes."""
        rate = self.bytes_per_s()
        if not rate:
            return None
        return max(0, total - self.seen[-1][1]) / rate


def advance(rate: TransferRate, *, now: float, done: int) -> TransferRate:
    """Return the rate after one more look; work that has begun anew, or a clock that went back, begins a new window."""
    if rate.seen and (done < rate.seen[-1][1] or now < rate.seen[-1][0]):
        return TransferRate(((now, done),))
    # One moment from before the window stays, so that a stall shows as a rate that falls.
    young = sum(1 for at, _ in rate.seen if at > now - WINDOW_S)
    kept = rate.seen[max(0, len(rate.seen) - young - 1) :]
    return TransferRate((*kept, (now, done)))
