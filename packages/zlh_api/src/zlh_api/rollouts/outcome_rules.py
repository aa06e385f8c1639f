"""What became of one member, from what its agent reports: pure, and everything reported is a stranger's word.

An agent that says that it is updated is believed once it runs under that version; one that says nothing, or the same
without end, has failed after its time. What it gives as reasons is cut to what people read.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from zlh_api.rollouts.model import Outcome, Sight, Told
from zlh_api.rollouts.wave_rules import is_below
from zlh_common.schema.agent_update import UPDATES_ITSELF, AgentUpdate, AgentUpdateState
from zlh_common.schema.rollouts import MemberState

# Who is not heard for so long has not come back.
SILENCE = timedelta(minutes=5)
# Nothing of an update takes longer, download and probation included.
PATIENCE = timedelta(minutes=60)
# Where nobody has looked for so long, nobody has heard either: then all times are counted anew.
GAP = timedelta(minutes=1)
CODE_CHARS, MESSAGE_CHARS, OUTPUT_CHARS = 64, 1000, 4096
MAX_EXIT_CODE = 2**31 - 1
# What goes on in an agent that is not at rest.
RESTLESS = frozenset({AgentUpdateState.PREPARING, AgentUpdateState.PROVING, AgentUpdateState.PROBATION})


def judge_waiting(sight: Sight, wanted: str) -> Outcome | None:
    """Return where a member stands that is about to be told; None where it is not to be disturbed now."""
    if not is_below(sight.version, wanted):
        return Outcome(MemberState.UPDATED)
    if sight.protocol < UPDATES_ITSELF:
        return Outcome(MemberState.TOO_OLD)
    if sight.fixed_because is not None:
        return Outcome(MemberState.FIXED, message=sight.fixed_because[:MESSAGE_CHARS])
    if sight.is_busy or (sight.update is not None and sight.update.state in RESTLESS):
        return None
    return Outcome(MemberState.UPDATING)


def judge_told(told: Told, sight: Sight, wanted: str, *, now: datetime) -> Outcome:
    """Return where a member stands that was told."""
    if not sight.is_wanted:
        # Somebody has switched it off: that is no fault of the version, and it has its turn again once it runs.
        return Outcome(MemberState.WAITING)
    if not sight.is_online:
        return _judge_silent(told, now)
    update = _find_ours(told, sight, wanted)
    if now - told.patient_from > PATIENCE:
        return _failed(
            code="agent_update_never_ended",
            message=f"It was told {PATIENCE} ago and has come to no end.",
            update=update,
        )
    if update is None:
        return _judge_unsaid(told, sight, wanted, now)
    return _judge_said(update, sight, wanted)


def judge_refusal(*, code: str, detail: str, status: int) -> Outcome:
    """Return where a member stands whose agent refuses to be told."""
    if status == 404:
        return Outcome(MemberState.TOO_OLD)
    return Outcome(MemberState.FAILED, code=code[:CODE_CHARS], message=detail[:MESSAGE_CHARS])


def _judge_said(update: AgentUpdate, sight: Sight, wanted: str) -> Outcome:
    match update.state:
        case AgentUpdateState.PREPARING:
            return Outcome(MemberState.UPDATING)
        case AgentUpdateState.PROVING | AgentUpdateState.PROBATION:
            return Outcome(MemberState.PROVING)
        case AgentUpdateState.DONE if is_below(sight.version, wanted):
            return _failed(
                code="agent_update_untrue",
                message=f"It says that it is updated, and that it is {sight.version[:CODE_CHARS]}.",
                update=update,
            )
        case AgentUpdateState.DONE:
            return Outcome(MemberState.UPDATED)
        case AgentUpdateState.FAILED:
            return _by_its_word(MemberState.FAILED, update)
        case AgentUpdateState.UNDONE:
            return _by_its_word(MemberState.UNDONE, update)


def _judge_silent(told: Told, now: datetime) -> Outcome:
    since = told.silent_since or now
    if now - since > SILENCE:
        return _failed(
            code="agent_not_back", message=f"Nothing was heard of its agent for {SILENCE}, since it was told."
        )
    return Outcome(told.state, silent_since=since)


def _judge_unsaid(told: Told, sight: Sight, wanted: str, now: datetime) -> Outcome:
    """Return where a member stands whose agent says nothing of this update."""
    if not is_below(sight.version, wanted):
        # By another way, such as a start from a newer template.
        return Outcome(MemberState.UPDATED)
    if now - told.patient_from > SILENCE:
        why = "has answered that it would, and tells nothing of it" if told.has_answered else "could not be told"
        return _failed(code="agent_not_told", message=f"It {why} for {SILENCE}.")
    return Outcome(MemberState.UPDATING)


def _find_ours(told: Told, sight: Sight, wanted: str) -> AgentUpdate | None:
    update = sight.update
    is_ours = update is not None and update.version == wanted and update.attempt >= told.attempt
    return update if is_ours else None


def _by_its_word(state: MemberState, update: AgentUpdate) -> Outcome:
    if update.code is None:
        told = _failed(code="agent_update_failed", message="Its agent gives no reason.", update=update)
    else:
        told = _failed(code=update.code, message=update.message or "Its agent says no more.", update=update)
    return replace(told, state=state)


def _failed(*, code: str, message: str, update: AgentUpdate | None = None) -> Outcome:
    exit_code = update.exit_code if update is not None else None
    output = update.output if update is not None else None
    return Outcome(
        MemberState.FAILED,
        code=code[:CODE_CHARS],
        message=message[:MESSAGE_CHARS],
        exit_code=exit_code if exit_code is not None and abs(exit_code) <= MAX_EXIT_CODE else None,
        output=output[-OUTPUT_CHARS:] if output is not None else None,
    )
