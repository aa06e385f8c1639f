"""Which records there should be, and what is done about those that there are: for any target, port and stranger."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.dns.diff import diff_records, excludes
from zlh_api.dns.mark import mark_name, parse_mark, parse_mark_name, render_mark
from zlh_api.dns.model import BARE_MARK, Changes, FoundRecord, ProviderSetting, Record, ServicePort, Whose
from zlh_api.dns.name_servers import parse_server
from zlh_api.dns.rules import (
    Kept,
    Written,
    asked_types,
    digest_all,
    digest_of,
    find_stale,
    find_wrong_answer,
    parse_kept,
    render_kept,
    render_records,
    spell_content,
)
from zlh_api.dns.tsig_connection import Address
from zlh_common.names import HostName, OwnerMark, Vmid, parse_host, parse_record_name

MINE, OTHER = (OwnerMark(f"{digit * 8}-0000-4000-8000-000000000000") for digit in "ab")
DOMAIN = "apps.example.org"
HOST = f"dev-101.{DOMAIN}"
DEV, GAME = HostName("dev", Vmid(101)), HostName("game", Vmid(102))
PUBLIC = ProviderSetting("public", "example.org", ("192.0.2.1",), ("game.example.org",), ttl=300, is_proxying=True)
WHOSE = Whose(MINE, HOST, frozenset())
SERVICE = f"_minecraft._tcp.{HOST}"
NAMES = [HOST, f"80-{HOST}", SERVICE, f"3000-{HOST}", f"dev-1011.{DOMAIN}", f"www.{DOMAIN}", f"x-{HOST}", HOST.upper()]

contents = st.sampled_from(
    [
        ("A", "192.0.2.1"),
        ("A", "192.0.2.2"),
        ("AAAA", "2001:db8::1"),
        ("CNAME", "edge.example.org"),
        ("SRV", "0 0 25512 a.example.org"),
        ("SRV", "0 0 25513 a.example.org"),
    ]
)
wanted_records = st.builds(
    lambda name, said, ttl, proxied: Record(name, said[0], said[1], ttl, proxied),
    st.sampled_from(NAMES[:3]),
    contents,
    st.sampled_from([60, 300]),
    st.booleans(),
)
found_records = st.builds(
    lambda name, said, ttl, owner, proxied, disabled: FoundRecord(
        name, said[0], said[1], ttl, owner, proxied, disabled
    ),
    st.sampled_from(NAMES),
    contents | st.sampled_from([("TXT", "hello"), ("MX", "10 mail"), (BARE_MARK, "")]),
    st.sampled_from([1, 60, 300]),
    st.sampled_from([None, MINE, OTHER]),
    st.booleans(),
    st.booleans(),
)


@st.composite
def wishes(draw: st.DrawFn) -> list[Record]:
    """Return records that may stand beside each other: of a name either addresses or one alias, none twice."""
    chosen: list[Record] = []
    for record in draw(st.lists(wanted_records, max_size=8)):
        same = [each for each in chosen if each.name == record.name]
        is_alone = not same or (record.type != "CNAME" and all(each.type != "CNAME" for each in same))
        if is_alone and all((each.type, each.content) != (record.type, record.content) for each in same):
            chosen.append(record)
    return chosen


def apply(found: list[FoundRecord], changes: Changes) -> list[FoundRecord]:
    """Return what a provider holds that has done all of it."""
    left = Counter(found)
    left.subtract(changes.deleted)
    left.subtract(before for before, _ in changes.changed)
    assert min(left.values(), default=0) >= 0, "something is changed that is not there, or twice"
    written = [after for _, after in changes.changed] + list(changes.added)
    made = [FoundRecord(each.name, each.type, each.content, each.ttl, MINE, each.is_proxied) for each in written]
    return [*left.elements(), *made]


@given(wishes(), st.lists(found_records, max_size=12))
def test_what_is_applied_is_what_is_wanted_and_nobody_elses_is_touched(
    wanted: list[Record], found: list[FoundRecord]
) -> None:
    """Compared again nothing is left to do; what bars a name is told, and at that name nothing is done at all."""
    found = [replace(record, handle=str(number)) for number, record in enumerate(found)]
    changes = diff_records(WHOSE, wanted, found)
    after = apply(found, changes)
    strangers = [each for each in found if each.owner != MINE or not WHOSE.has_name(each.host)]
    assert [each for each in after if each in strangers] == strangers
    again = diff_records(WHOSE, wanted, after)
    assert again.is_empty
    assert again.conflicts == changes.conflicts
    assert set(changes.conflicts) == {each for each in strangers if any(excludes(each, record) for record in wanted)}
    barred = {each.host for each in changes.conflicts}
    assert changes.touched.isdisjoint(barred)
    ours = Counter(
        (each.host, each.type, each.content) for each in after if each not in strangers and each.host not in barred
    )
    assert ours == Counter((each.name, each.type, each.content) for each in wanted if each.name not in barred)


@given(wishes())
def test_what_is_right_is_left_alone(wanted: list[Record]) -> None:
    """However long the provider says that a proxied one lasts."""
    found = [
        FoundRecord(each.name, each.type, each.content, 1 if each.is_proxied else each.ttl, MINE, each.is_proxied)
        for each in wanted
    ]
    assert diff_records(WHOSE, wanted, found).is_empty


def test_a_service_is_told_at_the_containers_own_name() -> None:
    """Its port and where that is: at the host, or at what the host is an alias of, since a service names no alias."""
    services = (ServicePort("_minecraft._tcp", 25512),)
    told = render_records(GAME, (), PUBLIC, domain=DOMAIN, services=services)
    own = f"game-102.{DOMAIN}"
    assert told == (
        Record(f"_minecraft._tcp.{own}", "SRV", "0 0 25512 game.example.org", 300),
        Record(own, "CNAME", "game.example.org", 300),
    )
    direct = replace(PUBLIC, game_target=("192.0.2.9", "2001:db8::9"))
    (service,) = [
        each for each in render_records(GAME, (), direct, domain=DOMAIN, services=services) if each.type == "SRV"
    ]
    assert service.content == f"0 0 25512 {own}"


@pytest.mark.parametrize(
    ("name", "is_own"),
    [
        (f"_minecraft._tcp.{HOST}", True),
        (f"_a-b._udp.{HOST}", True),
        (f"_minecraft._sctp.{HOST}", False),
        (f"_minecraft.{HOST}", False),
        (f"_x._tcp._minecraft._tcp.{HOST}", False),
        (f"_minecraft._tcp.80-{HOST}", False),
        (f"_minecraft._tcp.dev-1011.{DOMAIN}", False),
        (f"_minecraft._tcp.{DOMAIN}", False),
    ],
)
def test_a_service_of_its_host_is_a_containers_own(name: str, is_own: bool) -> None:
    """Of no other container's, and of no port's."""
    assert WHOSE.has_name(name) is is_own
    assert parse_record_name(f"_minecraft._tcp.{HOST}", DOMAIN) == parse_host(HOST, DOMAIN)


def test_a_service_is_spelled_in_one_way() -> None:
    """As servers say it, with any case, spaces and the dot of the root."""
    assert spell_content("SRV", " 0 0  25512 Game-102.Apps.Example.org. ") == f"0 0 25512 game-102.{DOMAIN}"


def test_every_host_leads_to_the_target_of_its_kind() -> None:
    """Dev hosts through the provider where it passes requests on; game hosts never, to their own target."""
    assert render_records(DEV, (3000,), PUBLIC, domain=DOMAIN) == (
        Record(f"3000-{HOST}", "A", "192.0.2.1", 300, is_proxied=True),
        Record(HOST, "A", "192.0.2.1", 300, is_proxied=True),
    )
    assert render_records(GAME, (), PUBLIC, domain=DOMAIN) == (
        Record(f"game-102.{DOMAIN}", "CNAME", "game.example.org", 300),
    )


@given(st.ip_addresses(), st.sampled_from([DEV, GAME]), st.sets(st.integers(1, 65535), max_size=5))
def test_names_are_those_that_common_renders(
    address: IPv4Address | IPv6Address, host: HostName, ports: set[int]
) -> None:
    """Whatever is published, each name is read back as this container's; an address is spelled in one way."""
    setting = replace(PUBLIC, target=(str(address),), game_target=())
    records = render_records(host, ports, setting, domain=DOMAIN)
    read = [parse_host(record.name, DOMAIN) for record in records]
    assert {(each.vmid, each.port) for each in read if each} == {(host.vmid, port) for port in (None, *ports)}
    assert {(record.type, record.content) for record in records} == {
        ("A" if address.version == 4 else "AAAA", str(address))
    }


