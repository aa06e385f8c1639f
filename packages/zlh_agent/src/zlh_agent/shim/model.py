"""What a shim is told to run and to end, and what it says of itself.

The shim imports this, so there are no dataclasses here (they cost 8 ms), only slots.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

PROTOCOL_VERSION = 2

# States of a child as its shim sees them.
IDLE, RUNNING, EXITED = "idle", "running", "exited"


class Rung:
    """One step down: bytes to type or a signal to send, and how long it may take until the next."""

    __slots__ = ("grace_ms", "signal", "text")

    def __init__(self, *, grace_ms: int, signal: int = 0, text: bytes = b"") -> None:
        if bool(signal) == bool(text):
            raise ValueError("a rung is either a signal or a text")
        self.signal = signal
        self.text = text
        self.grace_ms = grace_ms

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rung) and (self.signal, self.text, self.grace_ms) == (
            other.signal,
            other.text,
            other.grace_ms,
        )

    __hash__ = None  # type: ignore[assignment]  # a value that nobody keeps in a set


class Launch:
    """What to run: the whole environment, nothing is inherited. Its repr shows no environment, which holds secrets."""

    __slots__ = ("argv", "cols", "cwd", "env", "gid", "groups", "ladder", "needs_folder", "rows", "uid", "umask")

    def __init__(
        self,
        *,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        cols: int = 80,
        rows: int = 24,
        uid: int | None = None,
        gid: int | None = None,
        groups: Sequence[int] = (),
        umask: int = 0o022,
        ladder: Sequence[Rung] = (),
        needs_folder: bool = True,
    ) -> None:
        if not argv or (uid is None) != (gid is None):
            raise ValueError("a launch needs a program, and a uid only together with a gid")
        self.argv = tuple(argv)
        self.env = dict(env)
        self.cwd = cwd
        self.cols = cols
        self.rows = rows
        self.uid = uid
        self.gid = gid
        self.groups = tuple(groups)
        self.umask = umask
        # How it is ended when the system goes down and no agent gives orders; empty: SIGHUP, as for a shell.
        self.ladder = tuple(ladder)
        # Whether it fails where its folder is gone, or begins at home, or else in /, as a login does.
        self.needs_folder = needs_folder

    def replace(self, **changes: Any) -> Launch:
        """Return the same launch but for what is named."""
        return Launch(**{name: getattr(self, name) for name in Launch.__slots__} | changes)

    def __repr__(self) -> str:
        return f"Launch(argv={self.argv!r}, cwd={self.cwd!r}, uid={self.uid!r})"


class Snapshot:
    """Everything a shim knows of itself and its child; a new one whenever something but the offset has changed."""

    __slots__ = (
        "boot_id",
        "child_pid",
        "child_start_ticks",
        "exit_code",
        "exit_signal",
        "exited_at_ns",
        "kill_at_ns",
        "left",
        "out_of_memory",
        "shim_pid",
        "shim_start_ticks",
        "start_offset",
        "started_at_ns",
        "state",
        "stream",
        "version",
        "written",
    )

    def __init__(
        self,
        *,
        shim_pid: int,
        shim_start_ticks: int,
        boot_id: str,
        stream: str,
        written: int,
        state: str,
        child_pid: int | None = None,
        child_start_ticks: int | None = None,
        started_at_ns: int | None = None,
        exit_code: int | None = None,
        exit_signal: int | None = None,
        exited_at_ns: int | None = None,
        left: int = 0,
        out_of_memory: bool = False,
        start_offset: int | None = None,
        kill_at_ns: int | None = None,
        version: int = PROTOCOL_VERSION,
    ) -> None:
        self.version = version
        self.shim_pid = shim_pid
        self.shim_start_ticks = shim_start_ticks
        self.boot_id = boot_id
        self.stream = stream
        self.written = written
        self.state = state
        self.child_pid = child_pid
        self.child_start_ticks = child_start_ticks
        self.started_at_ns = started_at_ns
        self.exit_code = exit_code
        self.exit_signal = exit_signal
        self.exited_at_ns = exited_at_ns
        # How many processes of former children still run, while there is no child.
        self.left = left
        # The kernel killed the last child since its memory was used up.
        self.out_of_memory = out_of_memory
        # Where the output of the child begins that runs or ran last.
        self.start_offset = start_offset
        # While a ladder is under way: when it comes to SIGKILL.
        self.kill_at_ns = kill_at_ns


class SpawnResult:
    """What became of one SPAWN: `errno` is 0 for a child that runs, else `step` says what failed."""

    __slots__ = ("errno", "serial", "step")

    def __init__(self, *, serial: int, errno: int = 0, step: str = "") -> None:
        self.serial = serial
        self.errno = errno
        self.step = step
