"""How much of what agents answer is read: a long answer takes the API's only loop as long as it is taken apart.

An agent belongs to its customer, who may have each look at a file answered with megabytes. So each agent has an
allowance: BURST_BYTES at once, then BYTES_PER_S. Who has used it up waits a little, and is refused beyond that.
"""

from __future__ import annotations

from zlh_common.pace import pay

# A page of a thousand files has about 150 KB; taking a megabyte of it apart takes 10 ms where nothing else runs.
BYTES_PER_S = 4 * 1024 * 1024
BURST_BYTES = 32 * 1024 * 1024
LONGEST_WAIT_S = 2.0


def decide_wait(paid_until: float, size: int, now: float) -> tuple[float, float | None]:
    """Return until when is paid after an answer of this size, and how long it waits; None where it is refused.

    What is refused is not charged for.
    """
    after = pay(paid_until, size / BYTES_PER_S, burst_s=BURST_BYTES / BYTES_PER_S, now=now)
    if after - now > LONGEST_WAIT_S:
        return paid_until, None
    return after, max(0.0, after - now)


def is_forgotten(paid_until: float, now: float) -> bool:
    """Tell whether an agent has all of its allowance again, so that nothing need be remembered of it."""
    return paid_until <= now - BURST_BYTES / BYTES_PER_S
