"""When a spec is accepted, which step an action is, and when a failure is tried again: pure decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from zlh_agent.runtimes.plan import Action, Blocked, Held, Remove, Version, needs_step
from zlh_common.schema.runtime import RuntimeUser
from zlh_common.schema.spec import AgentSpec, WantedRuntime

NOTHING = AgentSpec(generation=0)
# Steps that tell of a removal are shown for so long after it.
SHOW_REMOVED_S = 600.0
MAX_USERS_NAMED = 5

# ("install" or "remove", name of the runtime, version): names of steps alone could be those of two.
StepKey = tuple[str, str, str]


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


def step_key(action: Action) -> StepKey:
    """Return which step an action is."""
    match action:
        case Remove(name, version) | Blocked(name, version):
            return "remove", name, version
        case _:
            return "install", action.runtime.name, action.runtime.version


def wanted_versions(spec: AgentSpec) -> tuple[WantedRuntime, ...]:
    """Return every version that a spec wants: those of runtimes and those of addons are brought in the same way."""
    return (*spec.runtimes, *spec.addons)


def steps_ahead(wanted: Sequence[WantedRuntime], held: Sequence[Held]) -> list[WantedRuntime]:
    """Return what has a step, in the order of the spec."""
    return [runtime for runtime in wanted if needs_step(runtime, held)]


def tell_users(version: Version, users: Sequence[RuntimeUser], default: str | None) -> str:
    """Return why a version is not removed yet, for people; `default` is what its runtime is started from by now."""
    name, number = version
    named = ", ".join(f"{user.owner or user.name} (pid {user.pid})" for user in users[:MAX_USERS_NAMED])
    more = f" and {len(users) - MAX_USERS_NAMED} more" if len(users) > MAX_USERS_NAMED else ""
    hint = f" A restart brings {name} {default} to what was started by that name." if default else ""
    return f"{name} {number} is in use by {named}{more}, and is removed once nobody uses it.{hint}"


def retry_delay_s(failures: int) -> float:
    """Return the wait after the n-th failure in a row (from 1): a second, doubled up to a minute."""
    return float(min(60, 2 ** min(max(failures - 1, 0), 6)))


def find_current(held: Sequence[Held]) -> Mapping[str, str]:
    """Return {name of a runtime: the version that `current` leads to}."""
    return {entry.name: entry.version for entry in held if entry.is_current}
