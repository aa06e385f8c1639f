"""A container as the database holds it: what is wanted beside what was last seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from zlh_api.games.model import GameWish, HeldPort
from zlh_common.names import HostName, Kind, OwnerMark, Vmid
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.resources import Resources
from zlh_common.schema.spec import Visibility, WantedRuntime, WantedWorkspace
from zlh_common.schema.status import AgentStatus, Connection, Step


class Guest(StrEnum):
    """What the driver last saw of the guest."""

    ABSENT = "absent"
    # Ours by its mark, and its making has not been finished.
    HALF_MADE = "half-made"
    STOPPED = "stopped"
    RUNNING = "running"
    # Something stands in its place that does not carry our mark.
    FOREIGN = "foreign"


class Power(StrEnum):
    """Whether the guest should run; of a game container, its server."""

    ON = "on"
    OFF = "off"


class RuntimeWish(WantedRuntime):
    """A version of a runtime or addon as the row keeps it: what the agent is told, and what the API alone knows."""

    # Asked for beside the default: it stays when others come and go, until it is asked away itself.
    beside: bool = False
    # The spec generation that raised `attempt` last.
    attempt_generation: int = 0

    def order(self) -> WantedRuntime:
        """Return what the agent is told. To be kept for a rollback alone is less than to be wanted."""
        return WantedRuntime(
            name=self.name,
            version=self.version,
            default=self.default,
            previous=self.previous and not self.beside,
            attempt=self.attempt,
        )


@dataclass(frozen=True, slots=True)
class Published:
    """One port that the customer has published."""

    id: UUID
    port: int
    visibility: Visibility
    kind: Literal["http", "https"] = "http"
    expires_at: datetime | None = None
    # Who may open it where it is private; None where that user is gone.
    published_by: UUID | None = None
    # The addon whose port it is.
    addon: str | None = None


@dataclass(frozen=True, slots=True)
class HeldIdentity:
    """What a container's agent was given to be known by; how long that is good stands in the container."""

    # SHA-256 of its certificate; b"" where it has none, None where it is not known and any of its name will do.
    known: bytes | None = b""
    # Of those whose arrival was never confirmed.
    wanted: tuple[bytes, ...] = ()
    # None of its identities was ever issued for longer.
    issued_until: datetime | None = None
    # By which generation of CAs it is known, and the first and the last by which it knows the API.
    generation: int = 0
    trusts: tuple[int, int] = (0, 0)
    # How often another one was asked for, and how many of these wishes this one is younger than.
    asked: int = 0
    done: int = 0


@dataclass(frozen=True, slots=True)
class Container:
    """One row with its steps and exposures."""

    owner: OwnerMark
    vmid: Vmid
    customer_id: UUID
    kind: Kind
    name: str
    created_at: datetime

    runtimes: tuple[RuntimeWish, ...]
    processes: tuple[WantedProcess, ...]
    spec_generation: int
    power: Power
    restart_wanted: int
    deleting_at: datetime | None

    address: str | None
    guest: Guest
    identity_expires_at: datetime | None
    connection: Connection
    agent: AgentStatus | None
    observed_at: datetime | None
    restart_done: int
    route_confirmed: str | None
    provisioned_at: datetime | None
    attempts: int
    addons: tuple[RuntimeWish, ...] = ()
    workspace: WantedWorkspace = field(default_factory=WantedWorkspace)
    # Of a game container, whose power is that of its server; and the proxy's ports that lead there.
    game: GameWish | None = None
    game_ports: tuple[HeldPort, ...] = ()
    # Which run of each addon was seen to open from here.
    addons_opened: Mapping[str, str] = field(default_factory=dict)
    # The origins that its agent was told of last.
    spec_origins: tuple[str, ...] = ()
    # A slot or a system whose turn or return it waits for; nothing has failed.
    waiting_for: str | None = None
    # What the agent that took the spec last was known to understand.
    spec_protocol: int = 0
    # On whose behalf the work on it is done; None where nothing is wished that is not reached.
    request_id: str | None = None
    resources: Resources = field(default_factory=Resources)
    # What the guest was last seen to have, as a whole; None where there is none, or where that cannot be told.
    resources_in_force: Resources | None = None
    # Whether it goes down without what runs in it being asked to end.
    is_stopped_at_once: bool = False
    identity: HeldIdentity = HeldIdentity()
    # What its agent was caught at since its last start.
    agent_faults: tuple[str, ...] = ()
    # Its customer is suspended: it is off, whatever its own power says.
    is_suspended: bool = False
    # What its driver must not forget, kept under the fence.
    driver_notes: Mapping[str, str] = field(default_factory=dict)
    # Digests of the DNS records that were written last, and of those that were seen to be answered.
    records_written: str | None = None
    records_answered: str | None = None
    # Why its public name does not lead to it any more, though it did.
    edge_faults: tuple[str, ...] = ()
    # Why connections to it that must end stay open.
    cut_fault: str | None = None
    # Grows with every change that a person could see.
    version: int = 0

    steps: tuple[Step, ...] = ()
    exposures: tuple[Published, ...] = ()

    @property
    def row_version(self) -> int:
        """What the database counts of `version`."""
        return self.version >> 32

    @property
    def host(self) -> HostName:
        """The container's own host."""
        return HostName(self.kind, self.vmid)

    @property
    def is_meant_to_run(self) -> bool:
        """Whether its guest should be on, unless it is being deleted; that of a game server stays up without it."""
        return (self.power is Power.ON or self.game is not None) and not self.is_suspended

    @property
    def is_deleting(self) -> bool:
        """Whether the customer has asked for its end."""
        return self.deleting_at is not None
