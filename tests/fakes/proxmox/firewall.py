"""Calls on firewalls: of the datacenter and the nodes to be read, of a container to be read and set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fakes.proxmox import parameters
from fakes.proxmox.parameters import check
from fakes.proxmox.state import Cluster, Firewall, Refusal, digest_of, wrong

Given = Mapping[str, str]


def read_datacenter(cluster: Cluster, _user: str, given: Given) -> dict[str, Any]:
    """`GET /cluster/firewall/options`."""
    check(given, {})
    return {**cluster.firewall, "digest": digest_of(cluster.firewall)}


def read_node(cluster: Cluster, _user: str, given: Given, node: str) -> dict[str, Any]:
    """`GET /nodes/{n}/firewall/options`: what was never set is not there, and on."""
    check(given, {})
    return {**cluster.nodes[node].firewall, "digest": digest_of(cluster.nodes[node].firewall)}


def read_options(cluster: Cluster, _user: str, given: Given, node: str, vmid: int) -> dict[str, Any]:
    """`GET …/firewall/options`."""
    check(given, {})
    options = cluster.guest(node, vmid).firewall.options
    return {**options, "digest": digest_of(options)}


def set_options(cluster: Cluster, _user: str, given: Given, node: str, vmid: int) -> None:
    """`PUT …/firewall/options`."""
    values = check(given, parameters.OPTIONS)
    firewall = _writable(cluster, node, vmid)
    _check_digest(values, firewall.options)
    for name in filter(None, re.split(r"[,;\s]+", str(values.pop("delete", "")))):
        firewall.options.pop(name, None)
    firewall.options |= values


def list_rules(cluster: Cluster, _user: str, given: Given, node: str, vmid: int) -> list[dict[str, Any]]:
    """`GET …/firewall/rules`: every entry with the digest of all."""
    check(given, {})
    rules = cluster.guest(node, vmid).firewall.rules
    return [{**rule, "pos": place, "digest": digest_of(rules)} for place, rule in enumerate(rules)]


def add_rule(cluster: Cluster, _user: str, given: Given, node: str, vmid: int) -> None:
    """`POST …/firewall/rules`: a new rule comes first, and is off unless it is said to be on."""
    rule = check(given, parameters.RULE, needs=("type", "action"))
    if rule["type"] in {"in", "out"} and rule["action"] not in {"ACCEPT", "DROP", "REJECT"}:
        raise wrong(action=f"unknown action '{rule['action']}'")
    if ("dport" in rule or "sport" in rule) and rule.get("proto") not in {"tcp", "udp"}:
        raise wrong(proto="missing property - 'dport' requires this property")
    firewall = _writable(cluster, node, vmid)
    for end in ("source", "dest"):
        if str(rule.get(end, "")).startswith("+") and rule[end][1:] not in firewall.sets:
            raise wrong(**{end: f"no such ipset '{rule[end][1:]}'"})
    rule.pop("pos", None)
    firewall.rules.insert(0, {"enable": 0, **rule})


def delete_rule(cluster: Cluster, _user: str, given: Given, *, node: str, vmid: int, place: str) -> None:
    """`DELETE …/firewall/rules/{pos}`."""
    values = check(given, {"digest": parameters.RULE["digest"]})
    firewall = _writable(cluster, node, vmid)
    _check_digest(values, firewall.rules)
    if int(place) >= len(firewall.rules):
        raise Refusal(f"no rule at position {place}")
    del firewall.rules[int(place)]


def list_sets(cluster: Cluster, _user: str, given: Given, node: str, vmid: int) -> list[dict[str, Any]]:
    """`GET …/firewall/ipset`."""
    check(given, {})
    return [{"name": name, "digest": digest_of(name)} for name in cluster.guest(node, vmid).firewall.sets]


def add_set(cluster: Cluster, _user: str, given: Given, node: str, vmid: int) -> None:
    """`POST …/firewall/ipset`."""
    name = check(given, parameters.SET, needs=("name",))["name"]
    sets = _writable(cluster, node, vmid).sets
    if name in sets:
        raise wrong(name=f"IPSet '{name}' already exists")
    sets[name] = []


def list_entries(cluster: Cluster, _user: str, given: Given, node: str, vmid: int, name: str) -> list[dict[str, Any]]:
    """`GET …/firewall/ipset/{name}`."""
    check(given, {})
    entries = _entries(cluster.guest(node, vmid).firewall, name)
    return [{**entry, "digest": digest_of(entries)} for entry in entries]


def add_entry(cluster: Cluster, _user: str, given: Given, node: str, vmid: int, name: str) -> None:
    """`POST …/firewall/ipset/{name}`."""
    values = check(given, parameters.ENTRY, needs=("cidr",))
    entries = _entries(_writable(cluster, node, vmid), name)
    if any(entry["cidr"] == values["cidr"] for entry in entries):
        raise wrong(cidr=f"address '{values['cidr']}' already exists")
    entries.insert(0, values)


def delete_entry(cluster: Cluster, _user: str, given: Given, *, node: str, vmid: int, name: str, cidr: str) -> None:
    """`DELETE …/firewall/ipset/{name}/{cidr}`."""
    check(given, {"digest": parameters.RULE["digest"]})
    entries = _entries(_writable(cluster, node, vmid), name)
    entries[:] = [entry for entry in entries if entry["cidr"] != cidr]


def _writable(cluster: Cluster, node: str, vmid: int) -> Firewall:
    """Return the guest's firewall, or where the cluster is deaf, one that nobody reads."""
    guest = cluster.guest(node, vmid)
    guest.touched += 1
    firewall = guest.firewall
    if not cluster.is_firewall_deaf:
        return firewall
    return Firewall(
        dict(firewall.options), list(firewall.rules), {name: list(set_) for name, set_ in firewall.sets.items()}
    )


def _entries(firewall: Firewall, name: str) -> list[dict[str, Any]]:
    if name not in firewall.sets:
        raise Refusal(f"no such IPSet '{name}'")
    return firewall.sets[name]


def _check_digest(values: dict[str, Any], content: object) -> None:
    if values.pop("digest", digest_of(content)) != digest_of(content):
        raise Refusal("detected modified configuration - file changed by other user? Try again.")
