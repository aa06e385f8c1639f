"""Rings where a wait lasts too long; to begin and to end one costs little, for who waits thousands of times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """For one wait at a time; its timer runs on beyond a wait that has ended, and is set anew when it is due."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, time_s: float) -> None:
        """Ring in so many seconds, once, unless `end` comes before or this is called anew."""
        self._due = due = self._loop.time() + time_s
        if self._timer is None or self._timer.when() > due:
            self.close()
            self._due = due
            self._timer = self._loop.call_at(due, self._look)

    def end(self) -> None:
        """Do not ring."""
        self._due = None

    def close(self) -> None:
        """Do not ring, and leave no timer behind."""
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
        else:
            self._due = None
            self._ring()
