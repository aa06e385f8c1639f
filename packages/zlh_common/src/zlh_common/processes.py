"""Which process a record means: pid, start time and boot id together, never a pid alone.

A pid is given out again, within seconds on a small machine. A signal goes through a pidfd that is opened first and
compared after: from then on the kernel guarantees that it hits the very process that was compared.
The agent's shim imports this: `os` and the C module behind `signal` only (`signal` itself builds enums for 3 ms).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Iterable
else:
    import _signal


class ProcessIdentity:
    """One process in the life of one machine; equal only to itself."""

    __slots__ = ("boot_id", "pid", "start_ticks")

    def __init__(self, pid: int, start_ticks: int, boot_id: str) -> None:
        self.pid = pid
        self.start_ticks = start_ticks
        self.boot_id = boot_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessIdentity) and (self.pid, self.start_ticks, self.boot_id) == (
            other.pid,
            other.start_ticks,
            other.boot_id,
        )

    def __hash__(self) -> int:
        return hash((self.pid, self.start_ticks, self.boot_id))

    def __repr__(self) -> str:
        return f"ProcessIdentity({self.pid}, {self.start_ticks}, {self.boot_id!r})"


class ProcessRow:
    """What `/proc/<pid>/stat` says about kinship."""

    __slots__ = ("parent", "pid", "session", "start_ticks", "state")

    def __init__(self, pid: int, state: str, parent: int, session: int, start_ticks: int) -> None:
        self.pid = pid
        self.state = state
        self.parent = parent
        self.session = session
        self.start_ticks = start_ticks


def parse_stat(text: str) -> ProcessRow:
    """Return one line of `/proc/<pid>/stat`; the name in it may hold spaces and parentheses. Raises ValueError."""
    pid, _, _ = text.partition(" ")
    fields = text[text.rindex(")") + 2 :].split()
    if len(fields) < 20:
        raise ValueError(f"a stat line has at least 22 fields, this one has {len(fields) + 2}")
    return ProcessRow(int(pid), fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def select_kin(rows: Iterable[ProcessRow], root: int) -> list[ProcessRow]:
    """Return what belongs to the session leader `root`: its session and every descendant, zombies left out.

    The caller vouches that `root` has not been reaped: its number could be anybody's.
    """
    table = list(rows)
    return _select_family(table, {root} | {row.pid for row in table if row.session == root})


def select_descendants(rows: Iterable[ProcessRow], root: int) -> list[ProcessRow]:
    """Return every descendant of `root` without itself, zombies left out."""
    return [row for row in _select_family(list(rows), {root}) if row.pid != root]


def _select_family(table: list[ProcessRow], members: set[int]) -> list[ProcessRow]:
    """Return the rows of `members` and all their descendants, zombies left out."""
    members = set(members)
    grown = True
    while grown:
        children = {row.pid for row in table if row.parent in members and row.pid not in members}
        members |= children
        grown = bool(children)
    return [row for row in table if row.pid in members and row.state not in {"Z", "X"}]


def read_boot_id() -> str:
    """Return the id of this life of the machine."""
    return _read("/proc/sys/kernel/random/boot_id").strip()


def read_row(pid: int) -> ProcessRow | None:
    """Return what the kernel says about `pid` now, or None where there is no such process."""
    try:
        return parse_stat(_read(f"/proc/{pid}/stat"))
    except (OSError, ValueError):
        return None


def read_rows() -> list[ProcessRow]:
    """Return every process that can be seen; those that end meanwhile are left out."""
    rows = (read_row(int(name)) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - no pathlib here
    return [row for row in rows if row is not None]


def read_identity(pid: int) -> ProcessIdentity | None:
    """Return the identity of the process that has this pid now, or None where there is none."""
    row = read_row(pid)
    return None if row is None else ProcessIdentity(pid, row.start_ticks, read_boot_id())


def is_alive(identity: ProcessIdentity) -> bool:
    """Tell whether this very process still runs; a zombie does not."""
    row = read_row(identity.pid)
    return (
        row is not None
        and row.start_ticks == identity.start_ticks
        and row.state not in {"Z", "X"}
        and identity.boot_id == read_boot_id()
    )


def send_signal(identity: ProcessIdentity, number: int) -> bool:
    """Send a signal to this very process; False where it has gone or is not ours, whoever has its pid now."""
    if identity.pid <= 0 or identity.boot_id != read_boot_id():
        return False
    try:
        pidfd = os.pidfd_open(identity.pid)
    except (ProcessLookupError, PermissionError):
        return False
    try:
        row = read_row(identity.pid)
        if row is None or row.start_ticks != identity.start_ticks:
            return False
        _signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(pidfd)
    return True


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096).decode("utf-8", "replace")
    finally:
        os.close(fd)
