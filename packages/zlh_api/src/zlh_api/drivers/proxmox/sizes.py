"""Limits of a guest in Proxmox's words: pure. The number of processes is none that a token may set."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from zlh_api.drivers.proxmox.network_rule import parse_properties
from zlh_common.schema.resources import Resources

ENFORCED = frozenset({"cpu", "memory_mib", "disk_mib"})
# Storages round a volume up to pieces of their own.
ROUNDING_MIB = 64
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)")
_UNIT_MIB = {"": 1 / 2**20, "K": 1 / 1024, "M": 1, "G": 1024, "T": 2**20}


def render_limits(resources: Resources) -> dict[str, int | float]:
    """Return what a configuration holds of the limits."""
    return {
        "cores": max(1, math.ceil(resources.cpu)),
        "cpulimit": resources.cpu,
        "memory": resources.memory_mib,
        "swap": 0,
    }


def render_rootfs(storage: str, resources: Resources) -> str:
    """Return the volume that a new guest gets, whose size is in GiB and may have a fraction."""
    return f"{storage}:{resources.disk_mib / 1024:.10g}"


def find_changes(config: Mapping[str, Any], resources: Resources) -> dict[str, int | float]:
    """Return the limits of a configuration that are not as wanted, as they should be."""
    return {name: value for name, value in render_limits(resources).items() if not _is(config.get(name), value)}


def read_disk_mib(config: Mapping[str, Any]) -> int | None:
    """Return how large the root disk is, or None where that is not said."""
    match = _SIZE.fullmatch(parse_properties(config.get("rootfs")).get("size", ""))
    return round(float(match[1]) * _UNIT_MIB[match[2]]) if match else None


def find_growth_mib(config: Mapping[str, Any], resources: Resources) -> int:
    """Return by how much the disk is too small, or where this is negative, too large; 0 within what storages round."""
    has_mib = read_disk_mib(config)
    if has_mib is None:
        return 0
    lack = resources.disk_mib - has_mib
    return 0 if -ROUNDING_MIB < lack <= 0 else lack


def _is(present: object, wanted: float) -> bool:
    try:
        return present is not None and float(str(present)) == float(wanted)
    except ValueError:
        return False
