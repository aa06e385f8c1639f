"""Who works on what in this process, and so for whom there is room: pure counting."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from zlh_api.reconcile.model import Claim
from zlh_api.reconcile.pace import Pace


class Crew:
    """The claims that this process holds.

    A step that lasts (a guest that stops in its own order and time) costs a seat of its own and not one of the few at
    which work is done, so it holds up nobody; and no customer has more than a share of all seats.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._claims: set[Claim] = set()
        self._slow: set[Claim] = set()

    def join(self, claim: Claim) -> None:
        """Begin work on a claim."""
        self._claims.add(claim)

    def leave(self, claim: Claim) -> None:
        """End work on it."""
        self._claims.discard(claim)
        self._slow.discard(claim)

    def mark(self, claim: Claim, *, is_slow: bool) -> None:
        """Note that a step lasts, or no longer does."""
        if is_slow and claim in self._claims:
            self._slow.add(claim)
        else:
            self._slow.discard(claim)

    @property
    def room(self) -> int:
        """How many more claims can be worked on now."""
        busy = len(self._claims) - len(self._slow)
        return max(0, min(self._pace.workers - busy, self._pace.most_workers - len(self._claims)))

    def sated(self) -> list[UUID]:
        """Return the customers that have their share."""
        held = Counter(claim.customer_id for claim in self._claims if claim.customer_id is not None)
        return [customer for customer, count in held.items() if count >= self._pace.share]
