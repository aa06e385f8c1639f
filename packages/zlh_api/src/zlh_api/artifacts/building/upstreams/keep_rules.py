"""Which of an upstream's versions are kept: pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from zlh_api.artifacts.template_model import Keep

T = TypeVar("T")


@dataclass(slots=True)
class Wanted:
    """How many versions are still looked for, as an upstream's list is walked from the newest on."""

    keep: Keep
    stable: int = 0
    candidates: int = 0

    def takes(self, game_version: str, *, is_stable: bool) -> bool:
        """Tell whether this version is kept, and count it."""
        if game_version in self.keep.named:
            return True
        if is_stable and self.stable < self.keep.newest:
            self.stable += 1
            return True
        if not is_stable and self.candidates < self.keep.candidates:
            self.candidates += 1
            return True
        return False

    def may_take(self, game_version: str) -> bool:
        """Tell whether it could be kept, before it is known whether it is stable."""
        is_open = self.stable < self.keep.newest or self.candidates < self.keep.candidates
        return is_open or game_version in self.keep.named


def choose_kept(versions: Iterable[tuple[T, str, bool]], keep: Keep) -> list[T]:
    """Return what is kept of versions, newest first: each with the game's version, and whether it is stable."""
    wanted = Wanted(keep)
    return [version for version, game, is_stable in versions if wanted.takes(game, is_stable=is_stable)]
