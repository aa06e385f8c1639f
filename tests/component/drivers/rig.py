"""What the contract asks of a driver's bench: the driver, and hands that work behind its back."""

from __future__ import annotations

from itertools import count
from typing import Protocol
from uuid import uuid4

from zlh_api.drivers.port import ContainerDriver, GuestPlan
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.resources import Resources

_NUMBERS = count(200)


def new_plan(address: str, *, resources: Resources | None = None) -> GuestPlan:
    """Return a guest that nobody has made yet."""
    owner = OwnerMark(str(uuid4()))
    return GuestPlan(owner, Vmid(next(_NUMBERS)), "dev", address, resources or Resources())


# From where the agents of all rigs may fetch files although it is a private network.
PRIVATE_ORIGIN = "http://10.9.0.3:8080"


class Rig(Protocol):
    """One driver, ready for the contract."""

    @property
    def driver(self) -> ContainerDriver:
        """The driver."""
        ...

    @property
    def has_network(self) -> bool:
        """Whether its guests have a network of their own, to be closed and opened."""
        ...

    @property
    def limits(self) -> frozenset[str]:
        """Which limits it sets: names of fields of Resources."""
        ...

    def plan(self) -> GuestPlan:
        """Return a new guest at an address that nobody has."""
        ...

    async def put_stranger(self, plan: GuestPlan) -> None:
        """Make something at the guest's number that does not carry its mark."""
        ...

    async def is_stranger_whole(self, plan: GuestPlan) -> bool:
        """Tell whether that is as it was put."""
        ...

    async def open_network(self, plan: GuestPlan) -> None:
        """Take the guest's network rule away, as a hand on the host would."""
        ...

    async def destroy_by_hand(self, plan: GuestPlan) -> None:
        """Stop the guest and take it away, past the driver."""
        ...

    async def end_by_itself(self, plan: GuestPlan) -> None:
        """Have the guest end as one that is switched off from within."""
        ...

    async def read_agent_config(self, plan: GuestPlan) -> str:
        """Return what a running guest's agent finds as its configuration."""
        ...

    async def leftovers(self, plan: GuestPlan) -> list[str]:
        """Return everything that is still there of a guest: folders, rules, interfaces, processes, tasks."""
        ...
