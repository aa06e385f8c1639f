"""The CAs' keys on disk, generation by generation. All of it blocks: call in a thread.

    agents-ca.{crt,key}, api-ca.{crt,key}          the first generation
    agents-ca-2.{crt,key}, api-ca-2.{crt,key}      the second, and so on

A generation is there once all four files are; a crash before that leaves keys that have signed nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from zlh_api.agents.certificates import Ca, load_ca, make_ca
from zlh_common.clock import Clock
from zlh_common.durable_files import lock_folder, sync_folder, write_durably

log = structlog.get_logger()
AGENTS, API = "agents-ca", "api-ca"
_TITLES = {AGENTS: "ZLH agents", API: "ZLH API"}
_NAME = re.compile(r"(?:api|agents)-ca(?:-([1-9][0-9]{0,5}))?\.(?:crt|key)")
# What versions before this one kept of the API's own identity, which never has to reach a disk.
_LEFT = ("api.crt", "api.key")


@dataclass(frozen=True, slots=True)
class Generation:
    """Both CAs as they were made together."""

    number: int
    agents: Ca
    api: Ca

    @property
    def digest(self) -> bytes:
        """What tells it from any other of the same number."""
        return hashlib.sha256(self.agents.pem + self.api.pem).digest()

    @property
    def made_at(self) -> datetime:
        """When it was made."""
        return min(self.agents.made_at, self.api.made_at)

    @property
    def expires_at(self) -> datetime:
        """Until when both are good."""
        return min(self.agents.expires_at, self.api.expires_at)


class KeyFolder:
    """The folder of this process, which may be shared with others on this machine or be a copy of theirs."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self._clock = clock

    def open(self) -> dict[int, Generation]:
        """Return every generation; makes the folder, and the first one where there is none."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with lock_folder(self.folder):
            for name in _LEFT:
                (self.folder / name).unlink(missing_ok=True)
            found = self.load()
            return found or {1: self._ensure(1)}

    def load(self) -> dict[int, Generation]:
        """Return every generation that is whole."""
        if not self.folder.is_dir():
            return {}
        loaded = [self._load(number) for number in sorted(self.numbers())]
        return {each.number: each for each in loaded if each is not None}

    def numbers(self) -> set[int]:
        """Return every generation of which there is a file, as a crash may have left one."""
        names = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return {int(name[1] or 1) for name in names if name}

    def ensure(self, number: int) -> Generation:
        """Return a generation, made now unless it is there; for the first of those who ask at once, it is."""
        with lock_folder(self.folder):
            return self._ensure(number)

    def remove(self, numbers: Iterable[int]) -> None:
        """Delete generations for good."""
        with lock_folder(self.folder):
            for number in sorted(numbers):
                # The keys first: what is left of a crash signs nothing.
                for suffix in ("key", "crt"):
                    for name in (AGENTS, API):
                        self._path(name, number, suffix).unlink(missing_ok=True)
                log.info("authority.keys_removed", generation=number)
            sync_folder(self.folder)

    def state(self) -> Mapping[str, int]:
        """Return what changes with the folder's content, cheaper than the content."""
        return {path.name: path.stat().st_mtime_ns for path in self.folder.glob("*-ca*.???") if path.exists()}

    def _load(self, number: int) -> Generation | None:
        try:
            return Generation(number, self._load_ca(AGENTS, number), self._load_ca(API, number))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as exc:
            log.warning("authority.keys_unreadable", generation=number, reason=str(exc))
            return None

    def _load_ca(self, name: str, number: int) -> Ca:
        return load_ca(self._path(name, number, "crt").read_bytes(), self._path(name, number, "key").read_bytes())

    def _ensure(self, number: int) -> Generation:
        return Generation(number, self._load_or_make(AGENTS, number), self._load_or_make(API, number))

    def _load_or_make(self, name: str, number: int) -> Ca:
        if not self._path(name, number, "crt").exists():
            title = _TITLES[name] if number == 1 else f"{_TITLES[name]} {number}"
            made = make_ca(title, now=self._clock.now())
            write_durably(self._path(name, number, "key"), made.key_pem)
            # The certificate comes last: where it is, its key is.
            write_durably(self._path(name, number, "crt"), made.pem)
        return self._load_ca(name, number)

    def _path(self, name: str, number: int, suffix: str) -> Path:
        return self.folder / (f"{name}.{suffix}" if number == 1 else f"{name}-{number}.{suffix}")
