"""What counts as wrong: books and sightings that differ in one thing, and what is made of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from zlh_api.audit.model import Books, Departed, RecordSurvey, Row, Sightings
from zlh_api.audit.rules import (
    confirm,
    find_differences,
    find_doubts,
    find_occupied,
    find_owners_to_wake,
    find_removable,
    keys_of,
    needs_second_look,
)
from zlh_api.containers.model import Guest, Power
from zlh_api.dns.model import FoundRecord, Record
from zlh_api.drivers.port import FoundGuest
from zlh_api.edge.port import FoundRoute
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.audit import Finding, FindingKind, Remedy, Severity
from zlh_common.schema.resources import Resources

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
PLATFORM = OwnerMark("00000000-0000-0000-0000-000000000000")
MINE, OTHER, LOST = (OwnerMark(f"{digit * 8}-0000-4000-8000-000000000000") for digit in "abc")
ROW = Row(
    owner=MINE,
    vmid=Vmid(101),
    kind="dev",
    power=Power.ON,
    address="10.0.0.5",
    resources=Resources(),
    is_established=True,
    is_settled=True,
    route_sha256="right",
)
GUEST = FoundGuest(
    Vmid(101),
    MINE,
    Guest.RUNNING,
    where="node1/101",
    addresses=("10.0.0.5",),
    name="dev-101",
    is_closed=True,
    resources=Resources(),
)
ROUTE = FoundRoute("dev-101.yml", MINE, "right")
PORTAL = FoundRoute("portal.yml", PLATFORM, "whatever")
SEEN = Sightings(BEGAN, (GUEST,), (ROUTE, PORTAL))
BOOKS = Books(
    rows=(ROW,),
    departed={},
    last_number=150,
    address_block="10.0.0.0/24",
    domain="example.org",
    platform_files=frozenset({"portal.yml"}),
    platform_owner=PLATFORM,
)
DELETED = replace(BOOKS, departed={LOST: Departed(Vmid(120), BEGAN - timedelta(seconds=1))})


def found(books: Books = BOOKS, seen: Sightings = SEEN) -> list[Finding]:
    """Return what two looks that show the same make of it."""
    differences = find_differences(books, seen)
    return confirm(differences, keys_of(differences))


def at_once(books: Books = BOOKS, seen: Sightings = SEEN) -> list[Finding]:
    """Return what counts after one look."""
    return confirm(find_differences(books, seen), frozenset())


def guests(*others: FoundGuest) -> Sightings:
    """Return what is seen when these stand beside our own guest."""
    return replace(SEEN, guests=(GUEST, *others))


WANTED = Record("dev-101.example.org", "A", "192.0.2.1", 300)
REACHABLE = replace(BOOKS, rows=(replace(ROW, records={"public": (WANTED,)}, fence=7),))


def record(name: str = WANTED.name, owner: OwnerMark | None = MINE, **changes: Any) -> FoundRecord:
    """Return the record of our container, as a provider lists it, or one that differs in this."""
    return replace(FoundRecord(name, WANTED.type, WANTED.content, WANTED.ttl, owner, handle="1"), **changes)


def records(*found: FoundRecord) -> Sightings:
    """Return what is seen when a provider holds these."""
    return replace(SEEN, records=(RecordSurvey("public", BEGAN, {UUID(MINE): 7}, found),))


def row(**changes: object) -> Books:
    """Return books whose one row differs in this."""
    return replace(BOOKS, rows=(replace(ROW, **changes),))  # type: ignore[arg-type]


def own(**changes: object) -> Sightings:
    """Return sightings whose one guest differs in this."""
    return replace(SEEN, guests=(replace(GUEST, **changes),))  # type: ignore[arg-type]


def kinds(findings: list[Finding]) -> list[tuple[FindingKind, Remedy]]:
    """Return what was found and who puts it right."""
    return [(finding.kind, finding.remedy) for finding in findings]


PLATFORM_MENDS, OPERATOR_MENDS = Remedy.PLATFORM, Remedy.OPERATOR


def test_what_agrees_is_no_finding() -> None:
    """A container that is as it is wanted, and the platform's own file."""
    assert found() == []


