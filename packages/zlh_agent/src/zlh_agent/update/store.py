"""What is kept of updates, below `/var/lib/zlh/update`: the order, the handover, and the launcher's state beside them.

All of it blocks: call in a thread. What cannot be read is set aside and counts as not there, since another version may
have written it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from zlh_agent import launcher
from zlh_agent.launcher import UNDONE, UpdateState
from zlh_agent.update.model import Handover, Order
from zlh_common.durable_files import write_durably

log = structlog.get_logger()
ORDER, HANDOVER = "order.json", "handover.json"
FOLDER_MODE = 0o700
T = TypeVar("T", Order, Handover)
_encode = msgspec.json.Encoder().encode


class UpdateStore:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ensure_folder(self) -> None:
        """Make the folder, for nobody else to look into. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)

    def read_state(self) -> UpdateState:
        """Return how far the switch is, as the launcher has it. Raises OSError."""
        return launcher.read_state(self.folder)

    def write_state(self, state: UpdateState) -> None:
        """Have the launcher's state be this. Raises OSError."""
        launcher.write_state(self.folder, state)

    def move_state(self, before: UpdateState, after: UpdateState) -> UpdateState:
        """Go on from one state to another, unless its version was given up meanwhile; return what is kept.

        Raises OSError.
        """
        with launcher.holding(self.folder):
            held = launcher.read_state(self.folder)
            if held.phase == UNDONE and (held.version, held.attempt) == (before.version, before.attempt):
                return held
            launcher.write_state(self.folder, after)
        return after

    def read_order(self) -> Order | None:
        """Return what the agent was told last."""
        return self._read(ORDER, Order)

    def write_order(self, order: Order) -> None:
        """Keep what the agent was told. Raises OSError."""
        self._write(ORDER, order)

    def read_handover(self) -> Handover | None:
        """Return what the former agent had."""
        return self._read(HANDOVER, Handover)

    def write_handover(self, handover: Handover) -> None:
        """Keep what this agent has. Raises OSError."""
        self._write(HANDOVER, handover)

    def _write(self, name: str, value: Order | Handover) -> None:
        self.ensure_folder()
        write_durably(self.folder / name, _encode(value))

    def _read(self, name: str, shape: type[T]) -> T | None:
        path = self.folder / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=shape)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            with suppress(OSError):
                path.replace(path.with_suffix(".broken"))
            log.warning("agent.update_record_set_aside", path=str(path), error=str(error))
            return None
