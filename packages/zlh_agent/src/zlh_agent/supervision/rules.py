"""Decides what of the moves of a process is worth telling: one look at before, event and after, no clock, no disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from zlh_agent.journal.model import Occurrence
from zlh_agent.supervision.model import (
    Blocked,
    Event,
    KillAsked,
    Launched,
    LaunchFailed,
    Phase,
    RestartAsked,
    RetryAsked,
    State,
    SwitchedOff,
    SwitchedOn,
)
from zlh_common.schema.history import Fact
from zlh_common.schema.process import ProcessPolicy, ProcessReason

# A child that began longer ago than this was not started now but found.
FOUND_AFTER_S = 5.0
_UP = {Phase.STARTING, Phase.RUNNING}
_DOWN = {Phase.STOPPED, Phase.BACKOFF, Phase.ERROR}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Move:
    """One step of the machine, and when it was: on the clock of its states, and on the wall."""

    name: str
    before: State
    event: Event
    after: State
    policy: ProcessPolicy
    now: float
    wall: datetime

    def tell(self, kind: str, message: str, at: datetime | None = None, **facts: Fact) -> Occurrence:
        """Return something that happened to this process."""
        return Occurrence(f"process.{kind}", self.name, message, facts, at)

    @property
    def reason(self) -> ProcessReason | None:
        """The reason that stands since this move, if there is another one than before."""
        before, after = self.before.reason, self.after.reason
        return None if after is None or (before is not None and before.code == after.code) else after


def tell_move(move: Move) -> list[Occurrence]:
    """Return what has happened to a process by a move, in order; docs/agent-protocol.md lists the kinds."""
    parts = (_tell_orders, _tell_kill, _tell_troubles, _tell_end, _tell_begin, _tell_ready, _tell_outlook)
    return [occurrence for part in parts for occurrence in part(move)]


def _tell_orders(move: Move) -> Iterator[Occurrence]:
    before, event, after = move.before, move.event, move.after
    begins = before.phase in _DOWN and after.phase is Phase.CLEARING
    if isinstance(event, SwitchedOn | RetryAsked | RestartAsked) and begins:
        yield move.tell("start_asked", f"Somebody asked to start {move.name}.")
    if isinstance(event, SwitchedOff | RestartAsked) and after.phase is Phase.STOPPING and before.phase in _UP:
        restarts = isinstance(event, RestartAsked)
        text = f"Somebody asked to {'restart' if restarts else 'stop'} {move.name}."
        yield move.tell("stop_asked", text, restart=restarts)


def _tell_kill(move: Move) -> Iterator[Occurrence]:
    kills_before = move.before.kills if move.before.phase is Phase.STOPPING else 0
    if move.after.phase is Phase.STOPPING and move.after.kills > kills_before:
        was_asked = isinstance(move.event, KillAsked)
        text = f"Somebody killed {move.name}." if was_asked else f"{move.name} did not end in time and was killed."
        yield move.tell("killed", text, wasAsked=was_asked)


def _tell_troubles(move: Move) -> Iterator[Occurrence]:
    before, after, reason = move.before, move.after, move.reason
    if reason is None:
        return
    text, restarts = f"{move.name}: {reason.message}", after.counts_as_crash
    if reason.code == "not_answering" and before.phase is Phase.RUNNING:
        since = move.now if before.silent_since is None else before.silent_since
        yield move.tell("hung", text, silentS=_seconds(move.now - since), restart=restarts)
    if reason.code == "start_slow" and before.phase is Phase.STARTING:
        yield move.tell("start_slow", text, restart=restarts)


def _tell_end(move: Move) -> Iterator[Occurrence]:
    before, ended = move.before, move.after.last_exit
    had_child = before.child is not None or before.phase is Phase.LAUNCHING
    if not had_child or move.after.child is not None or ended is None or ended is before.last_exit:
        return
    # An end that nobody saw has only the time of its discovery.
    at = None if ended.at_ns is None else _EPOCH + timedelta(microseconds=ended.at_ns // 1000)
    was_asked = before.phase is Phase.STOPPING and not before.counts_as_crash
    yield move.tell(
        "exited",
        f"{move.name} {ended.sentence()}.",
        at,
        code=ended.code,
        signal=ended.signal,
        outOfMemory=ended.out_of_memory,
        uptimeS=_uptime(move, at),
        wasAsked=was_asked,
    )


def _uptime(move: Move, at: datetime | None) -> float | None:
    if move.before.launched_at is None or at is None:
        return None
    return _seconds(move.now - (move.wall - at).total_seconds() - move.before.launched_at)


def _tell_begin(move: Move) -> Iterator[Occurrence]:
    before, event, child = move.before, move.event, move.after.child
    if not isinstance(event, Launched) or child is None or child == before.child:
        return
    ago_s = move.now - event.at
    if ago_s > FOUND_AFTER_S and before.phase is not Phase.LAUNCHING:
        yield move.tell("found", f"{move.name} was found running.", pid=child.pid, uptimeS=_seconds(ago_s))
    else:
        yield move.tell("started", f"{move.name} was started.", pid=child.pid, restarts=move.after.restarts)


def _tell_ready(move: Move) -> Iterator[Occurrence]:
    if not move.after.is_ready or move.before.is_ready or move.policy.ready.probe is None:
        return
    if move.before.phase is Phase.RUNNING:
        yield move.tell("recovered", f"{move.name} answers again.")
        return
    began = move.now if move.after.launched_at is None else move.after.launched_at
    after_s = _seconds(move.now - began)
    yield move.tell("ready", f"{move.name} is ready after {after_s:.1f} s.", afterS=after_s)


def _tell_outlook(move: Move) -> Iterator[Occurrence]:
    before, event, after = move.before, move.event, move.after
    if isinstance(event, Blocked | LaunchFailed) and after != before:
        yield move.tell("start_failed", f"{move.name}: {event.reason.message}", code=event.reason.code)
    if after.phase is Phase.BACKOFF and before.phase is not Phase.BACKOFF:
        delay_s = _seconds((after.due or move.now) - move.now)
        text = f"{move.name} is started again in {delay_s:g} s."
        yield move.tell("restart_scheduled", text, delayS=delay_s, restarts=after.restarts)
    if after.phase is Phase.ERROR and before.phase is not Phase.ERROR:
        code = after.reason.code if after.reason is not None else None
        yield move.tell("gave_up", f"{move.name} is not started again by itself.", code=code, restarts=after.restarts)


def _seconds(value: float) -> float:
    return round(max(0.0, value), 3)