@pytest.mark.parametrize(
    ("seen", "remedy"),
    [
        (replace(SEEN, guests=()), PLATFORM_MENDS),
        (own(state=Guest.HALF_MADE), PLATFORM_MENDS),
    ],
)
def test_a_guest_that_should_be_there_is_missing(seen: Sightings, remedy: Remedy) -> None:
    """It counts at once, since nobody works on the container, and its reconciler is woken."""
    assert kinds(at_once(seen=seen)) == [(FindingKind.MISSING, remedy)]
    assert find_owners_to_wake(find_differences(BOOKS, seen)) == {MINE}


@pytest.mark.parametrize(
    ("books", "seen", "remedy"),
    [
        (BOOKS, own(state=Guest.STOPPED), PLATFORM_MENDS),
        (row(power=Power.OFF), SEEN, PLATFORM_MENDS),
        (BOOKS, own(is_closed=False), PLATFORM_MENDS),
        (BOOKS, own(resources=Resources(cpu=64.0)), PLATFORM_MENDS),
        (BOOKS, own(addresses=("10.0.0.77",)), OPERATOR_MENDS),
        (BOOKS, replace(SEEN, routes=(FoundRoute("dev-101.yml", MINE, "other"), PORTAL)), PLATFORM_MENDS),
    ],
)
def test_what_is_not_as_it_is_wanted_has_drifted(books: Books, seen: Sightings, remedy: Remedy) -> None:
    """One finding for each difference; what the reconciler can mend wakes it."""
    assert kinds(at_once(books, seen)) == [(FindingKind.DRIFTED, remedy)]
    assert bool(find_owners_to_wake(find_differences(books, seen))) == (remedy is PLATFORM_MENDS)


def test_a_survey_that_does_not_tell_is_not_taken_for_drift() -> None:
    """A driver that tells neither network nor limits nor addresses is asked about each guest by itself."""
    assert found(seen=own(is_closed=None, resources=None, addresses=())) == []


def test_a_missing_route_file_is_written_again() -> None:
    """Of a container whose route was there once."""
    seen = replace(SEEN, routes=(PORTAL,))
    assert kinds(at_once(seen=seen)) == [(FindingKind.MISSING, PLATFORM_MENDS)]
    assert found(row(route_sha256=None), seen) == []


def test_a_guest_that_was_lost_while_it_was_off_is_no_ones_to_replace() -> None:
    """Switching it on would make an empty one, so people must know before."""
    seen = replace(SEEN, guests=())
    (finding,) = at_once(row(power=Power.OFF), seen)
    assert (finding.kind, finding.remedy, finding.severity) == (FindingKind.MISSING, OPERATOR_MENDS, Severity.ERROR)
    assert find_owners_to_wake(find_differences(row(power=Power.OFF), seen)) == set()
    assert (
        found(row(power=Power.OFF, is_established=False, route_sha256=None), replace(SEEN, guests=(), routes=())) == []
    )


@pytest.mark.parametrize(
    "seen", [replace(SEEN, guests=()), own(state=Guest.STOPPED), replace(SEEN, routes=()), own(is_closed=False)]
)
def test_a_container_that_is_being_worked_on_is_no_finding(seen: Sightings) -> None:
    """Nor in any later look; but its reconciler is woken all the same, since it may only be waiting."""
    books = row(is_settled=False)
    assert found(books, seen) == []
    assert find_owners_to_wake(find_differences(books, seen)) == {MINE}


def test_a_mark_that_no_book_knows_is_left_alone() -> None:
    """As after the database was restored from an older copy: told, and nothing is removed."""
    seen = replace(guests(FoundGuest(Vmid(160), LOST, Guest.RUNNING, where="node1/160")))
    seen = replace(seen, routes=(ROUTE, PORTAL, FoundRoute("dev-160.yml", LOST, "x")))
    assert kinds(found(seen=seen)) == [(FindingKind.ORPHAN, OPERATOR_MENDS)] * 2
    assert all(LOST in finding.message for finding in found(seen=seen))
    assert find_removable(find_differences(BOOKS, seen)) == set()


