"""The `proxmox` driver against a fake cluster: API, firewall and shells of three nodes."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from itertools import count

from component.drivers.rig import PRIVATE_ORIGIN, new_plan
from fakes.proxmox.world import ProxmoxWorld
from zlh_api.circuit import Circuit
from zlh_api.drivers.agent_config import AgentSettings
from zlh_api.drivers.port import GuestPlan
from zlh_api.drivers.proxmox.driver import ProxmoxDriver, ProxmoxSettings
from zlh_common.clock import SystemClock


async def nobody_answers(_address: str, _port: int) -> bool:
    """Stand for a network without strangers."""
    return False


class NoCircuit:
    """Lets every call through, so that a test of what follows a failure need not wait."""

    def call(self) -> AbstractAsyncContextManager[None]:
        """Surround nothing."""
        return nullcontext()


def make_driver(settings: ProxmoxSettings, *, is_patient: bool = True) -> ProxmoxDriver:
    """Return a driver as the composition root makes it, or one that asks again at once."""
    agents = AgentSettings("https://artifacts.example.org", 7443, ("stable",), private_origins=(PRIVATE_ORIGIN,))
    circuit = Circuit("Proxmox", clock=SystemClock()) if is_patient else NoCircuit()
    return ProxmoxDriver(settings, agents, circuit, probe=nobody_answers)


class ProxmoxRig:
    """Guests of a cluster in memory."""

    has_network = True
    limits = frozenset({"cpu", "memory_mib", "disk_mib"})

    def __init__(self, world: ProxmoxWorld, *, is_patient: bool = True, timeout_s: float = 2.0) -> None:
        self.world = world
        self.driver = make_driver(world.settings(timeout_s=timeout_s), is_patient=is_patient)
        self._addresses = (f"10.20.1.{number}" for number in count(10))

    def plan(self) -> GuestPlan:
        """Return a new guest."""
        return new_plan(next(self._addresses))

    async def put_stranger(self, plan: GuestPlan) -> None:
        """Make another's container."""
        self.world.cluster.add_stranger(plan.vmid)

    async def is_stranger_whole(self, plan: GuestPlan) -> bool:
        """Tell whether nobody has touched it."""
        guest = self.world.cluster.guests[plan.vmid]
        return guest.config["hostname"] == "precious" and not guest.touched and not guest.is_running

    async def open_network(self, plan: GuestPlan) -> None:
        """Switch the firewall of its interface off."""
        config = self.world.cluster.guests[plan.vmid].config
        config["net0"] = config["net0"].replace("firewall=1", "firewall=0")

    async def destroy_by_hand(self, plan: GuestPlan) -> None:
        """Take it away."""
        self.world.cluster.forget(plan.vmid)

    async def end_by_itself(self, plan: GuestPlan) -> None:
        """Switch it off."""
        self.world.cluster.guests[plan.vmid].is_running = False

    async def read_agent_config(self, plan: GuestPlan) -> str:
        """Return the file on the guest's disk."""
        folder = self.world.shells.root_of(plan.vmid)
        return await asyncio.to_thread((folder / "etc/zlh/agent.toml").read_text)

    async def leftovers(self, plan: GuestPlan) -> list[str]:
        """Return the guest and tasks that are at work on it."""
        cluster = self.world.cluster
        tasks = [task.upid for task in cluster.tasks.values() if task.exit_status is None]
        locks = [f"lock on {guest.vmid}" for guest in cluster.guests.values() if guest.config.get("lock")]
        return [f"guest {vmid}" for vmid in cluster.guests if vmid == plan.vmid] + tasks + locks
