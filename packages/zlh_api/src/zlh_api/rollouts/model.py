"""What is known of a roll-out and of those that it is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.agent_update import AgentUpdate
from zlh_common.schema.rollouts import MemberState, RolloutState, StartRollout


@dataclass(frozen=True, slots=True)
class Candidate:
    """A container as it stands when it is asked whether, and when, it is told."""

    owner: OwnerMark
    vmid: Vmid
    name: str
    version: str
    protocol: int
    fixed_because: str | None
    is_online: bool


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """A roll-out as its row has it."""

    id: UUID
    version: str
    state: RolloutState
    reason: str | None
    wish: StartRollout
    wave: int
    through_at: datetime | None
    started_by: str
    created_at: datetime
    finished_at: datetime | None
    looked_at: datetime
    swept_at: datetime

    @property
    def last_wave(self) -> int:
        """The number of its last wave; the first is 0."""
        return len(self.wish.shares)


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen of one container's agent; by a stranger's word, but for the first three."""

    # The container is meant to run; one that went down by itself is.
    is_wanted: bool
    is_online: bool
    # Something else goes on in the container that must not be disturbed.
    is_busy: bool
    version: str
    protocol: int
    fixed_because: str | None
    update: AgentUpdate | None


@dataclass(frozen=True, slots=True)
class Told:
    """A member that was told, and has not come to an end."""

    owner: OwnerMark
    state: MemberState
    attempt: int
    # From when on its time is counted, and since when nothing is heard of it.
    patient_from: datetime
    silent_since: datetime | None
    # It has answered that it will.
    has_answered: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a member stands, and why."""

    state: MemberState
    code: str | None = None
    message: str | None = None
    exit_code: int | None = None
    output: str | None = None
    silent_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class WaveCount:
    """How the members of one wave are."""

    wave: int
    # Those that wait: who could be told now, who was heard so lately that he is waited for, and who cannot be.
    ready: int = 0
    # Of those who could be told: whom nobody has found busy yet.
    fresh: int = 0
    awaited: int = 0
    absent: int = 0
    under_way: int = 0
    updated: int = 0
    # Failed or undone: those that nobody has accepted, and the others.
    failed: int = 0
    accepted: int = 0
    # Too old or fixed.
    unable: int = 0

    @property
    def total(self) -> int:
        """How many there are."""
        return self.waiting + self.told + self.unable

    @property
    def waiting(self) -> int:
        """How many were not told yet."""
        return self.ready + self.awaited + self.absent

    @property
    def told(self) -> int:
        """How many were, whatever became of it."""
        return self.under_way + self.updated + self.failed + self.accepted


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows for a roll-out."""

    state: RolloutState
    wave: int
    through_at: datetime | None
    reason: str | None
    # So many more may be told now, of the waves up to this one.
    room: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """Who is to be told now, and what."""

    rollout: UUID
    owner: OwnerMark
    address: str
    version: str
    attempt: int
