"""How a node is, in one word and in a sentence. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from zlh_api.drivers.port import NodeSeen
from zlh_common.names import Vmid
from zlh_common.schema.nodes import NodeState, PlatformNode


@dataclass(frozen=True, slots=True)
class Judged:
    """How a node is, and why where it is not well."""

    state: NodeState
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What ours on one node may use together."""

    containers: Mapping[str, int] = field(default_factory=dict)
    cpu: float = 0.0
    memory_mib: int = 0
    disk_mib: int = 0


def judge(node: NodeSeen) -> Judged:
    """Return how a node is; what is worse comes first."""
    if not node.is_online:
        return Judged(NodeState.OFFLINE, _say(node.lack) or "Its cluster does not reach it. What is on it stays there.")
    if node.is_in_maintenance:
        return Judged(
            NodeState.MAINTENANCE,
            "It was taken out of service in its cluster; what its high availability keeps was moved away.",
        )
    if node.lack is not None:
        return Judged(NodeState.FULL, f"No room for a container of the usual size: {node.lack}.")
    if not node.is_used:
        return Judged(NodeState.ONLINE, "New containers are not put on it: the configuration names other nodes.")
    return Judged(NodeState.ONLINE)


def _say(lack: str | None) -> str | None:
    return None if lack is None else f"{lack[0].upper()}{lack[1:]}."


def place_numbers(nodes: Sequence[NodeSeen]) -> tuple[list[Vmid], list[str]] | None:
    """Return numbers with the node of each, or None where one node holds all."""
    if any(node.vmids is None for node in nodes):
        return None
    placed = [(vmid, node.name) for node in nodes for vmid in sorted(node.vmids or ())]
    return [vmid for vmid, _name in placed], [name for _vmid, name in placed]


def render_node(node: NodeSeen, judged: Judged, since: datetime, load: Load) -> PlatformNode:
    """Return a node as it is shown."""
    return PlatformNode(
        name=node.name,
        state=judged.state,
        reason=judged.reason,
        since=since,
        is_used=node.is_used,
        containers=dict(load.containers),
        cores=node.cores,
        reserved_cpu=load.cpu,
        reserved_memory_mib=load.memory_mib,
        promised_memory_mib=node.promised_memory_mib,
        memory_mib=node.memory_mib,
        used_memory_mib=node.used_memory_mib,
        reserved_disk_mib=load.disk_mib,
        disk_mib=node.disk_mib,
        free_disk_mib=node.free_disk_mib,
    )
