"""Which ports are told, and since when: any course of looks, without a kernel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.ports import listening
from zlh_agent.ports.diag_wire import IPV4, IPV6, Address, Connection
from zlh_agent.ports.listening import Holder, Listener, PortTable
from zlh_common.schema.ports import ListeningPort, PortKind, PortReach

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOOK_S = 0.5
MINE = ip_address("127.77.0.9")
PORTS = st.sets(st.sampled_from((80, 3000, 8080)))


def socket(address: str, port: int, inode: int = 1, *, is_v6_only: bool = False) -> Connection:
    """Return a socket that listens."""
    local = ip_address(address)
    family = IPV4 if local.version == 4 else IPV6
    return Connection(local, port, ip_address("0.0.0.0"), inode, family, bytes([inode]) * 48, is_v6_only)


def listener(port: int, *addresses: str, is_v6_only: bool = False) -> Listener:
    """Return a port that is listened on at these addresses."""
    return Listener(port, tuple(map(ip_address, addresses or ("0.0.0.0",))), frozenset({port}), is_v6_only)


def tell(listener: Listener, holder: Holder | None, *, is_bridged: bool = False) -> ListeningPort:
    """Return what is told of a port in a container of its own."""
    return listening.tell(listener, NOW, holder, kind=PortKind.HTTP, address=None, is_bridged=is_bridged)


def walk(looks: list[set[int]]) -> list[tuple[set[int], bool]]:
    """Return after each look what is shown, and whether that was called a change."""
    table, told = PortTable(), []
    for number, ports in enumerate(looks):
        changed = table.take(
            [listener(port) for port in ports],
            at=number * LOOK_S,
            now=NOW + number * timedelta(seconds=LOOK_S),
        )
        told.append((set(table.shown()), changed))
    return told


@given(st.lists(PORTS, max_size=40))
def test_what_is_shown_follows_what_is_there(looks: list[set[int]]) -> None:
    """Nothing that was at neither of the last two looks; whatever stays is shown in time, and changes are told."""
    before: set[int] = set()
    settled = round(listening.SETTLES_S / LOOK_S) + 1
    for number, (shown, changed) in enumerate(walk(looks)):
        recent = looks[max(0, number - listening.MISSES + 1) : number + 1]
        assert shown <= set().union(*recent)
        lasting = looks[max(0, number - settled) : number + 1]
        if len(lasting) > settled:
            assert set.intersection(*map(set, lasting)) <= shown
        assert changed == (shown != before)
        before = shown


@given(st.lists(PORTS, max_size=12).map(lambda looks: looks + [looks[-1] if looks else set()] * 12))
def test_what_holds_still_is_told_exactly(looks: list[set[int]]) -> None:
    """Whatever went before."""
    assert walk(looks)[-1][0] == looks[-1]


def test_a_new_port_is_told_at_the_first_look() -> None:
    """Nobody waits for a program that begins to listen."""
    assert walk([set(), {3000}]) == [(set(), False), ({3000}, True)]


def test_a_restart_between_two_looks_is_no_change() -> None:
    """One look that misses it changes nothing, the time included."""
    table = PortTable()
    for number, ports in enumerate([{3000}, set(), {3000}]):
        changed = table.take([listener(port) for port in ports], at=number * LOOK_S, now=NOW)
        assert changed is (number == 0)


@pytest.mark.parametrize("pattern", [[{80}, set()], [{80}, set(), set()], [{80}, {80}, set(), set()]])
def test_a_port_that_flaps_is_told_seldom(pattern: list[set[int]]) -> None:
    """Ten minutes of it are not more than a change every other second."""
    told = walk(pattern * (1200 // len(pattern)))
    assert sum(changed for _, changed in told) <= 600 / 2


def test_sockets_of_a_port_are_one_listener() -> None:
    """IPv4 in whatever spelling, IPv6, and several workers."""
    found = listening.group_listeners(
        [
            socket("::ffff:10.0.0.5", 3000, 3),
            socket("10.0.0.5", 3000, 2),
            socket("::", 3000, 4),
        ]
    )
    assert found == [Listener(3000, (ip_address("10.0.0.5"), ip_address("::")), frozenset({2, 3, 4}))]


@pytest.mark.parametrize(
    ("addresses", "own", "reach"),
    [
        (("0.0.0.0",), None, PortReach.NETWORK),
        (("::",), None, PortReach.NETWORK),
        (("127.0.0.1", "10.0.0.5"), None, PortReach.NETWORK),
        (("127.0.0.1", "::1"), None, PortReach.LOOPBACK),
        (("127.0.0.53",), None, PortReach.LOOPBACK),
        (("127.77.0.9",), MINE, PortReach.NETWORK),
        (("0.0.0.0",), MINE, PortReach.SHARED),
        (("127.0.0.1",), MINE, PortReach.LOOPBACK),
        (("127.0.0.1", "127.77.0.9"), MINE, PortReach.NETWORK),
        # Nobody comes by IPv6.
        (("fd00::5",), None, PortReach.LOOPBACK),
    ],
)
def test_from_where_a_port_is_reached(addresses: tuple[str, ...], own: object, reach: PortReach) -> None:
    """Loopback of a container is nobody else's; on a shared machine its one address is what counts."""
    assert listening.reach_of(listener(3000, *addresses), MINE if own else None) is reach


@pytest.mark.parametrize("own", [None, MINE])
def test_all_addresses_of_ipv6_may_be_nothing_of_ipv4(own: Address | None) -> None:
    """As the program has asked for; another socket beside it may take the rest."""
    alone = listening.group_listeners([socket("::", 3000, is_v6_only=True)])
    assert [listening.reach_of(each, own) for each in alone] == [PortReach.LOOPBACK]
    both = listening.group_listeners([socket("::", 3000, is_v6_only=True), socket("0.0.0.0", 3000, 2)])
    assert listening.reach_of(both[0], own) is not PortReach.LOOPBACK
    mixed = listening.group_listeners([socket("::", 3000, is_v6_only=True), socket("::", 3000, 2)])
    assert listening.reach_of(mixed[0], own) is not PortReach.LOOPBACK


def test_what_is_the_platforms_own_is_left_out() -> None:
    """The agent's port, an addon's, and sockets by which a port is led on."""
    sockets = [socket("0.0.0.0", 8700, 1), socket("0.0.0.0", 41000, 2), socket("127.0.0.1", 3000, 3)]
    found = listening.select_customers(sockets, platform_ports={8700}, platform_sockets={2})
    assert [each.port for each in found] == [3000]


def test_what_a_program_calls_itself_is_bounded() -> None:
    """A report is no longer for it."""
    holder = Holder(7, "n" * 900, "c" * 90_000, "/" + "d" * 4000)
    told = tell(listener(3000), holder)
    assert max(len(told.process), len(told.command), len(told.directory or "")) == listening.MOST_CHARS
    assert tell(listener(3000), None).pid is None


def test_a_port_that_is_led_on_says_so() -> None:
    """Unless its program listens on the network meanwhile."""
    assert tell(listener(3000, "127.0.0.1"), None, is_bridged=True).reach is PortReach.BRIDGED
    assert tell(listener(3000, "127.0.0.1"), None).reach is PortReach.LOOPBACK
    assert tell(listener(3000, "0.0.0.0"), None, is_bridged=True).reach is PortReach.NETWORK
