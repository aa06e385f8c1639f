"""Makes figures out of readings: totals that never fall, and shares over the time between two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from zlh_agent.metrics.model import GroupReading, Key, Reading, Target, TreeReading
from zlh_common.schema.metrics import ContainerMetrics, Metrics, ProcessMetrics, Usage

WHOLE = "container"


@dataclass(frozen=True, slots=True)
class Total:
    """A count that never falls: what the kernel last said, and what it no longer counts."""

    last: float
    lost: float = 0.0

    @property
    def value(self) -> float:
        """Everything."""
        return self.last + self.lost


@dataclass(frozen=True, slots=True)
class Totals:
    """All totals at one moment."""

    at: float
    # By target, or WHOLE, and the name of the figure.
    of: Mapping[tuple[Key | str, str], Total] = field(default_factory=dict)

    def value(self, key: Key | str, figure: str) -> float | None:
        """Return one total, or None where it is not known."""
        found = self.of.get((key, figure))
        return None if found is None else found.value


def has_fallen(before: Totals, reading: Reading) -> bool:
    """Tell whether the processor's time of something is less than before.

    Either what it counted is gone for good (a program that has its children not waited for, a new shim), or it ended
    between the looks at two processes; then the next look has it again.
    """
    told = _counts(reading)
    return any(key in before.of and value < before.of[key].last for key, value in told.items() if key[1] == "cpu")


def add_up(before: Totals, reading: Reading) -> Totals:
    """Return the totals after a reading. What the kernel no longer counts is carried on, for each name for ever."""
    found = dict(before.of)
    for key, value in _counts(reading).items():
        former = before.of.get(key, Total(0.0))
        found[key] = Total(value, former.lost + max(0.0, former.last - value))
    return Totals(reading.at, found)


def forget_gone(totals: Totals, names: Sequence[Key]) -> Totals:
    """Return the totals without those of targets that nobody knows any more; the container's stay."""
    kept = {(key, figure): total for (key, figure), total in totals.of.items() if key == WHOLE or key in names}
    return replace(totals, of=kept)


def _counts(reading: Reading) -> dict[tuple[Key | str, str], float]:
    counts: dict[tuple[Key | str, str], float] = {}
    for key, tree in reading.trees.items():
        counts |= {(key, "cpu"): tree.cpu_s}
        if tree.read_bytes is not None and tree.written_bytes is not None:
            counts |= {(key, "read"): float(tree.read_bytes), (key, "written"): float(tree.written_bytes)}
    group_s = reading.group.cpu_s
    counts[WHOLE, "cpu"] = group_s if group_s is not None else sum(tree.cpu_s for tree in _all(reading))
    return counts


def _all(reading: Reading) -> list[TreeReading]:
    return [*reading.trees.values(), reading.own]


def render_metrics(
    reading: Reading, targets: Sequence[Target], totals: Totals, before: Totals, observed_at: datetime
) -> Metrics:
    """Return a sample; the shares are over the time since `before`."""
    return Metrics(
        observed_at=observed_at,
        container=_render_container(reading, totals, before),
        processes=tuple(
            ProcessMetrics(
                name=target.name,
                kind=target.kind,
                pid=target.pid,
                usage=_render_usage(reading.trees[target.key], target.key, totals, before),
            )
            for target in targets
        ),
    )


def _render_usage(tree: TreeReading, key: Key, totals: Totals, before: Totals) -> Usage:
    read, written = totals.value(key, "read"), totals.value(key, "written")
    return Usage(
        cpu_s=round(totals.value(key, "cpu") or 0.0, 3),
        cpu_cores=_share(totals, before, key),
        memory_bytes=tree.memory_bytes,
        memory_proportional_bytes=tree.memory_proportional_bytes,
        read_bytes=None if read is None or tree.read_bytes is None else int(read),
        written_bytes=None if written is None or tree.written_bytes is None else int(written),
        processes=tree.processes,
        threads=tree.threads,
        open_files=tree.open_files,
    )


def _render_container(reading: Reading, totals: Totals, before: Totals) -> ContainerMetrics:
    group, trees = reading.group, _all(reading)
    source = group.version or "processes"
    memory = group.memory_bytes if group.memory_bytes is not None else sum(tree.memory_bytes for tree in trees)
    return ContainerMetrics(
        source=source,
        uptime_s=round(reading.uptime_s, 1),
        cpu_s=round(totals.value(WHOLE, "cpu") or 0.0, 3),
        cpu_cores=_share(totals, before, WHOLE),
        cpu_limit_cores=group.cpu_limit_cores,
        memory_bytes=memory,
        memory_cache_bytes=group.memory_cache_bytes,
        memory_limit_bytes=group.memory_limit_bytes,
        processes=_tasks(group, trees),
        processes_limit=group.tasks_limit,
        disk_used_bytes=reading.disk_used_bytes,
        disk_total_bytes=reading.disk_total_bytes,
        received_bytes=reading.received_bytes,
        sent_bytes=reading.sent_bytes,
    )


def _tasks(group: GroupReading, trees: Sequence[TreeReading]) -> int:
    return group.tasks if group.tasks is not None else sum(tree.processes for tree in trees)


def _share(totals: Totals, before: Totals, key: Key | str) -> float | None:
    now, then = totals.value(key, "cpu"), before.value(key, "cpu")
    seconds = totals.at - before.at
    if now is None or then is None or seconds <= 0:
        return None
    return round((now - then) / seconds, 4)
