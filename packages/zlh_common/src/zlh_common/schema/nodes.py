"""The machines that containers are on, for operators."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from zlh_common.schema.structs import Report


class NodeState(StrEnum):
    """How a node is, as far as the driver can tell."""

    ONLINE = "online"
    # It has no room for a container of the usual size; what is on it goes on.
    FULL = "full"
    # People have taken it out of service.
    MAINTENANCE = "maintenance"
    OFFLINE = "offline"
    # Whoever would know does not answer.
    UNKNOWN = "unknown"


class PlatformNode(Report):
    """One machine; what the driver cannot tell is null."""

    name: str
    state: NodeState
    # Why it is so, where that is anything but well.
    reason: str | None
    since: datetime
    # Whether new containers may be put on it.
    is_used: bool
    # Ours on it, by the state of their guest: running, stopped, absent, half-made, foreign.
    containers: dict[str, int]
    cores: int | None
    # What ours on it may use together, and what all guests may, those of others included.
    reserved_cpu: float
    reserved_memory_mib: int
    promised_memory_mib: int | None
    memory_mib: int | None
    used_memory_mib: int | None
    reserved_disk_mib: int
    disk_mib: int | None
    free_disk_mib: int | None


class PlatformNodes(Report):
    """`GET /api/platform/nodes`: looked at for this answer."""

    driver: str
    # The limits that containers are held to here, as they are spelled on the wire; the others are books alone.
    enforced: tuple[str, ...]
    nodes: tuple[PlatformNode, ...]
    # Containers that are on no node, since they are not made yet.
    unplaced: int
    # Why nobody could look; the nodes are then those that were seen last.
    trouble: str | None
