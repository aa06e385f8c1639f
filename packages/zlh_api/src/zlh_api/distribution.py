"""How long something took, in counts below fixed bounds: a busy process keeps no more of it than an idle one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Distribution:
    """Durations in seconds by the bounds that they lie below; it only ever grows."""

    __slots__ = ("bounds", "counts", "total_s")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        # One more than there are bounds: what lies above all of them.
        self.counts = [0] * (len(bounds) + 1)
        self.total_s = 0.0

    def note(self, seconds: float) -> None:
        """Count one more; a bound counts what is exactly as long."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total_s += seconds
