"""What a comparison of books and world tells operators."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from zlh_common.schema.structs import Report


class FindingKind(StrEnum):
    """What is wrong, in a word that programs can rely on."""

    # It carries our mark, and no container has that mark.
    ORPHAN = "orphan"
    # It stands in a place of ours and carries no mark of ours.
    STRANGER = "stranger"
    # Something else holds what a container of ours needs: its number, its file's name, its address, its mark.
    CONFLICT = "conflict"
    # A container should have it, and it is not there.
    MISSING = "missing"
    # It is there, and is not as the container wants it.
    DRIFTED = "drifted"
    # It is ours, and has another name than we would give it.
    NONCONFORMING_NAME = "nonconforming-name"


class Severity(StrEnum):
    """How much it matters."""

    # Good to know; nothing of ours is hurt by it.
    NOTE = "note"
    WARNING = "warning"
    # A customer is hurt by it, or somebody can be.
    ERROR = "error"


class Remedy(StrEnum):
    """Who puts it right."""

    PLATFORM = "platform"
    OPERATOR = "operator"


class Thing(StrEnum):
    """What a finding is about."""

    CONTAINER = "container"
    GUEST = "guest"
    ROUTE = "route"
    RECORD = "record"


class Finding(Report):
    """One difference between our books and the world; `message` says what is wrong and what to do."""

    kind: FindingKind
    severity: Severity
    remedy: Remedy
    thing: Thing
    message: str
    name: str | None = None
    vmid: int | None = None
    owner: str | None = None
    address: str | None = None
    where: str | None = None


class AuditPart(Report):
    """One system that was asked; where `trouble` is told, nothing is known of it, and `count` is null."""

    name: str
    count: int | None
    trouble: str | None = None


class AuditReport(Report):
    """One look at everything."""

    looked_at: datetime
    took_ms: int
    containers: int
    parts: tuple[AuditPart, ...]
    # The worst first; `left_out` says how many more there were.
    findings: tuple[Finding, ...]
    left_out: int = 0


class WorkItem(Report):
    """A container that is not as it is wanted yet: what is done about it, or what hinders."""

    vmid: int
    owner: str
    name: str
    # working, due, waiting, held, awaiting
    state: str
    step: str | None
    code: str | None
    message: str | None
    attempts: int
    next_try_at: datetime | None
    waiting_for: str | None = None
    is_deleting: bool = False


class QueueFigures(Report):
    """How many containers are where on their way; one that is settled is in none of the others."""

    settled: int
    # Somebody works on it at this moment.
    working: int
    # Somebody could, and nobody does yet.
    due: int
    # Its turn at a slot has not come.
    waiting: int
    # It failed, and is tried again.
    held: int
    # It waits for its agent, or for what its agent installs.
    awaiting: int
    # Of all of these, how many have failed since all was well.
    failing: int
    # How long the container has been due that has been so for longest.
    oldest_due_s: float | None


class PatrolStatus(Report):
    """Who looks, and how often."""

    is_alive: bool
    every_s: float


class AuditStatus(Report):
    """`GET /api/audit`."""

    patrol: PatrolStatus
    queue: QueueFigures
    # Those that have failed most often first; `work_left_out` says how many more there are.
    work: tuple[WorkItem, ...]
    work_left_out: int
    # None before the first look.
    report: AuditReport | None
