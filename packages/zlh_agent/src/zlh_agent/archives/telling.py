"""What a child counts and leaves out while it works, and that it still goes on."""

from __future__ import annotations

import time

from zlh_agent.archives.rules import LONGEST_S, MAX_TOLD, TOO_LONG
from zlh_agent.files.model import Amount
from zlh_agent.files.refusals import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL_S = 0.5


class Tally:
    """So much is done; `say` hears of it now and then."""

    def __init__(self, say: Callable[[Amount], None], *, limit_s: float = LONGEST_S) -> None:
        self.amount = Amount()
        # The first of what was left out, (code, path), and how many in all.
        self.skipped: list[tuple[str, bytes]] = []
        self.skipped_count = 0
        self._say = say
        self._limit_s = limit_s
        self._began = self._shown_at = time.monotonic()

    def skip(self, code: str, path: bytes) -> None:
        """Take note of what is left out, or not what it was."""
        self.skipped_count += 1
        if len(self.skipped) < MAX_TOLD:
            self.skipped.append((code, path))

    def note(self) -> None:
        """Say that it goes on, where it is time to."""
        now = time.monotonic()
        if now - self._shown_at > INTERVAL_S:
            self._shown_at = now
            self._say(self.amount)

    def require_time(self) -> None:
        """Raise Refused where it has gone on for too long."""
        if time.monotonic() - self._began > self._limit_s:
            raise Refused(TOO_LONG)
