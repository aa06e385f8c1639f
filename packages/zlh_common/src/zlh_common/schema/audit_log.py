"""The audit log: who did what, when, and how it went. `audit` without `log` is the look at what the platform has."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from zlh_common.schema.structs import Report


class Outcome(StrEnum):
    """How an act ended."""

    DONE = "done"
    # The caller may not, or asked for what cannot be.
    REFUSED = "refused"
    # Something broke on our side.
    FAILED = "failed"
    # The process that carried it out ended before it could say.
    UNKNOWN = "unknown"


class Actor(Report):
    """Who acted: a user with a session or a token, or the platform by itself."""

    user_id: str | None
    # As it was then.
    email: str | None
    # Which session or token; null for the platform.
    credential_id: str | None
    by_token: bool


class AuditEntry(Report):
    """One act. `hash` covers everything here and the hash of the entry before it in the same chain."""

    # Position in its chain, from 1 without a gap.
    number: int
    at: datetime
    act: str
    outcome: Outcome
    actor: Actor
    customer_id: str | None
    # What was acted on, such as `container 101`; null where it is the platform.
    subject: str | None
    # The HTTP status, and of a refusal or failure its code.
    status: int | None
    code: str | None
    request_id: str | None
    # From where, as far as we can know.
    address: str | None
    # What else is worth knowing, such as the new role; never a secret.
    details: dict[str, str]
    hash: str
