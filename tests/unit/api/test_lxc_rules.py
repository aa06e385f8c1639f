"""The lxc driver's decisions: which change of limits goes first, what a listing of the host's rules says of a guest."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from pathlib import Path

import pytest

from zlh_api.drivers.lxc.limits import Controllers, order_changes, wanted_files
from zlh_api.drivers.lxc.lxc_config import find_addresses, has_limits, render_config
from zlh_api.drivers.lxc.model import GuestFolder, GuestMark, LxcSettings, mac_of
from zlh_api.drivers.lxc.network_rules import (
    NEVER,
    Listing,
    Pin,
    find_trouble,
    render_pin,
    render_tables,
    render_unpin,
)
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.resources import Resources

SETTINGS = LxcSettings(Path("/root"), Path("/template"), "zlh0", ipaddress.IPv4Network("10.81.0.0/24"))
FIRST = Controllers((("cpu", 1), ("memory", 1), ("pids", 1)), has_swap_limit=True)
SECOND = Controllers((("cpu", 2), ("memory", 2), ("pids", 2)), has_swap_limit=True)
PIN = Pin("zlh0v101", "02:00:00:00:00:01", "10.81.0.10")
OWNER = OwnerMark("7a2b6247-a3e8-48c9-b3c8-ef7c40e66365")


def listing(*pins: Pin) -> Listing:
    """What is read back where these are pinned."""
    return Listing(("rule",), frozenset(pins), frozenset((pin.interface, pin.address) for pin in pins))


@pytest.mark.parametrize("grows", [True, False])
def test_memory_with_swap_is_never_below_memory_alone(grows: bool) -> None:
    """The kernel refuses it, so growing begins with the one and shrinking with the other."""
    small, large = Resources(memory_mib=512), Resources(memory_mib=1024)
    old, new = (small, large) if grows else (large, small)
    seen: dict[str, str | None] = {file.name: file.value for file in wanted_files(old, FIRST)}
    names = [file.name for file in order_changes(wanted_files(new, FIRST), seen)]
    together, alone = "memory.memsw.limit_in_bytes", "memory.limit_in_bytes"
    assert names == ([together, alone] if grows else [alone, together])


@pytest.mark.parametrize("here", [FIRST, SECOND])
def test_the_config_limits_what_control_groups_can(here: Controllers) -> None:
    """For either version, and it is seen where a figure is another."""
    mark = GuestMark(owner=OWNER, vmid=Vmid(101), kind="dev", address="10.81.0.10", template="/t")
    folder = GuestFolder(Path("/root/101"))
    text = render_config(SETTINGS, folder, mark, Resources(), here=here, apparmor="unconfined", network_up="/up")
    assert has_limits(text, Resources(), here)
    for other in (Resources(cpu=0.5), Resources(memory_mib=512), Resources(pids=100)):
        assert not has_limits(text, other, here)
    assert find_addresses(text) == ("10.81.0.10",)
    assert mac_of(OWNER) in text


def test_what_no_controller_enforces_is_not_claimed() -> None:
    """A kernel without quotas limits no time."""
    here = Controllers((("cpu", 0), ("memory", 1), ("pids", 2)))
    assert here.enforced == {"memory_mib", "pids"}
    assert {file.limit for file in wanted_files(Resources(), here)} == {"memory_mib", "pids"}


@pytest.mark.parametrize(
    ("seen", "trouble"),
    [
        (None, "gone"),
        (replace(listing(PIN), rules=("rule", "accept")), "not ours"),
        (listing(), "not pinned"),
        (listing(replace(PIN, mac="02:00:00:00:00:02")), "not pinned"),
        (listing(PIN, replace(PIN, address="10.81.0.11")), "too"),
        (listing(PIN, replace(PIN, interface="zlh0v102", mac="02:00:00:00:00:02")), "too"),
        (replace(listing(PIN), asked=frozenset()), "not pinned"),
    ],
)
def test_whatever_is_not_as_it_must_be_is_named(seen: Listing | None, trouble: str) -> None:
    """For a network is closed only where all of it is."""
    assert find_trouble(listing(PIN), ("rule",), PIN) is None
    assert trouble in (find_trouble(seen, ("rule",), PIN) or "")


def test_a_pin_drives_out_whoever_has_one_of_its_names() -> None:
    """An address that was given again belongs to the new one alone."""
    old = Pin("zlh0v100", "02:00:00:00:00:09", PIN.address)
    text = render_pin(SETTINGS, PIN, listing(old))
    assert text.index("delete element bridge zlh_zlh0 pins") < text.index("add element bridge zlh_zlh0 pins")
    assert old.mac in text
    assert render_unpin(SETTINGS, "zlh0v100", listing(PIN)) == ""
    assert PIN.mac in render_unpin(SETTINGS, PIN.interface, listing(PIN))


def test_private_networks_are_never_reached() -> None:
    """Not even with egress, where all else is."""
    text = render_tables(replace(SETTINGS, egress="internet"))
    through = text[text.index("chain through_host") :]
    assert all(network in through for network in NEVER)
    assert through.index(NEVER[-1]) < through.index("    accept\n")
    assert "masquerade" in text
    assert "masquerade" not in render_tables(SETTINGS)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"):
        assert network in NEVER


def test_of_a_private_network_what_is_named_is_reached() -> None:
    """One port of one address, before the refusal of all others, counted as every connection, and with egress alone."""
    named = replace(SETTINGS, private_places=(("10.9.0.3", 8080),))
    through = render_tables(replace(named, egress="internet")).partition("chain through_host")[2]
    door = "ip daddr 10.9.0.3 tcp dport 8080"
    assert through.index(f"{door} ct state new") < through.index(f"{door} accept") < through.index(NEVER[0])
    assert render_tables(named) == render_tables(SETTINGS)
