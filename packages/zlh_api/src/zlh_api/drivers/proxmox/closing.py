"""Closes a guest's network: sets its rule in Proxmox's firewall and reads it back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from zlh_api.drivers.port import GuestPlan, NetworkOpen, Warrant
from zlh_api.drivers.proxmox import network_rule
from zlh_api.drivers.proxmox.client import ProxmoxClient
from zlh_api.drivers.proxmox.network_rule import IPSET, Surroundings
from zlh_api.drivers.proxmox.refusals import ProxmoxRefused
from zlh_api.drivers.proxmox.whereabouts import Found

# So long is believed what stands above the guests and hardly ever changes.
SWITCHES_GOOD_FOR_S = 20.0


class Closing:
    """The network rule of every guest of one cluster."""

    def __init__(
        self, client: ProxmoxClient, surroundings: Surroundings, *, switches_good_for_s: float = SWITCHES_GOOD_FOR_S
    ) -> None:
        self._client = client
        self._surroundings = surroundings
        self._good_for_s = switches_good_for_s
        # When the switches of a node were read, and what was off.
        self._switches: dict[str, tuple[float, str | None]] = {}

    async def find_opening(self, plan: GuestPlan, found: Found) -> str | None:
        """Return why the guest's network is not closed, or None where all was read back as it must be."""
        if plan.address is None:
            return "it has no address"
        wanted = network_rule.render_net(self._surroundings, owner=plan.owner, address=plan.address)
        if not network_rule.is_net_right(found.config.get("net0"), wanted):
            return "its interface is not the one that is filtered"
        if others := network_rule.other_interfaces(found.config):
            return f"it has further interfaces ({', '.join(others)})"
        return await self._find_switched_off(found.node) or await self._find_wrong(found, plan.address)

    async def _find_wrong(self, found: Found, address: str) -> str | None:
        options = await self._read_options(found)
        if not network_rule.are_options_right(options, network_rule.render_options(self._surroundings)):
            return "the options of its firewall are not as they must be"
        entries = await self._read_set(found)
        if entries is None or not network_rule.is_set_right(entries, address):
            return f"its set {IPSET} does not hold its address alone"
        rules = await self._read_rules(found)
        if not network_rule.are_rules_right(rules, network_rule.render_rules(self._surroundings)):
            return "the rules of its firewall are not as they must be"
        return None

    async def close(self, plan: GuestPlan, found: Found, warrant: Warrant) -> None:
        """Set what is not as it must be; raise NetworkOpen where it is not so afterwards.

        What a running guest may do only ever becomes less on the way: the policy comes first, and new rules stand
        before old ones until those are gone.
        """
        if plan.address is None:
            raise NetworkOpen(vmid=plan.vmid, reason="it has no address")
        if (off := await self._find_switched_off(found.node)) is not None:
            raise NetworkOpen(vmid=plan.vmid, reason=off)
        await self._set_options(found, warrant)
        await self._set_set(found, plan.address, warrant)
        await self._set_rules(found, warrant)
        await self._set_net(plan, found, plan.address, warrant)
        config = await self._client.get(f"{found.path}/config")
        reason = await self.find_opening(plan, Found(found.vmid, found.node, config))
        if reason is not None:
            raise NetworkOpen(vmid=plan.vmid, reason=reason)

    async def _set_options(self, found: Found, warrant: Warrant) -> None:
        wanted = network_rule.render_options(self._surroundings)
        if not network_rule.are_options_right(await self._read_options(found), wanted):
            warrant.check()
            await self._client.put(f"{found.path}/firewall/options", wanted)

    async def _set_set(self, found: Found, address: str, warrant: Warrant) -> None:
        entries = await self._read_set(found)
        if entries is None:
            warrant.check()
            await _unless_taken(self._client.post(f"{found.path}/firewall/ipset", {"name": IPSET}))
            entries = []
        held = {str(entry["cidr"]): bool(int(entry.get("nomatch") or 0)) for entry in entries}
        for cidr, is_exception in held.items():
            if cidr.removesuffix("/32") != address or is_exception:
                warrant.check()
                await self._client.delete(f"{found.path}/firewall/ipset/{IPSET}/{quote(cidr, safe='')}")
        if not any(cidr.removesuffix("/32") == address and not nomatch for cidr, nomatch in held.items()):
            warrant.check()
            await _unless_taken(self._client.post(f"{found.path}/firewall/ipset/{IPSET}", {"cidr": address}))

    async def _set_rules(self, found: Found, warrant: Warrant) -> None:
        wanted = network_rule.render_rules(self._surroundings)
        present = await self._read_rules(found)
        if network_rule.are_rules_right(present, wanted):
            return
        # Each new rule comes to the front, so the last is given first; whoever broke off in the middle is taken up.
        for rule in reversed(network_rule.find_missing(present, wanted)):
            warrant.check()
            await self._client.post(f"{found.path}/firewall/rules", rule)
        # Whatever somebody has put there meanwhile is taken away as well: from behind, while the first are ours.
        while len(present := await self._read_rules(found)) > len(wanted):
            warrant.check()
            last = present[-1]
            digest = {"digest": str(last["digest"])} if last.get("digest") else {}
            await self._client.delete(f"{found.path}/firewall/rules/{len(present) - 1}", **digest)

    async def _set_net(self, plan: GuestPlan, found: Found, address: str, warrant: Warrant) -> None:
        wanted = network_rule.render_net(self._surroundings, owner=plan.owner, address=address)
        others = network_rule.other_interfaces(found.config)
        if network_rule.is_net_right(found.config.get("net0"), wanted) and not others:
            return
        warrant.check()
        gone = {"delete": ",".join(others)} if others else {}
        await self._client.put(f"{found.path}/config", {"net0": wanted, **gone})

    async def _find_switched_off(self, node: str) -> str | None:
        read_at, off = self._switches.get(node, (float("-inf"), None))
        if time.monotonic() - read_at < self._good_for_s and off is None:
            return None
        cluster = await self._client.get("/cluster/firewall/options")
        host = await self._client.get(f"/nodes/{node}/firewall/options")
        off = network_rule.find_switched_off(cluster, host, name=node)
        self._switches[node] = (time.monotonic(), off)
        return off

    async def _read_options(self, found: Found) -> Mapping[str, Any]:
        options: Mapping[str, Any] = await self._client.get(f"{found.path}/firewall/options")
        return options

    async def _read_rules(self, found: Found) -> Sequence[Mapping[str, Any]]:
        rules: Sequence[Mapping[str, Any]] = await self._client.get(f"{found.path}/firewall/rules")
        return sorted(rules, key=lambda rule: int(rule.get("pos", 0)))

    async def _read_set(self, found: Found) -> Sequence[Mapping[str, Any]] | None:
        try:
            entries: Sequence[Mapping[str, Any]] = await self._client.get(f"{found.path}/firewall/ipset/{IPSET}")
        except ProxmoxRefused as refused:
            if "no such IPSet" in refused.reason:
                return None
            raise
        return entries


async def _unless_taken(call: Any) -> None:
    try:
        await call
    except ProxmoxRefused as refused:
        if not refused.is_taken:
            raise
