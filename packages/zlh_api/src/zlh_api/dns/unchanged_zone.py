"""A survey that need not be taken again: the zone's serial is what it was."""

from __future__ import annotations

from zlh_api.dns.model import FoundRecord
from zlh_common.clock import Clock

# A serial that was set back may hide a change; never for longer than this.
MOST_S = 300.0


class UnchangedZone:
    """What the last survey of one zone has shown, by its serial."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._serial: int | None = None
        self._taken_at = 0.0
        self._found: list[FoundRecord] = []

    def recall(self, serial: int | None) -> list[FoundRecord] | None:
        """Return what was found where nothing can have changed, else None."""
        is_fresh = self._clock.monotonic() - self._taken_at < MOST_S
        return self._found if serial is not None and serial == self._serial and is_fresh else None

    def keep(self, serial: int | None, found: list[FoundRecord]) -> list[FoundRecord]:
        """Keep what was found and return it; by the serial from before, so that what changes meanwhile shows next."""
        self._serial, self._taken_at, self._found = serial, self._clock.monotonic(), found
        return found
