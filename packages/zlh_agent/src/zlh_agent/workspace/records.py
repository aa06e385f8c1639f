"""What the agent remembers of a workspace: whether it was cloned, and how far its start script is. It blocks."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import structlog

from zlh_agent.workspace.script_rules import ScriptRecord, interrupted
from zlh_common.durable_files import write_durably
from zlh_common.schema.structs import encode

log = structlog.get_logger()
T = TypeVar("T")
MAX_BYTES = 256 * 1024


class CloneRecord(msgspec.Struct, frozen=True, rename="camel"):
    """One clone: under way by this token, or over."""

    attempt: int
    token: str
    state: Literal["running", "done", "failed", "skipped"]
    started_at: datetime
    finished_at: datetime | None = None
    code: str | None = None
    message: str | None = None
    exit_code: int | None = None
    output: str | None = None


class WorkspaceRecords:
    """Two small files, each whole or not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load_clone(self) -> CloneRecord | None:
        """Return what is known of the clone; a file that cannot be read says nothing: the workspace itself does."""
        return self._load("clone.json", CloneRecord)

    def load_script(self) -> ScriptRecord | None:
        """Return what is known of the script; where the file cannot be read it may have run, so it has."""
        found = self._load("script.json", ScriptRecord)
        if found is not None or not (self._folder / "script.json").exists():
            return found
        said, never = interrupted(), 2**63 - 1
        epoch = datetime.fromtimestamp(0, UTC)
        return ScriptRecord(never, "ended", "", epoch, epoch, code=said.code, message=said.message)

    def save_clone(self, record: CloneRecord) -> None:
        """Keep it; raises OSError."""
        write_durably(self._folder / "clone.json", encode(record))

    def save_script(self, record: ScriptRecord) -> None:
        """Keep it; raises OSError. Once this has returned, it holds even if the machine stops."""
        write_durably(self._folder / "script.json", encode(record))

    def _load(self, name: str, shape: type[T]) -> T | None:
        path = self._folder / name
        with suppress(FileNotFoundError):
            try:
                with path.open("rb") as file:
                    return msgspec.json.decode(file.read(MAX_BYTES), type=shape)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                log.warning("workspace.record_unreadable", path=str(path), error=str(error))
        return None
