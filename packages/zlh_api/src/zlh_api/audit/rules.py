"""What does not agree? A pure comparison of our books with what was seen.

Invariants: a mark that is in no book of ours is reported and never touched, since the books may be an older copy; what
carries the mark of a container that we have deleted ourselves is ours to take away; a container that is being worked
on is no finding, but what stands in its way is.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from zlh_api.audit.model import Books, Certainty, Departed, Difference, LeftAt, Occupied, RecordSurvey, Row, Sightings
from zlh_api.containers.model import Guest, Power
from zlh_api.dns.diff import diff_records, excludes, leads
from zlh_api.dns.model import FoundRecord, Record, Whose
from zlh_api.drivers.port import FoundGuest
from zlh_api.edge.port import FoundRoute
from zlh_common.names import OwnerMark, container_label, is_label, parse_host, render_host
from zlh_common.schema.audit import Finding, FindingKind, Remedy, Severity, Thing


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What a finding is, how much it matters, and who puts it right."""

    kind: FindingKind
    severity: Severity
    remedy: Remedy


_ORPHAN = _Verdict(FindingKind.ORPHAN, Severity.WARNING, Remedy.OPERATOR)
_LEFTOVER = _Verdict(FindingKind.ORPHAN, Severity.WARNING, Remedy.PLATFORM)
_QUARANTINED = _Verdict(FindingKind.STRANGER, Severity.ERROR, Remedy.OPERATOR)
_NEIGHBOUR = _Verdict(FindingKind.STRANGER, Severity.NOTE, Remedy.OPERATOR)
_INTRUDER = _Verdict(FindingKind.STRANGER, Severity.WARNING, Remedy.OPERATOR)
_REMNANT = _Verdict(FindingKind.ORPHAN, Severity.NOTE, Remedy.OPERATOR)
_CONFLICT = _Verdict(FindingKind.CONFLICT, Severity.ERROR, Remedy.OPERATOR)
_MISSING = _Verdict(FindingKind.MISSING, Severity.ERROR, Remedy.PLATFORM)
_LOST = _Verdict(FindingKind.MISSING, Severity.ERROR, Remedy.OPERATOR)
_DRIFTED = _Verdict(FindingKind.DRIFTED, Severity.ERROR, Remedy.PLATFORM)
_UNSIZED = _Verdict(FindingKind.DRIFTED, Severity.WARNING, Remedy.PLATFORM)
_MISPLACED = _Verdict(FindingKind.DRIFTED, Severity.ERROR, Remedy.OPERATOR)
_MISNAMED = _Verdict(FindingKind.NONCONFORMING_NAME, Severity.WARNING, Remedy.OPERATOR)
_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
Key = tuple[str, ...]
# What somebody may take for a name of ours, or has meant as one.
_LOOKS_LIKE_OURS = re.compile(r"([0-9]+[-_])?(dev|game)[-_]?[0-9]+\.")


def find_differences(books: Books, seen: Sightings) -> list[Difference]:
    """Return everything that does not agree."""
    ledger = _Ledger(books, seen)
    return [
        *_of_guests(ledger), *_of_routes(ledger), *_of_records(ledger), *_of_names(ledger), *map(_left_at, books.left),
    ]  # fmt: skip


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


def is_removable(guest: FoundGuest, departed: Departed) -> bool:
    """Tell whether a guest with a departed mark is that very one; at another number it is somebody's copy."""
    return guest.vmid == departed.vmid or _is_half_made_beside(guest)


def find_occupied(books: Books, guests: Sequence[FoundGuest]) -> Occupied:
    """Return the numbers and addresses that no new container may have."""
    ours = {row.owner for row in books.rows}
    unknown = [guest for guest in guests if guest.owner is None or guest.owner not in ours]
    addresses = {address for guest in unknown for address in guest.addresses}
    return Occupied(
        # A number that is behind us is never given again.
        frozenset(guest.vmid for guest in unknown if guest.vmid is not None and guest.vmid > books.last_number),
        frozenset(address for address in addresses if _is_within(address, books.address_block)),
    )


