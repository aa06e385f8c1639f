"""What nftables holds of our bridge: pure text, and what a listing of it says.

Closed by default: whatever comes from or goes to an interface whose name begins as those of guests do is dropped, but
for what the set of pins lets through, interface by hardware address by IPv4 address. A guest without a pin has no
network at all. Between guests nothing passes; of this host they reach the artifact server's port and nothing else.

    prerouting  what a guest sends: ARP for the gateway and IPv4, both under its own addresses     (bridge)
    input       what it sends to the bridge itself, past all else and into its table: nothing      (bridge)
    forward     from guest to guest: nothing                                                       (bridge)
    output      what a guest is sent: its own frames, so that none that the bridge floods is seen  (bridge)
    input       what reaches this host: replies, and the artifact server's port                    (inet)
    forward     through this host: the internet where it is wished, and of a private network what
                the settings name, address by port                                                 (inet)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from zlh_api.drivers.lxc.model import LxcSettings

# Networks that no guest reaches through us, but for what the settings name: private, link-local with its metadata
# services, tests, multicast and what is reserved.
NEVER = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
)  # fmt: skip
# So many connections to the internet may one guest have at a time.
MAX_CONNECTIONS = 8192
# Addresses that a bridge keeps for itself: what comes to one it may hand to this host as the port's own, or learn from.
FOR_BRIDGES = "ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00"


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """The only addresses that may be used at an interface."""

    interface: str
    mac: str
    address: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What stands in our tables: the rules in the words of nftables, and who is pinned."""

    rules: tuple[str, ...]
    pins: frozenset[Pin]
    # The second set, which lets our own questions for an address through.
    asked: frozenset[tuple[str, str]]


def render_tables(settings: LxcSettings, pins: Iterable[Pin] = ()) -> str:
    """Return what makes the tables anew, in one step, with these guests pinned."""
    name, pinned = settings.table, sorted(pins)
    fresh = "".join(f"table {family} {name}\ndelete table {family} {name}\n" for family in ("bridge", "inet"))
    return fresh + _render_bridge(settings) + _render_inet(settings) + "".join(_add(settings, pin) for pin in pinned)


def render_pin(settings: LxcSettings, pin: Pin, seen: Listing) -> str:
    """Return what pins a guest, and unpins whoever has its interface or one of its addresses."""
    others = [other for other in sorted(seen.pins) if other != pin and _clash(pin, other)]
    own = (pin.interface, pin.address)
    stale = [pair for pair in sorted(seen.asked) if pair != own and set(pair) & set(own)]
    return "".join(
        [_delete(settings, other) for other in others]
        + [_delete_asked(settings, pair) for pair in stale]
        + [_add(settings, pin)]
    )


def render_unpin(settings: LxcSettings, interface: str, seen: Listing) -> str:
    """Return what takes away whatever is pinned at an interface; nothing where nothing is."""
    return "".join(
        [_delete(settings, pin) for pin in sorted(seen.pins) if pin.interface == interface]
        + [_delete_asked(settings, pair) for pair in sorted(seen.asked) if pair[0] == interface]
    )


def parse_listing(entries: Iterable[dict[str, Any]]) -> Listing:
    """Return what `nft -j list` printed: order and words of every rule count, running numbers do not."""
    rules: list[str] = []
    pins: set[Pin] = set()
    asked: set[tuple[str, str]] = set()
    for entry in entries:
        if "metainfo" in entry:
            continue
        (kind, thing), *_ = entry.items()
        if kind == "set":
            for element in thing.get("elem", ()):
                if thing["name"] == "pins":
                    pins.add(Pin(*element["concat"]))
                elif thing["name"] == "addresses":
                    asked.add((element["concat"][0], element["concat"][1]))
        rules.append(f"{kind} {_without_numbers(thing)!r}")
    return Listing(tuple(rules), frozenset(pins), frozenset(asked))


def find_trouble(seen: Listing | None, wanted_rules: tuple[str, ...], pin: Pin) -> str | None:
    """Return why a guest's network is not closed, or None where it is."""
    if seen is None:
        return "the host's rules are gone"
    if seen.rules != wanted_rules:
        return "the host's rules are not ours"
    if pin not in seen.pins or (pin.interface, pin.address) not in seen.asked:
        return f"{pin.interface} is not pinned to {pin.address}"
    clashing = [other for other in seen.pins if other != pin and _clash(pin, other)]
    return f"{clashing[0].interface} is pinned to {clashing[0].address} too" if clashing else None


def _clash(pin: Pin, other: Pin) -> bool:
    return pin.interface == other.interface or pin.mac == other.mac or pin.address == other.address


def _add(settings: LxcSettings, pin: Pin) -> str:
    table = f"bridge {settings.table}"
    return (
        f'add element {table} pins {{ "{pin.interface}" . {pin.mac} . {pin.address} }}\n'
        f'add element {table} addresses {{ "{pin.interface}" . {pin.address} }}\n'
    )


