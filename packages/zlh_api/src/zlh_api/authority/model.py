"""What is known of a change of the CAs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from zlh_api.agents.standing import Standing
from zlh_common.names import Kind, Vmid


@dataclass(frozen=True, slots=True)
class Registered:
    """A generation as the database knows it; the keys are on disk alone."""

    number: int
    digest: bytes
    made_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Holder:
    """An API process that runs: which generations it has the keys of, and by what it goes."""

    held: frozenset[int]
    standing: Standing


class Reason(StrEnum):
    """Why an agent is not as far as it must be for a former generation to go."""

    OLD_AGENT = "its agent is too old to be told while it runs; it is at the container's next start"
    OFFLINE = "its agent is offline; it is told when it is back, or at the container's next start"
    REFUSED = "its agent does not take it; the container's status says why"
    WAITING = "its turn comes"


@dataclass(frozen=True, slots=True)
class Dependent:
    """A container that a former generation must not be taken from yet."""

    vmid: Vmid
    kind: Kind
    # By which it is known.
    generation: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Scene:
    """All that decides what follows; `registered` is in order and never empty."""

    registered: tuple[Registered, ...]
    standing: Standing
    holders: tuple[Holder, ...]
    # How many containers depend on a generation before the one that issues.
    dependents: int

    @property
    def newest(self) -> Registered:
        """The generation that was made last."""
        return self.registered[-1]

    @property
    def is_changing(self) -> bool:
        """Whether there is more than one generation."""
        return self.newest.number != self.standing.oldest
