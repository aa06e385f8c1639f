"""What an update is to the agent: what it was told, what it hands over, and what is seen of the one that follows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

# One without a zone cannot be compared with another.
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
# How long a new version has to prove itself once it listens. With what its start takes that is below the launcher's own
# limit, so it is the agent that says what was lacking.
PROOF_S = 60.0


class Order(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`order.json`: what the agent was told last. From the switch on, the launcher's state says more of it."""

    version: str
    attempt: int
    # The version that was told.
    before: str
    started_at: Moment
    # When it failed, or there was nothing to do; null from then until then.
    finished_at: Moment | None = None
    code: str | None = None
    message: str | None = None
    exit_code: int | None = None
    output: str | None = None
    # Whether the journal has what became of it.
    is_noted: bool = False


class HeldShim(msgspec.Struct, frozen=True, rename="camel"):
    """A shim that the former agent held when it went."""

    pid: int
    start_ticks: int


class Handover(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`handover.json`: what the former agent had, and the new one must reach to prove itself."""

    version: str
    attempt: int
    boot_id: str
    spec_generation: int
    shims: tuple[HeldShim, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """How far an update is prepared."""

    progress: float
    message: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a version on trial can show of itself."""

    # Why its own port does not serve, or its report cannot be made; None where both work.
    trouble: str | None
    spec_generation: int
    shims: frozenset[HeldShim]


@dataclass(frozen=True, slots=True)
class UpdatePlace:
    """Where an agent's bundles and its state lie, and where newer ones come from."""

    # The folder of the bundles, which `current` and the launcher lie in.
    bundles: Path
    # Of the state; downloads lie below it.
    folder: Path
    # The container's root, below which systemd's units lie.
    root: Path
    artifacts_urls: tuple[str, ...]
    trusted_root: Path
    channels: tuple[str, ...]
    # How long a version that has proved itself comes back to the former one when it ends by itself.
    probation_s: float
    # Of this agent.
    version: str
    # Why it cannot bring itself to another version; None where it can.
    fixed_because: str | None
    proof_s: float = PROOF_S
