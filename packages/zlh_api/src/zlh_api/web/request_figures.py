"""How often each endpoint of this process was called, how it answered and how long that took.

Endpoints are told by the templates of their paths, never by what stood in an address: whoever makes up paths or methods
makes no more series.
"""

from __future__ import annotations

from collections import Counter

from zlh_api.distribution import Distribution
from zlh_api.web.endpoint import Endpoint

# Seconds: a look that needs no database, one that does, an agent that is asked, and limits of time.
REQUEST_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# What was answered to nobody, since the client had gone.
GONE = "gone"
# An agent was asked and is away, or answers what it must not: its container's affair, and its customer can make it so.
OF_AGENT, AGENT_CODES = "agent", ("agent_", "container_not_up")
_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
_NO_ENDPOINT = ("", "")


class RequestFigures:
    """Counts what this process has answered since its start."""

    def __init__(self) -> None:
        # By method and template of the path, and by the class of the status or one of those above.
        self.answers: Counter[tuple[str, str, str]] = Counter()
        self.durations: dict[tuple[str, str], Distribution] = {}

    def note(self, endpoint: Endpoint | None, status: int | None, seconds: float, *, code: str | None = None) -> None:
        """Count one request; without an endpoint it met none, without a status nobody took the answer."""
        method, path = _NO_ENDPOINT if endpoint is None else (endpoint.method, endpoint.path)
        self.answers[method, path, _class_of(status, code)] += 1
        # How long a console stays open, and how fast somebody takes a file, says nothing of us.
        if endpoint is None or status is None or endpoint.goes_on or endpoint.is_file:
            return
        durations = self.durations.get((method, path))
        if durations is None:
            durations = self.durations[method, path] = Distribution(REQUEST_BOUNDS_S)
        durations.note(seconds)


def _class_of(status: int | None, code: str | None) -> str:
    if status is None:
        return GONE
    if status >= 500 and code is not None and code.startswith(AGENT_CODES):
        return OF_AGENT
    return _CLASSES[status // 100 - 1]
