"""The agent's own reconcile loop: install what is wanted and missing, tell how far it is, try again what may pass.

Processes are not waited for: their own machines see to what the spec says of them, from the moment it is accepted. One
whose runtime is still being installed fails to start and is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec
import structlog

from zlh_agent.runtimes.installer import InstallFailed, Progress
from zlh_agent.runtimes.service import RuntimeService
from zlh_agent.spec.rules import NOTHING, Verdict, decide_spec, missing_runtimes, retry_delay_s, step_name
from zlh_agent.spec.store import SpecStore
from zlh_agent.supervision.service import ProcessService
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.request_ids import current_request_id, following
from zlh_common.schema.spec import AgentSpec, WantedRuntime
from zlh_common.schema.status import Step, StepState

log = structlog.get_logger()


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
        self._steps: dict[str, Step] = {}
        self._unknown_fields: tuple[str, ...] = ()
        self._changed = asyncio.Event()
        # Who sent the spec that is held.
        self._request_id: str | None = None
        self._accepting = asyncio.Lock()

    def view(self) -> SpecView:
        """Return how far the spec is."""
        return SpecView(self._spec.generation, self._observed, tuple(self._steps.values()), self._unknown_fields)

    async def load(self) -> None:
        """Take up the spec that was held before this start, and the processes that run since then."""
        spec = await asyncio.to_thread(self._store.load)
        self._begin(spec)
        await self._processes.apply(spec.processes)

    async def accept(self, sent: AgentSpec, *, unknown_fields: tuple[str, ...]) -> None:
        """Hold `sent` from now on; raise SpecGenerationStale. One after the other, or an old one could overtake."""
        async with self._accepting:
            match decide_spec(self._spec, sent):
                case Verdict.STALE:
                    raise SpecGenerationStale(sent=sent.generation, held=self._spec.generation)
                case Verdict.TAKE:
                    await asyncio.to_thread(self._store.save, sent)
                    log.info("spec.accepted", generation=sent.generation, runtimes=len(sent.runtimes))
                    self._begin(sent)
                    await self._processes.apply(sent.processes)
                case Verdict.KEEP:
                    pass
            self._unknown_fields = unknown_fields
        self._on_change()

    async def run(self) -> None:
        """Reconcile for ever; a new spec interrupts a wait, not an install."""
        failures = 0
        while True:
            self._changed.clear()
            spec = self._spec
            with following(self._request_id):
                may_pass = await self._reconcile(spec)
            failures = failures + 1 if may_pass else 0
            if not may_pass and spec is self._spec:
                self._observed = spec.generation
                self._on_change()
            try:
                async with asyncio.timeout(retry_delay_s(failures) if may_pass else None):
                    await self._changed.wait()
                    failures = 0
            except TimeoutError:
                continue

    def _begin(self, spec: AgentSpec) -> None:
        self._spec = spec
        self._request_id = current_request_id()
        self._steps = {step_name(runtime): self._first_step(runtime) for runtime in spec.runtimes}
        self._changed.set()

    def _first_step(self, runtime: WantedRuntime) -> Step:
        installed = self._runtimes.find(runtime.name, runtime.version)
        if installed is None or not installed.default:
            return Step(name=step_name(runtime), state=StepState.PENDING)
        return Step(name=step_name(runtime), state=StepState.DONE, finished_at=installed.installed_at, progress=1.0)

    async def _reconcile(self, spec: AgentSpec) -> bool:
        """Install what is missing, one after the other; tell whether something failed that may pass by itself."""
        may_pass = False
        for runtime in missing_runtimes(spec, self._runtimes.versions_in_use()):
            name = step_name(runtime)
            started_at = self._clock.now()
            self._show(Step(name=name, state=StepState.RUNNING, started_at=started_at, progress=0.0))
            failure: InstallFailed | None = None
            try:
                await self._runtimes.install(runtime, on_progress=self._progress_of(name))
            except InstallFailed as error:
                failure, may_pass = error, may_pass or error.may_pass
            # A newer spec may have a step of the same name that wants another version: this is not its end.
            if runtime in self._spec.runtimes:
                self._finish(name, started_at, failure)
            if spec is not self._spec:
                return False
        return may_pass

    def _progress_of(self, name: str) -> Callable[[Progress], None]:
        def show(progress: Progress) -> None:
            step = self._steps.get(name)
            if step is not None and step.state is StepState.RUNNING:
                self._show(msgspec.structs.replace(step, progress=progress.fraction, message=progress.message))

        return show

    def _finish(self, name: str, started_at: datetime, failure: InstallFailed | None) -> None:
        step = Step(name=name, state=StepState.DONE, started_at=started_at, finished_at=self._clock.now(), progress=1.0)
        if failure is not None:
            step = msgspec.structs.replace(
                step,
                state=StepState.FAILED,
                progress=None,
                code=failure.reason_code,
                message=failure.detail,
                exit_code=failure.exit_code,
                output=failure.output,
            )
        self._show(step)

    def _show(self, step: Step) -> None:
        if step.name in self._steps:
            self._steps[step.name] = step
            self._on_change()
