"""How the nodes of a cluster are: out of its own list, and of what its high availability says of them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from zlh_api.drivers.port import NodeSeen
from zlh_api.drivers.proxmox.placement import MIB, Node, find_lack, parse_nodes
from zlh_common.names import Vmid
from zlh_common.schema.resources import Resources

MAINTENANCE = "maintenance"


def render_nodes(
    listed: Sequence[Mapping[str, Any]],
    *,
    storage: str,
    allowed: Collection[str],
    maintained: Collection[str],
    usual: Resources,
) -> list[NodeSeen]:
    """Return each node of the cluster, by name; those that are configured and not there as well."""
    known = [
        _render(node, listed, storage=storage, allowed=allowed, maintained=maintained, usual=usual)
        for node in parse_nodes(listed, storage=storage)
    ]
    names = {node.name for node in known}
    absent = [
        NodeSeen(name, is_online=False, lack="the cluster has no such node") for name in allowed if name not in names
    ]
    return sorted([*known, *absent], key=lambda node: node.name)


def find_maintained(manager: object) -> frozenset[str]:
    """Return the nodes that are in maintenance, out of `/cluster/ha/status/manager_status`; whatever that holds."""
    status = manager.get("manager_status") if isinstance(manager, dict) else None
    states = status.get("node_status") if isinstance(status, dict) else None
    return (
        frozenset(str(name) for name, state in states.items() if state == MAINTENANCE)
        if isinstance(states, dict)
        else frozenset()
    )


def _render(
    node: Node,
    listed: Sequence[Mapping[str, Any]],
    *,
    storage: str,
    allowed: Collection[str],
    maintained: Collection[str],
    usual: Resources,
) -> NodeSeen:
    return NodeSeen(
        name=node.name,
        is_online=node.is_online,
        is_in_maintenance=node.name in maintained,
        is_used=not allowed or node.name in allowed,
        lack=find_lack(node, usual, []) if node.is_online else None,
        cores=node.cores or None,
        memory_mib=node.memory_mib or None,
        used_memory_mib=node.used_memory_mib if node.is_online else None,
        promised_memory_mib=node.promised_mib,
        disk_mib=_disk_mib(listed, node.name, storage),
        free_disk_mib=node.free_disk_mib,
        vmids=frozenset(
            Vmid(int(entry["vmid"]))
            for entry in listed
            if entry.get("type") == "lxc" and entry.get("node") == node.name
        ),
    )


def _disk_mib(listed: Sequence[Mapping[str, Any]], node: str, storage: str) -> int | None:
    for entry in listed:
        if entry.get("type") == "storage" and entry.get("storage") == storage and entry.get("node") == node:
            size = int(float(entry.get("maxdisk") or 0)) // MIB
            return size or None
    return None
