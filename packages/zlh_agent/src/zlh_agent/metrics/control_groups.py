"""Reads control groups of version 1, of version 2, and of both at once, as a host happens to have them.

A container sees its own group as the root of what is mounted. Each figure is looked for in every place where a host may
have it: with both versions mounted the processor's time may stand in one and memory in the other.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from zlh_agent.metrics.model import GroupReading
from zlh_agent.metrics.proc_files import parse_figures
from zlh_agent.metrics.small_files import read_small

ROOT = "/sys/fs/cgroup"
# The container itself, whatever the controllers.
WHOLE: Mapping[str, str] = {}
# Version 1 says "no limit" by the largest number of whole pages.
_NO_LIMIT = 1 << 62


def read_group(root: str, paths: Mapping[str, str]) -> GroupReading:
    """Return what there is to know of one group; `paths` are those of `parse_groups`, the root's where left out."""
    two = _Files([f"{root}{paths.get('', '/')}", f"{root}/unified{paths.get('', '/')}"])
    memory = _Files([f"{root}/memory{paths.get('memory', '/')}"])
    processor = _Files([f"{root}/{folder}{paths.get('cpu', '/')}" for folder in ("cpu", "cpu,cpuacct")])
    account = _Files([f"{root}/{folder}{paths.get('cpuacct', '/')}" for folder in ("cpuacct", "cpu,cpuacct")])
    tasks = _Files([f"{root}/pids{paths.get('pids', '/')}"])
    is_two = two.number("memory.current") is not None
    is_one = memory.number("memory.usage_in_bytes") is not None
    return GroupReading(
        version="cgroup2" if is_two else "cgroup1" if is_one else None,
        cpu_s=_cpu_s(two, account),
        cpu_limit_cores=_cpu_limit(two, processor),
        memory_bytes=two.number("memory.current") if is_two else memory.number("memory.usage_in_bytes"),
        memory_cache_bytes=_cache(two.figures("memory.stat"), b"")
        if is_two
        else _cache(memory.figures("memory.stat"), b"total_"),
        memory_limit_bytes=_limit(two.number("memory.max") if is_two else memory.number("memory.limit_in_bytes")),
        tasks=_first(two.number("pids.current"), tasks.number("pids.current")),
        tasks_limit=_first(two.number("pids.max"), tasks.number("pids.max")),
    )


class _Files:
    """The files of one group, in the first of some folders that has them."""

    def __init__(self, folders: list[str]) -> None:
        self._folders = folders

    def read(self, name: str) -> bytes:
        for folder in self._folders:
            if found := read_small(os.path.join(folder, name)):  # noqa: PTH118 - half the time of pathlib
                return found
        return b""

    def number(self, name: str) -> int | None:
        text = self.read(name).strip()
        return int(text) if text.isdigit() else None

    def figures(self, name: str) -> dict[bytes, int]:
        return parse_figures(self.read(name))


def _cpu_s(two: _Files, account: _Files) -> float | None:
    usage_us = two.figures("cpu.stat").get(b"usage_usec")
    if usage_us is not None:
        return usage_us / 1e6
    usage_ns = account.number("cpuacct.usage")
    return None if usage_ns is None else usage_ns / 1e9


def _cpu_limit(two: _Files, processor: _Files) -> float | None:
    words = two.read("cpu.max").split()
    if len(words) == 2:
        quota, period = words[0], words[1]
    else:
        quota, period = processor.read("cpu.cfs_quota_us").strip(), processor.read("cpu.cfs_period_us").strip()
    if not (quota.isdigit() and period.isdigit() and int(period)):
        return None
    return int(quota) / int(period)


def _cache(figures: Mapping[bytes, int], prefix: bytes) -> int | None:
    """Return the pages of files and of the kernel that can be given back; those of shared memory cannot."""
    names = (b"active_file", b"inactive_file", b"slab_reclaimable")
    found = [figures[prefix + name] for name in names if prefix + name in figures]
    return sum(found) if found else None


def _limit(number: int | None) -> int | None:
    return None if number is None or number >= _NO_LIMIT else number


def _first(*numbers: int | None) -> int | None:
    return next((number for number in numbers if number is not None), None)
