"""How often the kernel has killed something of this process's control group because memory was used up."""

from __future__ import annotations

import os

_ROOT = "/sys/fs/cgroup"


class OutOfMemoryKills:
    """Counts in the memory controller of the group that this process is in, whichever version it is of."""

    def __init__(self) -> None:
        self._path = _find_counter()

    def read(self) -> int | None:
        """Return the count, or None where this cannot be known."""
        text = _read(self._path) if self._path else ""
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill" and value.isdigit():
                return int(value)
        return None


def _find_counter() -> str:
    """Return the file that has the count; empty where there is none."""
    paths = []
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            paths.append(f"{_ROOT}/memory{path}/memory.oom_control")
        elif not controllers:
            paths += [f"{_ROOT}{path}/memory.events", f"{_ROOT}/unified{path}/memory.events"]
    return next((path for path in paths if "oom_kill " in _read(path)), "")


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, 8192).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
