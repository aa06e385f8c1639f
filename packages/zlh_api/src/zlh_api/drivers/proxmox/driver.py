"""The driver: guests as containers of a Proxmox VE cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from zlh_api.containers.model import Guest
from zlh_api.drivers.agent_config import AgentSettings, place_in_guest, render_agent_files
from zlh_api.drivers.port import (
    ORDERLY_STOP_S,
    DiskLarger,
    FoundGuest,
    GuestFailed,
    GuestForeign,
    GuestPlan,
    GuestSeen,
    Identity,
    NetworkOpen,
    NodeSeen,
    Warrant,
)
from zlh_api.drivers.proxmox import sizes
from zlh_api.drivers.proxmox.client import Access, CallGuard, ProxmoxClient
from zlh_api.drivers.proxmox.closing import SWITCHES_GOOD_FOR_S, Closing
from zlh_api.drivers.proxmox.guest_files import NodeShell, ShellAccess
from zlh_api.drivers.proxmox.making import Making, Recipe
from zlh_api.drivers.proxmox.mark import parse_addresses, parse_mark, parse_owner_tag
from zlh_api.drivers.proxmox.network_rule import Surroundings
from zlh_api.drivers.proxmox.node_looks import render_nodes
from zlh_api.drivers.proxmox.refusals import GuestLocked, ProxmoxRefused, ProxmoxUnsure
from zlh_api.drivers.proxmox.tasks import Polling, parse_upid, wait_ended
from zlh_api.drivers.proxmox.whereabouts import MAKING, MOUNTING, NODE, UPID, Found, Whereabouts
from zlh_api.reconcile.model import LeaseLost
from zlh_common.errors import ZlhError
from zlh_common.names import Vmid, parse_host
from zlh_common.schema.resources import Resources

log = structlog.get_logger()

PROBE_TIMEOUT_S = 0.5
Probe = Callable[[str, int], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class ProxmoxSettings:
    """Everything that the driver must know of its cluster."""

    access: Access
    shell: ShellAccess
    recipe: Recipe
    surroundings: Surroundings
    polling: Polling = field(default_factory=Polling)
    # For how long the switches of datacenter and node are believed.
    switches_good_for_s: float = SWITCHES_GOOD_FOR_S


async def probe_tcp(address: str, port: int) -> bool:
    """Tell whether somebody has an address: who takes a connection or turns it down is there."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _reader, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    writer.close()
    return True


