"""What an agent was at with the mods when it died: one file on its own disk. It blocks: call it in a thread."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import structlog

from zlh_agent.mods.change_rules import Step
from zlh_common.durable_files import remove_unfinished, write_durably
from zlh_common.schema.mods import ModLedger
from zlh_common.schema.structs import encode

log = structlog.get_logger()
MAX_JOURNAL_BYTES = 64 * 2**20


class ChangeRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A change that is under way.

    staging: new files are being laid ready; whoever finds this takes them away. committing: all of them are there and
    right; whoever finds this goes on with the steps, and then writes `after`. undoing: a step could not be taken;
    whoever finds this takes the others back.
    """

    id: str
    phase: Literal["staging", "committing", "undoing"]
    # Below the server's folder, which is the one with this inode; unknown in records of agents before us.
    folder: str
    root: int | None = None
    steps: tuple[Step, ...] = ()
    before: ModLedger = ModLedger()
    after: ModLedger = ModLedger()


class ChangeJournal:
    """Keeps `change.json`, whole or not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "change.json"

    def load(self) -> ChangeRecord | None:
        """Return what was under way; None where nothing was, or nobody can tell."""
        if not self._folder.is_dir():
            return None
        remove_unfinished(self._folder)
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(MAX_JOURNAL_BYTES), type=ChangeRecord)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("mods.journal_unreadable", error=str(error))
            return None

    def save(self, record: ChangeRecord) -> None:
        """Keep a record; raises OSError."""
        write_durably(self._path, encode(record))

    def forget(self) -> None:
        """Nothing is under way any more."""
        self._path.unlink(missing_ok=True)
