"""What comparisons have found, on disk: it says nothing of its own, so one that cannot be read counts as none."""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from zlh_agent.runtimes.rules import Check
from zlh_common.durable_files import write_durably

log = structlog.get_logger()


class CheckStore:
    """Keeps all of them in `<folder>/runtime-checks.json`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "runtime-checks.json"

    def load(self) -> list[Check]:
        """Return what is kept; nothing where that cannot be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Check])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError, RecursionError) as error:
            log.warning("runtime.checks_unreadable", path=str(self._path), error=str(error))
            return []

    def save(self, checks: list[Check]) -> None:
        """Keep them; a disk that refuses costs the next agent a comparison and nothing else."""
        try:
            write_durably(self._path, msgspec.json.encode(checks))
        except OSError as error:
            log.warning("runtime.checks_not_kept", path=str(self._path), error=str(error))