class ProxmoxDriver:
    """Guests of one cluster."""

    def __init__(
        self, settings: ProxmoxSettings, agents: AgentSettings, circuit: CallGuard, *, probe: Probe = probe_tcp
    ) -> None:
        self._settings = settings
        self._agents = agents
        self._probe = probe
        self._client = ProxmoxClient(settings.access, circuit)
        self._shell = NodeShell(settings.shell)
        self._whereabouts = Whereabouts(self._client)
        self._making = Making(self._client, self._whereabouts, settings.recipe, settings.surroundings, settings.polling)
        self._closing = Closing(self._client, settings.surroundings, switches_good_for_s=settings.switches_good_for_s)

    @property
    def enforced_limits(self) -> frozenset[str]:
        """Which limits hold: a token cannot set that of processes."""
        return sizes.ENFORCED

    @property
    def survey_tells_drift(self) -> bool:
        """Not yet: rules and limits are looked at guest by guest."""
        return False

    async def prepare(self) -> None:
        """Read what the calls need; Proxmox itself may be away."""
        await self._client.open()
        await self._shell.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def observe(self, plan: GuestPlan) -> GuestSeen:
        """Return what stands at this number."""
        found = await self._whereabouts.find(plan)
        if found is None:
            return GuestSeen(Guest.ABSENT)
        if found.owner != plan.owner:
            is_begun = found.is_unmarked_beginning and MAKING in plan.notes and plan.notes.get(NODE) == found.node
            return GuestSeen(Guest.HALF_MADE if is_begun else Guest.FOREIGN)
        if found.lock == "create" or self._is_unfinished(found, plan):
            return GuestSeen(Guest.HALF_MADE)
        is_running = await self._is_running(found)
        is_closed = await self._closing.find_opening(plan, found) is None
        changes = sizes.find_changes(found.config, plan.resources)
        is_sized = not changes and sizes.find_growth_mib(found.config, plan.resources) == 0
        return GuestSeen(Guest.RUNNING if is_running else Guest.STOPPED, is_closed, is_sized)

    async def survey(self) -> list[FoundGuest]:
        """Return every guest of the cluster; ours are known by their tags, or where those are missing by their mark."""
        return [await self._survey_one(entry) for entry in await self._whereabouts.list_guests()]

    async def list_nodes(self, usual: Resources) -> list[NodeSeen]:
        """Return the nodes of the cluster, and those that are configured and that it does not have."""
        recipe = self._settings.recipe
        listed = await self._client.get("/cluster/resources")
        return render_nodes(
            listed,
            storage=recipe.storage,
            allowed=recipe.nodes,
            maintained=await self._whereabouts.find_maintained(),
            usual=usual,
        )

    async def is_address_free(self, address: str) -> bool:
        """Tell whether an address is neither one of the surroundings' nor a guest's, and nobody answers there."""
        around = self._settings.surroundings
        if address in {around.gateway, *around.allowed_from, *around.artifact_servers, *around.name_servers}:
            return False
        listed = await self._whereabouts.list_guests()
        if any(address in parse_addresses(entry.get("tags")) for entry in listed):
            return False
        return not await self._probe(address, self._agents.port)

    async def ensure_created(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Make the guest, or bring to its end what was begun."""
        found = await self._whereabouts.find(plan)
        if found is not None and (found.lock == "create" or found.is_unmarked_beginning):
            found = await self._end_making(plan, found, warrant)
        if found is None:
            found = await self._making.make(plan, warrant)
        await self._finish(plan, self._refuse_foreign(plan, found), warrant)

    async def ensure_closed(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Set the guest's rule and read it back; a running guest for which that fails is stopped."""
        found = await self._own(plan, warrant)
        try:
            await self._closing.close(plan, found, warrant)
        except LeaseLost:
            raise
        except ZlhError:
            if await self._is_running(found):
                log.warning("guest.stopped_for_its_network", vmid=plan.vmid, node=found.node)
                await self._stop(found, warrant, at_once=True)
            raise

    async def ensure_sized(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Give the guest its limits; raise DiskLarger."""
        found = await self._own(plan, warrant)
        if changes := sizes.find_changes(found.config, plan.resources):
            warrant.check()
            await self._client.put(f"{found.path}/config", changes)
        growth_mib = sizes.find_growth_mib(found.config, plan.resources)
        if growth_mib < 0:
            has_mib = plan.resources.disk_mib - growth_mib
            raise DiskLarger(has_mib=has_mib, wanted_mib=plan.resources.disk_mib)
        if growth_mib > 0:
            warrant.check()
            size = f"{plan.resources.disk_mib}M"
            await self._wait(await self._client.put(f"{found.path}/resize", {"disk": "rootfs", "size": size}), warrant)

    async def ensure_identity(self, plan: GuestPlan, identity: Identity, warrant: Warrant) -> None:
        """Put the agent's configuration and keys into the stopped guest, through a shell on its node."""
        found = await self._own(plan, warrant)
        if await self._is_running(found):
            raise GuestFailed(what="Putting the keys in", reason="the guest runs")
        await warrant.note(MOUNTING, found.node)
        await self._shell.put(plan, found.node, self._render_files(plan, identity), warrant)
        await warrant.note(MOUNTING, None)

    async def ensure_started(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Start the guest once its network was read to be closed."""
        found = await self._own(plan, warrant)
        if await self._is_running(found):
            return
        if (reason := await self._closing.find_opening(plan, found)) is not None:
            raise NetworkOpen(vmid=plan.vmid, reason=reason)
        warrant.check()
        try:
            await self._wait(await self._client.post(f"{found.path}/status/start"), warrant)
        except ProxmoxRefused as refused:
            if not refused.is_running:
                raise
        if not await self._is_running(found):
            raise GuestFailed(what="Starting the guest", reason="its task ended well, and it does not run")

    async def ensure_stopped(self, plan: GuestPlan, warrant: Warrant, *, at_once: bool = False) -> None:
        """Stop the guest; programs get their time unless it shall be at once."""
        found = await self._whereabouts.find(plan)
        if found is None or self._is_beginning(plan, found):
            return
        found = self._refuse_foreign(plan, found)
        if await self._is_running(found):
            await self._stop(found, warrant, at_once=at_once)

    async def ensure_destroyed(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Stop the guest and have Proxmox delete all of it: disks, firewall, entries of backups and HA."""
        found = await self._whereabouts.find(plan)
        if found is not None and (found.lock == "create" or found.is_unmarked_beginning):
            found = await self._end_making(plan, found, warrant)
        if found is not None and self._refuse_foreign(plan, found).lock == "destroyed":
            found = await self._end_destroying(plan, found, warrant)
        if found is not None:
            found = await self._heal(plan, self._refuse_foreign(plan, found), warrant)
            if await self._is_running(found):
                await self._stop(found, warrant, at_once=True)
            await self._delete(found, warrant)
        for key in (NODE, MAKING, UPID, MOUNTING):
            if key in plan.notes:
                await warrant.note(key, None)

    async def ensure_all_stopped(self) -> None:
        """Do nothing: guests live on Proxmox's nodes, and go on when this host shuts down."""

    async def _survey_one(self, entry: Mapping[str, Any]) -> FoundGuest:
        vmid, node = Vmid(int(entry["vmid"])), str(entry["node"])
        is_container = entry.get("type") == "lxc"
        owner = parse_owner_tag(entry.get("tags")) if is_container else None
        if is_container and owner is None and self._may_be_ours(entry):
            found = await self._whereabouts.look(node, vmid)
            owner = found.owner if found is not None else None
        return FoundGuest(
            vmid,
            owner,
            _state(entry) if owner is not None else Guest.FOREIGN,
            where=f"{'CT' if is_container else 'VM'} {vmid} on node {node}",
            addresses=parse_addresses(entry.get("tags")),
        )

    @staticmethod
    def _may_be_ours(entry: Mapping[str, Any]) -> bool:
        """Tell whether a guest without tags has the name that a clone of ours begins with, or none yet."""
        name = str(entry.get("name") or "")
        host = parse_host(f"{name}.x", "x")
        return not name or (host is not None and host.port is None and host.vmid == int(entry["vmid"]))

    def _is_unfinished(self, found: Found, plan: GuestPlan) -> bool:
        """Tell whether a clone has its mark alone, and not yet what follows."""
        return parse_owner_tag(found.config.get("tags")) != plan.owner and MAKING in plan.notes

    def _is_beginning(self, plan: GuestPlan, found: Found) -> bool:
        return found.is_unmarked_beginning and MAKING in plan.notes and plan.notes.get(NODE) == found.node

    def _refuse_foreign(self, plan: GuestPlan, found: Found) -> Found:
        if found.owner != plan.owner:
            raise GuestForeign(vmid=plan.vmid, where=found.where)
        return found

    async def _own(self, plan: GuestPlan, warrant: Warrant) -> Found:
        """Return the guest, which is ours and there, on the node where it is now."""
        found = await self._whereabouts.find(plan)
        if found is None:
            raise GuestFailed(what="The call", reason=f"there is no guest {plan.vmid}")
        self._refuse_foreign(plan, found)
        if plan.notes.get(NODE) != found.node:
            await warrant.note(NODE, found.node)
        return await self._heal(plan, found, warrant)

    async def _heal(self, plan: GuestPlan, found: Found, warrant: Warrant) -> Found:
        """Take back a mount of our own that a crash has left; anybody else's lock stands."""
        if found.lock != "mounted":
            return found
        if MOUNTING not in plan.notes:
            raise GuestLocked(lock="mounted")
        await self._shell.unmount(plan, found.node, warrant)
        return await self._whereabouts.look(found.node, plan.vmid) or found

    async def _end_making(self, plan: GuestPlan, found: Found, warrant: Warrant) -> Found | None:
        """Wait for a making that is under way; take away what a broken one has left, and return None then."""
        is_ours = found.owner == plan.owner or await self._making.is_begun_by_us(plan, found)
        if not is_ours and not self._is_beginning(plan, found):
            raise GuestForeign(vmid=plan.vmid, where=found.where)
        left = await self._making.wait_unlocked(plan, found, warrant)
        if left is None or left.lock != "create":
            return left
        if left.owner != plan.owner and not await self._making.is_begun_by_us(plan, left):
            raise GuestForeign(vmid=plan.vmid, where=left.where)
        log.warning("guest.half_made_taken_away", vmid=plan.vmid, node=left.node)
        await self._shell.unlock(plan, left.node, warrant)
        await self._delete(left, warrant)
        return None

    async def _end_destroying(self, plan: GuestPlan, found: Found, warrant: Warrant) -> Found | None:
        """Wait for a deletion that is under way; free what a broken one has left, to be deleted again."""
        left = await self._making.wait_unlocked(plan, found, warrant)
        if left is not None and left.lock == "destroyed" and left.owner == plan.owner:
            await self._shell.unlock(plan, left.node, warrant)
            left = await self._whereabouts.look(left.node, plan.vmid)
        return left

    async def _finish(self, plan: GuestPlan, found: Found, warrant: Warrant) -> None:
        """Give a guest what the call that made it could not, and note that it is whole."""
        if str(found.config.get("unprivileged", 0)) != "1":
            raise GuestFailed(what="Making the guest", reason="it is privileged; the template must be unprivileged")
        wanted = self._making.render_settings(plan)
        if parse_owner_tag(found.config.get("tags")) != plan.owner or parse_mark(found.config) != plan.owner:
            warrant.check()
            await self._client.put(f"{found.path}/config", wanted)
        if plan.notes.get(NODE) != found.node:
            await warrant.note(NODE, found.node)
        await warrant.note(MAKING, None)
        await warrant.note(UPID, None)

    async def _stop(self, found: Found, warrant: Warrant, *, at_once: bool) -> None:
        warrant.check()
        try:
            if at_once:
                answer = await self._client.post(f"{found.path}/status/stop")
            else:
                order = {"timeout": ORDERLY_STOP_S, "forceStop": 1}
                answer = await self._client.post(f"{found.path}/status/shutdown", order)
            await self._wait(answer, warrant)
        except ProxmoxRefused as refused:
            if not refused.is_stopped:
                raise
        if await self._is_running(found):
            raise GuestFailed(what="Stopping the guest", reason="its task ended, and it still runs")

    async def _delete(self, found: Found, warrant: Warrant) -> None:
        warrant.check()
        order = {"purge": 1, "destroy-unreferenced-disks": 1}
        try:
            await self._wait(await self._client.delete(found.path, **order), warrant)
        except ProxmoxRefused as refused:
            if not refused.is_missing:
                raise
        except ProxmoxUnsure:
            await self._wait_gone(found, warrant)
        if await self._whereabouts.look(found.node, found.vmid) is not None:
            raise GuestFailed(what="Deleting the guest", reason="its task ended, and it is still there")

    async def _wait_gone(self, found: Found, warrant: Warrant) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.polling.settle_s):
                while await self._whereabouts.look(found.node, found.vmid) is not None:
                    await asyncio.sleep(self._settings.polling.first_s)
                    warrant.check()

    async def _wait(self, answer: Any, warrant: Warrant) -> None:
        """Wait for the task that an answer names; some calls are done when they answer."""
        upid = parse_upid(answer)
        if upid is not None:
            await wait_ended(self._client, upid, warrant, self._settings.polling)

    async def _is_running(self, found: Found) -> bool:
        status = await self._client.get(f"{found.path}/status/current")
        return bool(status.get("status") == "running")

    def _render_files(self, plan: GuestPlan, identity: Identity) -> list[tuple[str, str]]:
        assert plan.address is not None
        place = place_in_guest(plan.vmid, plan.owner, bind_address=plan.address)
        return [(name, text.decode()) for name, text in render_agent_files(self._agents, place, identity).items()]


def _state(entry: Mapping[str, Any]) -> Guest:
    if entry.get("lock") == "create":
        return Guest.HALF_MADE
    return Guest.RUNNING if entry.get("status") == "running" else Guest.STOPPED
