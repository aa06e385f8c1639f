"""The spec on disk: whole or not at all, and a file that cannot be read is set aside, never trusted."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import structlog

from zlh_agent.spec.rules import NOTHING
from zlh_common.durable_files import write_durably
from zlh_common.errors import InvalidBody
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.structs import decode, encode

log = structlog.get_logger()


class SpecStore:
    """Keeps one spec in `<folder>/spec.json`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "spec.json"

    def load(self) -> AgentSpec:
        """Return the kept spec; an empty one of generation 0 where there is none that can be read."""
        try:
            return decode(self._path.read_bytes(), AgentSpec)
        except FileNotFoundError:
            return NOTHING
        except (InvalidBody, OSError) as error:
            aside = self._path.with_suffix(".broken")
            with suppress(OSError):
                self._path.replace(aside)
            log.warning("spec.set_aside", path=str(aside), error=str(error))
            return NOTHING

    def save(self, spec: AgentSpec) -> None:
        """Keep `spec`; it holds even if the machine stops right after this returns."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durably(self._path, encode(spec))