class _Ledger:
    """Both lists, by what one looks for in them."""

    def __init__(self, books: Books, seen: Sightings) -> None:
        self.books, self.seen = books, seen
        self.rows = {row.owner: row for row in books.rows}
        self.row_at = {row.vmid: row for row in books.rows}
        self.row_of_file = {_file_of(row): row for row in books.rows}
        self.row_of_address = {row.address: row for row in books.rows if row.address is not None}

    def row_of_host(self, name: str) -> Row | None:
        """Return the container whose host, or whose port's host, this is."""
        host = parse_host(name, self.books.domain)
        row = self.row_at.get(host.vmid) if host is not None else None
        return row if row is not None and host is not None and row.kind == host.kind else None

    def whose(self, row: Row) -> Whose:
        return Whose(row.owner, render_host(row.host, self.books.domain), frozenset())

    def departed_before_look(self, owner: OwnerMark) -> Departed | None:
        departed = self.books.departed.get(owner)
        return departed if departed is not None and departed.departed_at < self.seen.began else None

    def went_during_look(self, owner: OwnerMark) -> bool:
        """Whether its row was deleted after it was seen, as the last step of an orderly end."""
        departed = self.books.departed.get(owner)
        return departed is not None and departed.departed_at >= self.seen.began


def _of_guests(ledger: _Ledger) -> Iterator[Difference]:
    if ledger.seen.guests is None:
        return
    own: dict[OwnerMark, FoundGuest] = {}
    for guest in ledger.seen.guests:
        row = ledger.rows.get(guest.owner) if guest.owner is not None else None
        if row is None:
            yield from _of_unknown_guest(ledger, guest)
        elif _is_half_made_beside(guest):
            yield _half_made(row, guest)
        elif guest.vmid != row.vmid or row.owner in own:
            yield _second_guest(row, guest)
        else:
            own[row.owner] = guest
    numbers = {guest.vmid for guest in ledger.seen.guests}
    for row in ledger.books.rows:
        # Where another has its number, that is what has to be told.
        if row.owner in own or row.vmid not in numbers:
            yield from _of_own_guest(row, own.get(row.owner))
    yield from _of_addresses(ledger, ledger.seen.guests)


def _of_unknown_guest(ledger: _Ledger, guest: FoundGuest) -> Iterator[Difference]:
    """What stands there and belongs to no row."""
    row = ledger.row_at.get(guest.vmid) if guest.vmid is not None else None
    if guest.owner is not None and ledger.went_during_look(guest.owner):
        return
    if row is not None:
        yield _guest(
            _CONFLICT,
            guest,
            f"{guest.where} stands at the number of container {row.vmid} and does not carry its mark. It is left "
            "alone, and the container cannot be made: move it to another number.",
            wakes=row.owner,
        )
    elif guest.owner is not None:
        yield _orphan(ledger, guest)
    elif _is_in_our_way(ledger, guest):
        yield _guest(
            _NEIGHBOUR,
            guest,
            f"{guest.where} stands where a container of ours could and is not ours. It is left alone, and its number "
            "and addresses are given to nobody; nothing has to be done.",
        )


def _orphan(ledger: _Ledger, guest: FoundGuest) -> Difference:
    assert guest.owner is not None
    departed = ledger.departed_before_look(guest.owner)
    if departed is None:
        return _guest(
            _ORPHAN,
            guest,
            f"{guest.where} carries a mark of ours that no container has: the database was restored from an older "
            "copy, or another installation shares this place. It is left alone; once you know that nobody needs it, "
            f"`zlh-api audit remove {guest.owner}` takes it away.",
        )
    if is_removable(guest, departed):
        return _guest(
            _LEFTOVER,
            guest,
            f"{guest.where} turned up after container {departed.vmid}, whose it was, had been deleted. It is taken "
            "away by itself.",
        )
    return _guest(
        _ORPHAN,
        guest,
        f"{guest.where} is a copy of what container {departed.vmid} was, which is deleted. It is left alone; "
        f"`zlh-api audit remove {guest.owner}` takes it away.",
    )


