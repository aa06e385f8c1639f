"""What every kind of source offers: it says which version it has, and hands out that version's files by name.

Names are those of the source (a path in the wheel, in the Debian package …) and are never paths of this machine: what
an archive holds is kept in numbered files, so that no name in it can lead anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from zlh_api.artifacts.model import SourcePackage
from zlh_api.artifacts.rules import SourceEntry


@dataclass(frozen=True, slots=True)
class Pin:
    """Exactly what a source stands for: the version, and the origin as the catalog states it."""

    version: str
    origin: str
    packages: tuple[SourcePackage, ...] = ()


@dataclass(frozen=True, slots=True)
class Material:
    """The files of one version: what there is, each one's bytes by its name, and the SHA-256 of what they came in."""

    entries: list[SourceEntry]
    open: Callable[[str], IO[bytes]]
    sha256: str
    # Names of the shared libraries that may be added to the tree → the licence text of each.
    libraries: dict[str, str] = field(default_factory=dict)


class Source(Protocol):
    """One kind of source, for one recipe and platform. Blocks; raises the errors of `zlh_api.artifacts.errors`."""

    # Bytes that its work folder and the archive need at most, as far as has been seen.
    room_bytes: int

    def pin(self) -> Pin:
        """Say what is the newest; asks the network where the recipe does not know it."""
        ...

    def open(self, pin: Pin, work: Path) -> AbstractContextManager[Material]:
        """Fetch it into `work`, held to its hashes, and hand its files out for as long as the context lasts."""
        ...
