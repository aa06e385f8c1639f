"""Makes a guest: where, by which call, and what is done about a making whose end nobody saw.

    note the node and the moment ─► POST ─► note the task ─► wait ─► look
                │                     │           │
                └──── whoever dies, or gets no answer, at any of these leaves what the next one finds by looking ────┘

Proxmox gives each number once in the whole cluster, so asking twice makes no second guest. A making begins with a
configuration that has a lock and nothing else, our mark included; such a one is waited for, and counts as ours only
if a task of our own token made it after our note.
"""

from __future__ import annotations

import time
from asyncio import sleep
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from zlh_api.drivers.port import GuestFailed, GuestForeign, GuestPlan, SlotBusy, Warrant
from zlh_api.drivers.proxmox import sizes
from zlh_api.drivers.proxmox.client import ProxmoxClient
from zlh_api.drivers.proxmox.mark import render_description, render_tags
from zlh_api.drivers.proxmox.network_rule import Surroundings, render_net
from zlh_api.drivers.proxmox.placement import NoNodeFits, Placed, find_lack, parse_nodes, rank_nodes, still_unseen
from zlh_api.drivers.proxmox.refusals import ProxmoxRefused, ProxmoxUnsure
from zlh_api.drivers.proxmox.tasks import (
    MAKING_KINDS,
    Polling,
    TaskFailed,
    Upid,
    fetch_active,
    fetch_ended,
    parse_upid,
    wait_ended,
)
from zlh_api.drivers.proxmox.whereabouts import MAKING, NODE, UPID, Found, Whereabouts
from zlh_common.names import Vmid, container_label

