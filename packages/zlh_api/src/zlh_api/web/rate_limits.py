"""How often anybody may call, counted by this process before the database is asked.

A request is counted for the credential that it brings and for each customer which that reaches and that has room, where
the credential is one that was found to be good lately; for the address of its sender otherwise. So tokens that are made
up cost what no token costs, have no bucket of their own, and push nobody's out; and many tokens of one customer do not
add up.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Hashable
from dataclasses import dataclass
from uuid import UUID

import structlog
from aiohttp import web

from zlh_api.customers.callers import find_credential
from zlh_api.customers.model import Caller, Credential
from zlh_api.customers.refusals import NotSignedIn
from zlh_api.web.client_address import address_group, client_address
from zlh_api.web.endpoint import Endpoint, Subject
from zlh_api.web.request_credentials import SAFE_METHODS, find_ticket, read_bearer
from zlh_api.web.session_cookie import SessionCookie
from zlh_api.web.token_buckets import Rate, Standing, TokenBuckets
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError

log = structlog.get_logger()
# So many of each have a bucket of their own, or are remembered as good; some hundred bytes each.
MOST_KEYS = 20_000
# So many refusals are kept back at a time; more are told at once.
MOST_WAITING = 1000
# What was refused is told in one line for as long as this.
TELL_S = 1.0
_STANDING = web.RequestKey("rate_standing", Standing)


class RateLimited(ZlhError):
    """There were too many calls in a short time."""

    code, status, retryable = "rate_limited", 429, True

    def __init__(self, *, by: str, limit: int, retry_after_s: int) -> None:
        super().__init__(
            f"Too many calls for this {by}: {limit} at once are let through, and fewer for long. "
            f"Try again in {retry_after_s} s.",
            by=by,
            limit=limit,
            retryAfterS=retry_after_s,
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """Of calls that only look, and of those that change something."""

    reads: Rate
    changes: Rate


@dataclass(frozen=True, slots=True)
class RateSettings:
    """What is let through."""

    credential: Rates
    # For all credentials of one customer together.
    customer: Rates
    # Whoever brings no credential that is known to be good, by address.
    address: Rates
    # How long a refusal is kept back, so that one who asks again at once is slowed down by it.
    refusal_wait_s: float = 0.25


@dataclass(frozen=True, slots=True)
class _Count:
    """One bucket that a request is counted in, and by what."""

    by: str
    buckets: TokenBuckets
    key: Hashable

    def look(self, now: float) -> Standing:
        return self.buckets.look(self.key, now)


def _with_room(counts: list[tuple[_Count, Standing]]) -> list[tuple[_Count, Standing]]:
    """Leave out the customers that have no room where another one has; where none has, all but the next that will.

    So a customer that floods stops none of its people from working for others.
    """
    customers = [pair for pair in counts if pair[0].by == "customer"]
    least = min((standing.wait_s for _, standing in customers), default=0.0)
    return [pair for pair in counts if pair[0].by != "customer" or pair[1].wait_s <= least]


class _Buckets:
    """All buckets for calls of one kind."""

    def __init__(self, settings: RateSettings, kind: str) -> None:
        def make(rates: Rates) -> TokenBuckets:
            return TokenBuckets(getattr(rates, kind), most_keys=MOST_KEYS)

        self.credential, self.customer = make(settings.credential), make(settings.customer)
        self.address = make(settings.address)


class RateLimits:
    """Counts every request for which there is an endpoint."""

    def __init__(self, settings: RateSettings, cookie: SessionCookie, clock: Clock) -> None:
        self._cookie = cookie
        self._clock = clock
        self._reads, self._changes = _Buckets(settings, "reads"), _Buckets(settings, "changes")
        # Credentials that were good when last seen, the least lately seen first, and for whom else they count.
        self._good: dict[Credential, tuple[UUID, ...]] = {}
        self._wait_s = settings.refusal_wait_s
        self._waiting = 0
        self._refused = 0
        self._told_at = -math.inf

    async def admit(self, endpoint: Endpoint, request: web.Request) -> None:
        """Count a request; raise RateLimited where there were too many."""
        try:
            self._count(endpoint, request)
        except RateLimited:
            # Else whoever floods would be answered all the more often for being refused, and others as late as before.
            if self._waiting < MOST_WAITING:
                self._waiting += 1
                try:
                    await asyncio.sleep(self._wait_s)
                finally:
                    self._waiting -= 1
            raise

    def _count(self, endpoint: Endpoint, request: web.Request) -> None:
        now = self._clock.monotonic()
        counts = _with_room([(count, count.look(now)) for count in self._counts_of(endpoint, request)])
        count, standing = max(counts, key=lambda pair: (pair[1].wait_s, -pair[1].share))
        if standing.wait_s > 0:
            request[_STANDING] = standing
            self._tell(request, count.by, now)
            raise RateLimited(by=count.by, limit=standing.limit, retry_after_s=math.ceil(standing.wait_s))
        # None is counted where another refuses, so nobody pays for what was not done.
        for each, _ in counts:
            each.buckets.take(each.key, now)
        request[_STANDING] = count.look(now)

    def note_good(self, endpoint: Endpoint, request: web.Request, caller: Caller) -> None:
        """Remember that the credential of a request is good, and for whom it counts besides."""
        credential = self._credential_of(endpoint, request)
        if credential is None:
            return
        self._good.pop(credential, None)
        while len(self._good) >= MOST_KEYS:
            del self._good[next(iter(self._good))]
        # Whoever belongs to no customer has as much with all of their tokens.
        self._good[credential] = tuple(entry.customer_id for entry in caller.memberships) or (caller.user_id,)

    def note_bad(self, endpoint: Endpoint, request: web.Request) -> None:
        """Forget a credential that is good no more."""
        credential = self._credential_of(endpoint, request)
        if credential is not None:
            self._good.pop(credential, None)

    def _counts_of(self, endpoint: Endpoint, request: web.Request) -> list[_Count]:
        is_safe = request.method in SAFE_METHODS
        # A sign-in at a container's host is a link that is followed, and an act all the same.
        is_act = endpoint.act is not None and not endpoint.is_websocket
        if endpoint.is_piece:
            is_safe, is_act = True, False
        buckets = self._reads if is_safe and not is_act else self._changes
        credential = self._credential_of(endpoint, request)
        counts = []
        if credential is not None and (customers := self._good.get(credential)) is not None:
            counts.append(_Count("credential", buckets.credential, credential))
            counts += [_Count("customer", buckets.customer, customer) for customer in customers]
        # Signing in and its like are counted by address whatever else is sent along.
        if not counts or (endpoint.policy.subject is Subject.ANYBODY and not is_safe):
            counts.append(_Count("address", buckets.address, address_group(client_address(request))))
        return counts

    def _credential_of(self, endpoint: Endpoint, request: web.Request) -> Credential | None:
        """Return what a request is signed with; None as well for a ticket, which nobody knows before it is used up."""
        if find_ticket(endpoint, request) is not None:
            return None
        try:
            return find_credential(bearer=read_bearer(request), cookie=self._cookie.read(request))
        except NotSignedIn:
            return None

    def _tell(self, request: web.Request, by: str, now: float) -> None:
        """Log what was refused; a line for each would be a flood of its own."""
        self._refused += 1
        if now - self._told_at >= TELL_S:
            log.warning("requests.refused", refused=self._refused, by=by, remote=client_address(request))
            self._told_at, self._refused = now, 0


async def add_rate_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Tell a client where it stands: of what it was counted for, what is nearest to its end."""
    standing = request.get(_STANDING)
    if standing is not None:
        response.headers["RateLimit-Limit"] = str(standing.limit)
        response.headers["RateLimit-Remaining"] = str(int(standing.left))
        response.headers["RateLimit-Reset"] = str(math.ceil(standing.full_in_s))
