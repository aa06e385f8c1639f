"""What the reconciler asks of a driver. Every call is idempotent, and none touches a guest without our owner mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from zlh_api.containers.model import Guest
from zlh_common.errors import ZlhError
from zlh_common.names import Kind, OwnerMark, Vmid


class GuestForeign(ZlhError):
    """Something that is not ours stands where the guest should be."""

    code, status = "guest_foreign", 409

    def __init__(self, *, vmid: Vmid, where: str) -> None:
        super().__init__(
            f"{where} exists and does not carry the mark of container {vmid}. It is left alone; move it away by hand.",
            vmid=vmid,
        )


class GuestFailed(ZlhError):
    """The driver could not do what was asked."""

    code, status, retryable = "guest_failed", 502, True

    def __init__(self, *, what: str, reason: str) -> None:
        super().__init__(f"{what} failed: {reason}.")


@dataclass(frozen=True, slots=True)
class GuestPlan:
    """Which guest is meant, and at which address it listens."""

    owner: OwnerMark
    vmid: Vmid
    kind: Kind
    address: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a guest's agent the one that we dial: PEM texts, and the root by which it believes the catalog."""

    certificate: bytes
    private_key: bytes
    client_ca: bytes
    trusted_root: bytes

    def __repr__(self) -> str:
        return "Identity(***)"


class ContainerDriver(Protocol):
    """A way of making guests."""

    async def observe(self, owner: OwnerMark, vmid: Vmid) -> Guest:
        """Return what stands at this VMID."""
        ...

    async def is_address_free(self, address: str) -> bool:
        """Tell whether nobody answers at an address that our books call free."""
        ...

    async def ensure_created(self, plan: GuestPlan) -> None:
        """Make the guest, stopped and marked; raise GuestForeign, GuestFailed."""
        ...

    async def ensure_identity(self, plan: GuestPlan, identity: Identity) -> None:
        """Put the agent's configuration and keys into the stopped guest."""
        ...

    async def ensure_started(self, plan: GuestPlan) -> None:
        """Start the guest; its agent comes up by itself."""
        ...

    async def ensure_stopped(self, owner: OwnerMark, vmid: Vmid, *, at_once: bool = False) -> None:
        """Stop the guest and every process in it, each in its own order and time unless it shall be `at_once`."""
        ...

    async def ensure_destroyed(self, owner: OwnerMark, vmid: Vmid) -> None:
        """Stop the guest and delete all that it had."""
        ...

    async def ensure_all_stopped(self) -> None:
        """Stop every guest of ours, as a host that shuts down does."""
        ...