def test_a_port_that_browsers_refuse_is_published_like_any_other() -> None:
    """Their list is about ports in URLs; an exposure is opened at 443, whatever it is called by."""
    for port in (6000, 6665, 6669, 22, 1):
        assert render_records(DEV, (port,), PUBLIC, domain=DOMAIN)[0].name == f"{port}-{HOST}"


@given(st.from_regex(r"([0-9a-z]{0,6}-)?dev-101(\.apps\.example\.org|\.example\.org)?", fullmatch=True))
def test_a_name_is_a_containers_own_where_common_says_so(name: str) -> None:
    """A mark that somebody has copied onto a name that only looks like it makes nothing ours."""
    host = parse_host(name, DOMAIN)
    assert WHOSE.has_name(name) is (host is not None and (host.kind, host.vmid) == (DEV.kind, DEV.vmid))


def test_the_longest_label_fits() -> None:
    """DNS allows 63 characters in a label, also where our mark stands before it."""
    longest = HostName("game", Vmid(999_999_999), 65535)
    assert len(longest.label) <= 63
    assert len(mark_name(f"{longest.label}.{'a' * 60}.{'b' * 60}.{'c' * 60}.de")) <= 253


def test_a_mark_survives_what_people_write_behind_it() -> None:
    """And nothing else is taken for one."""
    assert parse_mark(render_mark(MINE)) == parse_mark(f"{render_mark(MINE)} do not touch") == MINE
    for comment in (
        None,
        "",
        "zlh:",
        MINE,
        f"x {render_mark(MINE)}",
        f"{render_mark(MINE)}x",
        render_mark(MINE).upper(),
    ):
        assert parse_mark(comment) is None
    assert parse_mark_name(mark_name(HOST)) == HOST
    assert parse_mark_name(HOST) is None


