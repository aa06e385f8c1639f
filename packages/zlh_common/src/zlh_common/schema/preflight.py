"""What a look at a cluster tells before the first container is made there."""

from __future__ import annotations

from enum import StrEnum

from zlh_common.schema.structs import Report


class Verdict(StrEnum):
    """How one thing stands that containers need."""

    HOLDS = "holds"
    # Containers can be made, and somebody should know this.
    DOUBTFUL = "doubtful"
    # Containers cannot be made, or not all of them.
    LACKS = "lacks"
    # It could not be looked at.
    UNKNOWN = "unknown"


class PreflightRow(Report):
    """One thing that was looked at; `todo` are lines to be typed on a node, or sentences that say what to do."""

    subject: str
    verdict: Verdict
    message: str
    todo: tuple[str, ...] = ()


class PreflightReport(Report):
    """Everything that was looked at, in the order in which it is needed."""

    url: str
    # None where Proxmox has not told.
    version: str | None
    rows: tuple[PreflightRow, ...]
