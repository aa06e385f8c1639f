"""Where the proxy's directory lies: what a machine, this one or another, must be able to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zlh_api.edge.directory_rules import Entry, Unread
from zlh_api.edge.port import Check

# Below the directory: Traefik goes into folders too, and nobody nests them so deep.
MOST_DEPTH = 8


class PlaceRefused(Exception):
    """It cannot be done there; the sentence says why, and what to do."""


class Place(Protocol):
    """Names are relative to the directory; every call raises PlaceRefused, and SystemAway where nobody answers."""

    async def fetch_entries(self) -> list[Entry]:
        """Return every name, folders and what is in them too; none where the first file makes the directory."""
        ...

    async def fetch_contents(self, names: Sequence[str]) -> list[bytes | Unread | None]:
        """Return what each holds; None for what is not there. Nothing is opened that could keep one waiting."""
        ...

    async def replace(self, name: str, content: bytes, check: Check) -> None:
        """Make it hold `content`, whole or not at all, whatever happens; `check` directly before."""
        ...

    async def remove(self, name: str, check: Check) -> None:
        """Take it away; it may be gone."""
        ...

    async def fetch_quarantine(self) -> list[str]:
        """Return the names in the quarantine; none where there is no such folder yet."""
        ...

    async def move_away(self, name: str, quarantined: str) -> bool:
        """Move it, unread and unchanged, into the quarantine; False where it is gone, or the new name is taken."""
        ...

    async def nudge(self) -> None:
        """Let Traefik look again: it does not see what happens in folders."""
        ...
