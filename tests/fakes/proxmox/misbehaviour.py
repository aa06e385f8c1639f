"""How a call goes wrong, to order: before its effect, after it, slowly, or for a process that is killed meanwhile."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass
class Killer:
    """Kills a process after so many of its changes were carried out, before the last is answered."""

    victim: int | None = None
    left: int = 0
    # After what somebody was killed.
    killed_after: list[str] = field(default_factory=list)

    def note(self, what: str) -> bool:
        """Count a change; return True where it was the victim's last."""
        if self.victim is None:
            return False
        self.left -= 1
        if self.left:
            return False
        self.killed_after.append(what)
        os.kill(self.victim, signal.SIGKILL)
        self.victim = None
        return True


class Way(StrEnum):
    """One way of going wrong."""

    REFUSED = "500 before the effect"
    CUT_BEFORE = "cut before the effect"
    CUT_AFTER = "cut after the effect"
    FAILED_AFTER = "500 after the effect"
    TIMEOUT_AFTER = "500 got timeout after the effect"
    NODE_AWAY_BEFORE = "596 before the effect"
    NODE_AWAY_AFTER = "596 after the effect"
    LATE = "cut, and the effect comes later"
    SLOW = "the answer takes its time"
    SILENT_AFTER = "no answer, after the effect"
    FLOCK = "a lock file that another holds"
    NONSENSE = "an answer that is no JSON"


@dataclass
class Orders:
    """Which calls go wrong how, and how many of them."""

    waiting: list[tuple[str, re.Pattern[str], Way]] = field(default_factory=list)
    late_s: float = 0.3
    slow_s: float = 0.3

    def give(self, method: str, path: str, way: Way, *, times: int = 1) -> None:
        """Let the next `times` calls of this method whose path has this pattern go wrong."""
        self.waiting += [(method, re.compile(path), way)] * times

    def take(self, method: str, path: str) -> Way | None:
        """Return how this call goes wrong, once."""
        for order in self.waiting:
            if order[0] == method and order[1].search(path):
                self.waiting.remove(order)
                return order[2]
        return None
