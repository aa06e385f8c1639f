"""A claim: the right to work on one container for a while."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from zlh_common.errors import ZlhError
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.step_attempts import AttemptOutcome


@dataclass(frozen=True, slots=True)
class Claim:
    """Good while the lease lasts; every write names the fence, so that a worker that lost it changes nothing."""

    owner: OwnerMark
    vmid: Vmid
    fence: int
    # By whom workers are shared out; None for what is left of a container that is gone.
    customer_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class PutIdentity:
    """An identity that an agent has."""

    expires_at: datetime
    sha256: bytes
    generation: int
    # The first and the last generation of CAs by which it knows the API; None where that is as it was.
    trusts: tuple[int, int] | None
    # How many of the wishes for another one it is younger than.
    done: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ends: attempts of one moment follow each other by number."""

    at: datetime
    number: int


@dataclass(frozen=True, slots=True)
class WantedAttempts:
    """Which attempts are asked for, the newest first."""

    limit: int
    before: Place | None = None
    vmid: int | None = None
    step: str | None = None
    outcome: AttemptOutcome | None = None
    code: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row, with the name that its container has now."""

    place: Place
    vmid: int
    name: str | None
    customer_id: str | None
    step: str
    attempt: int
    outcome: AttemptOutcome
    code: str | None
    reason: str | None
    duration_ms: int | None


class LeaseLost(ZlhError):
    """Another worker has taken over."""

    code, status, retryable = "lease_lost", 409, True

    def __init__(self, vmid: Vmid) -> None:
        super().__init__(f"Another worker has taken over container {vmid}.", vmid=vmid)
