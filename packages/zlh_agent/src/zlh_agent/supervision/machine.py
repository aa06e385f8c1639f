"""Decides what happens to one supervised process, without doing any of it.

    stopped ──► clearing ──► launching ──► starting ──► running
       ▲           ▲ ▲           │            │           │
       │           │ └───────────┼─ backoff ◄─┴───────────┤   an end that nobody asked for
       │           │             │     │                  │
       │           └── stopping ◄┼─────┼──────────────────┘   stop, restart, hang
       └──────────────────┘      └► error                     too many of them in a row

Invariants:
- A launch is ordered only out of `clearing`: after everything of the run before has gone and the ports are free.
- The intent (`is_wanted`) is in the state before anything is signalled; what is not wanted is never launched, and a
  child that appears although it is not wanted any more is stopped.
- There is a child in `starting`, `running` and `stopping`, and in no other phase.
- Whoever waits, waits for something: `backoff` and `stopping` have a time at which they end.
- A kill is possible whenever there is a child, and leads out of every wait.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from zlh_agent.supervision.model import (
    Blocked,
    Child,
    Clear,
    Cleared,
    Effect,
    Event,
    Exit,
    Exited,
    FoundDown,
    GiveUpAsked,
    Kill,
    KillAsked,
    Launch,
    Launched,
    LaunchFailed,
    Phase,
    ProbeAnswered,
    ProbeFailed,
    RestartAsked,
    RetryAsked,
    State,
    Stop,
    SwitchedOff,
    SwitchedOn,
    TimePassed,
)
from zlh_common.schema.process import LineProbe, LogProbe, ProcessPolicy, ProcessReason, ProcessState, StopPolicy

# The shim kills by itself when the ladder is through; so much later it is done from here.
KILL_MARGIN_S = 2.0
# How often SIGKILL is repeated for a process that the kernel does not let go.
KILL_AGAIN_S = 5.0

Outcome = tuple[State, list[Effect]]
_ALIVE = {Phase.STARTING, Phase.RUNNING}


def step(  # noqa: C901, PLR0911, PLR0912 - one case for each event
    state: State, event: Event, *, policy: ProcessPolicy, now: float
) -> Outcome:
    """Return the next state and what the driver must do about it."""
    match event:
        case SwitchedOn(attempt):
            return _switch_on(state, attempt, now)
        case SwitchedOff():
            return _switch_off(state, policy, now)
        case RestartAsked():
            return _restart(state, policy, now)
        case KillAsked():
            return _kill(state, now) if state.child is not None else (state, [])
        case RetryAsked():
            return _retry(state, now)
        case GiveUpAsked():
            return _give_up(state, now)
        case Cleared(made_from):
            return _launch(state, made_from, now) if state.phase is Phase.CLEARING else (state, [])
        case Blocked(reason):
            return _fall(state, reason, policy, now) if state.phase is Phase.CLEARING else (state, [])
        case Launched(child, at):
            return _take_child(state, child, at, policy, now)
        case LaunchFailed(reason):
            return _fall(state, reason, policy, now) if state.phase is Phase.LAUNCHING else (state, [])
        case Exited(exit_):
            return _end(state, exit_, policy, now)
        case FoundDown():
            return _find_down(state, policy, now)
        case ProbeAnswered():
            return _answer(state, policy, now), []
        case ProbeFailed(detail):
            return _miss(state, detail, policy, now)
        case TimePassed():
            return _look_at_clock(state, policy, now)
        case _:
            assert_never(event)


def wake_at(state: State) -> float | None:
    """Return when TimePassed is due, or None where nothing happens by itself."""
    if state.due is None or state.phase is not Phase.STOPPING:
        return state.due
    return state.due + KILL_MARGIN_S


def is_sound(state: State) -> bool:
    """Tell whether a state that was read from somewhere keeps the invariants; `step` brings forth no other."""
    has_child = state.phase in _ALIVE or state.phase is Phase.STOPPING
    waits = state.phase in {Phase.BACKOFF, Phase.STOPPING}
    return (state.child is not None) == has_child and (state.due is not None or not waits)


def should_probe(state: State, policy: ProcessPolicy) -> bool:
    """Tell whether the driver shall probe: until ready, and after that where a hang would matter."""
    probe = policy.ready.probe
    if state.phase is Phase.STARTING:
        return probe is not None
    if isinstance(probe, LineProbe) and probe.ping is None:
        return False
    return state.phase is Phase.RUNNING and policy.hang is not None and not isinstance(probe, LogProbe | None)


def public_state(phase: Phase) -> ProcessState:
    """Return the state as people are told it."""
    match phase:
        case Phase.CLEARING | Phase.LAUNCHING | Phase.STARTING:
            return "starting"
        case Phase.STOPPED:
            return "stopped"
        case Phase.RUNNING:
            return "running"
        case Phase.STOPPING:
            return "stopping"
        case Phase.BACKOFF:
            return "backoff"
        case Phase.ERROR:
            return "error"


def stop_time_s(stop: StopPolicy) -> float:
    """Return how long the ladder takes at most, up to SIGKILL."""
    return stop.grace_s + (stop.command_grace_s if stop.command is not None else 0.0)


# What the spec says


def _switch_on(state: State, attempt: int, now: float) -> Outcome:
    is_new = attempt > state.attempt or not state.is_wanted
    state = _change(state, is_wanted=True, attempt=max(attempt, state.attempt))
    if not is_new:
        return state, []
    match state.phase:
        case Phase.STOPPED | Phase.ERROR | Phase.BACKOFF:
            return _begin(state, now, restarts=0)
        case Phase.STOPPING:
            return _change(state, restarts_after=True, counts_as_crash=False), []
        case _:
            return state, []


def _switch_off(state: State, policy: ProcessPolicy, now: float) -> Outcome:
    state = _change(state, is_wanted=False)
    match state.phase:
        case Phase.STARTING | Phase.RUNNING:
            return _stop(state, policy, now)
        case Phase.STOPPING:
            return _change(state, restarts_after=False, counts_as_crash=False), []
        case Phase.CLEARING | Phase.BACKOFF | Phase.ERROR:
            return _enter(state, Phase.STOPPED, now), []
        case _:
            # LAUNCHING: the child that may come is stopped when it is there.
            return state, []


# What people ask


def _restart(state: State, policy: ProcessPolicy, now: float) -> Outcome:
    if not state.is_wanted:
        return state, []
    match state.phase:
        case Phase.STARTING | Phase.RUNNING:
            return _stop(state, policy, now, restarts_after=True)
        case Phase.STOPPING:
            return _change(state, restarts_after=True, counts_as_crash=False), []
        case _:
            return _retry(state, now)


def _retry(state: State, now: float) -> Outcome:
    if not state.is_wanted:
        return state, []
    match state.phase:
        case Phase.BACKOFF:
            return _begin(state, now, restarts=state.restarts)
        case Phase.ERROR | Phase.STOPPED:
            return _begin(state, now, restarts=0)
        case _:
            return state, []


def _give_up(state: State, now: float) -> Outcome:
    if state.phase is not Phase.BACKOFF:
        return state, []
    reason = ProcessReason(code="given_up", message=_told(state, "Somebody asked not to try again."))
    return _enter(state, Phase.ERROR, now, reason=reason), []


def _kill(state: State, now: float) -> Outcome:
    """Kill; a restart that was asked for still follows, else it stays down until somebody starts it.

    Only time makes a kill harder: one that is asked for twice at once neither counts twice nor begins to wait anew.
    """
    if state.phase is Phase.STOPPING and state.kills:
        return state, [Kill()]
    follows = state.restarts_after if state.phase is Phase.STOPPING else False
    stopping = _enter(state, Phase.STOPPING, now, due=now, restarts_after=follows, reason=_KILLED)
    return _change(stopping, kills=state.kills + 1, due=now + KILL_AGAIN_S), [Kill()]


# What the world answers


def _take_child(state: State, child: Child, at: float, policy: ProcessPolicy, now: float) -> Outcome:
    """A child runs: the one that was launched, or one that a new agent finds, whatever the state remembers."""
    if state.phase is Phase.STOPPING:
        # Found again on the way down: the shim goes on with its ladder, or begins it where it was never told.
        return _change(state, child=child), [Stop()]
    if state.phase in _ALIVE and state.child == child:
        return state, []
    held = _change(state, child=child, launched_at=at)
    if not state.is_wanted:
        return _stop(held, policy, now)
    if policy.ready.probe is None:
        return _enter(held, Phase.RUNNING, now, due=at + policy.restart.stable_s, is_ready=True), []
    return _enter(held, Phase.STARTING, now, due=at + policy.ready.grace_s), []


def _end(state: State, exit_: Exit, policy: ProcessPolicy, now: float) -> Outcome:
    state = _change(state, last_exit=exit_)
    match state.phase:
        case Phase.STOPPING if state.counts_as_crash:
            return _fall(state, state.reason or _reason_of(exit_), policy, now)
        case Phase.STOPPING if state.restarts_after and state.is_wanted:
            return _begin(state, now, restarts=state.restarts)
        case Phase.STOPPING:
            return _enter(state, Phase.STOPPED, now, reason=state.reason if state.is_wanted else None), []
        case Phase.STARTING | Phase.RUNNING | Phase.LAUNCHING:
            return _end_unasked(state, exit_, policy, now)
        case _:
            return state, []


def _end_unasked(state: State, exit_: Exit, policy: ProcessPolicy, now: float) -> Outcome:
    was_clean = exit_.code is not None and exit_.code in policy.restart.success_codes
    if was_clean and policy.restart.when != "always":
        finished = ProcessReason(code="finished", message=f"It {exit_.sentence()}, which counts as done.")
        return _enter(state, Phase.STOPPED, now, reason=finished), []
    return _fall(state, _reason_of(exit_), policy, now)


def _find_down(state: State, policy: ProcessPolicy, now: float) -> Outcome:
    """Go on without a child that this state still has, or begin what a former agent did not get to."""
    if state.child is not None:
        return _end(state, Exit(), policy, now)
    match state.phase:
        case Phase.CLEARING | Phase.LAUNCHING:
            if state.is_wanted:
                return _enter(state, Phase.CLEARING, now), [Clear()]
            return _enter(state, Phase.STOPPED, now), []
        case _:
            return state, []


def _answer(state: State, policy: ProcessPolicy, now: float) -> State:
    match state.phase:
        case Phase.STARTING:
            began = now if state.launched_at is None else state.launched_at
            return _enter(state, Phase.RUNNING, now, due=began + policy.restart.stable_s, is_ready=True)
        case Phase.RUNNING:
            return _change(state, is_ready=True, silent_since=None, reason=None)
        case _:
            return state


def _miss(state: State, detail: str, policy: ProcessPolicy, now: float) -> Outcome:
    hang = policy.hang
    if state.phase is not Phase.RUNNING or hang is None:
        return state, []
    silent_since = now if state.silent_since is None else state.silent_since
    state = _change(state, silent_since=silent_since)
    if now - silent_since < hang.after_s:
        return state, []
    reason = ProcessReason(
        code="not_answering", message=f"It has not answered for {now - silent_since:.0f} s: {detail}."
    )
    if hang.action == "report":
        return _change(state, is_ready=False, reason=reason), []
    return _stop(state, policy, now, counts_as_crash=True, reason=reason)


def _look_at_clock(state: State, policy: ProcessPolicy, now: float) -> Outcome:
    due = wake_at(state)
    if due is None or now < due:
        return state, []
    match state.phase:
        case Phase.BACKOFF:
            return _begin(state, now, restarts=state.restarts)
        case Phase.STOPPING:
            stays = ProcessReason(code="stop_overdue", message="It was killed and has not ended; the kernel holds it.")
            overdue = _change(state, kills=state.kills + 1, due=now + KILL_AGAIN_S - KILL_MARGIN_S)
            return (overdue if state.kills == 0 else _change(overdue, reason=stays)), [Kill()]
        case Phase.RUNNING:
            return _change(state, restarts=0, due=None), []
        case Phase.STARTING:
            return _be_slow(state, policy, now)
        case _:
            return _change(state, due=None), []


def _be_slow(state: State, policy: ProcessPolicy, now: float) -> Outcome:
    reason = ProcessReason(code="start_slow", message=f"It runs and is not ready after {policy.ready.grace_s:.0f} s.")
    if policy.ready.on_slow == "restart":
        return _stop(state, policy, now, counts_as_crash=True, reason=reason)
    return _change(state, due=None, reason=reason), []


# The moves that these share


def _begin(state: State, now: float, *, restarts: int) -> Outcome:
    """Begin a start, of one that is wanted."""
    if not state.is_wanted:
        return _enter(state, Phase.STOPPED, now), []
    return _enter(state, Phase.CLEARING, now, restarts=restarts), [Clear()]


def _launch(state: State, made_from: str | None, now: float) -> Outcome:
    if not state.is_wanted:
        return _enter(state, Phase.STOPPED, now), []
    return _enter(_change(state, made_from=made_from), Phase.LAUNCHING, now), [Launch()]


def _stop(
    state: State,
    policy: ProcessPolicy,
    now: float,
    *,
    restarts_after: bool = False,
    counts_as_crash: bool = False,
    reason: ProcessReason | None = None,
) -> Outcome:
    stopping = _enter(state, Phase.STOPPING, now, due=now + stop_time_s(policy.stop), reason=reason)
    return _change(stopping, restarts_after=restarts_after, counts_as_crash=counts_as_crash), [Stop()]


def _fall(state: State, reason: ProcessReason, policy: ProcessPolicy, now: float) -> Outcome:
    """It is down and nobody wanted that: wait and try again, or give up."""
    if not state.is_wanted:
        return _enter(state, Phase.STOPPED, now), []
    restart = policy.restart
    was_stable = state.launched_at is not None and state.child is not None
    if was_stable and state.launched_at is not None and now - state.launched_at >= restart.stable_s:
        state = _change(state, restarts=0)
    if restart.when == "never":
        return _enter(state, Phase.ERROR, now, reason=reason), []
    if state.restarts >= len(restart.delays_s):
        return _enter(state, Phase.ERROR, now, reason=_count(reason, state.restarts)), []
    delay_s = restart.delays_s[state.restarts]
    if delay_s == 0:
        return _begin(_change(state, reason=reason), now, restarts=state.restarts + 1)
    return _enter(state, Phase.BACKOFF, now, due=now + delay_s, restarts=state.restarts + 1, reason=reason), []


def _enter(
    state: State,
    phase: Phase,
    now: float,
    *,
    due: float | None = None,
    restarts: int | None = None,
    is_ready: bool = False,
    restarts_after: bool = False,
    reason: ProcessReason | None = None,
) -> State:
    """Return the state in another phase, with nothing that belonged to the former one."""
    keeps_child = phase in _ALIVE or phase is Phase.STOPPING
    return msgspec.structs.replace(
        state,
        phase=phase,
        since=now,
        due=due,
        restarts=state.restarts if restarts is None else restarts,
        is_ready=is_ready,
        restarts_after=restarts_after,
        counts_as_crash=False,
        kills=state.kills if phase is Phase.STOPPING else 0,
        silent_since=None,
        reason=reason,
        child=state.child if keeps_child else None,
        launched_at=state.launched_at if keeps_child else None,
    )


def _change(state: State, **changes: object) -> State:
    return msgspec.structs.replace(state, **changes)


def _reason_of(exit_: Exit) -> ProcessReason:
    if exit_.out_of_memory:
        return ProcessReason(code="out_of_memory", message=f"It {exit_.sentence()}.")
    return ProcessReason(code="crashed", message=f"It {exit_.sentence()}.")


def _count(reason: ProcessReason, restarts: int) -> ProcessReason:
    if not restarts:
        return reason
    times = "once" if restarts == 1 else f"{restarts} times in a row"
    return ProcessReason(code=reason.code, message=f"{reason.message} It was restarted {times} before.")


def _told(state: State, text: str) -> str:
    return f"{state.reason.message} {text}" if state.reason is not None else text


_KILLED = ProcessReason(code="killed", message="Somebody killed it; it stays down until it is started again.")
