"""How far a long call is: what is done by now, and what it has left out."""

from __future__ import annotations

from zlh_agent.files.files_wire import MAX_TOLD, MAX_TOLD_BYTES
from zlh_agent.files.model import Amount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Work:
    """Counts for one call; `tell` hears of every step and decides by itself whom to tell when."""

    __slots__ = ("_tell", "_told_bytes", "amount", "skipped", "skipped_count")

    def __init__(self, tell: Callable[[Amount], None] | None = None) -> None:
        self._tell = tell
        self._told_bytes = 0
        self.amount = Amount()
        # The first that were left out, by path below what was asked for, with the code of the refusal.
        self.skipped: list[tuple[bytes, str]] = []
        self.skipped_count = 0

    def count(self, *, files: int = 0, folders: int = 0, byte_count: int = 0, disk_bytes: int = 0) -> None:
        """Add what was done."""
        amount = self.amount
        amount.files += files
        amount.folders += folders
        amount.byte_count += byte_count
        amount.disk_bytes += disk_bytes
        self.note()

    def note(self) -> None:
        """Say that it still goes on."""
        if self._tell is not None:
            self._tell(self.amount)

    def skip(self, path: bytes, code: str) -> None:
        """Leave something out; all of it is counted, and as much of it told as a message holds."""
        self.skipped_count += 1
        if len(self.skipped) < MAX_TOLD and self._told_bytes + len(path) <= MAX_TOLD_BYTES:
            self.skipped.append((path, code))
            self._told_bytes += len(path)
        self.note()
