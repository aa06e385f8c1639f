"""What the agent remembers of a process, for the agent after it: one small file beside the process's history.

It is not brought to the disk with each step: it has to outlive the agent, not the machine. After a crash of the machine
the boot mark differs, no child is left, and everything begins as the spec says.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import msgspec
import structlog

from zlh_agent.supervision.machine import is_sound
from zlh_agent.supervision.model import State
from zlh_common.processes import read_boot_id

log = structlog.get_logger()


def ensure_boot_mark(runtime_folder: Path) -> str:
    """Return what differs after each start of the container: that empties its runtime folder. It blocks.

    A container has the boot id of its host, and under the process driver even the host's PID 1.
    """
    path = runtime_folder / "boot"
    try:
        mark = path.read_text()
    except FileNotFoundError:
        runtime_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark = str(uuid4())
        path.write_text(mark)
    return f"{read_boot_id()}:{mark}"


class _Kept(msgspec.Struct, frozen=True, rename="camel"):
    boot_mark: str
    state: State


class StateStore:
    """Keeps the state of one process in `<folder>/state.json`. It blocks: call in a thread."""

    def __init__(self, folder: Path, boot_mark: str) -> None:
        self._path = folder / "state.json"
        self._boot_mark = boot_mark

    def load(self) -> State | None:
        """Return the state that an agent of this boot has left; None where there is none that can be believed."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("process.state_unreadable", path=str(self._path), error=str(error))
            return None
        if not is_sound(kept.state):
            log.warning("process.state_unreadable", path=str(self._path), error="it contradicts itself")
            return None
        return kept.state if kept.boot_mark == self._boot_mark else None

    def save(self, state: State) -> None:
        """Replace what is kept; a reader sees the old or the new one, whole. Raises OSError."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(_Kept(self._boot_mark, state)))
        fresh.replace(self._path)
