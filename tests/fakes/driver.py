"""Guests in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from fakes.faults import Faults
from zlh_api.containers.model import Guest
from zlh_api.drivers.port import (
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
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.resources import Resources


class FakeGuest:
    """One guest: whose it is, whether it runs, and what was put in."""

    def __init__(self, owner: OwnerMark | None, address: str | None, resources: Resources | None = None) -> None:
        self.owner = owner
        self.address = address
        self.resources = resources or Resources()
        self.is_running = False
        self.name: str | None = None
        # The address that its network is pinned to; None is open.
        self.closed_for: str | None = None
        self.identity: Identity | None = None


class FakeDriver:
    """Keeps the contract of a driver: idempotent, and nothing is done to a guest without the mark."""

    survey_tells_drift = True

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.guests: dict[Vmid, FakeGuest] = {}
        self.nodes: list[NodeSeen] = []
        self.taken_addresses: set[str] = set()
        # So long does a guest take that is asked to stop, one after the other.
        self.orderly_stop_s = 0.0
        # Of each stop that took effect, whether it was at once.
        self.stops: list[bool] = []
        self.on_started: Callable[[OwnerMark], Awaitable[None]] | None = None
        self.on_stopped: Callable[[OwnerMark], Awaitable[None]] | None = None

    @property
    def enforced_limits(self) -> frozenset[str]:
        """All of them."""
        return frozenset(Resources.__struct_fields__)

    async def close(self) -> None:
        """Keep nothing open."""

    async def prepare(self) -> None:
        """Need nothing."""

    async def observe(self, plan: GuestPlan) -> GuestSeen:
        """Return what stands at this VMID."""
        waiting = self.faults.orders.get("observe")
        if waiting and (order := waiting.pop(0)) is not None:
            raise order
        guest = self.guests.get(plan.vmid)
        if guest is None:
            return GuestSeen(Guest.ABSENT)
        if guest.owner != plan.owner:
            return GuestSeen(Guest.FOREIGN)
        return GuestSeen(
            Guest.RUNNING if guest.is_running else Guest.STOPPED,
            is_closed=guest.closed_for is not None and guest.closed_for == plan.address,
            is_sized=guest.resources == plan.resources,
        )

    async def survey(self) -> list[FoundGuest]:
        """Return all guests."""
        async with self.faults.call("survey"):
            return [
                FoundGuest(
                    vmid,
                    guest.owner,
                    Guest.FOREIGN if guest.owner is None else Guest.RUNNING if guest.is_running else Guest.STOPPED,
                    where=f"guest {vmid}",
                    addresses=(guest.address,) if guest.address else (),
                    name=guest.name,
                    is_closed=guest.closed_for is not None and guest.closed_for == guest.address,
                    resources=guest.resources,
                )
                for vmid, guest in self.guests.items()
            ]

    async def list_nodes(self, _usual: Resources) -> list[NodeSeen]:
        """Return the nodes of the test, or one that holds everything."""
        async with self.faults.call("list_nodes"):
            return self.nodes or [NodeSeen("memory", is_online=True)]

    async def is_address_free(self, address: str) -> bool:
        """Tell whether nobody answers at an address."""
        async with self.faults.call("is_address_free"):
            held = {guest.address for guest in self.guests.values()}
            return address not in self.taken_addresses | held

    async def ensure_created(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Make the guest, stopped and marked."""
        async with self._effect("ensure_created", warrant):
            self._refuse_foreign(plan)
            self.guests.setdefault(plan.vmid, FakeGuest(plan.owner, plan.address, plan.resources))

    async def ensure_closed(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Pin the guest to its address."""
        async with self._effect("ensure_closed", warrant):
            self._own(plan).closed_for = plan.address

    async def ensure_sized(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Give the guest its limits; its disk never shrinks."""
        async with self._effect("ensure_sized", warrant):
            guest = self._own(plan)
            if plan.resources.disk_mib < guest.resources.disk_mib:
                raise DiskLarger(has_mib=guest.resources.disk_mib, wanted_mib=plan.resources.disk_mib)
            guest.resources = plan.resources

    async def ensure_identity(self, plan: GuestPlan, identity: Identity, warrant: Warrant) -> None:
        """Put keys into the guest."""
        async with self._effect("ensure_identity", warrant):
            self._own(plan).identity = identity

    async def ensure_started(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Start the guest; without keys its agent ends at once."""
        async with self._effect("ensure_started", warrant):
            guest = self._own(plan)
            if guest.closed_for is None or guest.closed_for != plan.address:
                raise NetworkOpen(vmid=plan.vmid, reason="it has no rule")
            if guest.identity is None:
                raise GuestFailed(what="Starting the agent", reason="it has no keys")
            guest.is_running = True
            if self.on_started:
                await self.on_started(plan.owner)

    async def ensure_stopped(self, plan: GuestPlan, warrant: Warrant, *, at_once: bool = False) -> None:
        """Stop the guest."""
        async with self._effect("ensure_stopped", warrant):
            self._refuse_foreign(plan)
            if not at_once:
                await asyncio.sleep(self.orderly_stop_s)
            await self._stop(plan.vmid)
            self.stops.append(at_once)

    async def ensure_destroyed(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Stop the guest and delete it."""
        async with self._effect("ensure_destroyed", warrant):
            self._refuse_foreign(plan)
            await self._stop(plan.vmid)
            self.guests.pop(plan.vmid, None)

    async def ensure_all_stopped(self) -> None:
        """Stop every guest."""
        for vmid in self.guests:
            await self._stop(vmid)

    def _effect(self, name: str, warrant: Warrant) -> AbstractAsyncContextManager[None]:
        warrant.check()
        return self.faults.call(name)

    async def _stop(self, vmid: Vmid) -> None:
        guest = self.guests.get(vmid)
        if guest is not None and guest.is_running:
            guest.is_running = False
            if self.on_stopped and guest.owner is not None:
                await self.on_stopped(guest.owner)

    def _own(self, plan: GuestPlan) -> FakeGuest:
        self._refuse_foreign(plan)
        if plan.vmid not in self.guests:
            raise GuestFailed(what="The call", reason="there is no such guest")
        return self.guests[plan.vmid]

    def _refuse_foreign(self, plan: GuestPlan) -> None:
        guest = self.guests.get(plan.vmid)
        if guest is not None and guest.owner != plan.owner:
            raise GuestForeign(vmid=plan.vmid, where=f"guest {plan.vmid}")
