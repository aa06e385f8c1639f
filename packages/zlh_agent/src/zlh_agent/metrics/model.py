"""What was read from the kernel at one moment, before anything is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Key = tuple[Literal["process", "terminal"], str]


@dataclass(frozen=True, slots=True)
class Target:
    """A process or terminal that runs: the pid of its child, and of the shim that everything of it stays below."""

    kind: Literal["process", "terminal"]
    name: str
    pid: int
    shim_pid: int

    @property
    def key(self) -> Key:
        """What tells it from the others."""
        return self.kind, self.name


@dataclass(frozen=True, slots=True)
class TreeReading:
    """All processes of one target; a figure is None where it may not be read."""

    cpu_s: float
    memory_bytes: int
    memory_proportional_bytes: int | None
    read_bytes: int | None
    written_bytes: int | None
    processes: int
    threads: int
    open_files: int | None
    # Differs where another shim has taken the place of the one before, and counts from nothing.
    era: int = 0


@dataclass(frozen=True, slots=True)
class GroupReading:
    """One control group; a figure is None where its file is not there, a limit as well where there is none."""

    version: Literal["cgroup2", "cgroup1"] | None = None
    cpu_s: float | None = None
    cpu_limit_cores: float | None = None
    memory_bytes: int | None = None
    memory_cache_bytes: int | None = None
    memory_limit_bytes: int | None = None
    tasks: int | None = None
    tasks_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything, at one moment."""

    # Seconds of a clock that never runs backwards.
    at: float
    uptime_s: float
    trees: dict[Key, TreeReading]
    # The agent itself, and what it has started beside the targets, such as an install.
    own: TreeReading
    group: GroupReading = field(default_factory=GroupReading)
    disk_used_bytes: int | None = None
    disk_total_bytes: int | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None
