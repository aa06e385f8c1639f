"""What can be wrong, how much it matters and who puts it right; and how a difference is told: pure."""

from __future__ import annotations

from dataclasses import dataclass

from zlh_api.audit.model import Certainty, Difference, Row
from zlh_api.drivers.port import FoundGuest
from zlh_common.names import OwnerMark
from zlh_common.schema.audit import Finding, FindingKind, Remedy, Severity, Thing


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a finding is, how much it matters, and who puts it right."""

    kind: FindingKind
    severity: Severity
    remedy: Remedy


ORPHAN = Verdict(FindingKind.ORPHAN, Severity.WARNING, Remedy.OPERATOR)
LEFTOVER = Verdict(FindingKind.ORPHAN, Severity.WARNING, Remedy.PLATFORM)
QUARANTINED = Verdict(FindingKind.STRANGER, Severity.ERROR, Remedy.OPERATOR)
NEIGHBOUR = Verdict(FindingKind.STRANGER, Severity.NOTE, Remedy.OPERATOR)
INTRUDER = Verdict(FindingKind.STRANGER, Severity.WARNING, Remedy.OPERATOR)
REMNANT = Verdict(FindingKind.ORPHAN, Severity.NOTE, Remedy.OPERATOR)
CONFLICT = Verdict(FindingKind.CONFLICT, Severity.ERROR, Remedy.OPERATOR)
MISSING = Verdict(FindingKind.MISSING, Severity.ERROR, Remedy.PLATFORM)
LOST = Verdict(FindingKind.MISSING, Severity.ERROR, Remedy.OPERATOR)
DRIFTED = Verdict(FindingKind.DRIFTED, Severity.ERROR, Remedy.PLATFORM)
UNSIZED = Verdict(FindingKind.DRIFTED, Severity.WARNING, Remedy.PLATFORM)
MISPLACED = Verdict(FindingKind.DRIFTED, Severity.ERROR, Remedy.OPERATOR)
MISNAMED = Verdict(FindingKind.NONCONFORMING_NAME, Severity.WARNING, Remedy.OPERATOR)


def tell_guest(
    verdict: Verdict, guest: FoundGuest, message: str, *, address: str | None = None, wakes: OwnerMark | None = None
) -> Difference:
    """A difference about a guest that no row accounts for."""
    finding = Finding(
        kind=verdict.kind,
        severity=verdict.severity,
        remedy=verdict.remedy,
        thing=Thing.GUEST,
        message=message,
        name=guest.name,
        vmid=guest.vmid,
        owner=guest.owner,
        address=address or (guest.addresses[0] if guest.addresses else None),
        where=guest.where,
    )
    return Difference(finding, Certainty.ONCE, wakes)


def tell_named(
    verdict: Verdict, thing: Thing, name: str, owner: OwnerMark | None, message: str, *, where: str | None = None
) -> Difference:
    """A difference about a thing that is known by its name."""
    finding = Finding(
        kind=verdict.kind,
        severity=verdict.severity,
        remedy=verdict.remedy,
        thing=thing,
        message=message,
        name=name,
        owner=owner,
        where=where,
    )
    return Difference(finding, Certainty.ONCE)


def tell_own(
    verdict: Verdict, row: Row, thing: Thing, message: str, *, name: str | None = None, where: str | None = None
) -> Difference:
    """A difference between a row and what is its own."""
    finding = Finding(
        kind=verdict.kind,
        severity=verdict.severity,
        remedy=verdict.remedy,
        thing=thing,
        message=message,
        name=name,
        vmid=row.vmid,
        owner=row.owner,
        address=row.address,
        where=where,
    )
    # What stands in the way of a container is why it is being worked on, and is told all the same.
    in_work = Certainty.ONCE if verdict is CONFLICT else Certainty.IN_WORK
    wakes = row.owner if verdict is CONFLICT or verdict.remedy is Remedy.PLATFORM else None
    return Difference(finding, Certainty.SURE if row.is_settled else in_work, wakes)