def test_what_turns_up_after_its_container_was_deleted_is_ours_to_remove() -> None:
    """Guest and route file alike."""
    seen = guests(FoundGuest(Vmid(120), LOST, Guest.STOPPED, where="node1/120"))
    seen = replace(seen, routes=(ROUTE, PORTAL, FoundRoute("dev-120.yml", LOST, "x")))
    assert kinds(found(DELETED, seen)) == [(FindingKind.ORPHAN, PLATFORM_MENDS)] * 2
    assert find_removable(find_differences(DELETED, seen)) == {LOST}
    assert find_owners_to_wake(find_differences(DELETED, seen)) == set()


def test_a_copy_of_a_deleted_guest_is_somebodys() -> None:
    """At another number it was put there by hand."""
    seen = guests(FoundGuest(Vmid(777), LOST, Guest.STOPPED, where="node1/777"))
    assert kinds(found(DELETED, seen)) == [(FindingKind.ORPHAN, OPERATOR_MENDS)]
    assert find_removable(find_differences(DELETED, seen)) == set()


def test_what_was_deleted_while_we_looked_is_no_orphan() -> None:
    """The guest was seen, then its container went in the orderly way, then the books were read."""
    books = replace(BOOKS, departed={LOST: Departed(Vmid(120), BEGAN + timedelta(seconds=1))})
    seen = guests(FoundGuest(Vmid(120), LOST, Guest.STOPPED, where="node1/120"))
    seen = replace(seen, routes=(ROUTE, PORTAL, FoundRoute("dev-120.yml", LOST, "x")))
    assert find_differences(books, seen) == []


@pytest.mark.parametrize("owner", [None, LOST])
def test_whoever_stands_at_our_number_is_in_conflict(owner: OwnerMark | None) -> None:
    """One finding, not another one of a missing guest; the container's own status names the hindrance."""
    seen = replace(SEEN, guests=(FoundGuest(Vmid(101), owner, Guest.RUNNING, where="node1/101"),))
    assert kinds(found(seen=seen)) == [(FindingKind.CONFLICT, OPERATOR_MENDS)]
    assert kinds(found(row(is_settled=False), seen)) == [(FindingKind.CONFLICT, OPERATOR_MENDS)]
    assert find_owners_to_wake(find_differences(BOOKS, seen)) == {MINE}


def test_two_guests_with_one_mark_are_in_conflict() -> None:
    """The one at the container's own number is the right one."""
    (finding,) = found(seen=guests(replace(GUEST, vmid=Vmid(900), addresses=(), where="node2/900")))
    assert (finding.kind, finding.where) == (FindingKind.CONFLICT, "node2/900")


def test_what_is_half_made_is_no_second_guest() -> None:
    """While its container is in work that is the work; afterwards it is a remnant, and nobody's emergency."""
    remnant = FoundGuest(None, MINE, Guest.HALF_MADE, where="node1/.101-x")
    assert found(row(is_settled=False), guests(remnant)) == []
    (finding,) = found(seen=guests(remnant))
    assert (finding.kind, finding.severity, finding.where) == (FindingKind.ORPHAN, Severity.NOTE, "node1/.101-x")


def test_what_is_half_made_of_a_deleted_container_is_ours_to_remove() -> None:
    """It has no number, and is known by its mark."""
    seen = guests(FoundGuest(None, LOST, Guest.HALF_MADE, where="node1/.120-x"))
    assert kinds(found(DELETED, seen)) == [(FindingKind.ORPHAN, PLATFORM_MENDS)]
    assert find_removable(find_differences(DELETED, seen)) == {LOST}


