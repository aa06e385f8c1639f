"""The driver in memory that the reconciler's tests use: it keeps the same contract as the real ones."""

from __future__ import annotations

from itertools import count
from uuid import uuid4

from component.drivers.rig import new_plan
from fakes.driver import FakeDriver, FakeGuest
from fakes.faults import Faults
from zlh_api.drivers.port import GuestPlan
from zlh_common.names import OwnerMark


class MemoryRig:
    """Guests in memory."""

    has_network = True
    limits = frozenset({"cpu", "memory_mib", "disk_mib", "pids"})

    def __init__(self) -> None:
        self.driver = FakeDriver(Faults())
        self._addresses = (f"10.0.0.{number}" for number in count(10))

    def plan(self) -> GuestPlan:
        """Return a new guest."""
        return new_plan(next(self._addresses))

    async def put_stranger(self, plan: GuestPlan) -> None:
        """Make another's guest."""
        self.driver.guests[plan.vmid] = FakeGuest(OwnerMark(str(uuid4())), None)

    async def is_stranger_whole(self, plan: GuestPlan) -> bool:
        """Tell whether it has no keys of ours and is not running."""
        guest = self.driver.guests[plan.vmid]
        return guest.owner != plan.owner and guest.identity is None and not guest.is_running

    async def open_network(self, plan: GuestPlan) -> None:
        """Unpin it."""
        self.driver.guests[plan.vmid].closed_for = None

    async def destroy_by_hand(self, plan: GuestPlan) -> None:
        """Take it away."""
        del self.driver.guests[plan.vmid]

    async def end_by_itself(self, plan: GuestPlan) -> None:
        """Switch it off."""
        self.driver.guests[plan.vmid].is_running = False

    async def read_agent_config(self, plan: GuestPlan) -> str:
        """Its guests have no files."""
        raise NotImplementedError(plan)

    async def leftovers(self, plan: GuestPlan) -> list[str]:
        """Return the guest, if it is there."""
        return [f"guest {plan.vmid}"] if plan.vmid in self.driver.guests else []
