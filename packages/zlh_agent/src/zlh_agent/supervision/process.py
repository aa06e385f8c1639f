"""Keeps one process: takes events one after the other, asks the machine, remembers the answer, and does what it says.

    shim ─┐
    spec ─┼─► events ─► step ─► state on disk ─► effects ─┐
    people┘                                               │
      ▲───────────────── their results, as events ◄───────┘

The state is on disk before an effect begins, so an agent that dies at any point is followed by one that knows the
intent; what really runs the shim tells it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec
import structlog

from zlh_agent.console.console import Console
from zlh_agent.console.viewer import AGENT_GOES, Viewer
from zlh_agent.journal.model import Occurrence
from zlh_agent.metrics.model import Target
from zlh_agent.shim.errors import ShimLost
from zlh_agent.shim.host import DEFAULT_HISTORY_S, ShimHost, child_of
from zlh_agent.shim.link import ShimLink
from zlh_agent.shim.model import RUNNING, Launch, Rung, Snapshot
from zlh_agent.shim.signals import moment, signal_number
from zlh_agent.supervision import ports
from zlh_agent.supervision.machine import public_state, step, wake_at
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
    Kill,
    Launched,
    LaunchFailed,
    Phase,
    State,
    Stop,
    SwitchedOff,
    SwitchedOn,
    TimePassed,
)
from zlh_agent.supervision.model import Launch as LaunchOrder
from zlh_agent.supervision.questions import Questions
from zlh_agent.supervision.rules import Move, tell_move
from zlh_agent.supervision.runs import Runs, note_run
from zlh_agent.supervision.shim_terms import end_of, render_ladder
from zlh_agent.supervision.start_gate import StartGate
from zlh_agent.supervision.store import StateStore
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.processes import ProcessIdentity
from zlh_common.request_ids import current_request_id, following
from zlh_common.schema.console_wire import Exit as ExitMessage
from zlh_common.schema.process import ProcessReason, WantedProcess
from zlh_common.schema.status import ProcessStatus

log = structlog.get_logger()

# How long a start waits for what the last run has left to end.
CLEAR_TIMEOUT_S = 30.0
LEFTOVER_GRACE_MS = 5000
# What breaks may break again, and is not to take the processor.
BREAK_PAUSE_S = 1.0
_AT_REST = {Phase.STOPPED, Phase.ERROR}
# Where nothing is under way that somebody has asked for.
_AT_EASE = {*_AT_REST, Phase.RUNNING, Phase.BACKOFF}


@dataclass(frozen=True, slots=True)
class ProcessPlace:
    """What is the same for all processes of a container."""

    host: ShimHost
    launch: Callable[[WantedProcess], Launch]
    clock: Clock
    # See `ensure_boot_mark`.
    boot_mark: str
    # Where the ports are bound and probed.
    address: str
    on_change: Callable[[], None]
    # Writes down what has happened, so that it outlives the agent; called in a thread.
    record: Callable[[Sequence[Occurrence]], None] = lambda _occurrences: None
    # Is told of each process that has printed something.
    on_output: Callable[[str], None] = lambda _name: None
    # Done before each start of a process, which waits for it; what it returns is why the start has failed.
    prepare: Callable[[WantedProcess], Awaitable[ProcessReason | None]] | None = None
    # Asked at the beginning of each start, whoever began it: why it waits, None where it goes on. See `look_again`.
    hold: Callable[[str], ProcessReason | None] = lambda _name: None
    # How long the history of a process that does not run is kept.
    history_s: float = DEFAULT_HISTORY_S


class SupervisedProcess:
    """One process; hears its shim as a `ShimListener`. `run` is its life in this agent."""

    def __init__(self, wanted: WantedProcess, place: ProcessPlace) -> None:
        self.wanted = wanted
        self.name = wanted.name
        self.state = State()
        self.console = Console(place.host.folder(wanted.name), state="stopped")
        self._place = place
        self._store = StateStore(place.host.folder(wanted.name), place.boot_mark)
        self._link: ShimLink | None = None
        # The end of the shim, once there is nothing for it to hold; a start waits for it.
        self._resting: asyncio.Task[None] | None = None
        self._snapshot: Snapshot | None = None
        self.runs = Runs()
        # Each with the request on whose behalf it comes.
        self._events: asyncio.Queue[tuple[Event, str | None]] = asyncio.Queue()
        self._request_id: str | None = None
        # The end of what a dead shim has left; a start waits for it too.
        self._clearing_dead: asyncio.Task[None] | None = None
        # What the start that is under way is made from; a wish that comes meanwhile waits for the next one.
        self._starting = wanted
        # What the machine waits for in CLEARING and LAUNCHING.
        self._work: asyncio.Task[None] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._questions = Questions(self.console, place.address, self._hear)
        self._shim_said = asyncio.Event()
        self._gate = StartGate(self.name, place.hold, self._note_gate)
        # Set after each event that was taken, and when a start begins to wait.
        self._moved = asyncio.Event()

    # Orders

    def change(self, wanted: WantedProcess) -> None:
        """Take a newer wish; its command counts from the next start on, its policy at once."""
        self.wanted = wanted
        self.tell(SwitchedOn(wanted.attempt) if wanted.power == "on" else SwitchedOff())

    def tell(self, event: Event) -> None:
        """Queue an event, on behalf of the request that is being followed here."""
        self._events.put_nowait((event, current_request_id()))

    def _hear(self, event: Event) -> None:
        """Queue what has happened by itself, whoever began the task that tells of it."""
        self._events.put_nowait((event, None))

    async def wait_down(self) -> None:
        """Return once it is down, after it was switched off; nothing starts it until somebody switches it on."""
        while not (self.state.phase is Phase.STOPPED and self._events.empty()):
            self._moved.clear()
            await self._moved.wait()

    def is_coming_up(self) -> bool:
        """Tell whether it is being started: what it reads then must not change under it.

        One that waits to be let start is not, nor one that is late: it may never be ready.
        """
        match self.state.phase:
            case Phase.CLEARING:
                return self._gate.reason is None
            case Phase.STARTING:
                return self.state.due is not None
            case phase:
                return phase is Phase.LAUNCHING

    async def wait_settled(self) -> None:
        """Return once it is not being started: it is ready, or late, or down, or waits to be let start."""
        while self.is_coming_up():
            self._moved.clear()
            await self._moved.wait()

    def look_again(self) -> None:
        """Ask anew whether it may start, where it waits for that."""
        self._gate.look_again()

    async def stop_for_good(self) -> None:
        """Return once it is down, with its shim; the history stays for the caller to remove."""
        self.wanted = msgspec.structs.replace(self.wanted, power="off")
        self.tell(SwitchedOff())
        await self.wait_down()
        if self._link is not None:
            await self._place.host.end(self.name, self._link, forget=True, grace_s=LEFTOVER_GRACE_MS / 1000)
        await self._wait_dead_cleared()

    # The loop

    async def run(self) -> None:
        """Take events until cancelled; after `recover`."""
        try:
            while True:
                event, request_id = await self._events.get()
                # What follows an order (an end, then the start of a restart) is on its behalf until all is at ease.
                if request_id is not None or self.state.phase in _AT_EASE:
                    self._request_id = request_id
                with following(self._request_id):
                    await self._take_whatever_breaks(event)
        finally:
            self._call_off()

    async def _take_whatever_breaks(self, event: Event) -> None:
        """Take one event. One that breaks in a way that nobody foresaw does not end the supervision of this process.

        It goes on from what the shim says, as a new agent would.
        """
        try:
            await self._take(event)
        except Exception:
            log.exception("process.event_broke", process=self.name, kind=type(event).__name__)
            await asyncio.sleep(BREAK_PAUSE_S)
            snapshot, child = self._snapshot, child_of(self._snapshot)
            if snapshot is None or child is None:
                self._hear(FoundDown())
            else:
                self._hear(Launched(Child(child.pid, child.start_ticks, child.boot_id), self._began(snapshot)))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = wake_at(self.state)
        self._timer = None if due is None else asyncio.create_task(self._wait_until(due))

    async def _wait_until(self, due: float) -> None:
        while (wait_s := due - self._place.clock.monotonic()) > 0:
            await self._place.clock.sleep(wait_s)
        self._hear(TimePassed())

    async def _take(self, event: Event) -> None:
        before = self.state
        now = self._place.clock.monotonic()
        after, effects = step(before, event, policy=self.wanted.policy, now=now)
        if after != before:
            self.state = after
            move = Move(self.name, before, event, after, self.wanted.policy, now, self._place.clock.now())
            await self._keep(after, tell_move(move))
            self._note(before, after)
        for effect in effects:
            self._perform(effect)
        if after.phase in _AT_REST and self._link is not None and self._resting is None:
            self._resting = asyncio.create_task(self._rest(self._link))
        self._set_timer()
        start_offset = self._snapshot.start_offset if self._snapshot is not None else None
        self._questions.follow(after, self.wanted.policy, start_offset=start_offset)
        self._moved.set()

    async def _keep(self, state: State, told: Sequence[Occurrence]) -> None:
        def keep() -> None:
            # First what happened: an agent that dies between the two sees an end again, and the journal knows it.
            self._place.record(told)
            self._store.save(state)

        try:
            await asyncio.to_thread(keep)
        except OSError as error:
            # A full disk must not stop supervision; an agent that follows rebuilds from the shim and the spec.
            log.warning("process.state_not_kept", process=self.name, error=str(error))

    def _note(self, before: State, after: State) -> None:
        if after.phase is not before.phase:
            log.info(
                "process.state_changed",
                process=self.name,
                before=before.phase.value,
                after=after.phase.value,
                restarts=after.restarts,
                reason=after.reason.code if after.reason else None,
            )
            self.console.show(public_state(after.phase))
        self._place.on_change()

    # Effects

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Clear():
                self._begin(self._clear(), Blocked)
            case LaunchOrder():
                self._begin(self._launch(), LaunchFailed)
            case Stop():
                if self._link is not None:
                    self._link.stop(render_ladder(self.wanted.policy.stop))
            case Kill():
                self._kill()

    def _begin(self, work: Coroutine[None, None, None], failed: type[Blocked | LaunchFailed]) -> None:
        """Do what the machine waits for; what nobody has foreseen is told as `failed`, or it would wait for ever."""
        if self._work is not None:
            self._work.cancel()
        self._gate.forget()

        def note_end(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("process.start_broke", process=self.name, exc_info=error)
                self._hear(failed(_BROKE))

        self._work = asyncio.create_task(work)
        self._work.add_done_callback(note_end)

    async def _clear(self) -> None:
        try:
            await self._gate.wait()
            if self.state.phase is not Phase.CLEARING:
                # Switched off while it waited.
                return
            await self._ensure_shim()
            await self._clear_leftovers()
            held = await ports.wait_free(self._place.address, self.wanted.policy.ports, self._place.clock)
        except ZlhError as error:
            self.tell(Blocked(ProcessReason(code=error.code, message=error.detail)))
        except TimeoutError:
            self.tell(Blocked(_LEFTOVERS))
        else:
            self._starting = self.wanted
            self.tell(Cleared(fingerprint(self._starting)) if held is None else Blocked(held))

    def _note_gate(self) -> None:
        self._moved.set()
        self._place.on_change()

    async def _rest(self, link: ShimLink) -> None:
        """End the shim of a process that does not run: its history is on disk, and its memory is free."""
        await self._place.host.end(self.name, link, forget=False, grace_s=LEFTOVER_GRACE_MS / 1000)

    def _begin_clearing_dead(self, child: ProcessIdentity | None) -> None:
        former = self._clearing_dead

        async def clear() -> None:
            if former is not None:
                await former
            await self._place.host.clear_dead(self.name, child)

        self._clearing_dead = asyncio.create_task(clear())

    async def _wait_dead_cleared(self) -> None:
        if self._clearing_dead is not None:
            await asyncio.shield(self._clearing_dead)

    async def forget_old(self) -> None:
        """Remove the history of one that has not run for so long that nobody needs it; its state stays."""
        if not await self._place.host.is_old(self.name, self._place.history_s) or not self._is_idle():
            return
        log.info("process.history_expired", process=self.name)
        # A start waits for this as it waits for the end of a shim.
        self._resting = asyncio.create_task(self._place.host.forget_output(self.name))
        await asyncio.shield(self._resting)
        if self._link is None:
            self.console.open_history()

    def _is_idle(self) -> bool:
        is_resting = self._resting is not None and not self._resting.done()
        return self.state.phase in _AT_REST and self._link is None and not is_resting and not self.console.viewers

    async def _ensure_shim(self) -> None:
        await self._wait_dead_cleared()
        if self._resting is not None:
            await asyncio.shield(self._resting)
            self._resting = None
            self._let_go()
        if self._link is None:
            self._adopt(await self._place.host.start(self.name, self))

    async def _clear_leftovers(self) -> None:
        link = self._link
        if link is None or not (link.snapshot.left or link.snapshot.kill_at_ns):
            return
        link.stop([Rung(signal=signal_number("SIGTERM"), grace_ms=LEFTOVER_GRACE_MS)])
        async with asyncio.timeout(CLEAR_TIMEOUT_S):
            while link.is_open and (link.snapshot.left or link.snapshot.kill_at_ns):
                self._shim_said.clear()
                await self._shim_said.wait()
        # It may have gone over this; then another one takes its place.
        await self._ensure_shim()

    async def _launch(self) -> None:
        try:
            if self._place.prepare is not None and (reason := await self._place.prepare(self._starting)) is not None:
                self.tell(LaunchFailed(reason))
                return
            await self._ensure_shim()
            if self._link is None:
                raise ShimLost(self.name, reason="has ended")
            cols, rows = self.console.size
            ladder = render_ladder(self._starting.policy.stop)
            launch = self._place.launch(self._starting).replace(cols=cols, rows=rows, ladder=ladder)
            # That it runs is told by the shim's own word, in order with its end.
            await self._link.spawn(launch)
        except ZlhError as error:
            self.tell(LaunchFailed(ProcessReason(code=error.code, message=error.detail)))

    def _kill(self) -> None:
        link = self._link
        if link is None:
            return
        if self.state.kills <= 1:
            link.stop([])
        else:
            # It had its chance: a shim that was stopped or hangs must not be what keeps a process alive.
            child = child_of(self._snapshot)
            self._place.host.run_beside(self._place.host.kill(self.name, link.shim, child))

    # What the shim says

    def _adopt(self, link: ShimLink) -> None:
        self._link = link
        self.console.connect(link)
        self.on_snapshot(link.snapshot)

    def on_output(self) -> int:
        """See ShimListener."""
        grown = self.console.look()
        if grown:
            self._questions.note_output()
            self._place.on_output(self.name)
        return grown

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """See ShimListener: a child that is new here has begun, one that is over has ended."""
        before, self._snapshot = self._snapshot, snapshot
        self._shim_said.set()
        self.console.allow_input(allowed=snapshot.state == RUNNING)
        child = child_of(snapshot)
        self.runs = note_run(self.runs, snapshot.start_offset, goes_on=child is not None)
        if child is not None and child != child_of(before):
            self._hear(Launched(Child(child.pid, child.start_ticks, child.boot_id), self._began(snapshot)))
        elif before is not None and snapshot.exited_at_ns != before.exited_at_ns and (ended := end_of(snapshot)):
            self._tell_exit(snapshot, ended)

    def _tell_exit(self, snapshot: Snapshot, ended: Exit) -> None:
        self.console.tell(snapshot.written, ExitMessage(code=ended.code, signal=ended.signal))
        self._hear(Exited(ended))

    def _began(self, snapshot: Snapshot) -> float:
        ago_s = max(0.0, (time.time_ns() - (snapshot.started_at_ns or time.time_ns())) / 1e9)
        return self._place.clock.monotonic() - ago_s

    def on_lost(self) -> None:
        """See ShimListener: nobody holds the child any more, so it does not stay."""
        is_resting = self._resting is not None
        child = child_of(self._snapshot)
        self._let_go()
        if is_resting:
            return
        log.error("process.shim_lost", process=self.name)
        self._begin_clearing_dead(child)
        if self.state.child is not None:
            self._hear(Exited(Exit(at_ns=time.time_ns())))

    def _let_go(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = self._snapshot = None
        self.runs = replace(self.runs, goes_on=False)
        self.console.disconnect()
        self.console.allow_input(allowed=False)
        self._shim_said.set()

    # After a former agent

    async def recover(self) -> None:
        """Find out where the process stands: from what was kept, and from the shim, which knows better."""
        kept = await asyncio.to_thread(self._store.load)
        is_on = self.wanted.power == "on"
        self.state = kept or State(
            phase=Phase.CLEARING if is_on else Phase.STOPPED, is_wanted=is_on, attempt=self.wanted.attempt
        )
        self.console.show(public_state(self.state.phase))
        with contextlib.suppress(ShimLost):
            self._adopt(await self._place.host.connect(self.name, self))
        if self._link is None:
            self._begin_clearing_dead(None)
            self.console.open_history()
        if child_of(self._snapshot) is None:
            self._hear(await self._find_end())
        self.change(self.wanted)

    async def _find_end(self) -> Event:
        """Return how a child ended that this state has or has just ordered, or that there is none."""
        if self.state.child is None and self.state.phase is not Phase.LAUNCHING:
            return FoundDown()
        ended = await self._read_end()
        last = self.state.last_exit
        if ended is None or (self.state.child is None and last is not None and last.at_ns == ended.at_ns):
            # The order was not heard: what is on record is the end before it, which is known.
            return FoundDown()
        return Exited(ended)

    async def _read_end(self) -> Exit | None:
        if self._snapshot is not None and (ended := end_of(self._snapshot)):
            return ended
        _, record = await self._place.host.take_history(self.name)
        return None if record is None else end_of(record)

    # What it looks like from outside

    def view(self, asked: int | None, *, may_write: bool) -> Viewer:
        """Add a viewer; it stays when the process ends, since the next start goes on in the same history."""
        return self.console.view(asked, may_write=may_write)

    def status(self) -> ProcessStatus:
        """The row in the agent's status."""
        state, snapshot = self.state, self._snapshot
        is_up = state.child is not None
        ended = state.last_exit
        return ProcessStatus(
            name=self.name,
            state=public_state(state.phase),
            pid=state.child.pid if state.child is not None else None,
            started_at=moment(snapshot.started_at_ns) if is_up and snapshot is not None else None,
            restarts=state.restarts,
            next_restart_at=self._wall(state.due) if state.phase is Phase.BACKOFF else None,
            kill_at=self._wall(state.due) if state.phase is Phase.STOPPING and state.kills == 0 else None,
            exit_code=ended.code if ended is not None else None,
            signal=ended.signal if ended is not None else None,
            out_of_memory=ended is not None and ended.out_of_memory,
            exited_at=moment(ended.at_ns) if ended is not None else None,
            ready=state.is_ready,
            reason=(self._gate.reason if state.phase is Phase.CLEARING else None) or state.reason,
            outdated=is_up and self.is_outdated(),
        )

    def is_outdated(self) -> bool:
        """Tell whether its newest start was made from another command than is wanted now."""
        return self.state.made_from not in {None, fingerprint(self.wanted)}

    def target(self) -> Target | None:
        """What its metrics are read of, while it runs."""
        if self.state.child is None or self._link is None:
            return None
        return Target("process", self.name, self.state.child.pid, self._link.shim.pid)

    @property
    def shim(self) -> ProcessIdentity | None:
        """The shim that is held, if there is one."""
        return self._link.shim if self._link is not None else None

    def _wall(self, due: float | None) -> datetime | None:
        if due is None:
            return None
        return self._place.clock.now() + timedelta(seconds=due - self._place.clock.monotonic())

    # Its end in this agent

    def leave(self) -> None:
        """Let go of everything, for the agent goes; the process goes on. May be called twice."""
        self._call_off()
        self.console.dismiss(AGENT_GOES)
        if self._link is not None:
            self._link.close()
            self._link = None
        self.console.close()

    def _call_off(self) -> None:
        self._questions.call_off()
        for task in (self._work, self._timer, self._resting, self._clearing_dead):
            if task is not None:
                task.cancel()


def fingerprint(wanted: WantedProcess) -> str:
    """Return what tells one command from another: program, folder and environment, not the policy."""
    parts = (wanted.argv, wanted.folder, sorted(wanted.environment.items()))
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


_LEFTOVERS = ProcessReason(
    code="leftovers_stay", message="What its last run has started does not end, and it must not run twice."
)
_BROKE = ProcessReason(code="agent_broke", message="Something broke in the agent over the start; its log says what.")
