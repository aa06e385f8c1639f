"""How long is waited for who takes or gives the bytes of a file: as long as they move, and no longer.

There is no limit for the whole. Two things end it: SILENCE_S in which nothing at all moves, and less than LEAST_BYTES
while WINDOW_S are spent on waiting, which is 1 KiB a second. Time that another one takes is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

SILENCE_S = 60.0
WINDOW_S = 60.0
LEAST_BYTES = 60 * 1024


@dataclass(frozen=True, slots=True)
class Patience:
    """With one side, since it has last moved enough."""

    waited_s: float = 0.0
    moved_bytes: int = 0

    @property
    def is_spent(self) -> bool:
        """Whether what moves is too little to go on with; silence has a limit of its own."""
        return self.waited_s >= WINDOW_S

    def after(self, waited_s: float, moved_bytes: int) -> Patience:
        """Return what is left of it once so many bytes have moved after so long a wait."""
        moved = self.moved_bytes + moved_bytes
        return Patience() if moved >= LEAST_BYTES else Patience(self.waited_s + waited_s, moved)
