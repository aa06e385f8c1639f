"""Where is a guest, and whose is it? Looked up on the node itself: the list of the cluster lags, and only leads.

A guest is absent when nobody lists it, no node that can be asked has it, and the node that was noted for it says so.
What cannot be told is an error, never an absence: a node that is down keeps its guests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zlh_api.drivers.port import GuestPlan, SystemAway
from zlh_api.drivers.proxmox.client import ProxmoxClient
from zlh_api.drivers.proxmox.mark import parse_mark
from zlh_api.drivers.proxmox.node_looks import find_maintained
from zlh_api.drivers.proxmox.refusals import ProxmoxDenied, ProxmoxRefused
from zlh_common.names import OwnerMark, Vmid

# What the driver keeps in the guest's row.
NODE, MAKING, UPID, MOUNTING = "node", "making", "upid", "mounting"


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at a number, on which node."""

    vmid: Vmid
    node: str
    config: Mapping[str, Any]
    kind: str = "lxc"

    @property
    def path(self) -> str:
        """Its place in the API."""
        return f"/nodes/{self.node}/lxc/{self.vmid}"

    @property
    def where(self) -> str:
        """Its place for people."""
        return f"CT {self.vmid} on node {self.node}" if self.kind == "lxc" else f"VM {self.vmid} on node {self.node}"

    @property
    def lock(self) -> str | None:
        """What Proxmox does with it just now, or did when it broke off."""
        return self.config.get("lock") or None

    @property
    def owner(self) -> OwnerMark | None:
        """Whose it is by its mark."""
        return parse_mark(self.config) if self.kind == "lxc" else None

    @property
    def is_unmarked_beginning(self) -> bool:
        """Whether it has a lock and nothing else: what every making begins with, whoever makes it."""
        has_disk = any(name == "rootfs" or name.startswith("mp") for name in self.config)
        return self.kind == "lxc" and self.lock == "create" and self.owner is None and not has_disk


class Whereabouts:
    """Finds guests of a cluster."""

    def __init__(self, client: ProxmoxClient) -> None:
        self._client = client
        # Where each was last, in this process: a guest that was moved is found by one call the next time.
        self._last_on: dict[Vmid, str] = {}

    async def find(self, plan: GuestPlan) -> Found | None:
        """Return what stands at the guest's number; raise SystemAway where that cannot be told."""
        found = await self._find(plan)
        if found is None:
            self._last_on.pop(plan.vmid, None)
        else:
            self._last_on[plan.vmid] = found.node
        return found

    async def look(self, node: str, vmid: Vmid) -> Found | None:
        """Return what a node has at a number; raise SystemAway where it cannot be asked."""
        try:
            config = await self._client.get(f"/nodes/{node}/lxc/{vmid}/config")
        except ProxmoxRefused as refused:
            if refused.is_missing:
                return None
            raise
        return Found(vmid, node, config)

    async def find_maintained(self) -> frozenset[str]:
        """Return the nodes in maintenance; none where the cluster has no high availability, or does not tell."""
        try:
            return find_maintained(await self._client.get("/cluster/ha/status/manager_status"))
        except (ProxmoxRefused, ProxmoxDenied):
            return frozenset()

    async def list_guests(self) -> list[Mapping[str, Any]]:
        """Return every guest of the cluster as its list shows them."""
        listed: Sequence[Mapping[str, Any]] = await self._client.get("/cluster/resources", type="vm")
        return list(listed)

    async def _find(self, plan: GuestPlan) -> Found | None:
        away: SystemAway | None = None
        asked = []
        for node in dict.fromkeys(filter(None, (self._last_on.get(plan.vmid), plan.notes.get(NODE)))):
            try:
                asked.append(node)
                if (found := await self.look(node, plan.vmid)) is not None:
                    return found
            except SystemAway as error:
                away = error
        for entry in await self.list_guests():
            if int(entry["vmid"]) != plan.vmid:
                continue
            node = str(entry["node"])
            if entry.get("type") != "lxc":
                return Found(plan.vmid, node, {}, kind="qemu")
            if node not in asked:
                asked.append(node)
                if (found := await self.look(node, plan.vmid)) is not None:
                    return found
        if away is not None:
            raise away
        return await self._search(plan, asked)

    async def _search(self, plan: GuestPlan, asked: Sequence[str]) -> Found | None:
        """Ask every node that is up; a guest of one that is down stands in the list, which all nodes share."""
        for entry in await self._client.get("/nodes"):
            node = str(entry["node"])
            if entry.get("status") != "online" or node in asked:
                continue
            if (found := await self.look(node, plan.vmid)) is not None:
                return found
        return None
