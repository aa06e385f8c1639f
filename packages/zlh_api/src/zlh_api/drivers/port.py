"""What the reconciler asks of a driver.

Every call is idempotent: it will be made again after a crash at any line of it. None touches a guest without our owner
mark. Whoever calls holds a warrant, which a driver asks before each effect, so that a worker that was frozen and has
lost its right does nothing when it wakes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from zlh_api.containers.model import Guest
from zlh_common.errors import ZlhError
from zlh_common.names import Kind, OwnerMark, Vmid
from zlh_common.schema.resources import Resources

# So long may the programs of a guest take that have something to save; below the time that the reconciler gives a stop.
ORDERLY_STOP_S = 100


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

    def __init__(self, *, what: str, reason: str, output: str | None = None) -> None:
        data = {"output": output} if output else {}
        super().__init__(f"{what} failed: {reason}.", **data)


class NetworkOpen(ZlhError):
    """The guest's network rule is not in force, so it must not run."""

    code, status, retryable = "network_open", 502, True

    def __init__(self, *, vmid: Vmid, reason: str) -> None:
        super().__init__(
            f"The network of container {vmid} is not closed as it must be ({reason}), so it is not started.", vmid=vmid
        )


class DiskLarger(ZlhError):
    """The guest's disk is larger than it should be, and a disk can only grow."""

    code, status = "disk_larger", 409

    def __init__(self, *, has_mib: int, wanted_mib: int) -> None:
        super().__init__(
            f"The container's disk has {has_mib} MiB and cannot be made smaller ({wanted_mib} MiB are wanted). "
            "Wish for at least what it has, or make a new container.",
            has_mib=has_mib,
            wanted_mib=wanted_mib,
        )


class SlotBusy(ZlhError):
    """What only one may use at a time is in use; nothing has failed, and the container's turn comes."""

    code, status, retryable = "slot_busy", 503, True

    def __init__(self, slot: str) -> None:
        super().__init__(f"Waiting for its turn: {slot} works on another container.", slot=slot)
        self.slot = slot


class SystemAway(ZlhError):
    """A system that we depend on does not answer, and is not asked again before its time."""

    code, status, retryable = "system_away", 503, True

    def __init__(self, *, system: str, reason: str, retry_in_s: float) -> None:
        super().__init__(f"{system} is away ({reason}); it is asked again by itself.", system=system)
        self.system = system
        self.reason = reason
        self.retry_in_s = retry_in_s


@dataclass(frozen=True, slots=True)
class GuestPlan:
    """Which guest is meant, and how it should be."""

    owner: OwnerMark
    vmid: Vmid
    kind: Kind
    # None before it has one, and again once it was released.
    address: str | None
    resources: Resources
    # What the driver has noted about it under a warrant.
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GuestSeen:
    """What was found when looking just now."""

    state: Guest
    # Whether the network rule was read back as the plan wants it.
    is_closed: bool = True
    # Whether the limits are those of the plan, as far as this driver can set them.
    is_sized: bool = True
    # Whether a stopped guest holds nothing that only a running one needs: processes, mounts, an interface.
    is_tidy: bool = True


@dataclass(frozen=True, slots=True)
class FoundGuest:
    """One guest of a survey; without an owner it carries no mark of ours, and is none of our business."""

    # None for what stands in our place and has no number of ours (half-made folders and the like).
    vmid: Vmid | None
    owner: OwnerMark | None
    state: Guest
    # Where it is, for people: a node, a folder.
    where: str
    addresses: tuple[str, ...] = ()
    # The host name that it has, where this driver gives names; ours are labels of containers.
    name: str | None = None
    # Whether its network rule is in force, and its limits; None where a survey does not tell.
    is_closed: bool | None = None
    resources: Resources | None = None


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """One machine that guests are on, as far as the driver can honestly tell; None is what it cannot."""

    name: str
    # Whether its cluster reaches it, and whether people have taken it out of service there.
    is_online: bool
    is_in_maintenance: bool = False
    # Whether new guests may be made on it at all.
    is_used: bool = True
    # What it lacks for a guest of the usual size, to follow its name.
    lack: str | None = None
    cores: int | None = None
    memory_mib: int | None = None
    used_memory_mib: int | None = None
    # What all guests on it may use together, those of others included.
    promised_memory_mib: int | None = None
    # Of the storage that guests are put on.
    disk_mib: int | None = None
    free_disk_mib: int | None = None
    # Which numbers are on it; None where all of ours are.
    vmids: frozenset[Vmid] | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a guest's agent the one that we dial: PEM texts, and the root by which it believes the catalog."""

    certificate: bytes
    private_key: bytes
    client_ca: bytes
    trusted_root: bytes

    def __repr__(self) -> str:
        return "Identity(***)"