def _is_in_our_way(ledger: _Ledger, guest: FoundGuest) -> bool:
    """Numbers behind us are never given again, so what stands there is none of our business."""
    if guest.vmid is None or guest.vmid > ledger.books.last_number:
        return True
    return any(_is_within(address, ledger.books.address_block) for address in guest.addresses)


def _is_half_made_beside(guest: FoundGuest) -> bool:
    """What has no number yet is no second guest: it is being made or taken away, or that was cut short."""
    return guest.vmid is None and guest.state is Guest.HALF_MADE


def _half_made(row: Row, guest: FoundGuest) -> Difference:
    text = (
        f"{guest.where} is left of a making of container {row.vmid} that was cut short. It is taken away when the API "
        "starts, and with the container."
    )
    return _own(_REMNANT, row, Thing.GUEST, text, where=guest.where)


def _second_guest(row: Row, guest: FoundGuest) -> Difference:
    return _guest(
        _CONFLICT,
        guest,
        f"{guest.where} carries the mark of container {row.vmid} and stands elsewhere: a copy made by hand. Take the "
        "mark off it or remove it; it is left alone.",
    )


def _of_own_guest(row: Row, guest: FoundGuest | None) -> Iterator[Difference]:
    if guest is None or guest.state in {Guest.ABSENT, Guest.HALF_MADE}:
        yield from _of_missing_guest(row)
        return
    is_running = guest.state is Guest.RUNNING
    if is_running is not (row.power is Power.ON):
        should, does = ("run", "is stopped") if row.power is Power.ON else ("be off", "runs")
        text = f"The guest of container {row.vmid} should {should} and {does}. It is put right by itself."
        yield _own(_DRIFTED, row, Thing.GUEST, text, where=guest.where)
    if is_running and guest.is_closed is False:
        text = f"The network of container {row.vmid} is open. It is closed by itself, or the guest is stopped."
        yield _own(_DRIFTED, row, Thing.GUEST, text, where=guest.where)
    if guest.resources is not None and guest.resources != row.resources:
        text = f"The limits of container {row.vmid} are not those that it was given. They are set by themselves."
        yield _own(_UNSIZED, row, Thing.GUEST, text, where=guest.where)
    if row.address is not None and guest.addresses and row.address not in guest.addresses:
        text = f"Container {row.vmid} should have {row.address} and has {', '.join(guest.addresses)}; restart it."
        yield _own(_MISPLACED, row, Thing.GUEST, text, where=guest.where)


def _of_missing_guest(row: Row) -> Iterator[Difference]:
    if row.power is Power.ON:
        text = f"Container {row.vmid} has no guest. A new one is made by itself; what the old one held is gone."
        yield _own(_MISSING, row, Thing.GUEST, text)
    elif row.is_established:
        text = (
            f"Container {row.vmid} is off, and its guest is gone with all that it held. Bring it back from a backup "
            "before anybody switches the container on, which makes a new, empty one."
        )
        yield _own(_LOST, row, Thing.GUEST, text)


def _of_addresses(ledger: _Ledger, guests: Iterable[FoundGuest]) -> Iterator[Difference]:
    for guest in guests:
        for address in guest.addresses:
            row = ledger.row_of_address.get(address)
            if row is None or guest.owner == row.owner:
                continue
            text = (
                f"{guest.where} has the address {address} of container {row.vmid}. Give it another one; until then "
                "both may be reached in the other's place."
            )
            yield _guest(_CONFLICT, guest, text, address=address)


