"""The agent's own reconcile loop: bring what is wanted, remove what is not, tell how far it is, try again.

Processes are not waited for: their own machines see to what the spec says of them, from the moment it is accepted. One
whose runtime is still being installed fails to start and is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from zlh_agent.runtimes.errors import RuntimeChildFailed, RuntimeUseUnknown
from zlh_agent.runtimes.installing.installer import InstallFailed, Progress
from zlh_agent.runtimes.plan import Action, Blocked, Remove, Version, find_unwanted, plan, still_wants
from zlh_agent.runtimes.service import RuntimeService
from zlh_agent.spec.rules import (
    NOTHING,
    SHOW_REMOVED_S,
    StepKey,
    Verdict,
    decide_spec,
    find_current,
    retry_delay_s,
    step_key,
    steps_ahead,
    tell_users,
    wanted_versions,
)
from zlh_agent.spec.store import SpecStore
from zlh_agent.supervision.service import ProcessService
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.request_ids import current_request_id, following
from zlh_common.schema.game import WantedGame
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.runtime import RuntimeInUse, RuntimeUser
from zlh_common.schema.spec import AgentSpec, WantedRuntime
from zlh_common.schema.status import Step, StepState
from zlh_common.step_names import is_removal, name_install, name_removal

log = structlog.get_logger()
# How often it is looked whether a version that waits for its users is free, and how soon after a process has changed.
USERS_LOOK_S, USERS_PAUSE_S = 30.0, 0.5


class SpecNotKept(ZlhError):
    """The disk does not keep the spec, so it was not taken."""

    code, status, retryable = "spec_not_kept", 507, True

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The disk does not keep the spec: {reason}. The one before it holds.")


class SpecGenerationStale(ZlhError):
    """The spec is older than the one that the agent holds."""

    code, status = "spec_generation_stale", 409

    def __init__(self, *, sent: int, held: int) -> None:
        super().__init__(f"The spec has generation {sent}; the agent holds {held} already.", sent=sent, held=held)


@dataclass(frozen=True, slots=True)
class SpecView:
    """What the status says of the spec."""

    spec_generation: int
    observed_generation: int
    steps: tuple[Step, ...]
    unknown_fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _AtWork:
    action: Action
    task: asyncio.Task[None]


class SpecService:
    """Holds the spec and makes it so."""

    def __init__(
        self,
        store: SpecStore,
        runtimes: RuntimeService,
        processes: ProcessService,
        clock: Clock,
        *,
        on_change: Callable[[], None],
    ) -> None:
        self._store = store
        self._runtimes = runtimes
        self._processes = processes
        self._clock = clock
        self._on_change = on_change
        self._spec = NOTHING
        self._observed = 0
        # The spec that was reached last.
        self._settled: AgentSpec | None = None
        self._steps: dict[StepKey, Step] = {}
        # When steps of removals were done, by a clock that never runs backwards.
        self._removed_at: dict[StepKey, float] = {}
        self._unknown_fields: tuple[str, ...] = ()
        self._changed = asyncio.Event()
        self._at_work: _AtWork | None = None
        # What has failed under this spec: whether it may pass, and when that is tried again.
        self._failed: dict[StepKey, bool] = {}
        self._failures = 0
        self._retry_at = 0.0
        self._is_blocked = False
        # Since it was looked last who uses what; that takes a while, in which the last user may go.
        self._has_use_changed = False
        # Who sent the spec that is held.
        self._request_id: str | None = None
        self._accepting = asyncio.Lock()
        # Takes note of the addons of a spec, and says which processes they are.
        self.take_addons: Callable[[AgentSpec], Sequence[WantedProcess]] = lambda _spec: ()
        self._applying = asyncio.Lock()
        # Is told what holds from now on.
        self.on_spec: Callable[[AgentSpec], None] = lambda _spec: None

    def view(self) -> SpecView:
        """Return how far the spec is."""
        since = self._clock.monotonic() - SHOW_REMOVED_S
        over = {key for key, at in self._removed_at.items() if at < since}
        steps = tuple(step for key, step in self._steps.items() if key not in over)
        return SpecView(self._spec.generation, self._observed, steps, self._unknown_fields)

    def wanted_game(self) -> WantedGame | None:
        """Return the game server that is wanted here, if one is."""
        return self._spec.game

    def steps_of(self, name: str) -> tuple[Step, ...]:
        """Return the steps of one runtime or addon; a name of a step alone could be that of two."""
        return tuple(step for key, step in self._steps.items() if key[1] == name)

    def has_runtimes(self) -> bool:
        """Tell whether every runtime is there that the spec wants; an addon is nobody's condition."""
        names = {runtime.name for runtime in self._spec.runtimes}
        return all(
            step.state is StepState.DONE
            for (_, name, _), step in self._steps.items()
            if name in names and not is_removal(step.name)
        )

    async def load(self) -> None:
        """Take up the spec that was held before this start, and the processes that run since then."""
        spec = await asyncio.to_thread(self._store.load)
        self._begin(spec)
        self.on_spec(spec)
        await self.apply_processes()

    async def accept(self, sent: AgentSpec, *, unknown_fields: tuple[str, ...]) -> None:
        """Hold `sent` from now on; raise SpecGenerationStale, SpecNotKept. One by one, or an old one could overtake."""
        async with self._accepting:
            match decide_spec(self._spec, sent):
                case Verdict.STALE:
                    raise SpecGenerationStale(sent=sent.generation, held=self._spec.generation)
                case Verdict.TAKE:
                    await self._keep(sent)
                    log.info("spec.accepted", generation=sent.generation, versions=len(wanted_versions(sent)))
                    self._begin(sent)
                    self.on_spec(sent)
                    await self.apply_processes()
                case Verdict.KEEP:
                    pass
            self._unknown_fields = unknown_fields
        self._on_change()

    async def apply_processes(self) -> None:
        """Have the processes kept that the spec means by now: it is another one, or an addon is."""
        async with self._applying:
            spec = self._spec
            await self._processes.apply((*spec.processes, *self.take_addons(spec)))

    async def _keep(self, spec: AgentSpec) -> None:
        try:
            await asyncio.to_thread(self._store.save, spec)
        except OSError as exc:
            raise SpecNotKept(reason=exc.strerror or str(exc)) from exc

    def look_again(self) -> None:
        """Look soon whether versions that wait for their users are free: a process or a terminal has changed."""
        self._has_use_changed = True
        if self._is_blocked:
            self._is_blocked = False
            asyncio.get_running_loop().call_later(USERS_PAUSE_S, self._changed.set)

    async def run(self) -> None:
        """Reconcile for ever; a new spec interrupts waits, and what it does not want any more."""
        while True:
            self._changed.clear()
            spec = self._spec
            with following(self._request_id):
                await self._reconcile(spec)
            await self._settle(spec)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._changed.wait()

    async def _settle(self, spec: AgentSpec) -> None:
        """Say that a spec was reached, or has failed for good, unless a newer one has come."""
        if spec is not self._spec or spec is self._settled or any(self._failed.values()):
            return
        await self._runtimes.forget_downloads()
        if spec is self._spec:
            self._observed, self._settled = spec.generation, spec
            self._on_change()

    def _pause_s(self) -> float | None:
        """Return how long nothing is to be done; None until somebody says so."""
        pauses = [self._retry_at - self._clock.monotonic()] if any(self._failed.values()) else []
        pauses += [USERS_LOOK_S] if self._is_blocked else []
        return max(0.0, min(pauses)) if pauses else None

    def _begin(self, spec: AgentSpec) -> None:
        self._spec = spec
        self._request_id = current_request_id()
        self._runtimes.want(spec.runtimes, spec.addons)
        wanted = wanted_versions(spec)
        self._failed, self._failures, self._removed_at = {}, 0, {}
        held, at_work = self._runtimes.held(), self._at_work
        before, self._steps = self._steps, {}
        if at_work is not None and still_wants(at_work.action, wanted, held):
            key = step_key(at_work.action)
            self._steps = {key: before[key]} if key in before else {}
        elif at_work is not None:
            at_work.task.cancel()
        for runtime in steps_ahead(wanted, held):
            self._steps.setdefault(("install", runtime.name, runtime.version), self._first_step(runtime))
        for version in find_unwanted(wanted, held):
            step = Step(name=name_removal(*version), state=StepState.PENDING)
            self._steps.setdefault(("remove", *version), step)
        self._changed.set()

    def _first_step(self, runtime: WantedRuntime) -> Step:
        installed = self._runtimes.find(runtime.name, runtime.version)
        planned = plan([runtime], self._runtimes.held(), ())
        if installed is None or any(step_key(action)[0] == "install" for action in planned):
            return Step(name=name_install(runtime), state=StepState.PENDING)
        return Step(name=name_install(runtime), state=StepState.DONE, finished_at=installed.installed_at, progress=1.0)

    async def _reconcile(self, spec: AgentSpec) -> None:
        """Do what is planned, one after the other, each once; what has failed is left for its time."""
        tried: set[StepKey] = set()
        while spec is self._spec:
            users = await self._find_users()
            planned = plan(wanted_versions(spec), self._runtimes.held(), users.keys())
            if spec is not self._spec:
                return
            self._update_steps({step_key(action) for action in planned})
            self._show_blocked([action for action in planned if isinstance(action, Blocked)], users)
            due = [action for action in planned if not isinstance(action, Blocked) and self._is_due(step_key(action))]
            action = next((action for action in due if step_key(action) not in tried), None)
            if action is None:
                break
            tried.add(step_key(action))
            await self._carry_out(action)
        if tried and any(self._failed.values()):
            self._failures += 1
            self._retry_at = self._clock.monotonic() + retry_delay_s(self._failures)

    def _update_steps(self, planned: set[StepKey]) -> None:
        """Take for done what is not to be done any more, such as what a child did that was killed right after."""
        for key, step in list(self._steps.items()):
            if key in planned or step.state not in {StepState.PENDING, StepState.FAILED}:
                continue
            self._failed.pop(key, None)
            if key[0] == "remove" and step.state is StepState.PENDING:
                del self._steps[key]
            else:
                self._finish(key, Step(name=step.name, state=step.state, started_at=step.started_at), None)

    def _is_due(self, key: StepKey) -> bool:
        may_pass = self._failed.get(key)
        return may_pass is None or (may_pass and self._clock.monotonic() >= self._retry_at)

    async def _find_users(self) -> Mapping[Version, Sequence[RuntimeUser]]:
        """Return who keeps a version that must go; where that cannot be told, all of them are kept."""
        going = find_unwanted(wanted_versions(self._spec), self._runtimes.held())
        if not going:
            return {}
        self._has_use_changed = False
        try:
            return await self._runtimes.find_users()
        except RuntimeUseUnknown:
            return dict.fromkeys(going, ())

    def _show_blocked(self, blocked: Sequence[Blocked], users: Mapping[Version, Sequence[RuntimeUser]]) -> None:
        self._is_blocked = bool(blocked)
        if self._has_use_changed:
            self.look_again()
        current = find_current(self._runtimes.held())
        for one in blocked:
            version = (one.name, one.version)
            step = Step(name=name_removal(*version), state=StepState.PENDING, code=RuntimeInUse.code)
            if users[version]:
                default = current.get(one.name)
                message = tell_users(version, users[version], None if default == one.version else default)
                step = msgspec.structs.replace(step, message=message)
            else:
                step = msgspec.structs.replace(step, code=RuntimeUseUnknown.code, message=RuntimeUseUnknown().detail)
            if self._steps.get(step_key(one)) != step:
                self._steps[step_key(one)] = step
                self._on_change()

    async def _carry_out(self, action: Action) -> None:
        """Do one thing to its end; what a newer spec has called off is undone, and no failure."""
        task = asyncio.create_task(self._do(action))
        self._at_work = _AtWork(action, task)
        try:
            await asyncio.wait({task})
        finally:
            self._at_work = None
            task.cancel()
            await asyncio.wait({task})
        if task.cancelled():
            await self._runtimes.tidy()
        else:
            task.result()

    async def _do(self, action: Action) -> None:
        key = step_key(action)
        name = name_removal(*key[1:]) if isinstance(action, Remove | Blocked) else name_install(action.runtime)
        running = Step(name=name, state=StepState.RUNNING, started_at=self._clock.now(), progress=0.0)
        self._failed.pop(key, None)
        # What a change before it has left unwanted has no step yet.
        self._steps[key] = running
        self._on_change()
        failure: InstallFailed | RuntimeChildFailed | None = None
        try:
            await self._work_of(action, key)
        except (InstallFailed, RuntimeChildFailed) as error:
            failure = error
            if key in self._steps:
                self._failed[key] = error.may_pass
        self._finish(key, running, failure)

    def _work_of(self, action: Action, key: StepKey) -> Coroutine[Any, Any, None]:
        if isinstance(action, Remove | Blocked):
            return self._runtimes.remove(action.name, action.version)
        return self._runtimes.install(action.runtime, on_progress=self._progress_of(key))

    def _progress_of(self, key: StepKey) -> Callable[[Progress], None]:
        def show(progress: Progress) -> None:
            step = self._steps.get(key)
            if step is not None and step.state is StepState.RUNNING:
                told = {"progress": progress.fraction, "message": progress.message, "transfer": progress.transfer}
                self._show(key, msgspec.structs.replace(step, **told))

        return show

    def _finish(self, key: StepKey, running: Step, failure: InstallFailed | RuntimeChildFailed | None) -> None:
        step = msgspec.structs.replace(running, state=StepState.DONE, finished_at=self._clock.now(), progress=1.0)
        if failure is not None:
            step = msgspec.structs.replace(
                step,
                state=StepState.FAILED,
                progress=None,
                code=failure.reason_code,
                message=failure.detail,
                exit_code=failure.exit_code if isinstance(failure, InstallFailed) else None,
                output=failure.output if isinstance(failure, InstallFailed) else None,
            )
        elif key[0] == "remove":
            self._removed_at[key] = self._clock.monotonic()
        self._show(key, step)

    def _show(self, key: StepKey, step: Step) -> None:
        """Show how far a step is, unless a newer spec has none of it."""
        if key in self._steps:
            self._steps[key] = step
            self._on_change()
