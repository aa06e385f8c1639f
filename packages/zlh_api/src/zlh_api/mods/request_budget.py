"""One budget of requests for the process, below what Modrinth allows to an address: who asks too often waits here."""

from __future__ import annotations

from collections.abc import Mapping

from zlh_api.drivers.port import SystemAway
from zlh_api.mods.modrinth_wire import read_left
from zlh_api.web.token_buckets import Rate, TokenBuckets
from zlh_common.clock import Clock

# It allows 300 a minute to an address, which other programs may share.
RATE = Rate(per_s=4.0, burst=40)
# Whoever would wait for longer is told to come back.
MOST_WAIT_S = 10.0
# Of what Modrinth says to be left, what is not touched.
SPARED = 20


class RequestBudget:
    """What this process may ask."""

    def __init__(self, system: str, clock: Clock, rate: Rate = RATE) -> None:
        self._system = system
        self._clock = clock
        self._buckets = TokenBuckets(rate, most_keys=1)
        # Until when Modrinth itself has said that little is left.
        self._held_until = 0.0

    async def spend(self) -> None:
        """Return once a request may go out; raise SystemAway where that would take too long."""
        while (wait_s := self._wait_s()) > 0:
            if wait_s > MOST_WAIT_S:
                raise SystemAway(system=self._system, reason="its rate limit is near", retry_in_s=wait_s)
            await self._clock.sleep(wait_s)
        self._buckets.take("", self._clock.monotonic())

    def note(self, headers: Mapping[str, str]) -> None:
        """Note what Modrinth says to be left, and for how long."""
        told = read_left(headers)
        if told is not None and told[0] <= SPARED:
            self._held_until = self._clock.monotonic() + min(told[1], 60)

    def _wait_s(self) -> float:
        now = self._clock.monotonic()
        return max(0.0, self._held_until - now, self._buckets.look("", now).wait_s)
