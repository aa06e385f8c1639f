"""How often a cut is tried again: pure."""

from __future__ import annotations

FIRST_RETRY_S, MOST_RETRY_S = 0.2, 30.0
# A failure that passes by itself, such as of an agent that is restarting, is told after so many tries.
TELLS_AFTER = 4
# From this version of the protocol on, an agent cuts connections.
CUTS_PORTS = 5


def retry_after_s(attempts: int) -> float:
    """Return how long to wait after the n-th failure in a row (from 1): ever twice as long, up to the most."""
    return min(MOST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(max(attempts - 1, 0), 16))


def find_fault(code: str, attempts: int, *, passes: bool) -> str | None:
    """Return what people are told of a failure: at once what will not pass by itself, the rest once it lasts."""
    return code if not passes or attempts >= TELLS_AFTER else None
