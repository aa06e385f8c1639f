"""Token buckets for a bounded number of keys: pure, so time comes in as an argument.

A bucket is one number: when it will be full again. One that is full is as good as none, so it is forgotten, and nothing
else ever is: whoever makes up keys pushes nobody out, least himself. Keys that find no place share one bucket.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

# How often at most it is looked for buckets that are full again.
SWEEP_S = 1.0
# Sums of fractions of seconds are that wrong at most, in tokens.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second for long, and so many at once."""

    per_s: float
    burst: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a key stands with its bucket."""

    limit: int
    # Tokens that are left, parts of one included.
    left: float
    # Until it is full again.
    full_in_s: float
    # Until there is a token; 0 where there is one.
    wait_s: float

    @property
    def share(self) -> float:
        """How much of the bucket is left, from 0 to 1."""
        return self.left / self.limit


class TokenBuckets:
    """The buckets of one rate."""

    def __init__(self, rate: Rate, *, most_keys: int) -> None:
        self._rate = rate
        self._most_keys = most_keys
        self._full_at: dict[Hashable, float] = {}
        # Of all keys that find no place.
        self._shared_full_at = -math.inf
        self._swept_at = -math.inf

    def __len__(self) -> int:
        """How many keys have a bucket that is not full."""
        return len(self._full_at)

    def look(self, key: Hashable, now: float) -> Standing:
        """Return how a key stands, and take nothing."""
        full_in_s = max(0.0, self._full_at_of(key, now) - now)
        left = max(0.0, self._rate.burst - full_in_s * self._rate.per_s)
        missing = 0.0 if left >= 1 - _ROUNDING else 1 - left
        return Standing(self._rate.burst, left, full_in_s, missing / self._rate.per_s)

    def take(self, key: Hashable, now: float) -> None:
        """Take a token; whoever takes one has looked whether there is one."""
        full_at = max(self._full_at_of(key, now), now) + 1 / self._rate.per_s
        if self._has_place(key, now):
            self._full_at[key] = full_at
        else:
            self._shared_full_at = full_at

    def _full_at_of(self, key: Hashable, now: float) -> float:
        return self._full_at.get(key, now) if self._has_place(key, now) else self._shared_full_at

    def _has_place(self, key: Hashable, now: float) -> bool:
        if key in self._full_at or len(self._full_at) < self._most_keys:
            return True
        if now - self._swept_at < SWEEP_S:
            return False
        self._swept_at = now
        self._full_at = {each: full_at for each, full_at in self._full_at.items() if full_at > now}
        return len(self._full_at) < self._most_keys