def test_where_records_may_be_is_known_from_the_intent_on() -> None:
    """A worker may die between any two of these; whoever follows knows every name, and what has to be written."""
    before, after = (
        {"public": render_records(DEV, (1,), PUBLIC, domain=DOMAIN)},
        {"public": render_records(DEV, (2,), PUBLIC, domain=DOMAIN)},
    )
    written = Kept({}).with_intent(before).with_written(before)
    assert find_stale(written, before) == {}
    intended = written.with_intent(after)
    assert set(intended.at("public").names) == {HOST, f"1-{HOST}", f"2-{HOST}"}
    assert find_stale(intended, after) == after
    done = intended.with_written(after)
    assert set(done.at("public").names) == {HOST, f"2-{HOST}"}
    doubted = done.with_doubt({"public": {f"9-{HOST}"}})
    assert find_stale(doubted, after) == after
    assert f"9-{HOST}" in doubted.at("public").names
    for kept in (written, intended, done, doubted, Kept({"gone": Written("x", ("y",))})):
        assert parse_kept(render_kept(kept)) == kept
    assert doubted.without(["public"]) == parse_kept(None) == parse_kept("no JSON") == Kept({})


def test_a_digest_tells_every_difference() -> None:
    """Also in time and proxying, and of which provider."""
    record = Record(HOST, "A", "192.0.2.1", 300)
    others = [replace(record, ttl=60), replace(record, is_proxied=True), replace(record, content="192.0.2.2")]
    assert len({digest_of([each]) for each in (record, *others)}) == 4
    assert digest_all({"a": (record,)}) != digest_all({"b": (record,)})


@pytest.mark.parametrize(
    ("wanted", "answers", "is_right"),
    [
        ([Record(HOST, "A", "192.0.2.1", 300)], {"A": {"192.0.2.1"}}, True),
        ([Record(HOST, "A", "192.0.2.1", 300)], {"A": {"192.0.2.2"}}, False),
        ([Record(HOST, "A", "192.0.2.1", 300)], {"A": {"192.0.2.1", "192.0.2.2"}}, False),
        ([Record(HOST, "A", "192.0.2.1", 300)], {"A": {"192.0.2.1"}, "AAAA": {"2001:db8::1"}}, False),
        ([Record(HOST, "A", "192.0.2.1", 300)], {}, False),
        ([Record(HOST, "CNAME", "edge.x", 300)], {"CNAME": {"edge.x"}}, True),
        ([Record(HOST, "CNAME", "edge.x", 300)], {"CNAME": {"edge.y"}}, False),
        ([Record(HOST, "A", "192.0.2.1", 1, is_proxied=True)], {"A": {"203.0.113.5"}}, True),
        ([Record(HOST, "CNAME", "edge.x", 1, is_proxied=True)], {"AAAA": {"2001:db8::5"}}, True),
        ([Record(HOST, "A", "192.0.2.1", 1, is_proxied=True)], {"A": set()}, False),
        ([Record(HOST, "SRV", "0 0 1 a.b", 300)], {"SRV": {"0 0 1 a.b"}}, True),
        ([Record(HOST, "SRV", "0 0 1 a.b", 300)], {"SRV": {"0 0 2 a.b"}}, False),
    ],
    ids=[
        "right",
        "other",
        "more",
        "other-family",
        "nothing",
        "alias",
        "other-alias",
        "proxied",
        "proxied-v6",
        "proxied-not",
        "service",
        "service-elsewhere",
    ],
)
def test_an_answer_is_exactly_what_is_wanted(
    wanted: list[Record], answers: dict[str, set[str]], is_right: bool
) -> None:
    """But of a proxied name, which is answered with addresses of the provider's own: then any, and some."""
    told = {kind: frozenset(answers.get(kind, ())) for kind in asked_types(wanted)}
    assert (find_wrong_answer(HOST, wanted, told) is None) is is_right


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.53", Address("192.0.2.53", 53)),
        ("192.0.2.53:5353", Address("192.0.2.53", 5353)),
        ("2001:db8::53", Address("2001:db8::53", 53)),
        ("[2001:db8::53]", Address("2001:db8::53", 53)),
        ("[2001:db8::53]:5353", Address("2001:db8::53", 5353)),
    ],
)
def test_a_name_server_is_written_as_people_write_it(text: str, address: Address) -> None:
    """With a port or without, of either family."""
    assert parse_server(text) == address