def _of_routes(ledger: _Ledger) -> Iterator[Difference]:
    if ledger.seen.routes is None:
        return
    present = set()
    for file in ledger.seen.routes:
        if file.is_quarantined:
            text = (
                f"{file.name} lies in the quarantine: it kept the proxy from taking up any change, and was moved away. "
                "The API's log says why. Look at it, then remove it."
            )
            yield _named(_QUARANTINED, Thing.ROUTE, file.name, None, text)
            continue
        row = ledger.row_of_file.get(file.name)
        if file.owner == ledger.books.platform_owner and file.name in ledger.books.platform_files:
            continue
        if row is not None:
            present.add(row.owner)
            yield from _of_expected_file(row, file)
        else:
            yield from _of_unexpected_file(ledger, file)
    for row in ledger.books.rows:
        if row.route_sha256 is not None and row.owner not in present:
            text = f"The route file of container {row.vmid} is gone. It is written again by itself."
            yield _own(_MISSING, row, Thing.ROUTE, text, name=_file_of(row))


def _of_expected_file(row: Row, file: FoundRoute) -> Iterator[Difference]:
    if file.owner != row.owner:
        text = (
            f"{file.name} is the route file of container {row.vmid} and does not carry its mark, so it is left alone. "
            "Move it away; ours is written as soon as it is gone."
        )
        yield _own(_CONFLICT, row, Thing.ROUTE, text, name=file.name)
    elif row.route_sha256 is not None and file.sha256 != row.route_sha256:
        text = f"The route file of container {row.vmid} is not as we wrote it. It is written again by itself."
        yield _own(_DRIFTED, row, Thing.ROUTE, text, name=file.name)


def _of_unexpected_file(ledger: _Ledger, file: FoundRoute) -> Iterator[Difference]:
    row = ledger.rows.get(file.owner) if file.owner is not None else None
    if row is not None:
        text = (
            f"{file.name} carries the mark of container {row.vmid} and has another name: a copy made by hand. Remove "
            "it, since the proxy follows both."
        )
        yield _named(_CONFLICT, Thing.ROUTE, file.name, file.owner, text)
    elif file.trouble is not None:
        text = (
            f"{file.name} keeps the proxy from taking up any change ({file.trouble}). It is moved into the quarantine "
            "by itself; where it stays, move it away."
        )
        yield _named(_QUARANTINED, Thing.ROUTE, file.name, None, text)
    elif file.owner is None:
        text = f"{file.name} lies among our route files and is not ours. Move it away, since the proxy follows it."
        yield _named(_INTRUDER, Thing.ROUTE, file.name, None, text)
    else:
        yield from _orphaned_name(ledger, Thing.ROUTE, file.name, file.owner)


def _orphaned_name(ledger: _Ledger, thing: Thing, name: str, owner: OwnerMark) -> Iterator[Difference]:
    """A file whose mark no row has."""
    if ledger.went_during_look(owner):
        return
    departed = ledger.departed_before_look(owner)
    if departed is not None:
        text = f"{name} turned up after container {departed.vmid} had been deleted. It is taken away by itself."
        yield _named(_LEFTOVER, thing, name, owner, text)
        return
    text = (
        f"{name} carries a mark of ours that no container has. It is left alone; once you know that nobody needs it, "
        f"`zlh-api audit remove {owner}` takes it away."
    )
    yield _named(_ORPHAN, thing, name, owner, text)


def _of_records(ledger: _Ledger) -> Iterator[Difference]:
    """Each provider by itself: what one holds says nothing of another."""
    for survey in ledger.seen.records:
        own: dict[OwnerMark, list[FoundRecord]] = defaultdict(list)
        for record in survey.found:
            row = ledger.row_of_host(record.host)
            if record.owner is not None and row is not None and record.owner == row.owner:
                own[row.owner].append(record)
            elif record.owner is None:
                yield from _of_strange_record(ledger, survey, record, row)
            elif record.owner in ledger.rows:
                yield _copied_record(survey, record, ledger.rows[record.owner])
            else:
                yield from _of_orphaned_record(ledger, survey, record)
        for row in ledger.books.rows:
            wanted = row.records.get(survey.provider) if row.records is not None else None
            # Who has worked on it since the survey began knows better.
            if wanted is not None and survey.fences.get(UUID(row.owner)) == row.fence:
                yield from _of_own_records(ledger, survey, row, wanted, own.get(row.owner, []))


