"""Which ports are led to loopback, for whatever is published and listens; without a kernel."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.ports import forward_wire as wire
from zlh_agent.ports.bridge_rules import (
    MOST_BRIDGES,
    STEADY_S,
    count_losses,
    decide_bridges,
    find_crossed,
    find_target,
    render_table,
    rest_s,
)
from zlh_agent.ports.diag_wire import Address
from zlh_agent.ports.listening import Listener, reach_of
from zlh_common.schema.ports import PortReach

MINE = ip_address("127.77.0.9")
ADDRESSES = ("127.0.0.1", "::1", "::", "0.0.0.0", "10.0.0.5", "127.0.0.53", "fd00::5", "127.77.0.9")
PORTS = st.sampled_from((80, 3000, 8080))
LISTENERS = st.dictionaries(
    PORTS, st.tuples(st.sets(st.sampled_from(ADDRESSES), min_size=1, max_size=3), st.booleans())
)
OWN = st.sampled_from((None, MINE))


def listener(port: int, *addresses: str, is_v6_only: bool = False) -> Listener:
    """Return a port that is listened on at these addresses."""
    bound = sorted(map(ip_address, addresses), key=lambda each: (each.version, int(each)))
    return Listener(port, tuple(bound), frozenset({port}), is_v6_only)


@given(st.sets(PORTS), LISTENERS, st.dictionaries(PORTS, st.sampled_from(("127.0.0.1", "::1"))), OWN)
def test_what_is_led_on_is_published_and_not_reached_otherwise(
    published: set[int], found: dict[int, tuple[set[str], bool]], led: dict[int, str], own: Address | None
) -> None:
    """Never anything else; and everything that listens so."""
    here = {port: listener(port, *bound, is_v6_only=v6) for port, (bound, v6) in found.items()}
    bridges = decide_bridges(published, list(here.values()), led, own)
    assert bridges.keys() <= published
    for port in published:
        if port in here:
            assert (port in bridges) is (reach_of(here[port], own) is PortReach.LOOPBACK)
        else:
            # A program that restarts is met again; on a shared machine its address is let go of.
            assert (port in bridges) is (own is None and port in led)


@pytest.mark.parametrize(
    ("addresses", "target"),
    [
        (("127.0.0.1", "::1"), "127.0.0.1"),
        (("::1",), "::1"),
        (("::",), "::1"),
        (("127.0.0.53",), "127.0.0.53"),
        (("fd00::5",), "fd00::5"),
    ],
)
def test_a_port_leads_to_where_its_program_listens(addresses: tuple[str, ...], target: str) -> None:
    """Whichever loopback that is; all addresses of IPv6 are its loopback too."""
    assert find_target(listener(3000, *addresses, is_v6_only=True)) == target


def test_there_is_an_end_to_bridges() -> None:
    """What listens comes before what only did."""
    many = [listener(port, "127.0.0.1") for port in range(4000, 4000 + MOST_BRIDGES)]
    published = {3000, *(each.port for each in many)}
    assert decide_bridges(published, many, {3000: "127.0.0.1"}, None).keys() == {each.port for each in many}


def test_the_rules_name_ports_of_this_container_alone() -> None:
    """What comes from its own programs, or is on its way to somebody else, passes by."""
    rules = [line for line in render_table({3000: 41000, 80: 41001}).splitlines() if "redirect" in line]
    led = 'add rule ip zlh_published outside iifname != "lo" fib daddr type local tcp dport'
    assert rules == [f"{led} 80 redirect to :41001", f"{led} 3000 redirect to :41000"]


def test_the_rules_of_before_are_gone() -> None:
    """In the same transaction; the chain itself stays, since packets of connections are translated by it."""
    for entrances in ({}, {3000: 41000}):
        script = render_table(entrances)
        assert "flush chain ip zlh_published outside\n" in script
        assert "delete" not in script
    # Named first, so that deleting it fails for nobody.
    assert render_table(None).splitlines() == ["add table ip zlh_published", "delete table ip zlh_published"]


def test_nobody_comes_in_by_an_entrance_itself() -> None:
    """What is published at another port would be reached past whoever decides about that."""
    rules = [line for line in render_table({3000: 41000, 80: 41001}).splitlines() if line.endswith(" drop")]
    direct = 'add rule ip zlh_published entrances iifname != "lo" fib daddr type local tcp dport'
    assert rules == [f"{direct} 41000 drop", f"{direct} 41001 drop"]
    assert find_crossed({3000: 41000, 80: 41001}, {3000, 80, 41001}) == {80}
    assert find_crossed({3000: 41000}, {3000, 80}) == set()


def test_a_forwarder_that_is_ended_again_and_again_rests_ever_longer() -> None:
    """One that has lived for a while is started anew at once."""
    rests, losses = [], 0
    for _ in range(12):
        losses = count_losses(losses, 0.1)
        rests.append(rest_s(losses))
    assert rests[:4] == [0.5, 1.0, 2.0, 4.0]
    assert rests[-1] == 60.0
    assert rest_s(count_losses(losses, STEADY_S)) == 0.0


def test_messages_come_out_as_they_went_in() -> None:
    """Of both sides."""
    assert wire.parse_order(wire.render_order(7, "a;b,c")) == (7, "a;b,c")
    assert wire.parse_call(wire.render_call(wire.LEAD, 3000, "::1")) == (wire.LEAD, 3000, "::1")
    assert wire.parse_call(wire.render_call(wire.CUT, 3000)) == (wire.CUT, 3000, "")
    assert wire.parse_done(wire.render_done(12)) == 12


@given(st.binary(max_size=64).filter(lambda said: not said.startswith(b"done ")))
def test_whatever_else_a_forwarder_says_is_no_answer(said: bytes) -> None:
    """It has the customer's user."""
    assert wire.parse_done(said) is None
    assert wire.parse_done(b"done " + b"9" * 4000) is None
