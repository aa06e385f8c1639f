"""How often this process has taken each step, what came of it, and how long it took."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from zlh_api.distribution import Distribution

# Seconds: from a row that is written to a template that is unpacked on a slow disk.
STEP_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
DONE, FAILED, WAITING = "done", "failed", "waiting"
# Codes are ours, so there are not so many; more than this would be a fault of ours, and is counted as one.
MOST_CODES, OTHER = 200, "other"


class StepFigures:
    """Counts the steps of this process since its start."""

    def __init__(self) -> None:
        # By name and outcome.
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.failures: Counter[str] = Counter()
        self.durations: dict[str, Distribution] = {}

    def note_done(self, step: str) -> None:
        """Count a step that was done."""
        self.outcomes[step, DONE] += 1

    def note_waiting(self, step: str) -> None:
        """Count a step that waits for its turn, or for a system that is away."""
        self.outcomes[step, WAITING] += 1

    def note_failed(self, step: str, code: str) -> None:
        """Count a step that failed, and why."""
        self.outcomes[step, FAILED] += 1
        self.failures[code if code in self.failures or len(self.failures) < MOST_CODES else OTHER] += 1

    @contextmanager
    def timing(self, step: str) -> Iterator[None]:
        """Count how long the block takes, whatever comes of it."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.durations.setdefault(step, Distribution(STEP_BOUNDS_S)).note(time.monotonic() - began)
