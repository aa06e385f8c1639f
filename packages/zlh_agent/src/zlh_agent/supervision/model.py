"""The values of supervision: where one process stands, what happens to it, and what is to be done about it.

Times are seconds of a clock that never runs backwards and means the same to every agent of one boot.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from zlh_common.processes import ProcessIdentity
from zlh_common.schema.process import ProcessReason


class Phase(StrEnum):
    """The position of one process; the first three of a start are one `starting` to people."""

    STOPPED = "stopped"
    # Before a start: what the last run has left ends, and its ports become free.
    CLEARING = "clearing"
    # The shim was told to start the child and has not answered.
    LAUNCHING = "launching"
    # The child runs and is not ready.
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    ERROR = "error"


class Child(msgspec.Struct, frozen=True, rename="camel"):
    """A child that runs, known beyond the reuse of its pid."""

    pid: int
    start_ticks: int
    boot_id: str

    def identity(self) -> ProcessIdentity:
        """The same, as a process that may be signalled."""
        return ProcessIdentity(self.pid, self.start_ticks, self.boot_id)


class Exit(msgspec.Struct, frozen=True, rename="camel"):
    """How a child ended; neither code nor signal where nobody saw it."""

    code: int | None = None
    # The name, as SIGKILL.
    signal: str | None = None
    out_of_memory: bool = False
    at_ns: int | None = None

    def sentence(self) -> str:
        """Return the end in words, to follow the name of the process."""
        if self.out_of_memory:
            return "was killed by the kernel: its memory was used up"
        if self.signal is not None:
            return f"was ended by {self.signal}"
        if self.code is not None:
            return f"exited with code {self.code}"
        return "is gone, and nobody saw how it ended"


class State(msgspec.Struct, frozen=True, rename="camel"):
    """Where one process stands. Kept on disk after every step, so that the next agent goes on from it."""

    phase: Phase = Phase.STOPPED
    # What the spec says: whether it shall run, and which start that was.
    is_wanted: bool = False
    attempt: int = 0
    # There while it runs: in STARTING, RUNNING and STOPPING.
    child: Child | None = None
    # What the newest start was made from, see `fingerprint`; None where an agent did not note it.
    made_from: str | None = None
    # When this phase was entered, and when the child was launched.
    since: float = 0.0
    launched_at: float | None = None
    # When something is due by itself: the restart, SIGKILL, the end of the start grace, the stable time.
    due: float | None = None
    # Restarts in a row, since it was last stable.
    restarts: int = 0
    is_ready: bool = False
    # In STOPPING: what follows the end. A restart was asked for, or the end counts as a crash (it hung).
    restarts_after: bool = False
    counts_as_crash: bool = False
    # How often SIGKILL was sent from here.
    kills: int = 0
    # Since when the probe of a process that was ready fails.
    silent_since: float | None = None
    reason: ProcessReason | None = None
    last_exit: Exit | None = None


# Events: what the spec says, what people ask, what the world answers.


@dataclass(frozen=True, slots=True)
class SwitchedOn:
    """The spec wants it to run; `attempt` grows with each start that somebody asked for."""

    attempt: int


@dataclass(frozen=True, slots=True)
class SwitchedOff:
    """The spec wants it not to run."""


@dataclass(frozen=True, slots=True)
class RestartAsked:
    """Stop it in order and start it again."""


@dataclass(frozen=True, slots=True)
class KillAsked:
    """End it now, whatever it is doing."""


@dataclass(frozen=True, slots=True)
class RetryAsked:
    """Start it now instead of later, or again after `error`."""


@dataclass(frozen=True, slots=True)
class GiveUpAsked:
    """Do not try again."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """Nothing of the last run is left, and its ports are free; the start is made from what `made_from` tells."""

    made_from: str | None = None


@dataclass(frozen=True, slots=True)
class Blocked:
    """It cannot be started: something of the last run does not end, or a port is held by somebody else."""

    reason: ProcessReason


@dataclass(frozen=True, slots=True)
class Launched:
    """The child runs; at `at` it began, which is earlier than now for one that was found running."""

    child: Child
    at: float


@dataclass(frozen=True, slots=True)
class LaunchFailed:
    """The child never became the program."""

    reason: ProcessReason


@dataclass(frozen=True, slots=True)
class Exited:
    """The child has ended."""

    exit: Exit


@dataclass(frozen=True, slots=True)
class FoundDown:
    """A new agent finds no child, and no record of the end of one that this state does not know."""


@dataclass(frozen=True, slots=True)
class ProbeAnswered:
    """The probe got its answer."""


@dataclass(frozen=True, slots=True)
class ProbeFailed:
    """The probe got no answer; why."""

    detail: str


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Look at the clock."""


Event = (
    SwitchedOn
    | SwitchedOff
    | RestartAsked
    | KillAsked
    | RetryAsked
    | GiveUpAsked
    | Cleared
    | Blocked
    | Launched
    | LaunchFailed
    | Exited
    | FoundDown
    | ProbeAnswered
    | ProbeFailed
    | TimePassed
)


# Effects: what the driver does; each answers with events.


@dataclass(frozen=True, slots=True)
class Clear:
    """End what the last run has left and wait for the ports: Cleared or Blocked."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Start the child: Launched or LaunchFailed."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Begin the ladder of the stop policy; its end comes as Exited."""


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to the child and everything that it has started, past a shim that does not answer."""


Effect = Clear | Launch | Stop | Kill