def test_two_guests_with_one_address_are_in_conflict() -> None:
    """Whether the other one is ours or not."""
    for owner in (None, LOST, OTHER):
        second = replace(ROW, owner=OTHER, vmid=Vmid(102), address="10.0.0.6", route_sha256=None)
        other = FoundGuest(Vmid(102), owner, Guest.RUNNING, where="node1/102", addresses=("10.0.0.5", "10.0.0.6"))
        told = found(replace(BOOKS, rows=(ROW, second)), guests(other))
        assert [finding.address for finding in told if finding.kind is FindingKind.CONFLICT and finding.address] != []


@pytest.mark.parametrize("owner", [None, LOST, PLATFORM])
def test_a_foreign_file_under_our_name_is_in_conflict(owner: OwnerMark | None) -> None:
    """It is left alone, and the container's reconciler says so."""
    seen = replace(SEEN, routes=(FoundRoute("dev-101.yml", owner, "x"), PORTAL))
    assert kinds(found(seen=seen)) == [(FindingKind.CONFLICT, OPERATOR_MENDS)]
    assert find_owners_to_wake(find_differences(BOOKS, seen)) == {MINE}


def test_a_second_file_with_our_mark_is_in_conflict() -> None:
    """The proxy follows both; the name of a label is another container's."""
    seen = replace(SEEN, routes=(ROUTE, FoundRoute("dev-102.yml", MINE, "right"), PORTAL))
    assert kinds(found(seen=seen)) == [(FindingKind.CONFLICT, OPERATOR_MENDS)]


@pytest.mark.parametrize(
    ("vmid", "addresses", "counts"),
    [(151, (), True), (None, (), True), (149, (), False), (149, ("10.0.0.9",), True), (149, ("192.0.2.9",), False)],
)
def test_a_stranger_counts_where_it_stands_in_our_way(
    vmid: int | None, addresses: tuple[str, ...], counts: bool
) -> None:
    """At a number ahead of us, or at an address of ours; numbers behind us are never given again."""
    number = None if vmid is None else Vmid(vmid)
    stranger = FoundGuest(number, None, Guest.FOREIGN, where="node1/x", addresses=addresses)
    told = found(seen=guests(stranger))
    assert kinds(told) == ([(FindingKind.STRANGER, OPERATOR_MENDS)] if counts else [])
    assert all(finding.severity is Severity.NOTE for finding in told)


def test_what_unknown_guests_hold_is_given_to_nobody() -> None:
    """Numbers ahead of us and addresses of our block, of strangers and orphans; ours are in the books already."""
    stranger = FoundGuest(Vmid(151), None, Guest.FOREIGN, where="a", addresses=("10.0.0.9", "192.0.2.1", "nonsense"))
    orphan = FoundGuest(Vmid(160), LOST, Guest.RUNNING, where="b", addresses=("10.0.0.10",))
    behind = FoundGuest(Vmid(149), None, Guest.FOREIGN, where="c")
    occupied = find_occupied(BOOKS, (GUEST, stranger, orphan, behind))
    assert occupied.vmids == {151, 160}
    assert occupied.addresses == {"10.0.0.9", "10.0.0.10"}


def test_an_unmarked_file_among_ours_is_a_stranger() -> None:
    """And so is one that claims to be the platform's under another name."""
    seen = replace(SEEN, routes=(ROUTE, PORTAL, FoundRoute("extra.yml", None, "x")))
    assert kinds(found(seen=seen)) == [(FindingKind.STRANGER, OPERATOR_MENDS)]


@pytest.mark.parametrize("name", ["web-101", "DEV-101", "dev-0101", "dev-102", "101"])
def test_a_guest_of_another_name_does_not_conform(name: str) -> None:
    """Ours are called by the label of their container and nothing else."""
    (finding,) = found(seen=own(name=name))
    assert (finding.kind, finding.name) == (FindingKind.NONCONFORMING_NAME, name)
    assert "dev-101" in finding.message


