"""Becomes another version when told: prepares it, switches to it and goes; the new one proves itself and tidies up.

What is on the disk says at every moment where an update stands, so whichever version starts goes on from there, after a
kill at any line. Nothing that runs in the container is touched: shims go on, and the next agent takes them up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import msgspec
import structlog

from zlh_agent import launcher
from zlh_agent.journal.model import Occurrence
from zlh_agent.launcher import DONE, PROBATION, PROVING, UNDONE, UpdateState
from zlh_agent.runtimes.errors import RuntimeChildFailed
from zlh_agent.runtimes.installing.installer import InstallFailed, Progress
from zlh_agent.update import bundles
from zlh_agent.update.errors import (
    AgentSwitchFailed,
    AgentUpdateBusy,
    AgentUpdateFixed,
    AgentUpdateNotKept,
    AgentUpdateUnproved,
    AgentVersionOlder,
)
from zlh_agent.update.fetching import fetch_bundle
from zlh_agent.update.model import Handover, HeldShim, Order, Seen, Stage, UpdatePlace
from zlh_agent.update.rules import (
    Verdict,
    choose_removals,
    decide_update,
    find_highest,
    find_lacking,
    find_previous,
    is_of,
    is_prepared,
    is_switching,
    make_order,
    tell_update,
)
from zlh_agent.update.store import UpdateStore
from zlh_agent.update.system_files import place_system_files
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.processes import ProcessIdentity, is_alive
from zlh_common.schema.agent_update import AgentSoftware, StartAgentUpdate

log = structlog.get_logger()
T = TypeVar("T")
# How often what may pass is tried, and the first pause, which doubles.
TRIES, FIRST_PAUSE_S = 5, 2.0
# Between two looks whether a version has proved itself, and between tries to write down that it has.
LOOK_S, KEEP_PAUSE_S = 0.5, 5.0
# Between tries to put and take away what an update leaves, which nobody waits for.
TIDY_PAUSE_S = 60.0


class UpdateService:
    """Knows where the update stands, and brings it on. Call `load` first, `run` for as long as the agent lives."""

    def __init__(self, place: UpdatePlace, clock: Clock, *, boot_id: str) -> None:
        self._place = place
        self._clock = clock
        self._boot_id = boot_id
        self._store = UpdateStore(place.folder)
        self._state = UpdateState()
        self._order: Order | None = None
        self._stage: Stage | None = None
        self._present: list[str] = []
        # Whether what the last update has left is told, placed and taken away.
        self.is_tidy = False
        self._changed = asyncio.Event()
        self._taking = asyncio.Lock()
        self.on_change: Callable[[], None] = lambda: None
        # Told what has happened.
        self.note: Callable[[Occurrence], Awaitable[None]] = _note_nothing
        # Called when the agent is to end in order, so that the launcher starts what was switched to.
        self.leave: Callable[[], None] = lambda: None
        # The shims that are held at this moment, and the newest spec that was accepted.
        self.shims: Callable[[], Sequence[ProcessIdentity]] = tuple
        self.spec_generation: Callable[[], int] = lambda: 0
        # Returns once the agent was met at its own port, and has made its report; raises OSError or ValueError.
        self.serves: Callable[[], Awaitable[None]] = _serves

    async def load(self) -> None:
        """Read where the last update stands."""
        await asyncio.to_thread(self._load)

    def _load(self) -> None:
        try:
            self._state = self._store.read_state()
        except OSError as error:
            # What is not known is neither brought on nor written over; the launcher sees to one that is on trial.
            log.error("agent.update_state_unknown", error=str(error))  # noqa: TRY400 - the disk's word is all there is
            because = f"How far its last update is cannot be read: {error.strerror or error}."
            self._place = replace(self._place, fixed_because=because)
        self._order = self._store.read_order()
        if is_switching(self._state) and (self._order is None or not is_of(self._state, self._order)):
            # The launcher's word holds: what was told was lost, or is what another version wrote.
            self._order = make_order(self._state)
        self._present = bundles.find_bundles(self._place.bundles)

    # What is asked

    def report(self) -> AgentSoftware:
        """Return what the status says of the agent itself."""
        running = self._place.version
        return AgentSoftware(
            version=running,
            fixed_because=self._place.fixed_because,
            previous=find_previous(self._present, running),
            python=bundles.python_version(),
            update=tell_update(self._order, self._state, self._stage),
        )

    async def start(self, wish: StartAgentUpdate) -> AgentSoftware:
        """Begin to become a version; the same again changes nothing.

        Raises AgentUpdateFixed, AgentUpdateBusy, AgentVersionOlder, AgentUpdateNotKept.
        """
        if self._place.fixed_because is not None:
            raise AgentUpdateFixed(self._place.fixed_because)
        async with self._taking:
            match self._decide(wish):
                case Verdict.BUSY:
                    raise self._busy()
                case Verdict.OLDER:
                    highest = find_highest(self._state, self._place.version)
                    raise AgentVersionOlder(version=wish.version, highest=highest)
                case Verdict.TAKE:
                    await self._take(wish)
                case Verdict.SAME:
                    pass
        return self.report()

    def _decide(self, wish: StartAgentUpdate) -> Verdict:
        return decide_update(
            wish.version, wish.attempt, order=self._order, state=self._state, running=self._place.version
        )

    def _busy(self) -> AgentUpdateBusy:
        update = tell_update(self._order, self._state, None)
        assert update is not None
        return AgentUpdateBusy(version=update.version, phase=update.state.value)

    async def _take(self, wish: StartAgentUpdate) -> None:
        now = self._clock.now()
        is_there = wish.version == self._place.version
        order = Order(
            version=wish.version,
            attempt=wish.attempt,
            before=self._place.version,
            started_at=now,
            finished_at=now if is_there else None,
            is_noted=is_there,
        )
        try:
            await asyncio.to_thread(self._store.write_order, order)
        except OSError as exc:
            raise AgentUpdateNotKept(reason=exc.strerror or str(exc)) from exc
        log.info("agent.update_started", version=order.version, attempt=order.attempt, before=order.before)
        self._order, self._stage, self.is_tidy = order, Stage(0.0, "waiting"), False
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self.on_change()

    # What is done about it

    async def run(self) -> None:
        """Bring the update on whenever there is something to do, until cancelled."""
        if self._place.fixed_because is not None:
            return
        while True:
            self._changed.clear()
            self.is_tidy = False
            await self._advance()
            await self._changed.wait()

    async def _advance(self) -> None:
        """Do what is due in the place where the update stands."""
        running, order = self._place.version, self._order
        current = await asyncio.to_thread(launcher.read_current, self._place.bundles)
        if is_switching(self._state) and running == self._state.version:
            await self._show_its_worth()
        elif is_switching(self._state) and current == self._state.version:
            # The launcher could not start it, and has started this one.
            await self._undo(AgentSwitchFailed(reason=f"{self._state.version} cannot be started"))
        elif order is not None and (is_prepared(order, self._state) or is_switching(self._state)):
            await self._prepare(order)
        is_next = await asyncio.to_thread(launcher.read_current, self._place.bundles) in {running, None}
        # One that was undone leaves all of that to the one that follows it.
        if is_next and not is_switching(self._state):
            await self._rest()

    # The former version: fetch and switch

    async def _prepare(self, order: Order) -> None:
        """Bring the version here, and switch to it; what fails is told, and the agent goes on as it is."""
        try:
            await asyncio.to_thread(bundles.sweep, self._place.bundles)
            await self._fetch_patiently(order)
            await self._switch(order)
        except (InstallFailed, RuntimeChildFailed) as error:
            code = error.reason_code
            await self._fail(order, error, code=code)
        except AgentSwitchFailed as error:
            await self._fail(order, error, code=error.code)

    async def _fetch_patiently(self, order: Order) -> None:
        for pause in range(TRIES):
            try:
                await fetch_bundle(self._place, order.version, order.attempt, on_progress=self._show)
            except (InstallFailed, RuntimeChildFailed) as error:
                if not error.may_pass or pause == TRIES - 1:
                    raise
                log.warning("agent.update_tried_again", version=order.version, code=error.reason_code)
                await asyncio.sleep(FIRST_PAUSE_S * 2**pause)
            else:
                return

    def _show(self, progress: Progress) -> None:
        self._stage = Stage(progress.fraction, progress.message)
        self.on_change()

    async def _fail(self, order: Order, error: ZlhError, *, code: str) -> None:
        log.warning("agent.update_failed", version=order.version, attempt=order.attempt, code=code)
        failed = msgspec.structs.replace(
            order,
            finished_at=self._clock.now(),
            code=code,
            message=error.detail,
            exit_code=getattr(error, "exit_code", None),
            output=getattr(error, "output", None),
        )
        if is_switching(self._state):
            # Cut off right before its switch, and what lay there did not do any more.
            await self._move(UpdateState(highest=self._state.highest))
        # Told before it is kept: a disk that has no room for it is what most of all has to be told.
        self._order, self._stage = failed, None
        self.on_change()
        await self._keep_failed(failed)

    async def _keep_failed(self, failed: Order) -> None:
        """Write down that it failed, however long the disk refuses, unless the agent is told of another meanwhile.

        Cut off before that, the next start tries the update again.
        """
        while True:
            async with self._taking:
                if self._order is not failed or await self._is_kept(failed):
                    return
            await asyncio.sleep(KEEP_PAUSE_S)

    async def _is_kept(self, order: Order) -> bool:
        try:
            await asyncio.to_thread(self._write_failed, order)
        except OSError as error:
            log.warning("agent.update_not_kept", error=str(error))
            return False
        return True

    def _write_failed(self, order: Order) -> None:
        """Keep it, and that nothing is switched to, where the disk refused to take that back."""
        with launcher.holding(self._place.folder):
            if self._store.read_state() != self._state:
                self._store.write_state(self._state)
        self._store.write_order(order)

    async def _switch(self, order: Order) -> None:
        """Have the launcher start that version next, and go. Raises AgentSwitchFailed, and nothing is switched then."""
        shims = tuple(HeldShim(one.pid, one.start_ticks) for one in self.shims())
        handover = Handover(
            version=order.version,
            attempt=order.attempt,
            boot_id=self._boot_id,
            spec_generation=self.spec_generation(),
            shims=shims,
        )
        try:
            await asyncio.to_thread(self._switch_on_disk, order, handover)
        except OSError as exc:
            raise AgentSwitchFailed(reason=exc.strerror or str(exc)) from exc
        log.info("agent.switched", version=order.version, before=self._place.version, shims=len(shims))
        self.on_change()
        self.leave()

    def _switch_on_disk(self, order: Order, handover: Handover) -> None:
        """Write down that the version is on trial, and let `current` lead to it, in this order."""
        place = self._place
        self._store.write_handover(handover)
        proving = UpdateState(
            phase=PROVING,
            version=order.version,
            former=place.version,
            attempt=order.attempt,
            highest=find_highest(self._state, place.version),
            started_at=order.started_at.isoformat(),
        )
        with launcher.holding(place.folder):
            before, self._state = self._state, proving
            try:
                bundles.lay_back(place.bundles, place.version)
                self._store.write_state(proving)
                bundles.switch_current(place.bundles, order.version)
                self._state = replace(proving, switched=True)
                self._store.write_state(self._state)
            except OSError:
                # What `current` leads to decides: the launcher notes by itself that it was switched.
                if launcher.read_current(place.bundles) != order.version:
                    self._state = UpdateState(highest=before.highest) if is_switching(before) else before
                    self._store.write_state(self._state)
                    raise

    # The new version: prove itself

    async def _show_its_worth(self) -> None:
        """Prove that this version serves and has taken up everything, live through its probation, and be accepted."""
        if self._state.phase == PROVING and not await self._prove():
            return
        await asyncio.sleep(self._place.probation_s)
        accepted = replace(self._state, phase=DONE)
        highest = find_highest(accepted, self._state.version)
        done = replace(accepted, highest=highest, ended_at=self._clock.now().isoformat())
        if not await self._move(done):
            self.leave()

    async def _prove(self) -> bool:
        """Go on to the probation, or undo; tell which."""
        loop = asyncio.get_running_loop()
        handover, due = await asyncio.to_thread(self._find_handover), loop.time() + self._place.proof_s
        while (lacking := await self._find_lacking(handover)) is not None:
            if loop.time() >= due:
                await self._undo(AgentUpdateUnproved(within_s=self._place.proof_s, lacking=lacking))
                self.leave()
                return False
            await asyncio.sleep(LOOK_S)
        if not await self._move(replace(self._state, phase=PROBATION)):
            self.leave()
            return False
        return True

    def _find_handover(self) -> Handover | None:
        handover = self._store.read_handover()
        mine = (self._state.version, self._state.attempt)
        return handover if handover is not None and (handover.version, handover.attempt) == mine else None

    async def _find_lacking(self, handover: Handover | None) -> str | None:
        trouble: str | None = None
        try:
            await self.serves()
        except (OSError, ValueError) as error:
            # A TimeoutError and an SSLError are OSErrors.
            trouble = str(error) or type(error).__name__
        held = frozenset(HeldShim(one.pid, one.start_ticks) for one in self.shims())
        seen = Seen(trouble, self.spec_generation(), held)
        alive = await asyncio.to_thread(_find_alive, handover) if handover is not None else []
        return find_lacking(handover, seen, alive)

    async def _move(self, state: UpdateState) -> bool:
        """Go to another phase, and say so; tell whether it was: what was given up meanwhile stays so.

        Where the disk refuses, it is tried for as long as it takes.
        """
        before = self._state
        self._state = await self._keep(lambda: self._store.move_state(before, state))
        log.info("agent.update_moved", version=self._state.version, phase=self._state.phase)
        self.on_change()
        return self._state == state

    async def _undo(self, error: ZlhError) -> None:
        log.error("agent.update_undone", version=self._state.version, code=error.code, reason=error.detail)
        self._state = await asyncio.to_thread(
            launcher.undo, self._place.folder, self._place.bundles, code=error.code, message=error.detail
        )
        self.on_change()

    async def _keep(self, write: Callable[[], T]) -> T:
        while True:
            try:
                return await asyncio.to_thread(write)
            except OSError as error:
                log.warning("agent.update_not_kept", error=str(error))
                await asyncio.sleep(KEEP_PAUSE_S)

    # When nothing is under way

    async def _rest(self) -> None:
        """Tell what became of the update, place what starts this version, and take away what nobody needs.

        Where the disk refuses, it is tried until that is done, or the agent is told of a version.
        """
        await self._tell_outcome()
        while not self._changed.is_set():
            self.is_tidy = await self._is_tidied()
            self._present = await asyncio.to_thread(bundles.find_bundles, self._place.bundles)
            self.on_change()
            if self.is_tidy:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(TIDY_PAUSE_S):
                    await self._changed.wait()

    async def _is_tidied(self) -> bool:
        try:
            await asyncio.to_thread(self._tidy)
        except OSError as error:
            log.warning("agent.not_tidied", error=str(error))
            return False
        return True

    def _tidy(self) -> None:
        place, running = self._place, self._place.version
        current = launcher.read_current(place.bundles)
        if self._state.phase == DONE and running == self._state.version == current:
            bundles.forget_way_back(place.bundles)
            place_system_files(place.bundles / running, place.bundles, place.root)
        bundles.sweep(place.bundles)
        present, used = bundles.find_bundles(place.bundles), bundles.find_used(place.bundles)
        for version in choose_removals(present, running=running, current=current, in_use=used):
            bundles.remove(place.bundles, version)
            log.info("agent.bundle_removed", version=version)
        for part in (place.folder / "downloads").glob("*.partial"):
            with suppress(OSError):
                part.unlink()

    async def _tell_outcome(self) -> None:
        """Write into the journal, once, how the last update went."""
        order = self._order
        if order is None or order.is_noted:
            return
        occurrence = _make_occurrence(order, self._state)
        if occurrence is None:
            return
        await self.note(occurrence)
        noted = msgspec.structs.replace(order, is_noted=True)
        with suppress(OSError):
            await asyncio.to_thread(self._store.write_order, noted)
        self._order = noted


def _make_occurrence(order: Order, state: UpdateState) -> Occurrence | None:
    update = tell_update(order, state, None)
    if update is None or update.finished_at is None:
        return None
    facts = {"version": order.version, "before": order.before}
    if order.code is not None:
        text = f"The agent could not be brought to {order.version}: {order.message}"
        kind, facts = "agent.update_failed", {**facts, "code": order.code}
    elif is_of(state, order) and state.phase == UNDONE:
        text = f"The agent is {order.before} again, since {order.version} did not prove itself: {update.message}"
        kind, facts = "agent.update_undone", {**facts, "code": update.code or ""}
    else:
        kind, text = "agent.updated", f"The agent is {order.version}, after {order.before}."
    return Occurrence(kind, None, text, facts, at=update.finished_at)


def _find_alive(handover: Handover) -> list[HeldShim]:
    return [shim for shim in handover.shims if is_alive(ProcessIdentity(shim.pid, shim.start_ticks, handover.boot_id))]


async def _note_nothing(_occurrence: Occurrence) -> None:
    """Nobody writes down what happens."""


async def _serves() -> None:
    """Nobody asks."""
