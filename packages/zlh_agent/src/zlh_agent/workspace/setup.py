"""Makes a workspace what the spec wants of it: home, sudo, the repository, and the script that runs once.

Nobody waits for it: terminals open and processes run meanwhile, and what fails is told by its step.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from zlh_agent.workspace.clone_rules import retry_pause_s
from zlh_agent.workspace.cloned import ClonedRepository
from zlh_agent.workspace.errors import StartScriptNotStarted, StepFailed, SudoUnavailable, WorkspaceUnusable
from zlh_agent.workspace.home import ensure_home
from zlh_agent.workspace.login_environment import Account
from zlh_agent.workspace.start_script import StartScript
from zlh_agent.workspace.sudo import ensure_sudo
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.processes import ProcessIdentity
from zlh_common.schema.spec import AgentSpec, WantedWorkspace
from zlh_common.schema.status import Step, StepState
from zlh_common.step_names import ALLOW_SUDO, CLONE_REPOSITORY, PREPARE_WORKSPACE, RUN_START_SCRIPT

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SetupPlace:
    """Where a workspace is, and whose; without an account it is the agent's own user's, as under the process driver."""

    workspace: Path
    # Of root's own, for what is written there for a moment.
    scratch: Path
    account: Callable[[], Account | None]
    # Puts into a fresh home what shells find there.
    refresh: Callable[[], Awaitable[None]]


class SetupService:
    """Call `load` once, then `run`. `want` says what is wanted from now on."""

    def __init__(
        self,
        place: SetupPlace,
        cloned: ClonedRepository,
        script: StartScript,
        clock: Clock,
        *,
        has_runtimes: Callable[[], bool],
        on_change: Callable[[], None],
    ) -> None:
        """`has_runtimes` says whether all runtimes are there that the script may need."""
        self._place = place
        self._cloned = cloned
        self._script = script
        self._clock = clock
        self._has_runtimes = has_runtimes
        self._on_change = on_change
        self._wanted: WantedWorkspace | None = None
        self._changed, self._sudo_changed = asyncio.Event(), asyncio.Event()
        self._own_steps: dict[str, Step] = {}
        self._sudo_settled = asyncio.Event()
        self._waits_for_runtimes = False
        self._script_tries = 0

    async def load(self) -> None:
        """Take up what former agents have done."""
        await self._cloned.load()
        await self._script.load()

    def want(self, spec: AgentSpec) -> None:
        """Take what a spec says; the empty one, which nobody has sent, says nothing."""
        if spec.generation and spec.workspace != self._wanted:
            self._wanted = spec.workspace
            self._sudo_settled.clear()
            self._changed.set()
            self._sudo_changed.set()

    def note_runtimes(self) -> None:
        """Hear that something of the runtimes has changed."""
        if self._waits_for_runtimes and self._has_runtimes():
            self._changed.set()

    def look_again(self) -> None:
        """Hear that somebody was at work in the container: what was unusable may have been mended."""
        step = self._own_steps.get(PREPARE_WORKSPACE)
        if step is not None and step.state is StepState.FAILED:
            self._changed.set()

    def is_cloning(self) -> bool:
        """Tell whether the folder of the workspace is about to be replaced."""
        wanted = self._wanted
        if wanted is None or wanted.repository is None:
            return False
        return not self._cloned.is_settled(wanted.attempt)

    def shims(self) -> list[ProcessIdentity]:
        """Return the shim of the start script, while it is held."""
        return [shim] if (shim := self._script.shim) is not None else []

    def shim_pids(self) -> list[int]:
        """Return below whom programs of the script may run."""
        return [pid] if (pid := self._script.shim_pid) is not None else []

    def steps(self) -> tuple[Step, ...]:
        """Return the steps of what is wanted, and of what has failed."""
        wanted = self._wanted or WantedWorkspace()
        steps = [self._own_steps.get(PREPARE_WORKSPACE), self._own_steps.get(ALLOW_SUDO)]
        if wanted.repository is not None:
            steps.append(self._cloned.step or Step(name=CLONE_REPOSITORY, state=StepState.PENDING))
        if wanted.start_script is not None:
            own = self._own_steps.get(RUN_START_SCRIPT)
            steps.append(own or self._script.step or Step(name=RUN_START_SCRIPT, state=StepState.PENDING))
        return tuple(step for step in steps if step is not None)

    async def run(self) -> None:
        """Make it so for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_sudo())
            group.create_task(self._keep_set_up())
            group.create_task(self._script.see_off_for_ever())

    def detach(self) -> None:
        """Let go of the script, which goes on; may be called twice."""
        self._script.detach()

    # sudo

    async def _keep_sudo(self) -> None:
        while True:
            await self._sudo_changed.wait()
            self._sudo_changed.clear()
            if self._wanted is not None:
                await self._settle_sudo(is_wanted=self._wanted.sudo)
            if not self._sudo_changed.is_set():
                self._sudo_settled.set()

    async def _settle_sudo(self, *, is_wanted: bool) -> None:
        try:
            account = self._place.account()
            if account is None:
                self._tell_no_sudo(is_wanted=is_wanted)
                return
            scratch = self._place.scratch
            await asyncio.to_thread(lambda: ensure_sudo(account.name, is_wanted=is_wanted, scratch=scratch))
        except ZlhError as error:
            self._show(_failed(ALLOW_SUDO, error.code, error.detail))
        else:
            done = Step(name=ALLOW_SUDO, state=StepState.DONE, finished_at=self._clock.now())
            self._show(done if is_wanted else None, ALLOW_SUDO)

    def _tell_no_sudo(self, *, is_wanted: bool) -> None:
        said = "Programs run as the agent's own user here, so there is nobody to give sudo to."
        step = Step(name=ALLOW_SUDO, state=StepState.SKIPPED, code=SudoUnavailable.code, message=said)
        self._show(step if is_wanted else None, ALLOW_SUDO)

    # Home, repository, script

    async def _keep_set_up(self) -> None:
        pause_s: float | None = None
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            self._changed.clear()
            pause_s = await self._set_up(self._wanted) if self._wanted is not None else None

    async def _set_up(self, wanted: WantedWorkspace) -> float | None:
        """Do what can be done now; return when to try again what has failed, None where that is up to others."""
        try:
            account = self._place.account()
            if not await self._prepare(account):
                return None
            if not await self._is_cloned(wanted, account):
                return retry_pause_s(self._cloned.tries)
        except OSError as error:
            # Of our own disk, which keeps no record, or of a system that starts no child; nothing was begun.
            log.warning("workspace.not_set_up", error=str(error))
            said = f"The agent cannot work on the workspace: {error}. Make room; it is tried again."
            self._show(_failed(PREPARE_WORKSPACE, WorkspaceUnusable.code, said))
            return retry_pause_s(1)
        except ZlhError as error:
            self._show(_failed(PREPARE_WORKSPACE, WorkspaceUnusable.code, error.detail))
            return None
        return await self._run_script(wanted)

    async def _is_cloned(self, wanted: WantedWorkspace, account: Account | None) -> bool:
        """Clone what is wanted, once; return whether nothing is left to be tried."""
        if wanted.repository is None or self._cloned.is_settled(wanted.attempt):
            return True
        return await self._cloned.run(wanted.repository, wanted.attempt, account)

    async def _prepare(self, account: Account | None) -> bool:
        try:
            if await asyncio.to_thread(self._ensure_home, account):
                await self._place.refresh()
        except (StepFailed, OSError, subprocess.SubprocessError) as error:
            said = error.detail if isinstance(error, StepFailed) else f"The workspace cannot be made: {error}."
            log.warning("workspace.unusable", error=said)
            self._show(_failed(PREPARE_WORKSPACE, WorkspaceUnusable.code, said))
            return False
        if PREPARE_WORKSPACE in self._own_steps:
            self._show(Step(name=PREPARE_WORKSPACE, state=StepState.DONE, finished_at=self._clock.now()))
        return True

    def _ensure_home(self, account: Account | None) -> bool:
        """Return whether there was no home before."""
        if account is not None:
            return ensure_home(account, self._place.workspace)
        self._place.workspace.mkdir(parents=True, exist_ok=True)
        return False

    async def _run_script(self, wanted: WantedWorkspace) -> float | None:
        self._waits_for_runtimes = False
        if wanted.start_script is None:
            return None
        if reason := self._find_wait(wanted):
            self._show(Step(name=RUN_START_SCRIPT, state=StepState.PENDING, message=reason))
            return None
        self._own_steps.pop(RUN_START_SCRIPT, None)
        await self._sudo_settled.wait()
        try:
            await self._script.run(wanted.start_script, wanted.attempt)
        except (OSError, ZlhError) as error:
            said = error.detail if isinstance(error, ZlhError) else f"the disk does not keep it: {error}"
            self._show(_failed(RUN_START_SCRIPT, StartScriptNotStarted.code, f"It is tried again: {said}"))
            self._script_tries += 1
            return retry_pause_s(self._script_tries)
        self._script_tries = 0
        return None

    def _find_wait(self, wanted: WantedWorkspace) -> str | None:
        if self._script.is_under_way() or self._script.is_settled(wanted.attempt):
            return None
        if wanted.repository is not None and not self._cloned.is_done():
            return "It waits for the repository, which was not cloned. Have the workspace tried again once it can be."
        if not self._has_runtimes():
            self._waits_for_runtimes = True
            return "It waits until the runtimes are installed."
        return None

    def _show(self, step: Step | None, name: str = "") -> None:
        before = self._own_steps.get(step.name if step is not None else name)
        if step is None:
            self._own_steps.pop(name, None)
        else:
            self._own_steps[step.name] = step
        if before != step:
            self._on_change()


def _failed(name: str, code: str, message: str) -> Step:
    return Step(name=name, state=StepState.FAILED, code=code, message=message)
