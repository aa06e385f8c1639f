"""Makes figures out of readings: totals that never fall, and shares over the time between two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from zlh_agent.metrics.model import GroupReading, Key, Reading, Target, TreeReading
from zlh_common.schema.metrics import ContainerMetrics, Metrics, ProcessMetrics, Usage

# What is counted beside the targets: the agent's own, and the container.
OWN, WHOLE = "agent", "container"


@dataclass(frozen=True, slots=True)
class Total:
    """A count that never falls: what the kernel last said, and what it no longer counts."""

    last: float = 0.0
    lost: float = 0.0
    era: int = 0

    @property
    def value(self) -> float:
        """Everything."""
        return self.last + self.lost

    def after(self, count: float, era: int) -> Total:
        """Return the total once the kernel says `count`: of another era it is all new, else what is missing is lost."""
        gone = self.last if era != self.era else max(0.0, self.last - count)
        return Total(count, self.lost + gone, era)


@dataclass(frozen=True, slots=True)
class Totals:
    """All totals at one moment."""

    at: float
    # By target, OWN or WHOLE, and the name of the figure.
    of: Mapping[tuple[Key | str, str], Total] = field(default_factory=dict)

    def value(self, key: Key | str, figure: str) -> float | None:
        """Return one total, or None where it is not known."""
        found = self.of.get((key, figure))
        return None if found is None else found.value


def has_fallen(before: Totals, reading: Reading) -> bool:
    """Tell whether the processor's time of a tree is less than before.

    Either what it counted is gone for good, as with a program that does not wait for its children; or one ended between
    the looks at it and at its parent, and the next look has it again.
    """
    known = ((before.of.get((key, "cpu")), tree) for key, tree in reading.trees.items())
    return any(total is not None and total.era == tree.era and tree.cpu_s < total.last for total, tree in known)


def add_up(before: Totals, reading: Reading) -> Totals:
    """Return the totals after a reading. What the kernel no longer counts is carried on."""
    found = dict(before.of)
    for (key, figure), (count, era) in _counts(reading).items():
        found[key, figure] = before.of.get((key, figure), Total(era=era)).after(count, era)
    whole = before.of.get((WHOLE, "cpu"), Total())
    if reading.group.cpu_s is not None:
        found[WHOLE, "cpu"] = whole.after(reading.group.cpu_s, 0)
    else:
        new_s = sum(found[key].value - before.of.get(key, Total()).value for key in found if key[1] == "cpu")
        found[WHOLE, "cpu"] = Total(whole.last + new_s, whole.lost)
    return Totals(reading.at, found)


def forget_gone(totals: Totals, names: Sequence[Key]) -> Totals:
    """Return the totals without those of targets that nobody knows any more; the container's stay."""
    kept = {(key, figure): total for (key, figure), total in totals.of.items() if key in {OWN, WHOLE, *names}}
    return replace(totals, of=kept)


def _counts(reading: Reading) -> dict[tuple[Key | str, str], tuple[float, int]]:
    counts: dict[tuple[Key | str, str], tuple[float, int]] = {(OWN, "cpu"): (reading.own.cpu_s, 0)}
    for key, tree in reading.trees.items():
        told = {"cpu": tree.cpu_s, "read": tree.read_bytes, "written": tree.written_bytes}
        counts |= {(key, figure): (count, tree.era) for figure, count in told.items() if count is not None}
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
