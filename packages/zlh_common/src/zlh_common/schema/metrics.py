"""What a container and its processes use: measured by the agent, when asked and once a minute.

Totals only grow, so that a reader makes rates of any two of them; the shares are the agent's own, over the time since
its sample before. What cannot be known here (another kernel, a file that may not be read) is null and never a guess.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from zlh_common.schema.structs import Report


class Usage(Report):
    """What a tree of processes uses, from the one that was started down to whatever it has started."""

    # Of everything that ever belonged to it, as far as the kernel still counts it.
    cpu_s: float
    # Cores in use on average since the sample before: 1.5 is one and a half; null at the first one.
    cpu_cores: float | None
    memory_bytes: int
    # Shared pages counted by their share alone (PSS); null where that may not be read.
    memory_proportional_bytes: int | None
    read_bytes: int | None
    written_bytes: int | None
    processes: int
    threads: int
    open_files: int | None


class ProcessMetrics(Report):
    """One supervised process or terminal that runs."""

    name: str
    kind: Literal["process", "terminal"]
    pid: int
    usage: Usage


class ContainerMetrics(Report):
    """The container as a whole, with what it may use at most; a limit is null where there is none."""

    # `cgroup2`, `cgroup1`: the kernel's own account; `processes`: the sum over what the agent has started.
    source: Literal["cgroup2", "cgroup1", "processes"]
    uptime_s: float
    cpu_s: float
    cpu_cores: float | None
    cpu_limit_cores: float | None
    memory_bytes: int
    # Of it, what the kernel gives back when somebody needs it.
    memory_cache_bytes: int | None
    memory_limit_bytes: int | None
    processes: int
    processes_limit: int | None
    # Of the file system that the customer's files are on.
    disk_used_bytes: int | None
    disk_total_bytes: int | None
    # Of all interfaces but the loopback; null where the network is not the container's own.
    received_bytes: int | None
    sent_bytes: int | None


class Metrics(Report):
    """One sample: `GET …/metrics`, and a point of `GET …/metrics/history`."""

    observed_at: datetime
    container: ContainerMetrics
    processes: tuple[ProcessMetrics, ...]