def _delete(settings: LxcSettings, pin: Pin) -> str:
    return f'delete element bridge {settings.table} pins {{ "{pin.interface}" . {pin.mac} . {pin.address} }}\n'


def _delete_asked(settings: LxcSettings, pair: tuple[str, str]) -> str:
    return f'delete element bridge {settings.table} addresses {{ "{pair[0]}" . {pair[1]} }}\n'


def _without_numbers(thing: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in sorted(thing.items()) if key not in {"handle", "elem"}}


def _render_bridge(settings: LxcSettings) -> str:
    guests = f'"{settings.bridge}v*"'
    return f"""table bridge {settings.table} {{
  set pins {{ type ifname . ether_addr . ipv4_addr; }}
  set addresses {{ type ifname . ipv4_addr; }}
  chain from_guests {{
    type filter hook prerouting priority -300; policy accept;
    iifname != {guests} accept
    {FOR_BRIDGES} drop
    ether type arp arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp daddr ip {settings.gateway} \
iifname . ether saddr . arp saddr ip @pins iifname . arp saddr ether . arp saddr ip @pins accept
    ether type ip ip daddr != 224.0.0.0/3 iifname . ether saddr . ip saddr @pins accept
    drop
  }}
  chain to_bridge {{
    type filter hook input priority -300; policy accept;
    iifname {guests} {FOR_BRIDGES} drop
  }}
  chain between_ports {{
    type filter hook forward priority -300; policy accept;
    iifname {guests} drop
    oifname {guests} drop
  }}
  chain to_guests {{
    type filter hook output priority -300; policy accept;
    oifname != {guests} accept
    ether type arp oifname . arp daddr ip @addresses accept
    ether type ip oifname . ether daddr . ip daddr @pins accept
    drop
  }}
}}
"""


def _render_inet(settings: LxcSettings) -> str:
    # What is "related" may be about another's connection: an error that quotes it, or what a helper expects.
    bridge, block = f'"{settings.bridge}"', settings.block
    guests = f'"{settings.bridge}v*"'
    artifacts = (
        f"    ip daddr {settings.gateway} tcp dport {settings.artifacts_port} accept\n"
        if settings.artifacts_port
        else ""
    )
    is_open = settings.egress == "internet"
    # What this host keeps of connections is one table for all, and whoever fills it cuts everybody off.
    counted = "  set counted { type ipv4_addr; flags dynamic; }\n" if is_open else ""
    most = f"ct state new add @counted {{ ip saddr ct count over {MAX_CONNECTIONS} }} drop"
    outward = f"{most}\n    accept" if is_open else "drop"
    places = settings.private_places if is_open else ()
    private = "".join(
        f"    ip daddr {address} tcp dport {port} {most}\n    ip daddr {address} tcp dport {port} accept\n"
        for address, port in places
    )
    place = f"tcp {{}} {settings.artifacts_port} notrack"
    untracked = f"""  chain untracked_in {{
    type filter hook prerouting priority -300; policy accept;
    iifname {bridge} ip daddr {settings.gateway} {place.format("dport")}
  }}
  chain untracked_out {{
    type filter hook output priority -300; policy accept;
    oifname {bridge} ip saddr {settings.gateway} {place.format("sport")}
  }}
"""
    nat = f"""  chain to_internet {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr {block} oifname != {bridge} masquerade
  }}
"""
    return f"""table inet {settings.table} {{
{counted}{untracked if settings.artifacts_port else ""}  chain to_host {{
    type filter hook input priority -10; policy accept;
    iifname {guests} drop
    iifname != {bridge} accept
    ct state established accept
{artifacts}    drop
  }}
  chain through_host {{
    type filter hook forward priority -10; policy accept;
    iifname {guests} drop
    iifname {bridge} oifname {bridge} drop
    oifname {bridge} ct state established,related accept
    oifname {bridge} drop
    iifname != {bridge} accept
    ct state invalid,related drop
    meta nfproto != ipv4 drop
{private}    ip daddr {{ {", ".join(NEVER)} }} drop
    {outward}
  }}
{nat if is_open else ""}}}
"""


def render_network_up(settings: LxcSettings) -> str:
    """Return the program that LXC runs before a guest has its network: without its pin there is no start."""
    return f"""#!/bin/sh
# Written by ZLH; changes are lost. LXC appends its own words; ours are the interface and its two addresses.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
if ! nft get element bridge {settings.table} pins "{{ \\"$1\\" . $2 . $3 }}" >/dev/null 2>&1; then
  echo "The network of $1 is not closed, so it is not started." >&2
  exit 1
fi
# Our end of the cable says nothing of its own.
echo 1 2>/dev/null > /proc/sys/net/ipv6/conf/"$1"/disable_ipv6
# A second lock beside the rules: the bridge itself passes nothing from one guest to another.
exec bridge link set dev "$1" isolated on learning on
"""