# Clocks of API and nodes may differ by so much.
CLOCKS_DIFFER_S = 120
# What a placement may take to show in the figures of the cluster.
UNSEEN_FOR_S = 120.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all guests are made of."""

    # The number of a template that is cloned, or the volume of an archive that is unpacked.
    template: int | str
    storage: str
    # Where guests may be; empty is every node.
    nodes: tuple[str, ...] = ()
    pool: str | None = None
    tags: tuple[str, ...] = ()


class Making:
    """The making of guests on one cluster."""

    def __init__(
        self,
        client: ProxmoxClient,
        whereabouts: Whereabouts,
        recipe: Recipe,
        surroundings: Surroundings,
        polling: Polling,
    ) -> None:
        self._client = client
        self._whereabouts = whereabouts
        self._recipe = recipe
        self._surroundings = surroundings
        self._polling = polling
        # Guests that we placed a moment ago, with that moment.
        self._placed: dict[Vmid, tuple[float, Placed]] = {}

    async def make(self, plan: GuestPlan, warrant: Warrant) -> Found:
        """Make a guest that is not there on the best node whose turn is free; raise NoNodeFits, SlotBusy."""
        busy: SlotBusy | None = None
        for node, source_node in await self._choose(plan):
            try:
                async with self._turns(node, warrant):
                    await self._check_room(node, plan)
                    return await self._make_on(node, source_node, plan, warrant)
            except SlotBusy as error:
                busy = error
        assert busy is not None
        raise busy

    async def wait_unlocked(self, plan: GuestPlan, found: Found, warrant: Warrant) -> Found | None:
        """Wait for a making or an end that somebody has begun; return what it left, locked as before or not."""
        deadline = time.monotonic() + self._polling.settle_s
        while True:
            now = await self._whereabouts.look(found.node, plan.vmid)
            if now is None or now.lock != found.lock:
                return now
            if tasks := await self._fetch_workers(now, plan):
                # What a failed one leaves is looked at in the next turn.
                with suppress(TaskFailed):
                    await wait_ended(self._client, tasks[0], warrant, self._polling)
                deadline = time.monotonic() + self._polling.settle_s
                continue
            if time.monotonic() > deadline:
                return now
            await sleep(self._polling.first_s)
            warrant.check()

    async def is_begun_by_us(self, plan: GuestPlan, found: Found) -> bool:
        """Tell whether an unmarked beginning is what a task of our own token left after we had noted to make it."""
        if MAKING not in plan.notes or plan.notes.get(NODE) != found.node or not found.is_unmarked_beginning:
            return False
        noted_at, task_node = _parse_intent(plan.notes[MAKING])
        noted = parse_upid(plan.notes.get(UPID))
        if noted is not None and noted.kind in MAKING_KINDS and noted.node == task_node:
            return True
        ended = await fetch_ended(self._client, task_node, self._subject(plan), kinds=MAKING_KINDS)
        return any(upid.started_at >= noted_at - CLOCKS_DIFFER_S for upid in ended)

    def render_settings(self, plan: GuestPlan) -> dict[str, str | int]:
        """Return what a guest's configuration holds besides its limits and its network."""
        settings: dict[str, str | int] = {
            "hostname": container_label(plan.kind, plan.vmid),
            "description": render_description(plan.owner),
            "tags": render_tags(plan.owner, plan.address, self._recipe.tags),
            # Who starts it is the reconciler, after it has seen the network closed.
            "onboot": 0,
        }
        if self._surroundings.name_servers:
            settings["nameserver"] = " ".join(self._surroundings.name_servers)
        return settings

    async def _choose(self, plan: GuestPlan) -> list[tuple[str, str]]:
        """Return nodes with room, best first, each with the node that the call goes to."""
        listed = await self._client.get("/cluster/resources")
        allowed, source = list(self._recipe.nodes), None
        if isinstance(self._recipe.template, int):
            source = self._find_template(listed)
            if not self._is_shared(listed):
                allowed = [source]
        nodes = parse_nodes(listed, storage=self._recipe.storage)
        placed = still_unseen(self._recent(), listed)
        names = rank_nodes(
            nodes,
            plan.resources,
            placed=placed,
            allowed=allowed,
            maintained=await self._whereabouts.find_maintained(),
            vmid=plan.vmid,
        )
        return [(name, source or name) for name in names]

    def _find_template(self, listed: list[Mapping[str, Any]]) -> str:
        for entry in listed:
            if entry.get("type") == "lxc" and int(entry["vmid"]) == self._recipe.template:
                return str(entry["node"])
        raise GuestFailed(what="Making the guest", reason=f"the cluster has no template {self._recipe.template}")

    def _is_shared(self, listed: list[Mapping[str, Any]]) -> bool:
        storages = [entry for entry in listed if entry.get("type") == "storage"]
        return any(entry.get("storage") == self._recipe.storage and int(entry.get("shared") or 0) for entry in storages)

    def _recent(self) -> list[Placed]:
        oldest = time.monotonic() - UNSEEN_FOR_S
        self._placed = {vmid: entry for vmid, entry in self._placed.items() if entry[0] > oldest}
        return [placed for _at, placed in self._placed.values()]

    @asynccontextmanager
    async def _turns(self, node: str, warrant: Warrant) -> AsyncIterator[None]:
        """Hold alone the node, and the template, which Proxmox locks while it is cloned."""
        async with AsyncExitStack() as stack:
            if isinstance(self._recipe.template, int):
                await stack.enter_async_context(warrant.slot(f"template/{self._recipe.template}"))
            await stack.enter_async_context(warrant.slot(f"node/{node}"))
            yield

    async def _check_room(self, node: str, plan: GuestPlan) -> None:
        """Hold the guest against what the node itself lists: another API process may have placed guests there."""
        listed = await self._client.get("/cluster/resources")
        guests = await self._client.get(f"/nodes/{node}/lxc")
        fresh = [{**guest, "type": "lxc", "node": node} for guest in guests]
        elsewhere = [entry for entry in listed if entry.get("type") != "lxc" or entry.get("node") != node]
        for known in parse_nodes([*elsewhere, *fresh], storage=self._recipe.storage):
            if known.name == node and (lack := find_lack(known, plan.resources, [])) is not None:
                raise NoNodeFits(reasons={node: lack})

    async def _make_on(self, node: str, source_node: str, plan: GuestPlan, warrant: Warrant) -> Found:
        await warrant.note(NODE, node)
        await warrant.note(UPID, None)
        intent = f"{int(time.time())} {source_node}"
        await warrant.note(MAKING, intent)
        plan = replace(plan, notes={**plan.notes, NODE: node, MAKING: intent})
        self._placed[plan.vmid] = (time.monotonic(), Placed(plan.vmid, node, plan.resources))
        warrant.check()
        try:
            answer = await self._post(node, source_node, plan)
        except ProxmoxUnsure:
            return await self._find_out(plan, warrant)
        except ProxmoxRefused as refused:
            if not refused.is_taken:
                self._placed.pop(plan.vmid, None)
                raise
            return await self._find_out(plan, warrant)
        upid = parse_upid(answer)
        if upid is None:
            raise GuestFailed(what="Making the guest", reason="Proxmox did not name a task")
        await warrant.note(UPID, upid.text)
        try:
            await wait_ended(self._client, upid, warrant, self._polling)
        except TaskFailed:
            self._placed.pop(plan.vmid, None)
            raise
        return await self._find_whole(plan, node, warrant)

    async def _post(self, node: str, source_node: str, plan: GuestPlan) -> Any:
        if isinstance(self._recipe.template, int):
            return await self._client.post(
                f"/nodes/{source_node}/lxc/{self._recipe.template}/clone", self._render_clone(node, source_node, plan)
            )
        return await self._client.post(f"/nodes/{node}/lxc", self._render_create(self._recipe.template, plan))

    def _render_create(self, template: str, plan: GuestPlan) -> dict[str, str | int | float]:
        assert plan.address is not None
        return {
            "vmid": int(plan.vmid),
            "ostemplate": template,
            "unprivileged": 1,
            "features": "nesting=1",
            "storage": self._recipe.storage,
            "rootfs": sizes.render_rootfs(self._recipe.storage, plan.resources),
            "net0": render_net(self._surroundings, owner=plan.owner, address=plan.address),
            **sizes.render_limits(plan.resources),
            **self.render_settings(plan),
            **self._pool,
        }

    def _render_clone(self, node: str, source_node: str, plan: GuestPlan) -> dict[str, str | int]:
        elsewhere: dict[str, str | int] = {} if node == source_node else {"target": node}
        return {
            "newid": int(plan.vmid),
            "full": 1,
            "storage": self._recipe.storage,
            "hostname": container_label(plan.kind, plan.vmid),
            "description": render_description(plan.owner),
            **elsewhere,
            **self._pool,
        }

    @property
    def _pool(self) -> dict[str, str]:
        return {"pool": self._recipe.pool} if self._recipe.pool else {}

    async def _find_out(self, plan: GuestPlan, warrant: Warrant) -> Found:
        """Find out what has become of a request without an answer, or of one that found something there already."""
        deadline = time.monotonic() + self._polling.settle_s
        while (found := await self._whereabouts.find(plan)) is None:
            if time.monotonic() > deadline:
                raise ProxmoxUnsure(what="making the guest", reason="it has not shown itself yet")
            await sleep(self._polling.first_s)
            warrant.check()
        if found.owner not in {plan.owner, None} or (found.owner is None and not found.is_unmarked_beginning):
            raise GuestForeign(vmid=plan.vmid, where=found.where)
        await self.wait_unlocked(plan, found, warrant)
        return await self._find_whole(plan, found.node, warrant)

    async def _find_whole(self, plan: GuestPlan, node: str, warrant: Warrant) -> Found:
        found = await self._whereabouts.look(node, plan.vmid)
        if found is None:
            raise GuestFailed(what="Making the guest", reason="Proxmox has given it up, and it is not there")
        if (found.owner is None and found.is_unmarked_beginning) or (
            found.owner == plan.owner and found.lock == "create"
        ):
            # A task whose end was not told may still run.
            found = await self.wait_unlocked(plan, found, warrant) or found
        if found.owner != plan.owner:
            raise GuestForeign(vmid=plan.vmid, where=found.where)
        if found.lock == "create":
            raise GuestFailed(what="Making the guest", reason="it was broken off in the middle")
        return found

    async def _fetch_workers(self, found: Found, plan: GuestPlan) -> list[Upid]:
        """Return tasks that may be at work on this guest: its own, and clones of the template, which name that."""
        if found.lock != "create":
            return await fetch_active(self._client, found.node, plan.vmid)
        node = _parse_intent(plan.notes[MAKING])[1] if MAKING in plan.notes else found.node
        active = await fetch_active(self._client, node, self._subject(plan))
        return [upid for upid in active if upid.kind in MAKING_KINDS]

    def _subject(self, plan: GuestPlan) -> Vmid:
        return Vmid(self._recipe.template) if isinstance(self._recipe.template, int) else plan.vmid


def _parse_intent(note: str) -> tuple[int, str]:
    """Return when the making was noted, and on which node its task would be."""
    moment, _space, node = note.partition(" ")
    return int(moment), node
