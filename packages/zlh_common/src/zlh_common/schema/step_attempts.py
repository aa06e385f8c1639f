"""How each try of a step ended, for operators."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from zlh_common.schema.structs import Report


class AttemptOutcome(StrEnum):
    """How a try ended."""

    DONE = "done"
    FAILED = "failed"
    # For its turn, or for a system that is away; told once, however often it asks again meanwhile.
    WAITED = "waited"


class StepAttempt(Report):
    """One try of one step of one container."""

    id: str
    at: datetime
    vmid: int
    # Of its container now; null once that is gone.
    name: str | None
    customer_id: str | None
    step: str
    # Which try it was, from 1, since the step was done last.
    attempt: int
    outcome: AttemptOutcome
    # Why it failed or waited; the sentence is cut after 500 characters.
    code: str | None
    reason: str | None
    # Null where nobody saw it begin.
    duration_ms: int | None
