"""How a version of the agent is brought to all containers, wave after wave, as operators ask for it and read it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from zlh_common.schema.catalog import Channel
from zlh_common.schema.spec import RuntimeVersion
from zlh_common.schema.structs import Report, Request

MAX_WAVES, MAX_CANARIES = 10, 50
MAX_SOAK_MINUTES, MAX_AT_ONCE = 10_080, 500
_Vmid = Annotated[int, Meta(ge=1, le=999_999_999)]
# Of all members, in percent.
_Share = Annotated[int, Meta(ge=1, le=100)]


class StartRollout(Request):
    """`POST /api/platform/rollouts`: bring all containers to this version of the agent."""

    version: RuntimeVersion
    # The containers of the first wave; one that is online is chosen where none is named.
    canaries: Annotated[tuple[_Vmid, ...], Meta(max_length=MAX_CANARIES)] = ()
    # How much of all has been told when each further wave is through; they rise, and the last is 100.
    shares: Annotated[tuple[_Share, ...], Meta(min_length=1, max_length=MAX_WAVES - 1)] = (5, 25, 100)
    # How long a wave is watched after it is through, before the next one begins.
    soak_minutes: Annotated[int, Meta(ge=0, le=MAX_SOAK_MINUTES)] = 30
    # So many containers are between two versions at a time.
    at_once: Annotated[int, Meta(ge=1, le=MAX_AT_ONCE)] = 20
    # Any failure of the first wave halts it; of later ones more than the larger of both: so many, and this share of
    # those that were told.
    failures_allowed: Annotated[int, Meta(ge=0, le=1_000_000)] = 3
    failure_percent_allowed: Annotated[int, Meta(ge=0, le=100)] = 2


class RolloutState(StrEnum):
    """The position of a roll-out."""

    RUNNING = "running"
    # A person has stopped it; who is between two versions gets to an end.
    PAUSED = "paused"
    # It has stopped by itself, since too many failed.
    HALTED = "halted"
    # Whoever could be told was; who comes back later is told then, for as long as no newer one is begun.
    DONE = "done"
    CANCELLED = "cancelled"
    # A newer one was begun.
    SUPERSEDED = "superseded"


class MemberState(StrEnum):
    """The position of one container in a roll-out."""

    # Its turn has not come, or it is off, offline or busy with something else.
    WAITING = "waiting"
    # It was told, and fetches.
    UPDATING = "updating"
    # It runs the new one, which has yet to prove itself.
    PROVING = "proving"
    UPDATED = "updated"
    # The new one did not prove itself, and the former one runs again.
    UNDONE = "undone"
    FAILED = "failed"
    # Its agent cannot be told; a restart from a newer template brings another.
    TOO_OLD = "too_old"
    # Its agent cannot change by itself at all.
    FIXED = "fixed"


class RolloutWave(Report):
    """One wave: how much of all is told when it is through, and how its containers are."""

    share: int | None
    containers: int
    # By state; those that are none are left out.
    counts: dict[str, int]


class RolloutMember(Report):
    """One container of a roll-out."""

    vmid: int
    name: str
    wave: int
    state: MemberState
    # How often it was tried again in this roll-out.
    attempt: int
    before: str | None
    changed_at: datetime
    told_at: datetime | None
    # Why it failed, was undone or cannot be told, by the word of the agent where it has one.
    code: str | None
    message: str | None
    exit_code: int | None
    output: str | None


class Rollout(Report):
    """One roll-out."""

    id: str
    version: str
    state: RolloutState
    # Why it has halted, and who has failed; or what it waits for.
    reason: str | None
    wave: int
    waves: tuple[RolloutWave, ...]
    soak_minutes: int
    at_once: int
    failures_allowed: int
    failure_percent_allowed: int
    started_by: str
    created_at: datetime
    finished_at: datetime | None
    # While a wave that is through is watched: when the next one begins.
    next_wave_at: datetime | None


class RolloutDetail(Report):
    """`GET /api/platform/rollouts/{rollout}`: those that failed first, then wave by wave."""

    rollout: Rollout
    members: tuple[RolloutMember, ...]
    next: str | UnsetType = UNSET


class AgentVersionCount(Report):
    """One version in the fleet, by the agents' own word."""

    version: str
    containers: int
    online: int
    # Too old to be told of another version while they run.
    too_old: int
    fixed: int
    is_offered: bool


class OfferedAgent(Report):
    """A version that the catalog has."""

    version: str
    channel: Channel
    default: bool


class ContainerAgent(Report):
    """Which agent one container has, as far as it has ever told."""

    vmid: int
    name: str
    version: str
    protocol_version: int
    is_online: bool
    fixed_because: str | None


class FleetAgents(Report):
    """`GET /api/platform/agents`."""

    versions: tuple[AgentVersionCount, ...]
    offers: tuple[OfferedAgent, ...]
    # From which protocol on an agent can be told.
    protocol_needed: int
    containers: tuple[ContainerAgent, ...]
    next: str | UnsetType = UNSET


class RolloutEvent(Report):
    """`rollout` on `GET /api/events`, for operators: something about a roll-out has changed."""

    id: str
