"""The network rule of a guest, as Proxmox's firewall takes it and shows it: pure.

    in    from the API and the proxy alone
    out   to the artifact servers, the name servers, and of private networks what the settings name, address by port;
          never to other guests or this host's own; the internet where `egress` says so
    both  no address and no hardware address but the guest's own; no DHCP, no router advertisements

Rules are held against what is read back one by one and in order: one too many is as wrong as one too few.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from zlh_common.names import OwnerMark

IPSET = "ipfilter-net0"
# What is not the internet: neighbours, the cluster's own networks, carriers', links, and what leads to everybody.
PRIVATE_V4 = (
    "0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,172.16.0.0/12,192.0.0.0/24,192.0.2.0/24,"
    "192.168.0.0/16,198.18.0.0/15,198.51.100.0/24,203.0.113.0/24,224.0.0.0/3"
)
PRIVATE_V6 = "::1/128,fc00::/7,fe80::/10,ff00::/8"
_FIELDS = ("type", "action", "source", "dest", "proto", "dport", "sport", "macro", "iface", "icmp-type")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rules of all guests have in common."""

    bridge: str
    prefix: int
    gateway: str
    # From where guests are reached: the API's and the proxy's addresses.
    allowed_from: tuple[str, ...]
    artifact_servers: tuple[str, ...]
    artifact_port: int
    name_servers: tuple[str, ...] = ()
    egress: Literal["internet", "none"] = "internet"
    vlan: int | None = None
    # Further addresses and ports of private networks from which files may be fetched.
    private_places: tuple[tuple[str, int], ...] = ()


def render_options(surroundings: Surroundings) -> dict[str, str | int]:
    """Return the firewall options of a guest."""
    return {
        "enable": 1,
        "policy_in": "DROP",
        "policy_out": "ACCEPT" if surroundings.egress == "internet" else "DROP",
        "ipfilter": 1,
        "macfilter": 1,
        "dhcp": 0,
        "ndp": 0,
        "radv": 0,
    }


def render_rules(surroundings: Surroundings) -> list[dict[str, str | int]]:
    """Return the rules of a guest in their order."""
    inward = [_rule("in", "ACCEPT", source=address) for address in surroundings.allowed_from]
    outward = [
        _rule("out", "ACCEPT", dest=address, proto="tcp", dport=str(surroundings.artifact_port))
        for address in surroundings.artifact_servers
    ]
    outward += [
        _rule("out", "ACCEPT", dest=address, proto="tcp", dport=str(port))
        for address, port in surroundings.private_places
    ]
    outward += [
        _rule("out", "ACCEPT", dest=address, proto=proto, dport="53")
        for address in surroundings.name_servers
        for proto in ("udp", "tcp")
    ]
    return [*inward, *outward, _rule("out", "DROP", dest=PRIVATE_V4), _rule("out", "DROP", dest=PRIVATE_V6)]


def render_net(surroundings: Surroundings, *, owner: OwnerMark, address: str) -> str:
    """Return the guest's only interface, which the firewall filters."""
    tag = f",tag={surroundings.vlan}" if surroundings.vlan is not None else ""
    return (
        f"name=eth0,bridge={surroundings.bridge},hwaddr={derive_hwaddr(owner)},"
        f"ip={address}/{surroundings.prefix},gw={surroundings.gateway},firewall=1,type=veth{tag}"
    )


def derive_hwaddr(owner: OwnerMark) -> str:
    """Return a hardware address that is the owner's alone, locally administered and for one receiver."""
    digits = owner.replace("-", "")[:10].upper()
    return ":".join(["02", *(digits[at : at + 2] for at in range(0, 10, 2))])


def parse_properties(text: object) -> dict[str, str]:
    """Return the parts of a property string; what has no name is under the empty one."""
    parts = str(text or "").split(",")
    pairs = [part.partition("=") if "=" in part else ("", "=", part) for part in parts if part]
    return {name.strip(): value.strip() for name, _equals, value in pairs}


def is_net_right(present: object, wanted: str) -> bool:
    """Tell whether the interface is as wanted; what Proxmox adds beside does not matter, a second address does."""
    have, want = parse_properties(present), parse_properties(wanted)
    have["hwaddr"] = have.get("hwaddr", "").upper()
    extra = set(have) - set(want) - {"mtu", "rate"}
    return all(have.get(name) == value for name, value in want.items()) and not extra


def other_interfaces(config: Mapping[str, Any]) -> list[str]:
    """Return the interfaces that a guest of ours must not have."""
    return [name for name in config if re.fullmatch(r"net[1-9]\d*", name)]


def are_options_right(present: Mapping[str, Any], wanted: Mapping[str, str | int]) -> bool:
    """Tell whether every option that matters is as wanted; numbers may come as text."""
    return all(str(present.get(name, "")) == str(value) for name, value in wanted.items())


def are_rules_right(present: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, str | int]]) -> bool:
    """Tell whether the rules in force are these, in this order, and no others."""
    ordered = sorted(present, key=lambda rule: int(rule.get("pos", 0)))
    return [_essence(rule) for rule in ordered if _is_enabled(rule)] == [_essence(rule) for rule in wanted]


def find_missing(
    present: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, str | int]]
) -> Sequence[Mapping[str, str | int]]:
    """Return which of the first rules have still to be put before what is there, whose beginning may be the rest."""
    have = [_essence(rule) if _is_enabled(rule) else () for rule in present]
    want = [_essence(rule) for rule in wanted]
    for count in range(min(len(have), len(want)), 0, -1):
        if have[:count] == want[-count:]:
            return wanted[:-count]
    return wanted


def is_set_right(entries: Sequence[Mapping[str, Any]], address: str) -> bool:
    """Tell whether the set holds the one address and nothing else."""
    return [(entry.get("cidr"), bool(int(entry.get("nomatch") or 0))) for entry in entries] in (
        [(address, False)],
        [(f"{address}/32", False)],
    )


def find_switched_off(cluster: Mapping[str, Any], node: Mapping[str, Any], *, name: str) -> str | None:
    """Return what is switched off above the guests, and how it is switched on; None where all of it is on."""
    if str(cluster.get("enable") or "0") == "0":
        return (
            "the datacenter's firewall is off; switch it on with `pvesh set /cluster/firewall/options --enable 1`, "
            "after rules for your own access are in place"
        )
    if str(node.get("enable", "1")) == "0":
        command = f"pvesh set /nodes/{name}/firewall/options --enable 1"
        return f"the firewall of node {name} is off; switch it on with `{command}`"
    return None


def _rule(kind: str, action: str, **fields: str) -> dict[str, str | int]:
    return {"type": kind, "action": action, "enable": 1, **fields}


def _is_enabled(rule: Mapping[str, Any]) -> bool:
    return bool(int(rule.get("enable") or 0))


def _essence(rule: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(rule.get(name) or "") for name in _FIELDS)
