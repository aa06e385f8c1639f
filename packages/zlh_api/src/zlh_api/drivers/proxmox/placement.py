"""On which node does a guest find room? Pure, over what the cluster shows and what we have just placed ourselves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zlh_common.errors import ZlhError
from zlh_common.names import Vmid
from zlh_common.schema.resources import Resources

MIB = 2**20
# What a node keeps for itself.
RESERVE_MIB = 512
# Whoever takes a node out of service empties it; what is put on it then would have to go as well.
IN_MAINTENANCE = "it is in maintenance"


class NoNodeFits(ZlhError):
    """No node of the cluster has room for the guest."""

    code, status, retryable = "no_node_fits", 503, True

    def __init__(self, *, reasons: Mapping[str, str]) -> None:
        said = "; ".join(f"{node}: {reason}" for node, reason in sorted(reasons.items())) or "there is no node at all"
        super().__init__(f"No node has room for the container ({said}).", nodes=dict(reasons))


@dataclass(frozen=True, slots=True)
class Node:
    """One node as the cluster shows it."""

    name: str
    is_online: bool
    cores: int
    memory_mib: int
    used_memory_mib: int
    # Of the storage that guests are put on; None where the node has none of that name.
    free_disk_mib: int | None
    # What the guests on it may use together, running or not.
    promised_mib: int = 0
    promised_cores: float = 0.0


@dataclass(frozen=True, slots=True)
class Placed:
    """A guest that we have placed, which the cluster's figures may not show yet."""

    vmid: Vmid
    node: str
    resources: Resources


def parse_nodes(listed: Sequence[Mapping[str, Any]], *, storage: str) -> list[Node]:
    """Return the nodes of a list of resources of every type."""
    disks = {
        str(entry["node"]): (_figure(entry, "maxdisk") - _figure(entry, "disk")) // MIB
        for entry in listed
        if entry.get("type") == "storage" and entry.get("storage") == storage and entry.get("status") == "available"
    }
    return [_parse_node(entry, listed, disks) for entry in listed if entry.get("type") == "node"]


def _parse_node(entry: Mapping[str, Any], listed: Sequence[Mapping[str, Any]], disks: Mapping[str, int]) -> Node:
    name = str(entry["node"])
    guests = [guest for guest in listed if guest.get("type") in {"lxc", "qemu"} and guest.get("node") == name]
    guests = [guest for guest in guests if not _figure(guest, "template")]
    return Node(
        name=name,
        is_online=entry.get("status") == "online",
        cores=_figure(entry, "maxcpu"),
        memory_mib=_figure(entry, "maxmem") // MIB,
        used_memory_mib=_figure(entry, "mem") // MIB,
        free_disk_mib=disks.get(name),
        promised_mib=sum(_figure(guest, "maxmem") for guest in guests) // MIB,
        promised_cores=float(sum(float(guest.get("maxcpu") or 0) for guest in guests)),
    )


def still_unseen(placed: Iterable[Placed], listed: Sequence[Mapping[str, Any]]) -> list[Placed]:
    """Return those that the list does not show with their figures yet."""
    shown = {(entry.get("node"), _figure(entry, "vmid")) for entry in listed if _figure(entry, "maxmem")}
    return [guest for guest in placed if (guest.node, guest.vmid) not in shown]


def rank_nodes(
    nodes: Sequence[Node],
    wanted: Resources,
    *,
    placed: Sequence[Placed],
    allowed: Collection[str],
    maintained: Collection[str],
    vmid: Vmid,
) -> list[str]:
    """Return the nodes with room that are not in maintenance, best first; raise NoNodeFits, which says why each is not.

    Best is whoever has the greatest share of its memory left afterwards; nodes alike take turns by the guest's number.
    """
    reasons: dict[str, str] = {}
    fitting: list[tuple[float, int, str]] = []
    for index, node in enumerate(sorted(nodes, key=lambda node: node.name)):
        if allowed and node.name not in allowed:
            continue
        reason = IN_MAINTENANCE if node.name in maintained else find_lack(node, wanted, placed)
        if reason is not None:
            reasons[node.name] = reason
            continue
        share = (_free_memory(node, placed) - wanted.memory_mib) / max(node.memory_mib, 1)
        load = (node.promised_cores + wanted.cpu) / max(node.cores, 1)
        fitting.append((-round(share - load / 100, 3), (index - vmid) % len(nodes), node.name))
    for name in allowed:
        if name not in {node.name for node in nodes}:
            reasons[name] = "the cluster has no such node"
    if not fitting:
        raise NoNodeFits(reasons=reasons)
    return [name for _score, _turn, name in sorted(fitting)]


def find_lack(node: Node, wanted: Resources, placed: Sequence[Placed]) -> str | None:
    """Return what a node lacks for the guest, or None where it has room."""
    if not node.is_online:
        return "it is not online"
    if wanted.cpu > node.cores:
        return f"it has {node.cores} cores and {wanted.cpu:g} are wanted"
    free_mib = _free_memory(node, placed)
    if wanted.memory_mib > free_mib:
        return f"{max(free_mib, 0)} MiB of memory are free and {wanted.memory_mib} wanted"
    if node.free_disk_mib is None:
        return "it has no storage of the name that is configured"
    disk_mib = node.free_disk_mib - sum(guest.resources.disk_mib for guest in placed if guest.node == node.name)
    if wanted.disk_mib > disk_mib:
        return f"{max(disk_mib, 0)} MiB of disk are free and {wanted.disk_mib} wanted"
    return None


def _free_memory(node: Node, placed: Sequence[Placed]) -> int:
    # A limit is a promise: whoever is given one may use all of it later. What is in use beyond promises counts too.
    unseen_mib = sum(guest.resources.memory_mib for guest in placed if guest.node == node.name)
    return node.memory_mib - RESERVE_MIB - max(node.used_memory_mib, node.promised_mib) - unseen_mib


def _figure(entry: Mapping[str, Any], name: str) -> int:
    try:
        return int(float(entry.get(name) or 0))
    except (TypeError, ValueError):
        return 0
