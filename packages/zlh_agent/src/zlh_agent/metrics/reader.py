"""Looks at the kernel once, for everything. It blocks: call in a thread.

Bounded by the number of processes: a container that is full of them costs a look at 10,000 at most, and the dear
figures are left out for a tree that has more than a thousand.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from zlh_agent.metrics.control_groups import ROOT, WHOLE, read_group
from zlh_agent.metrics.model import GroupReading, Reading, Target, TreeReading
from zlh_agent.metrics.proc_files import (
    ProcStat,
    parse_figures,
    parse_groups,
    parse_io,
    parse_proc_stat,
    parse_proportional_bytes,
    parse_traffic,
    select_trees,
    shows_own_memory,
)
from zlh_agent.metrics.small_files import Denied, read_or_denied, read_small
from zlh_agent.shim.launch import unit_name

MAX_PROCESSES = 10_000
MAX_DETAILED = 1000
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one looks."""

    # Whether the control groups and the network are the container's own; not so under the process driver.
    is_container: bool
    # On the file system that the customer's files are on.
    workspace: Path
    groups: str = ROOT


def read_all(place: Place, targets: Sequence[Target]) -> Reading:
    """Return what everything uses now."""
    stats = read_stats()
    me = os.getpid()
    trees = select_trees(stats.values(), [me, *(target.shim_pid for target in targets)])
    own = [stats[me], *trees[me]] if me in stats else trees[me]
    disk = _read_disk(place.workspace)
    traffic = parse_traffic(read_small("/proc/self/net/dev")) if place.is_container else (None, None)
    return Reading(
        at=time.monotonic(),
        uptime_s=_uptime_s(stats.get(1 if place.is_container else me)),
        trees={target.key: _read_target(place, target, stats, trees[target.shim_pid]) for target in targets},
        own=_read_tree(own, None),
        group=_read_container(place) if place.is_container else GroupReading(),
        disk_used_bytes=disk[0],
        disk_total_bytes=disk[1],
        received_bytes=traffic[0],
        sent_bytes=traffic[1],
    )


def read_stats() -> dict[int, ProcStat]:
    """Return every process that can be seen, by pid; what ends meanwhile is left out."""
    found = {}
    with os.scandir("/proc") as entries:
        for entry in islice((entry for entry in entries if entry.name.isdigit()), MAX_PROCESSES):
            try:
                stat = parse_proc_stat(read_small(f"/proc/{entry.name}/stat"))
            except ValueError:
                continue
            found[stat.pid] = stat
    return found


def _read_target(place: Place, target: Target, stats: dict[int, ProcStat], tree: list[ProcStat]) -> TreeReading:
    reading = _read_tree(tree, stats.get(target.shim_pid))
    if not place.is_container:
        return reading
    paths = parse_groups(read_small(f"/proc/{target.shim_pid}/cgroup"))
    # A group of its own counts those that have ended, whoever was or was not their parent.
    is_own = any(path.endswith(f"/{unit_name(target.kind, target.name)}") for path in paths.values())
    cpu_s = read_group(place.groups, paths).cpu_s if is_own else None
    return reading if cpu_s is None else replace(reading, cpu_s=cpu_s)


def _read_tree(tree: Sequence[ProcStat], root: ProcStat | None) -> TreeReading:
    """Sum up some processes; of the root only what its children have used that are over."""
    alive = [stat for stat in tree if not stat.is_over]
    ticks = sum(stat.own_ticks + stat.ended_ticks for stat in tree) + (root.ended_ticks if root is not None else 0)
    details = _read_details(alive) if len(alive) <= MAX_DETAILED else _NOT_KNOWN
    return TreeReading(
        cpu_s=ticks / _TICKS,
        memory_bytes=sum(stat.resident_pages for stat in alive) * _PAGE,
        memory_proportional_bytes=details.proportional_bytes,
        read_bytes=details.read_bytes,
        written_bytes=details.written_bytes,
        processes=len(alive),
        threads=sum(stat.threads for stat in alive),
        open_files=details.open_files,
        era=root.start_ticks if root is not None else 0,
    )


@dataclass(frozen=True, slots=True)
class _Details:
    proportional_bytes: int | None
    read_bytes: int | None
    written_bytes: int | None
    open_files: int | None


_NOT_KNOWN = _Details(None, None, None, None)


def _read_details(alive: Sequence[ProcStat]) -> _Details:
    proportional = _total([_read_proportional(stat.pid) for stat in alive])
    io = [_read_io(stat.pid) for stat in alive]
    return _Details(
        proportional_bytes=proportional,
        read_bytes=_total([pair if isinstance(pair, Denied) or pair is None else pair[0] for pair in io]),
        written_bytes=_total([pair if isinstance(pair, Denied) or pair is None else pair[1] for pair in io]),
        open_files=_total([_count_open_files(stat.pid) for stat in alive]),
    )


def _total(figures: Sequence[int | Denied | None]) -> int | None:
    """Return the sum of what was read, without those that went; None where one refuses, or none tells at all."""
    told = [figure for figure in figures if isinstance(figure, int)]
    if any(isinstance(figure, Denied) for figure in figures) or (figures and not told):
        return None
    return sum(told)


def _read_proportional(pid: int) -> int | Denied | None:
    try:
        return parse_proportional_bytes(read_or_denied(f"/proc/{pid}/smaps_rollup"))
    except Denied as denied:
        return denied


def _read_io(pid: int) -> tuple[int, int] | Denied | None:
    try:
        return parse_io(read_or_denied(f"/proc/{pid}/io"))
    except Denied as denied:
        return denied


def _count_open_files(pid: int) -> int | Denied | None:
    folder = f"/proc/{pid}/fd"
    try:
        # Newer kernels tell the number as the size; a program may have a million.
        return os.stat(folder).st_size or len(os.listdir(folder))  # noqa: PTH116, PTH208 - once for each process
    except PermissionError:
        return Denied()
    except OSError:
        return None


def _read_container(place: Place) -> GroupReading:
    group = read_group(place.groups, WHOLE)
    if group.memory_limit_bytes is None and shows_own_memory(read_small("/proc/self/mounts")):
        # The limit lies in a group above the one that can be seen from here; lxcfs knows it.
        total_kib = parse_figures(read_small("/proc/meminfo").replace(b":", b"").replace(b" kB", b"")).get(b"MemTotal")
        group = replace(group, memory_limit_bytes=None if total_kib is None else total_kib * 1024)
    allowed = len(os.sched_getaffinity(0))
    if allowed < (os.cpu_count() or allowed):
        group = replace(group, cpu_limit_cores=min(float(allowed), group.cpu_limit_cores or allowed))
    return group


def _uptime_s(first: ProcStat | None) -> float:
    # Not /proc/uptime: without lxcfs that is the host's.
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - first.start_ticks / _TICKS) if first is not None else 0.0


def _read_disk(folder: Path) -> tuple[int, int] | tuple[None, None]:
    for place in (folder, *folder.parents):
        try:
            found = os.statvfs(place)
        except OSError:
            continue
        return (found.f_blocks - found.f_bfree) * found.f_frsize, found.f_blocks * found.f_frsize
    return None, None
