"""When a spec is accepted, what is still to do, and when a failure is tried again: pure decisions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

from zlh_common.schema.spec import AgentSpec, WantedRuntime

NOTHING = AgentSpec(generation=0)


class Verdict(StrEnum):
    """What to do with a spec that the API sends."""

    TAKE = "take"
    KEEP = "keep"
    STALE = "stale"


def decide_spec(held: AgentSpec, sent: AgentSpec) -> Verdict:
    """Return whether `sent` replaces `held`. The same generation again is how a caller makes sure."""
    if sent.generation < held.generation:
        return Verdict.STALE
    return Verdict.KEEP if sent == held else Verdict.TAKE


def missing_runtimes(spec: AgentSpec, in_use: Collection[tuple[str, str]]) -> Sequence[WantedRuntime]:
    """Return what is wanted and not in use, in the order of the spec. What is there and not wanted stays.

    A version that lies on the disk unused is missing too: the spec has gone back to it, or its install was killed
    right before it took it into use.
    """
    return [runtime for runtime in spec.runtimes if (runtime.name, runtime.version) not in in_use]


def step_name(runtime: WantedRuntime) -> str:
    """Return the name of the step that installs `runtime`."""
    return f"install-{runtime.name}"


def retry_delay_s(failures: int) -> float:
    """Return the wait after the n-th failure in a row (from 1): a second, doubled up to a minute."""
    return float(min(60, 2 ** min(max(failures - 1, 0), 6)))
