"""Whether a version is taken, what is told of it, whether it has proved itself, and which bundles go: pure decisions.

    told ─► preparing ─► proving ─► probation ─► done
               │            └──────────┴───────► undone
               └─► failed

`order.json` has the first two and what failed there, the launcher's state all from the switch on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from enum import StrEnum

from zlh_agent.launcher import DONE, PROBATION, PROVING, UNDONE, UpdateState
from zlh_agent.update.model import Handover, HeldShim, Order, Seen, Stage
from zlh_common.schema.agent_update import AgentUpdate, AgentUpdateState
from zlh_common.version_order import version_order

MAX_SHIMS_NAMED = 5
_STATES = {
    PROVING: AgentUpdateState.PROVING,
    PROBATION: AgentUpdateState.PROBATION,
    DONE: AgentUpdateState.DONE,
    UNDONE: AgentUpdateState.UNDONE,
}


class Verdict(StrEnum):
    """What to do with a version that the agent is told of."""

    TAKE = "take"
    # It was told before, and is under way or has come to its end.
    SAME = "same"
    BUSY = "busy"
    OLDER = "older"


def decide_update(version: str, attempt: int, *, order: Order | None, state: UpdateState, running: str) -> Verdict:
    """Return what to do with a version that an agent of version `running` is told of."""
    if order is not None and order.version == version and attempt <= order.attempt:
        return Verdict.SAME
    if is_switching(state) or (order is not None and is_prepared(order, state)):
        return Verdict.BUSY
    if version_order(version) < version_order(find_highest(state, running)):
        return Verdict.OLDER
    return Verdict.TAKE


def is_switching(state: UpdateState) -> bool:
    """Tell whether a version has yet to show what it is worth."""
    return state.phase in {PROVING, PROBATION}


def is_prepared(order: Order, state: UpdateState) -> bool:
    """Tell whether what was told is still to be fetched and switched to."""
    return order.finished_at is None and not is_of(state, order)


def is_of(state: UpdateState, order: Order) -> bool:
    """Tell whether the launcher's state is about what was told last."""
    return state.phase in _STATES and (state.version, state.attempt) == (order.version, order.attempt)


def make_order(state: UpdateState) -> Order:
    """Return what must have been told for the launcher's state to be what it is."""
    started_at = parse_moment(state.started_at)
    return Order(version=state.version, attempt=state.attempt, before=state.former, started_at=started_at)


def find_highest(state: UpdateState, running: str) -> str:
    """Return the newest version that was ever accepted here; one on trial is none yet."""
    known = [version for version in (state.highest, state.former if is_switching(state) else running) if version]
    return max(known, key=version_order)


def find_previous(present: Iterable[str], running: str) -> str | None:
    """Return the version that is kept to be gone back to: the newest of those before the one that runs."""
    older = [version for version in present if version_order(version) < version_order(running)]
    return max(older, key=version_order, default=None)


def choose_removals(
    present: Collection[str], *, running: str, current: str | None, in_use: Collection[str]
) -> list[str]:
    """Return the bundles that go once nothing is under way: all but those that run, that shims run from, and N-1."""
    keep = {running, current, find_previous(present, running), *in_use}
    return sorted(set(present) - keep, key=version_order)


def tell_update(order: Order | None, state: UpdateState, stage: Stage | None) -> AgentUpdate | None:
    """Return what the status says of the last update; None where the agent was never told of one."""
    if order is None:
        return _tell_state(state) if state.phase in _STATES else None
    if is_of(state, order):
        return _tell_state(state)
    return AgentUpdate(
        version=order.version,
        attempt=order.attempt,
        state=_state_of(order),
        before=order.before,
        started_at=order.started_at,
        finished_at=order.finished_at,
        progress=stage.progress if stage and order.finished_at is None else None,
        stage=stage.message if stage and order.finished_at is None else None,
        code=order.code,
        message=order.message,
        exit_code=order.exit_code,
        output=order.output,
    )


def _state_of(order: Order) -> AgentUpdateState:
    if order.finished_at is None:
        return AgentUpdateState.PREPARING
    return AgentUpdateState.DONE if order.code is None else AgentUpdateState.FAILED


def _tell_state(state: UpdateState) -> AgentUpdate:
    is_undone = state.phase == UNDONE
    return AgentUpdate(
        version=state.version,
        attempt=state.attempt,
        state=_STATES[state.phase],
        before=state.former,
        started_at=parse_moment(state.started_at),
        finished_at=parse_moment(state.ended_at) if state.phase in {DONE, UNDONE} else None,
        code=state.code if is_undone else None,
        message=state.message if is_undone else None,
        exit_code=state.exit_code if is_undone else None,
        output=state.output if is_undone else None,
    )


def parse_moment(text: str | None) -> datetime:
    """Return a moment of the launcher's; the beginning of 1970 where it is none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def find_lacking(handover: Handover | None, seen: Seen, alive: Collection[HeldShim]) -> str | None:
    """Return what a version on trial lacks; None where it serves and has taken up everything.

    `alive` are those shims of the handover that still run: one that has ended meanwhile is missed by nobody.
    """
    if seen.trouble is not None:
        return f"it does not serve ({seen.trouble})"
    if handover is None:
        return None
    if seen.spec_generation < handover.spec_generation:
        return f"it has spec {seen.spec_generation}, and the former one had {handover.spec_generation}"
    if missed := sorted(set(alive) - seen.shims, key=lambda shim: shim.pid):
        named = ", ".join(str(shim.pid) for shim in missed[:MAX_SHIMS_NAMED])
        more = f" and {len(missed) - MAX_SHIMS_NAMED} more" if len(missed) > MAX_SHIMS_NAMED else ""
        return f"it has not taken up shims that run (pid {named}{more})"
    return None
