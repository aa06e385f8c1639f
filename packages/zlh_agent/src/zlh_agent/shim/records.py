"""What a shim leaves on disk for an agent that was away: who ran here, and how the last child ended."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TypeVar

import msgspec

from zlh_common.processes import ProcessIdentity

T = TypeVar("T")


class Pid(msgspec.Struct, frozen=True, rename="camel"):
    """A process, as far as one boot goes."""

    pid: int
    start_ticks: int


class RunRecord(msgspec.Struct, frozen=True, rename="camel"):
    """`<name>.run` beside the socket: the shim, and the child that it holds."""

    boot_id: str
    shim: Pid
    child: Pid | None

    def shim_identity(self) -> ProcessIdentity:
        """The shim that wrote this."""
        return ProcessIdentity(self.shim.pid, self.shim.start_ticks, self.boot_id)

    def child_identity(self) -> ProcessIdentity | None:
        """The child that it held when it wrote this."""
        return ProcessIdentity(self.child.pid, self.child.start_ticks, self.boot_id) if self.child else None


class ExitRecord(msgspec.Struct, frozen=True, rename="camel"):
    """`exit` beside the ring: how and when the last child ended; one of code and signal is null."""

    code: int | None
    signal: int | None
    started_at_ns: int | None
    exited_at_ns: int
    # The ring's written offset at that time.
    written: int
    # The kernel killed it since its memory was used up; absent in records of older shims.
    out_of_memory: bool = False


def read_run_record(path: Path) -> RunRecord | None:
    """Return the record, or None where there is none that can be read."""
    return _read(path, RunRecord)


def read_exit_record(path: Path) -> ExitRecord | None:
    """Return the record, or None where there is none that can be read."""
    return _read(path, ExitRecord)


def _read(path: Path, shape: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except (OSError, msgspec.MsgspecError):
        return None


def remove_history(folder: Path) -> None:
    """Remove the ring and the records of a terminal that nobody holds any more."""
    shutil.rmtree(folder, ignore_errors=True)