def _left_at(left: LeftAt) -> Difference:
    """Records at a provider that nobody can look at, since it is configured no more."""
    text = (
        f"The DNS provider {left.provider} is configured no more, and up to {left.names} names of ours may still have "
        f"records there, such as {left.example}. Configure it again and what is too much is taken away by itself, or "
        "remove by hand what carries a mark of ours (a comment `zlh:…`, a TXT record `_zlh-owner.…`) and run "
        f"`zlh-api audit forget-provider {left.provider}`."
    )
    finding = Finding(
        kind=_ORPHAN.kind, severity=_ORPHAN.severity, remedy=_ORPHAN.remedy, thing=Thing.RECORD, message=text,
        where=left.provider,
    )  # fmt: skip
    return Difference(finding, Certainty.SURE)


def _of_own_records(
    ledger: _Ledger, survey: RecordSurvey, row: Row, wanted: Sequence[Record], found: Sequence[FoundRecord]
) -> Iterator[Difference]:
    changes = diff_records(ledger.whose(row), wanted, found)
    if changes.is_empty:
        return
    names = frozenset(record.host for record in found)
    if changes.added:
        name = changes.added[0].name
        text = f"The record {name} of container {row.vmid} is gone. It is written again by itself."
        yield _doubt(_own(_MISSING, row, Thing.RECORD, text, name=name, where=survey.provider), survey, names)
    for record in (*(found for found, _ in changes.changed), *changes.deleted):
        text = f"The record {record.name} of container {row.vmid} is not as we wrote it. It is put right by itself."
        finding = _own(_DRIFTED, row, Thing.RECORD, text, name=record.name, where=survey.provider)
        yield _doubt(finding, survey, names)


def _of_strange_record(
    ledger: _Ledger, survey: RecordSurvey, record: FoundRecord, row: Row | None
) -> Iterator[Difference]:
    wanted = row.records.get(survey.provider, ()) if row is not None and row.records is not None else ()
    if row is not None and any(excludes(record, each) for each in wanted):
        text = (
            f"{record.name} is a name of container {row.vmid}, and its record {record.type} {record.content} does not "
            "carry its mark, so it is left alone. Remove it; ours is written as soon as it is gone."
        )
        yield _doubt(_own(_CONFLICT, row, Thing.RECORD, text, name=record.name, where=survey.provider), survey)
    elif parse_host(record.host, ledger.books.domain) is not None and leads(record):
        text = (
            f"{record.name} is a name that containers have, and its record {record.type} {record.content} is not ours. "
            "Remove it, since it leads past the platform."
        )
        yield _at(_INTRUDER, survey, record, text)


def _copied_record(survey: RecordSurvey, record: FoundRecord, row: Row) -> Difference:
    text = (
        f"{record.name} carries the mark of container {row.vmid} and is no name of it: a copy made by hand. Take the "
        "mark off it or remove it; it is left alone."
    )
    return _at(_CONFLICT, survey, record, text)


def _of_orphaned_record(ledger: _Ledger, survey: RecordSurvey, record: FoundRecord) -> Iterator[Difference]:
    """A record whose mark no row has."""
    assert record.owner is not None
    departed = ledger.books.departed.get(record.owner)
    if departed is not None and departed.departed_at >= survey.began:
        # It went while we looked, as the last step of an orderly end.
        return
    if departed is not None and is_record_of(record, departed, domain=ledger.books.domain):
        text = f"{record.name} turned up after container {departed.vmid} had been deleted. It is taken away by itself."
        yield _at(_LEFTOVER, survey, record, text)
        return
    removal = (
        f"`zlh-api audit remove {record.owner}` takes it away."
        if parse_host(record.host, ledger.books.domain) is not None
        else "remove it at its provider, since it is no name of ours."
    )
    text = f"{record.name} carries a mark of ours that no container has. It is left alone; once you know that nobody "
    yield _at(_ORPHAN, survey, record, f"{text}needs it, {removal}")