@pytest.mark.parametrize("name", ["Dev-150.yml", "dev-150.yaml", "3000-dev-150.yml", "dev-150.yml.bak", "x"])
def test_a_file_of_another_name_does_not_conform(name: str) -> None:
    """One with a mark of ours; a stranger's may be called as it likes."""
    seen = replace(SEEN, routes=(ROUTE, PORTAL, FoundRoute(name, LOST, "x")))
    assert {finding.kind for finding in found(seen=seen)} == {FindingKind.ORPHAN, FindingKind.NONCONFORMING_NAME}
    seen = replace(SEEN, routes=(ROUTE, PORTAL, FoundRoute(name, None, "x")))
    assert {finding.kind for finding in found(seen=seen)} == {FindingKind.STRANGER}


def test_records_are_held_to_marks_and_names() -> None:
    """What a provider lists: ours under a name of ours, a mark without a container, and another's."""
    seen = records(
        record(),
        record("3000-dev-101.Example.org", MINE),
        record("dev-160.example.org", LOST),
        record("www.example.org", None),
        record("_acme-challenge.example.org", None, type="TXT"),
        record("dev-0101.example.org", None),
    )
    assert [(finding.kind, finding.name) for finding in found(REACHABLE, seen)] == [
        (FindingKind.DRIFTED, "3000-dev-101.Example.org"),
        (FindingKind.NONCONFORMING_NAME, "dev-0101.example.org"),
        (FindingKind.NONCONFORMING_NAME, "3000-dev-101.Example.org"),
        (FindingKind.ORPHAN, "dev-160.example.org"),
    ]


@pytest.mark.parametrize(
    ("shown", "kind", "remedy", "names"),
    [
        ((), FindingKind.MISSING, PLATFORM_MENDS, set()),
        (({"content": "192.0.2.9"},), FindingKind.DRIFTED, PLATFORM_MENDS, {"dev-101.example.org"}),
        (({"ttl": 60},), FindingKind.DRIFTED, PLATFORM_MENDS, {"dev-101.example.org"}),
        (({}, {"handle": "2"}), FindingKind.DRIFTED, PLATFORM_MENDS, {"dev-101.example.org"}),
        (
            ({}, {"name": "81-dev-101.example.org"}),
            FindingKind.DRIFTED,
            PLATFORM_MENDS,
            {"dev-101.example.org", "81-dev-101.example.org"},
        ),
        (({}, {"owner": None, "content": "192.0.2.9"}), FindingKind.CONFLICT, OPERATOR_MENDS, set()),
        (({}, {"owner": None, "type": "CNAME", "content": "x.y"}), FindingKind.CONFLICT, OPERATOR_MENDS, set()),
    ],
    ids=["gone", "elsewhere", "ttl", "twice", "too-many", "foreign-beside", "foreign-alias"],
)
def test_records_that_are_not_as_we_wrote_them_wake_their_container(
    shown: tuple[dict[str, Any], ...], kind: FindingKind, remedy: Remedy, names: set[str]
) -> None:
    """It is doubted that they are written, and kept at which names some were seen, so that those are found again."""
    seen = records(*(record(**each) for each in shown))
    assert kinds(at_once(REACHABLE, seen)) == [(kind, remedy)]
    differences = find_differences(REACHABLE, seen)
    assert find_owners_to_wake(differences) == {MINE}
    assert find_doubts(differences) == {MINE: {"public": frozenset(names)}}


def test_a_survey_from_before_says_nothing_of_a_container_that_was_worked_on_since() -> None:
    """Providers are asked as seldom as they want; what was repaired meanwhile is not repaired again."""
    assert found(row(records=REACHABLE.rows[0].records, fence=8), records()) == []


def test_one_provider_says_nothing_of_another() -> None:
    """Each is held against what is wanted there; of one that is away nothing is known, so nothing is missing."""
    both = {"public": (WANTED,), "internal": (WANTED,)}
    assert found(row(records=both, fence=7), records(record())) == []
    public, internal = records(record()).records[0], records().records[0]
    seen = replace(SEEN, records=(public, replace(internal, provider="internal")))
    (finding,) = found(row(records=both, fence=7), seen)
    assert (finding.kind, finding.where) == (FindingKind.MISSING, "internal")