class Right(Protocol):
    """What is asked directly before each effect: whether it may still take place."""

    def check(self) -> None:
        """Raise LeaseLost where another may act by now; in whatever thread acts."""
        ...


class Warrant(Right, Protocol):
    """The right to act on one guest, as long as it lasts, and what its holder may keep and hold meanwhile."""

    async def note(self, key: str, value: str | None) -> None:
        """Keep a note in the guest's row, before the effect that it is about; None forgets it. Raises LeaseLost."""
        ...

    def slot(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold alone, over all API processes, what only one may use at a time; raise SlotBusy, LeaseLost."""
        ...


class ContainerDriver(Protocol):
    """A way of making guests."""

    @property
    def enforced_limits(self) -> frozenset[str]:
        """Name the fields of Resources that guests are held to; the others are books alone, and people are told so."""
        ...

    @property
    def survey_tells_drift(self) -> bool:
        """Whether a survey shows all that can change behind our back: state, network rule and limits.

        Where it does, guests that are settled are hardly ever looked at one by one.
        """
        ...

    async def close(self) -> None:
        """Let go of what it keeps open; guests go on."""
        ...

    async def prepare(self) -> None:
        """Make this host ready, once at the start: what all guests share, and no leftovers of a crash."""
        ...

    async def observe(self, plan: GuestPlan) -> GuestSeen:
        """Return what stands in the guest's place; raise GuestFailed or SystemAway where that cannot be told."""
        ...

    async def survey(self) -> list[FoundGuest]:
        """Return everything that stands where guests of ours could, strangers included, in few calls for all."""
        ...

    async def list_nodes(self, usual: Resources) -> list[NodeSeen]:
        """Return the machines that guests are on, or could be; raise GuestFailed, SystemAway.

        `usual` are the limits of a guest that asks for nothing: a node without room for it is full.
        """
        ...

    async def is_address_free(self, address: str) -> bool:
        """Tell whether nobody has an address that our books call free."""
        ...

    async def ensure_created(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Make the guest, stopped and marked; raise GuestForeign, GuestFailed, SlotBusy."""
        ...

    async def ensure_closed(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Set the guest's network rule and read it back; a running guest for which that fails is stopped."""
        ...

    async def ensure_sized(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Give the guest, running or not, the limits of the plan; raise DiskLarger where its disk would shrink."""
        ...

    async def ensure_identity(self, plan: GuestPlan, identity: Identity, warrant: Warrant) -> None:
        """Put the agent's configuration and keys into the stopped guest."""
        ...

    async def ensure_started(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Start the guest, whose agent comes up by itself; raise NetworkOpen where its rule is not in force."""
        ...

    async def ensure_stopped(self, plan: GuestPlan, warrant: Warrant, *, at_once: bool = False) -> None:
        """Stop the guest and every process in it, each in its own order and time unless it shall be `at_once`.

        What the end of one that has ended by itself has left is taken down too.
        """
        ...

    async def ensure_destroyed(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Stop the guest and delete all that it had, half-made or whole."""
        ...

    async def ensure_all_stopped(self) -> None:
        """Stop every guest of ours on this host, as a host that shuts down does."""
        ...
