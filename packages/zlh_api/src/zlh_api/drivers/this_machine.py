"""What this machine has and what of it is in use: for the drivers whose guests are all here."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from zlh_api.drivers.port import NodeSeen
from zlh_common.schema.resources import Resources

MEMORY_INFO = Path("/proc/meminfo")
MIB = 2**20


def look_at_machine(place: Path, usual: Resources) -> NodeSeen:
    """Return this machine as the one node; its disk is that of `place`, or of the folder in which that will be."""
    while not place.exists() and place != place.parent:
        place = place.parent
    disk = os.statvfs(place)
    memory = parse_memory(_read_memory())
    free_disk_mib = disk.f_bavail * disk.f_frsize // MIB
    return NodeSeen(
        name=socket.gethostname(),
        is_online=True,
        lack=find_disk_lack(free_disk_mib, usual),
        cores=os.cpu_count(),
        memory_mib=memory.get("MemTotal"),
        used_memory_mib=memory["MemTotal"] - memory["MemAvailable"] if memory.keys() >= _NEEDED else None,
        disk_mib=disk.f_blocks * disk.f_frsize // MIB,
        free_disk_mib=free_disk_mib,
    )


_NEEDED = {"MemTotal", "MemAvailable"}


def _read_memory() -> str:
    """Return what the kernel tells of memory; nothing where the unit of the API hides that from it."""
    try:
        return MEMORY_INFO.read_text()
    except OSError:
        return ""


def parse_memory(text: str) -> dict[str, int]:
    """Return the figures of /proc/meminfo in MiB."""
    rows = (line.split() for line in text.splitlines())
    return {row[0].rstrip(":"): int(row[1]) // 1024 for row in rows if len(row) == 3 and row[1].isdigit()}


def find_disk_lack(free_mib: int, usual: Resources) -> str | None:
    """Return what the disk lacks for one more guest of the usual size, or None."""
    if free_mib >= usual.disk_mib:
        return None
    return f"{free_mib} MiB of disk are free and {usual.disk_mib} wanted"
