"""A budget of calls below a provider's own limit, so that we are never shut out by it: who asks too often waits here.

Surveys leave a share of it to changes, which people wait for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from zlh_api.drivers.port import SystemAway
from zlh_api.web.token_buckets import Rate, TokenBuckets
from zlh_common.clock import Clock

# Of the bucket, what only changes may use.
SHARE_OF_CHANGES = 0.3
# Whoever would wait for longer is told to come back.
MOST_WAIT_S = 10.0
# Of what the provider says to be left, what is not touched: it counts other programs of the same user too.
SPARED = 20
_LEFT = re.compile(r"\br=(\d{1,9})\b.*?\bt=(\d{1,9})\b")


class RateBudget:
    """The budget of one user at one provider, as far as this process spends it."""

    def __init__(self, system: str, rate: Rate, clock: Clock) -> None:
        self._system = system
        self._clock = clock
        self._buckets = TokenBuckets(rate, most_keys=1)
        # Until when the provider itself has said that little is left.
        self._held_until = 0.0

    async def spend(self, *, is_survey: bool = False) -> None:
        """Return once a call may go out; raise SystemAway where that would take too long for a change."""
        while (wait_s := self._wait_s(is_survey=is_survey)) > 0:
            if wait_s > MOST_WAIT_S and not is_survey:
                raise SystemAway(system=self._system, reason="its rate limit is near", retry_in_s=wait_s)
            await self._clock.sleep(min(wait_s, MOST_WAIT_S))
        self._buckets.take("", self._clock.monotonic())

    def note(self, headers: Mapping[str, str]) -> None:
        """Note what the provider says to be left, and for how long: `Ratelimit: "default";r=50;t=30`."""
        match = _LEFT.search(headers.get("Ratelimit", ""))
        if match and int(match[1]) <= SPARED:
            self._held_until = self._clock.monotonic() + min(int(match[2]), 300)

    def _wait_s(self, *, is_survey: bool) -> float:
        now = self._clock.monotonic()
        standing = self._buckets.look("", now)
        held_s = max(0.0, self._held_until - now)
        if is_survey and standing.share < SHARE_OF_CHANGES:
            return max(held_s, standing.full_in_s * (SHARE_OF_CHANGES - standing.share), 0.05)
        return max(held_s, standing.wait_s)
