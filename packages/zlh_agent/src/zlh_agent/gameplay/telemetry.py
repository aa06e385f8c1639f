"""How a server does, one point a minute: kept for a day in memory. Pure."""

from __future__ import annotations

import re
from collections import deque
from datetime import datetime

from zlh_agent.gameplay.asking import StatusAnswer
from zlh_common.line_patterns import match_line
from zlh_common.schema.game import Telemetry, TelemetryPoint

POINT_S = 60.0
# Colours of the game and of terminals, and the star that servers of Spigot's kind put before a number that they cap.
_PAINT = re.compile(r"\u00a7.|\x1b\[[0-9;]*m|\*")
MAX_POINTS = 24 * 60


class Figures:
    """The points, and what the server last called itself."""

    def __init__(self) -> None:
        self._points: deque[TelemetryPoint] = deque(maxlen=MAX_POINTS)
        self._now: TelemetryPoint | None = None
        self._version: str | None = None
        self._motd: str | None = None

    def note(self, at: datetime, answer: StatusAnswer | None, *, players: int | None, ticks: float | None) -> None:
        """Take down one look; a point is kept for each minute."""
        latency = None if answer is None else round(answer.latency_ms, 2)
        self._now = TelemetryPoint(at=at, players=players, latency_ms=latency, ticks_per_s=ticks)
        if answer is not None:
            self._version, self._motd = answer.status.version, answer.status.motd
        if not self._points or (at - self._points[-1].at).total_seconds() >= POINT_S - 1:
            self._points.append(self._now)

    def end_run(self) -> None:
        """Nothing runs, so nothing is known of now."""
        self._now = self._version = self._motd = None

    def report(self) -> Telemetry:
        """Return all of it."""
        return Telemetry(now=self._now, points=tuple(self._points), server_version=self._version, motd=self._motd)


def parse_ticks(pattern: str, answer: str) -> float | None:
    """Return the number that the first line of an answer has which is as the pattern says, colours aside."""
    for line in _PAINT.sub("", answer).splitlines()[:64]:
        found = match_line(pattern, line)
        if found is not None and (number := found.get("number")):
            try:
                return float(number.rstrip(".,").replace(",", "."))
            except ValueError:
                return None
    return None
