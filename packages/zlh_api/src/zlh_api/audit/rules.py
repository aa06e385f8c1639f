"""What does not agree? A pure comparison of our books with what was seen.

Invariants: a mark that is in no book of ours is reported and never touched, since the books may be an older copy; what
carries the mark of a container that we have deleted ourselves is ours to take away; a container that is being worked
on is no finding, but what stands in its way is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from zlh_api.audit.guest_rules import compare_guests
from zlh_api.audit.ledger import Ledger, is_within
from zlh_api.audit.model import Books, Certainty, Difference, Occupied, Sightings
from zlh_api.audit.name_rules import compare_names
from zlh_api.audit.record_rules import compare_records
from zlh_api.audit.route_rules import compare_routes
from zlh_api.drivers.port import FoundGuest
from zlh_common.names import OwnerMark
from zlh_common.schema.audit import Finding, FindingKind, Remedy, Severity

_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
Key = tuple[str, ...]


def find_differences(books: Books, seen: Sightings) -> list[Difference]:
    """Return everything that does not agree."""
    ledger = Ledger(books, seen)
    return [*compare_guests(ledger), *compare_routes(ledger), *compare_records(ledger), *compare_names(ledger)]


def confirm(differences: Iterable[Difference], before: Collection[Key]) -> list[Finding]:
    """Return what counts, the worst first: what is sure, and what the look before has shown as well."""
    counting = [
        each.finding
        for each in differences
        if each.certainty is Certainty.SURE
        or (each.certainty is Certainty.ONCE and key_of(each.finding) in before)
    ]  # fmt: skip
    return sorted(counting, key=lambda finding: (_RANK[finding.severity], finding.vmid or 0, key_of(finding)))


def key_of(finding: Finding) -> Key:
    """Return what makes two findings of different looks the same one."""
    parts = (finding.kind, finding.thing, finding.owner, finding.vmid, finding.name, finding.address, finding.where)
    return tuple("" if part is None else str(part) for part in parts)


def keys_of(differences: Iterable[Difference]) -> frozenset[Key]:
    """Return by what the next look knows these again."""
    return frozenset(key_of(each.finding) for each in differences)


def needs_second_look(differences: Iterable[Difference], before: Collection[Key]) -> bool:
    """Tell whether something was shown for the first time that only another look can confirm."""
    return any(each.certainty is Certainty.ONCE and key_of(each.finding) not in before for each in differences)


def find_owners_to_wake(differences: Iterable[Difference]) -> set[OwnerMark]:
    """Return the containers whose reconciler must look."""
    return {each.wakes for each in differences if each.wakes is not None}


def find_doubts(differences: Iterable[Difference]) -> dict[OwnerMark, dict[str, frozenset[str]]]:
    """Return whose records are not what our books say, at which providers, and where some were seen."""
    doubts: dict[OwnerMark, dict[str, frozenset[str]]] = {}
    for each in differences:
        if each.doubts is not None and each.finding.owner is not None:
            provider, names = each.doubts
            own = doubts.setdefault(OwnerMark(each.finding.owner), {})
            own[provider] = own.get(provider, frozenset()) | names
    return doubts


def find_removable(differences: Iterable[Difference]) -> set[OwnerMark]:
    """Return the marks of deleted containers of which something has turned up again."""
    return {
        OwnerMark(each.finding.owner)
        for each in differences
        if each.finding.remedy is Remedy.PLATFORM and each.finding.owner and each.finding.kind is FindingKind.ORPHAN
    }


def find_occupied(books: Books, guests: Sequence[FoundGuest]) -> Occupied:
    """Return the numbers and addresses that no new container may have."""
    ours = {row.owner for row in books.rows}
    unknown = [guest for guest in guests if guest.owner is None or guest.owner not in ours]
    addresses = {address for guest in unknown for address in guest.addresses}
    return Occupied(
        # A number that is behind us is never given again.
        frozenset(guest.vmid for guest in unknown if guest.vmid is not None and guest.vmid > books.last_number),
        frozenset(address for address in addresses if is_within(address, books.address_block)),
    )
