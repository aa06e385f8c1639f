"""A clock that moves only by hand, and one that runs faster than time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """Stands still until it is told otherwise."""

    def __init__(self, now: datetime = BEGINNING) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        """Return the wall-clock time."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds from an arbitrary zero."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        self._moved.set()

    async def sleep(self, seconds: float) -> None:
        """Return once somebody has let so much pass."""
        due = self._monotonic + seconds
        while self._monotonic < due:
            self._moved.clear()
            await self._moved.wait()


class ScaledClock:
    """Time that passes `factor` times as fast."""

    def __init__(self, factor: float = 1.0) -> None:
        self._factor = factor
        self._began = datetime.now(UTC)
        self._zero = time.monotonic()

    def now(self) -> datetime:
        """Return the wall-clock time."""
        return self._began + timedelta(seconds=self.monotonic() - self._zero)

    def monotonic(self) -> float:
        """Return seconds from an arbitrary zero."""
        return self._zero + (time.monotonic() - self._zero) * self._factor

    async def sleep(self, seconds: float) -> None:
        """Return once so much of this clock's time has passed."""
        await asyncio.sleep(seconds / self._factor)
