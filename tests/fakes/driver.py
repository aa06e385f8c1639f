"""Guests in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fakes.faults import Faults
from zlh_api.containers.model import Guest
from zlh_api.drivers.port import GuestFailed, GuestForeign, GuestPlan, Identity
from zlh_common.names import OwnerMark, Vmid


class FakeGuest:
    """One guest: whose it is, whether it runs, and what was put in."""

    def __init__(self, owner: OwnerMark, address: str) -> None:
        self.owner = owner
        self.address = address
        self.is_running = False
        self.identity: Identity | None = None


class FakeDriver:
    """Keeps the contract of a driver: idempotent, and nothing is done to a guest without the mark."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.guests: dict[Vmid, FakeGuest] = {}
        self.taken_addresses: set[str] = set()
        self.on_started: Callable[[OwnerMark], Awaitable[None]] | None = None
        self.on_stopped: Callable[[OwnerMark], Awaitable[None]] | None = None

    async def observe(self, owner: OwnerMark, vmid: Vmid) -> Guest:
        """Return what stands at this VMID."""
        waiting = self.faults.orders.get("observe")
        if waiting and (order := waiting.pop(0)) is not None:
            raise order
        guest = self.guests.get(vmid)
        if guest is None:
            return Guest.ABSENT
        if guest.owner != owner:
            return Guest.FOREIGN
        return Guest.RUNNING if guest.is_running else Guest.STOPPED

    async def is_address_free(self, address: str) -> bool:
        """Tell whether nobody answers at an address."""
        async with self.faults.call("is_address_free"):
            return address not in self.taken_addresses

    async def ensure_created(self, plan: GuestPlan) -> None:
        """Make the guest, stopped and marked."""
        async with self.faults.call("ensure_created"):
            self._refuse_foreign(plan.owner, plan.vmid)
            self.guests.setdefault(plan.vmid, FakeGuest(plan.owner, plan.address))

    async def ensure_identity(self, plan: GuestPlan, identity: Identity) -> None:
        """Put keys into the guest."""
        async with self.faults.call("ensure_identity"):
            self._own(plan.owner, plan.vmid).identity = identity

    async def ensure_started(self, plan: GuestPlan) -> None:
        """Start the guest; without keys its agent ends at once."""
        async with self.faults.call("ensure_started"):
            guest = self._own(plan.owner, plan.vmid)
            if guest.identity is None:
                raise GuestFailed(what="Starting the agent", reason="it has no keys")
            guest.is_running = True
            if self.on_started:
                await self.on_started(plan.owner)

    async def ensure_stopped(self, owner: OwnerMark, vmid: Vmid, *, at_once: bool = False) -> None:
        """Stop the guest."""
        async with self.faults.call("ensure_stopped"):
            await self._stop(owner, vmid)

    async def ensure_destroyed(self, owner: OwnerMark, vmid: Vmid) -> None:
        """Stop the guest and delete it."""
        async with self.faults.call("ensure_destroyed"):
            await self._stop(owner, vmid)
            self.guests.pop(vmid, None)

    async def ensure_all_stopped(self) -> None:
        """Stop every guest."""
        for vmid, guest in self.guests.items():
            await self._stop(guest.owner, vmid)

    async def _stop(self, owner: OwnerMark, vmid: Vmid) -> None:
        self._refuse_foreign(owner, vmid)
        guest = self.guests.get(vmid)
        if guest is not None and guest.is_running:
            guest.is_running = False
            if self.on_stopped:
                await self.on_stopped(owner)

    def _own(self, owner: OwnerMark, vmid: Vmid) -> FakeGuest:
        self._refuse_foreign(owner, vmid)
        if vmid not in self.guests:
            raise GuestFailed(what="The call", reason="there is no such guest")
        return self.guests[vmid]

    def _refuse_foreign(self, owner: OwnerMark, vmid: Vmid) -> None:
        guest = self.guests.get(vmid)
        if guest is not None and guest.owner != owner:
            raise GuestForeign(vmid=vmid, where=f"guest {vmid}")
