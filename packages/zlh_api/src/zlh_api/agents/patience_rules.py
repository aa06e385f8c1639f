"""How long is waited for who takes or gives the bytes of a file: as long as they move, and no longer.

There is no limit for the whole. Whoever moves less than LEAST_BYTES while SILENCE_S are spent on waiting for them is
given up: that is 1 KiB a second, and time that another one takes is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

SILENCE_S = 60.0
LEAST_BYTES = 60 * 1024


@dataclass(frozen=True, slots=True)
class Patience:
    """With one side, since it has last moved enough."""

    waited_s: float = 0.0
    moved_bytes: int = 0

    @property
    def left_s(self) -> float:
        """How long may still be waited for the next bytes."""
        return max(0.0, SILENCE_S - self.waited_s)

    @property
    def is_silent(self) -> bool:
        """Whether nothing has come at all."""
        return self.moved_bytes == 0

    def after(self, waited_s: float, moved_bytes: int) -> Patience:
        """Return what is left of it once so many bytes have moved after so long a wait."""
        moved = self.moved_bytes + moved_bytes
        return Patience() if moved >= LEAST_BYTES else Patience(self.waited_s + waited_s, moved)