def is_record_of(record: FoundRecord, departed: Departed, *, domain: str) -> bool:
    """Tell whether a record with a departed mark is at a name that its container had; elsewhere it is a copy."""
    host = parse_host(record.host, domain)
    return host is not None and host.vmid == departed.vmid


def _at(verdict: _Verdict, survey: RecordSurvey, record: FoundRecord, message: str) -> Difference:
    """A difference about a record that no row accounts for."""
    return _named(verdict, Thing.RECORD, record.name, record.owner, message, where=survey.provider)


def _doubt(difference: Difference, survey: RecordSurvey, names: frozenset[str] = frozenset()) -> Difference:
    return replace(difference, doubts=(survey.provider, names))


def _of_names(ledger: _Ledger) -> Iterator[Difference]:
    for row in ledger.books.rows:
        label = container_label(row.kind, row.vmid)
        if not is_label(label):
            yield _misnamed(Thing.CONTAINER, label, row.owner, "a container's label")
    for guest in ledger.seen.guests or ():
        if guest.owner is not None and guest.name is not None and not _is_guest_name(ledger, guest):
            yield _misnamed(Thing.GUEST, guest.name, guest.owner, _wanted_label(ledger, guest))
    for file in ledger.seen.routes or ():
        if file.owner not in {None, ledger.books.platform_owner} and not _is_file_name(file.name):
            yield _misnamed(Thing.ROUTE, file.name, file.owner, "<label>.yml")
    for survey in ledger.seen.records:
        for record in survey.found:
            if not _is_record_name(ledger, record):
                wanted = f"<label>.{ledger.books.domain}"
                yield _misnamed(Thing.RECORD, record.name, record.owner, wanted, where=survey.provider)


def _is_record_name(ledger: _Ledger, record: FoundRecord) -> bool:
    """What carries our mark, or looks like one of ours, is called as we would call it; others as they like."""
    if parse_host(record.name, ledger.books.domain) is not None:
        return True
    return record.owner is None and _LOOKS_LIKE_OURS.match(record.host) is None


def _is_guest_name(ledger: _Ledger, guest: FoundGuest) -> bool:
    assert guest.name is not None
    row = ledger.rows.get(guest.owner) if guest.owner is not None else None
    return guest.name == container_label(row.kind, row.vmid) if row is not None else is_label(guest.name)


def _wanted_label(ledger: _Ledger, guest: FoundGuest) -> str:
    row = ledger.rows.get(guest.owner) if guest.owner is not None else None
    return container_label(row.kind, row.vmid) if row is not None else "a container's label"


def _misnamed(thing: Thing, name: str, owner: OwnerMark | None, wanted: str, *, where: str | None = None) -> Difference:
    whose = "is ours" if owner is not None or thing is not Thing.RECORD else "looks like ours"
    text = f"The {thing} {name} {whose} and should be called {wanted}. Rename it, or remove it and let it be made anew."
    return _named(_MISNAMED, thing, name, owner, text, where=where)


def _guest(
    verdict: _Verdict, guest: FoundGuest, message: str, *, address: str | None = None, wakes: OwnerMark | None = None
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


def _named(
    verdict: _Verdict, thing: Thing, name: str, owner: OwnerMark | None, message: str, *, where: str | None = None
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


def _own(
    verdict: _Verdict, row: Row, thing: Thing, message: str, *, name: str | None = None, where: str | None = None
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
    in_work = Certainty.ONCE if verdict is _CONFLICT else Certainty.IN_WORK
    wakes = row.owner if verdict is _CONFLICT or verdict.remedy is Remedy.PLATFORM else None
    return Difference(finding, Certainty.SURE if row.is_settled else in_work, wakes)


def _file_of(row: Row) -> str:
    return f"{container_label(row.kind, row.vmid)}.yml"


def _is_file_name(name: str) -> bool:
    label, dot, rest = name.partition(".")
    # An exposure has a label too, and never a file of its own.
    return dot == "." and rest == "yml" and is_label(label) and not label[0].isdigit()


def _is_within(address: str, block: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(block)
    except ValueError:
        return False
