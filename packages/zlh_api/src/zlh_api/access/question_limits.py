"""How often the proxy may ask for others, counted by this process before the database is asked.

Guarded ports are asked for as often as browsers like, and every question costs all customers of this process the same.
So each sign-in has a bucket, each container one for all of its viewers, and another for whoever is not signed in there:
a flood at one host leaves those alone who are signed in at it, and everybody at other containers. Whoever is not signed
in is counted by address besides, where the proxy can tell one.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import structlog

from zlh_api.web.client_address import address_group
from zlh_api.web.rate_limits import MOST_KEYS, TELL_S, RateLimited
from zlh_api.web.token_buckets import Rate, TokenBuckets
from zlh_common.clock import Clock
from zlh_common.names import HostName

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class QuestionRates:
    """What is let through."""

    # Of one browser at one host.
    sign_in: Rate
    # Of all that are signed in at one container.
    container: Rate
    # Of all that are not signed in there.
    strangers: Rate
    # Of one address that is signed in nowhere.
    address: Rate


class QuestionLimits:
    """Counts every question of the proxy."""

    def __init__(self, rates: QuestionRates, clock: Clock) -> None:
        self._clock = clock
        self._sign_ins = TokenBuckets(rates.sign_in, most_keys=MOST_KEYS)
        self._containers = TokenBuckets(rates.container, most_keys=MOST_KEYS)
        self._strangers = TokenBuckets(rates.strangers, most_keys=MOST_KEYS)
        self._addresses = TokenBuckets(rates.address, most_keys=MOST_KEYS)
        # Sign-ins that were good when last seen, the least lately seen first.
        self._good: dict[tuple[str, bytes], None] = {}
        self._refused = 0
        self._told_at = -math.inf

    def admit(self, host: HostName, digests: Sequence[bytes], address: str | None) -> None:
        """Count a question for one host, of who brings these tokens; raise RateLimited where there were too many.

        Without an address nobody knows from where it comes.
        """
        now = self._clock.monotonic()
        counts = self._counts_of(host, digests, address)
        by, standing = max(
            ((by, buckets.look(key, now)) for by, buckets, key in counts), key=lambda pair: pair[1].wait_s
        )
        if standing.wait_s > 0:
            self._tell(by, host, now)
            raise RateLimited(by=by, limit=standing.limit, retry_after_s=math.ceil(standing.wait_s))
        # None is counted where another refuses, so nobody pays for what was not done.
        for _, buckets, key in counts:
            buckets.take(key, now)

    def note_good(self, host: HostName, digest: bytes) -> None:
        """Remember that somebody is signed in at a host by this token."""
        self._good.pop((host.label, digest), None)
        while len(self._good) >= MOST_KEYS:
            del self._good[next(iter(self._good))]
        self._good[host.label, digest] = None

    def note_bad(self, host: HostName, digests: Sequence[bytes]) -> None:
        """Forget that anybody was by one of these."""
        for digest in digests:
            self._good.pop((host.label, digest), None)

    def _counts_of(
        self, host: HostName, digests: Sequence[bytes], address: str | None
    ) -> list[tuple[str, TokenBuckets, Hashable]]:
        container = (host.kind, host.vmid)
        good = next((digest for digest in digests if (host.label, digest) in self._good), None)
        if good is not None:
            return [("sign-in", self._sign_ins, good), ("container", self._containers, container)]
        counts: list[tuple[str, TokenBuckets, Hashable]] = [("container", self._strangers, container)]
        if address is not None:
            counts.append(("address", self._addresses, address_group(address)))
        return counts

    def _tell(self, by: str, host: HostName, now: float) -> None:
        """Log what was refused; a line for each would be a flood of its own."""
        self._refused += 1
        if now - self._told_at >= TELL_S:
            log.warning("questions.refused", refused=self._refused, by=by, host=host.label)
            self._told_at, self._refused = now, 0
