"""Reads the text of `/proc`: pure, bytes in, since the names in it are whatever their owners have chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# What `/proc/<pid>/stat` has at least, after the name.
_STAT_FIELDS = 22


@dataclass(frozen=True, slots=True)
class ProcStat:
    """One line of `/proc/<pid>/stat`, as far as it tells what a process uses."""

    pid: int
    state: str
    parent: int
    start_ticks: int
    # Its own time, and that of its children that have ended and were waited for, with all of theirs.
    own_ticks: int
    ended_ticks: int
    threads: int
    resident_pages: int

    @property
    def is_over(self) -> bool:
        """Whether it has ended, and only its parent has not taken note."""
        return self.state in {"Z", "X"}


def parse_proc_stat(raw: bytes) -> ProcStat:
    """Return one process; its name may hold spaces, parentheses, line feeds and any byte. Raises ValueError."""
    pid, _, _ = raw.partition(b" ")
    fields = raw[raw.rindex(b")") + 1 :].split()
    if len(fields) < _STAT_FIELDS:
        raise ValueError(f"a stat line has at least {_STAT_FIELDS + 2} fields")
    number = [int(field) for field in fields[1:_STAT_FIELDS]]
    # Counted from the field after the state: 0 is the parent, 10 and 11 the own times, 12 and 13 the children's.
    return ProcStat(
        pid=int(pid),
        state=fields[0].decode("ascii", "replace"),
        parent=number[0],
        own_ticks=number[10] + number[11],
        ended_ticks=number[12] + number[13],
        threads=number[16],
        start_ticks=number[18],
        resident_pages=number[20],
    )


def parse_io(raw: bytes) -> tuple[int, int] | None:
    """Return what was read from and written to disks, or None where the file does not tell."""
    found = parse_figures(raw.replace(b":", b""))
    try:
        return found[b"read_bytes"], found[b"write_bytes"]
    except KeyError:
        return None


def parse_proportional_bytes(raw: bytes) -> int | None:
    """Return the `Pss` of `/proc/<pid>/smaps_rollup`, or None where the file does not tell."""
    for line in raw.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == b"Pss:" and words[1].isdigit():
            return int(words[1]) * 1024
    return None


def parse_traffic(raw: bytes) -> tuple[int, int]:
    """Return the bytes received and sent by all interfaces of `/proc/net/dev` but the loopback."""
    received = sent = 0
    for line in raw.splitlines():
        name, colon, rest = line.rpartition(b":")
        figures = rest.split()
        if colon and name.strip() != b"lo" and len(figures) >= 9 and figures[0].isdigit() and figures[8].isdigit():
            received += int(figures[0])
            sent += int(figures[8])
    return received, sent


def parse_figures(raw: bytes) -> dict[bytes, int]:
    """Return the lines `<name> <number>` of a file such as `memory.stat`; other lines are left out."""
    pairs = (line.split() for line in raw.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def parse_groups(raw: bytes) -> dict[str, str]:
    """Return the path of each controller out of `/proc/<pid>/cgroup`; that of version 2 stands under an empty name."""
    found = {}
    for line in raw.decode("utf-8", "surrogateescape").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if path.startswith("/") and "/.." not in path:
            found.update(dict.fromkeys(controllers.split(","), path))
    return found


def shows_own_memory(mounts: bytes) -> bool:
    """Tell whether `/proc/meminfo` is the container's own: lxcfs stands in front of the host's."""
    return any(
        words[1] == b"/proc/meminfo" and words[2] == b"fuse.lxcfs"
        for words in (line.split() for line in mounts.splitlines())
        if len(words) >= 3
    )


def select_trees(stats: Iterable[ProcStat], roots: Iterable[int]) -> dict[int, list[ProcStat]]:
    """Return the descendants of each root without itself. What is below a root within a root belongs to the inner."""
    children: dict[int, list[ProcStat]] = {}
    for stat in stats:
        children.setdefault(stat.parent, []).append(stat)
    wanted = set(roots)
    return {root: _descend(children, root, wanted) for root in wanted}


def _descend(children: Mapping[int, list[ProcStat]], root: int, roots: set[int]) -> list[ProcStat]:
    found: list[ProcStat] = []
    # Rows are read one after the other while pids are reused, so what they say of kinship may run in a circle.
    seen = {root}
    waiting = [root]
    while waiting:
        for stat in children.get(waiting.pop(), ()):
            if stat.pid not in seen and stat.pid not in roots:
                seen.add(stat.pid)
                found.append(stat)
                waiting.append(stat.pid)
    return found