def test_records_of_the_departed_are_removed_at_their_names_alone() -> None:
    """A mark that somebody has copied onto a record of his own takes that from nobody."""
    ours, copied = record("dev-120.example.org", LOST), record("www.example.org", LOST)
    assert find_removable(find_differences(DELETED, records(ours))) == {LOST}
    assert find_removable(find_differences(DELETED, records(copied))) == set()
    assert find_removable(find_differences(BOOKS, records(ours))) == set()
    during = replace(BOOKS, departed={LOST: Departed(Vmid(120), BEGAN + timedelta(seconds=1))})
    assert found(during, records(ours)) == []


def test_a_strangers_record_at_a_name_of_ours_is_told() -> None:
    """Of a port that is not published, and of a container that is not there: it leads past the platform."""
    seen = records(record(), record("9-dev-101.example.org", None), record("dev-170.example.org", None))
    assert kinds(found(REACHABLE, seen)) == 2 * [(FindingKind.STRANGER, OPERATOR_MENDS)]


def test_a_service_is_held_to_mark_and_name_like_every_record() -> None:
    """One that is wanted is no finding, a second or a stranger's is, and what is left of the departed is removed."""
    service = Record("_minecraft._tcp.dev-101.example.org", "SRV", "0 0 25512 dev-101.example.org", 300)
    books = row(records={"public": (WANTED, service)}, fence=7)
    shown = record(service.name, MINE, type=service.type, content=service.content)
    assert found(books, records(record(), shown)) == []
    assert kinds(at_once(books, records(record()))) == [(FindingKind.MISSING, PLATFORM_MENDS)]
    other = record("_minecraft._tcp.dev-170.example.org", None, type="SRV", content="0 0 1 x.y")
    assert kinds(found(REACHABLE, records(record(), other))) == [(FindingKind.STRANGER, OPERATOR_MENDS)]
    left = record("_minecraft._tcp.dev-120.example.org", LOST, type="SRV", content="0 0 1 x.y")
    assert find_removable(find_differences(DELETED, records(left))) == {LOST}


def test_a_mark_at_the_name_of_another_container_is_a_conflict() -> None:
    """Made by hand, so a person has to say which is right."""
    seen = records(record(), record("dev-170.example.org", MINE))
    assert kinds(found(REACHABLE, seen)) == [(FindingKind.CONFLICT, OPERATOR_MENDS)]


def test_what_could_not_be_looked_at_is_no_finding() -> None:
    """Nothing is missing where nobody looked; that it was not looked at is told by the part."""
    assert found(seen=Sightings(BEGAN, None, None)) == []


def test_what_is_not_sure_needs_two_looks() -> None:
    """A guest that no row explains may be in the making or going; one look says nothing."""
    seen = guests(FoundGuest(Vmid(160), LOST, Guest.RUNNING, where="node1/160"))
    first = find_differences(BOOKS, seen)
    assert (confirm(first, frozenset()), needs_second_look(first, frozenset())) == ([], True)
    assert len(confirm(first, keys_of(first))) == 1
    assert not needs_second_look(first, keys_of(first))
    elsewhere = find_differences(BOOKS, guests(FoundGuest(Vmid(161), LOST, Guest.RUNNING, where="node1/161")))
    assert confirm(elsewhere, keys_of(first)) == []


def test_the_worst_stands_first() -> None:
    """Errors before warnings before notes."""
    stranger = FoundGuest(Vmid(151), None, Guest.FOREIGN, where="a")
    orphan = FoundGuest(Vmid(160), LOST, Guest.RUNNING, where="b")
    seen = replace(SEEN, guests=(stranger, orphan))
    assert [finding.severity for finding in found(seen=seen)] == [Severity.ERROR, Severity.WARNING, Severity.NOTE]
