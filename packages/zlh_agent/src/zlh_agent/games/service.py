"""The loop of a game server: brings about what is wanted of its files, and says when its process may run.

    spec ──► want ──► plan ──► (hold the server down) ──► act ──► record ──► plan … ──► release

The process `server` is kept by `supervision` like any other; here it is decided what it is started from, and whether
it may run at all. Edits of configuration are made before each start, by `prepare`, which supervision waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from zlh_agent.files.roots import OfferedRoot
from zlh_agent.games.errors import GameStepFailed, NoGame
from zlh_agent.games.history_rules import tell_failure
from zlh_agent.games.model import Installed, ProgressLine
from zlh_agent.games.plan import (
    Act,
    BackUp,
    CommitFiles,
    Release,
    Rest,
    RestoreBackup,
    RunScript,
    StageFiles,
    may_be_called_off,
    needs_quiet,
    needs_runtimes,
    needs_whole_mods,
    plan,
)
from zlh_agent.games.rules import (
    find_complete,
    find_content,
    is_backed_up_next,
    may_start,
    restored_of,
    tell_hint,
    tell_server,
)
from zlh_agent.games.step_rules import begin_step, end_step, retry_delay_s, show_progress, wait_step
from zlh_agent.games.works import GameWorks
from zlh_agent.journal.model import Occurrence
from zlh_agent.runtimes.errors import DiskFailed
from zlh_agent.shared_work import SharedWork
from zlh_agent.shim.model import Launch
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.schema.game import SERVER, GameReport, WantedGame
from zlh_common.schema.process import ProcessReason, WantedProcess
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.status import ProcessStatus, Step, StepState
from zlh_common.step_names import name_game_install

log = structlog.get_logger()
# How often something is tried for which a server that could run is kept down.
MAX_QUIET_FAILURES = 5


class Supervised(Protocol):
    """As much of supervision as is needed here."""

    def statuses(self) -> tuple[ProcessStatus, ...]:
        """Return what is told of the processes."""
        ...

    async def wait_down(self, name: str) -> None:
        """Return once a process that was switched off is down, or is none any more."""
        ...


class GameService:
    """Knows the game server of this container. What is set from outside is set before `load`."""

    def __init__(self, works: GameWorks, clock: Clock, *, folder: Path, on_change: Callable[[], None]) -> None:
        # What keeps the processes, and how it hears of other wishes; whether the runtimes are there.
        self.supervised: Supervised | None = None
        self.apply: Callable[[], Awaitable[None]] | None = None
        self.has_runtimes: Callable[[], bool] = lambda: True
        # What a process is started as, in the environment of a login.
        self.program: Callable[[WantedProcess], Launch] | None = None
        # Whether somebody else changes something in the folder; and what lends it while nobody does, see
        # `needs_whole_mods`. Raises ZlhError.
        self.is_folder_busy: Callable[[], bool] = lambda: False
        self.standstill: Callable[[bool], AbstractAsyncContextManager[None]] = lambda _needs_whole: nullcontext()
        # Adds to the report what is known of players.
        self.extend: Callable[[GameReport], GameReport] = lambda report: report
        self._works = works
        self._clock = clock
        self._folder = folder
        self._on_change = on_change
        self._wanted: WantedGame | None = None
        self._is_held = False
        self._step: Step | None = None
        self._waits_for_runtimes = False
        self._changed = asyncio.Event()
        self._at_work: tuple[Act, asyncio.Task[None]] | None = None
        self._verifying = SharedWork(works.verify)
        # What has failed, under which wish, and when it is tried again; never where that is None.
        self._failed_for: object = None
        self._failures = 0
        self._retry_at: float | None = None
        # Codes of failures that were written down under this wish: what is tried again and again is told once.
        self._told_failures: set[str] = set()

    def note_with(self, note: Callable[[Occurrence], Awaitable[None]]) -> None:
        """Have what happens to the files written down; before `load`."""
        self._works.note = note

    async def load(self) -> None:
        """Take up what a former agent has left. A disk that cannot be read stops the game, and not the agent."""
        try:
            await self._works.load()
        except OSError as error:
            log.exception("game.not_loaded", error=str(error))

    def want(self, spec: AgentSpec) -> None:
        """Take the wish of a spec, at once; what is under way for another one is called off where it may be."""
        before, self._wanted = self._wanted, spec.game
        if _key(before) != _key(self._wanted):
            self._failed_for, self._failures, self._retry_at = None, 0, None
            self._told_failures.clear()
            self._step = None if self._wanted is None else self._first_step(self._wanted)
            if self._at_work is not None and may_be_called_off(self._at_work[0]):
                self._at_work[1].cancel()
        self._changed.set()

    def is_changing(self) -> bool:
        """Tell whether the server is kept down since its files are being changed, or are to be gone on with."""
        record = self._works.record
        return self._is_held or record.committing is not None or record.restoring is not None

    def look_again(self) -> None:
        """Look whether runtimes that were waited for are there, and whether the server has become ready."""
        installed = self._works.record.installed
        is_new = installed is not None and not installed.was_ready and self._is_ready()
        if self._waits_for_runtimes or is_new:
            self._changed.set()

    def share_folder(
        self,
        *,
        find_leftovers: Callable[[], Awaitable[Sequence[str]]],
        before_exchange: Callable[[], Awaitable[None]],
    ) -> None:
        """Have others say what a backup can do without, and hear that a backup takes the folder's place."""
        self._works.find_leftovers, self._works.before_exchange = find_leftovers, before_exchange

    # Its process

    def take(self, spec: AgentSpec) -> tuple[WantedProcess, ...]:
        """Return the process that the game of a spec is: off while what lies in the folder is not to be started.

        While another version is fetched, it is started as the one that lies there was.
        """
        if spec.game is None:
            return ()
        wanted = spec.game.process
        if self._is_held or not may_start(self._works.record):
            return (msgspec.structs.replace(wanted, power="off"),)
        installed = self._works.record.installed
        assert installed is not None
        if not _is_current(installed, spec.game):
            kept = installed.process
            wanted = msgspec.structs.replace(kept, power=wanted.power, attempt=wanted.attempt)
        return (wanted,)

    def launch(self, wanted: WantedProcess, program: Callable[[WantedProcess], Launch]) -> Launch:
        """Return what a process is started as: the server in its own folder."""
        launch = program(wanted)
        if not self._is_server(wanted.name):
            return launch
        return launch.replace(cwd=str(self._folder / (wanted.folder or "")))

    async def prepare(self, wanted: WantedProcess) -> ProcessReason | None:
        """Edit the configuration before the server is started; return why it cannot be, None where it may start."""
        game, installed = self._wanted, self._works.record.installed
        if not self._is_server(wanted.name) or game is None or installed is None:
            return None
        edits = game.edits if _is_current(installed, game) else installed.edits
        try:
            await self._works.edit(edits)
        except GameStepFailed as error:
            return ProcessReason(code=error.reason_code, message=error.detail)
        except OSError as error:
            return ProcessReason(code=DiskFailed.code, message=DiskFailed(reason=str(error)).detail)
        return None

    def tell_processes(self, statuses: Sequence[ProcessStatus]) -> tuple[ProcessStatus, ...]:
        """Return what is told of processes; of a server that is kept down, why."""
        reason = self._find_reason()
        return tuple(tell_server(status, reason) if self._is_server(status.name) else status for status in statuses)

    def _is_server(self, name: str) -> bool:
        return self._wanted is not None and name == SERVER

    def _find_reason(self) -> ProcessReason | None:
        game = self._wanted
        if game is None or game.process.power == "off" or (not self._is_held and may_start(self._works.record)):
            return None
        step = self._step
        why = step.message if step is not None and step.state is not StepState.RUNNING and step.message else ""
        what = "its backup is made" if self._is_backing_up(game) else f"{game.title} {game.version} is in place"
        message = f"It is started once {what}. {why}".strip()
        return ProcessReason(code="game_not_in_place", message=message)

    def _is_backing_up(self, game: WantedGame) -> bool:
        """Tell whether all that is left to be done is a backup that somebody has asked for."""
        record = self._works.record
        return record.installed is not None and is_backed_up_next(game, record, record.installed)

    # What is told

    def steps(self) -> tuple[Step, ...]:
        """Return the step that the files are, none without a game."""
        return () if self._step is None else (self._step,)

    def report(self) -> GameReport | None:
        """Return what the status says of the game; None without one."""
        game, record = self._wanted, self._works.record
        if game is None:
            return None
        installed = find_complete(record)
        server = next((one for one in self._statuses() if one.name == SERVER), None)
        hint = tell_hint(game, installed, server)
        report = GameReport(
            template=game.template,
            version=installed.version if installed is not None else None,
            installed_at=installed.installed_at if installed is not None else None,
            faults=record.faults if installed is not None else None,
            backups=self._works.backups,
            backups_answered=record.backups_answered,
        )
        report = self.extend(report)
        return report if hint is None else msgspec.structs.replace(report, hint_code=hint.code, hint=hint.message)

    async def verify(self) -> GameReport:
        """Compare all placed files with their hashes, once for all who ask; raise NoGame or GameStepFailed."""
        if self._wanted is None:
            raise NoGame
        await self._verifying.join()
        self._on_change()
        report = self.report()
        if report is None:
            raise NoGame
        return report

    async def secret(self, name: str) -> str:
        """Return a secret of the game server, for who talks to it from within the container."""
        return await self._works.secret(name)

    def offered_root(self) -> OfferedRoot:
        """Return the server's folder as work on files knows it; raise TerminalUserUnknown."""
        return self._works.offered_root()

    # The loop

    async def run(self) -> None:
        """Bring about what is wanted, for ever."""
        try:
            await self._run()
        finally:
            await self._verifying.close()

    async def _run(self) -> None:
        await self._works.sweep()
        while True:
            self._changed.clear()
            try:
                await self._reconcile()
            except OSError as error:
                # The record cannot be written: nothing is begun that could not be told of.
                log.warning("game.record_not_kept", error=str(error))
                await self._fail(_of_disk(error), self._wanted)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._changed.wait()

    def _pause_s(self) -> float | None:
        return None if self._retry_at is None else max(0.0, self._retry_at - self._clock.monotonic())

    async def _reconcile(self) -> None:
        while (wanted := self._wanted) is not None:
            act = plan(wanted, self._works.record)
            if isinstance(act, Rest):
                await self._settle(wanted)
                return
            if not self._is_due(wanted) or self._must_wait(wanted, act):
                return
            error = await self._try(act, wanted)
            if error is None:
                # Failures are counted on until all of it is done.
                self._failed_for, self._retry_at = None, None
            elif _key(self._wanted) == _key(wanted):
                await self._fail(error, wanted)
                await self._let_old_run()
                return

    async def _try(self, act: Act, wanted: WantedGame) -> GameStepFailed | None:
        """Do an act; return why it was not done, None if it was."""
        try:
            await self._begin(act, wanted)
        except GameStepFailed as error:
            return error
        except OSError as error:
            return _of_disk(error)
        except ZlhError as error:
            return GameStepFailed(reason_code=error.code, message=error.detail, may_pass=error.retryable)
        return None

    async def _begin(self, act: Act, wanted: WantedGame) -> None:
        """Do one act, with the server down and the folder for itself where it takes that."""
        if not needs_quiet(act):
            await self._carry_out(act, wanted)
            return
        if self.is_folder_busy():
            self._show(wait_step(wanted, "It waits until the mods are changed."))
        async with self._standing_still(act):
            if _key(self._wanted) == _key(wanted):
                await self._hold()
                await self._carry_out(act, wanted)

    @asynccontextmanager
    async def _standing_still(self, act: Act) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self.standstill(needs_whole_mods(act)))
            except ZlhError as error:
                raise GameStepFailed(reason_code=error.code, message=error.detail, may_pass=True) from error
            yield

    async def _let_old_run(self) -> None:
        """Have the version that still lies there run again, once its change has failed for good or too often."""
        if not (self._is_held and may_start(self._works.record)):
            return
        if self._retry_at is None or self._failures >= MAX_QUIET_FAILURES:
            # To try on would stop it again each time.
            await self._works.forget_backup_made()
            self._retry_at, self._is_held = None, False
            await self._apply()

    def _is_due(self, wanted: WantedGame) -> bool:
        if self._failed_for != _key(wanted):
            return True
        return self._retry_at is not None and self._clock.monotonic() >= self._retry_at

    def _must_wait(self, wanted: WantedGame, act: Act) -> bool:
        self._waits_for_runtimes = needs_runtimes(act) and not self.has_runtimes()
        if self._waits_for_runtimes:
            self._show(wait_step(wanted, "It waits until the runtimes are installed."))
        return self._waits_for_runtimes

    async def _settle(self, wanted: WantedGame) -> None:
        """Let it run as it is wanted now."""
        installed = self._works.record.installed
        assert installed is not None
        if installed.process != wanted.process or installed.edits != wanted.edits:
            await self._works.keep_installed(process=wanted.process, edits=wanted.edits)
        if not installed.was_ready and self._is_ready():
            await self._works.keep_installed(was_ready=True)
        await self._works.forget_backup_made()
        self._failed_for, self._failures, self._retry_at, self._waits_for_runtimes = None, 0, None, False
        self._told_failures.clear()
        if self._step is None or self._step.state is not StepState.DONE:
            self._show(end_step(self._step, wanted, installed.installed_at))
        if self._is_held:
            self._is_held = False
            await self._apply()

    async def _hold(self) -> None:
        """Have the server stopped in order, and wait until it is down."""
        if self._is_held:
            return
        self._is_held = True
        await self._apply()
        if self.supervised is not None:
            await self.supervised.wait_down(SERVER)

    async def _apply(self) -> None:
        if self.apply is not None:
            await self.apply()
        self._on_change()

    async def _carry_out(self, act: Act, wanted: WantedGame) -> None:
        """Do one act to its end; what a newer wish has called off is no failure."""
        self._show(begin_step(self._step, wanted, act, self._clock.now()))
        task = asyncio.create_task(self._do(act, wanted))
        self._at_work = (act, task)
        try:
            await asyncio.wait({task})
        finally:
            self._at_work = None
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    async def _do(self, act: Act, wanted: WantedGame) -> None:
        match act:
            case StageFiles():
                await self._works.stage(wanted, self._tell)
            case BackUp():
                await self._works.back_up(wanted, self._tell)
            case CommitFiles():
                await self._works.commit(wanted, self._tell)
            case RunScript(script):
                output = await self._works.run_script(script, self._environment(wanted), self._tell)
                self._tell(ProgressLine(stage="script", output=output))
            case RestoreBackup(backup_id):
                restored = restored_of(wanted)
                begun = self._works.record.restoring
                if restored is None:
                    assert begun is not None
                    restored = begun.restored
                await self._works.restore(backup_id, restored, self._tell)
            case Release():
                await self._works.release(wanted)
                self._is_held = True
                log.info("game.installed", template=wanted.template, version=wanted.version)
            case Rest():
                pass

    def _environment(self, wanted: WantedGame) -> Mapping[str, str]:
        if self.program is None:
            return {}
        try:
            return dict(self.program(wanted.process).env)
        except ZlhError as error:
            raise GameStepFailed(reason_code=error.code, message=error.detail, may_pass=error.retryable) from error

    def _tell(self, line: ProgressLine) -> None:
        if self._step is not None and self._step.state is StepState.RUNNING:
            self._show(show_progress(self._step, line))

    async def _fail(self, error: GameStepFailed, wanted: WantedGame | None) -> None:
        self._show_failure(error, wanted)
        if wanted is None or error.reason_code in self._told_failures:
            return
        self._told_failures.add(error.reason_code)
        record = self._works.record
        await self._works.note(tell_failure(wanted, record, code=error.reason_code, detail=error.detail))

    def _show_failure(self, error: GameStepFailed, wanted: WantedGame | None) -> None:
        self._failures += 1
        self._retry_at = self._clock.monotonic() + retry_delay_s(self._failures) if error.may_pass else None
        self._failed_for = _key(wanted)
        log.warning("game.step_failed", code=error.reason_code, reason=error.detail, tries=self._failures)
        if self._step is not None:
            failed = msgspec.structs.replace(
                self._step,
                state=StepState.FAILED,
                progress=None,
                transfer=None,
                finished_at=self._clock.now(),
                code=error.reason_code,
                message=error.detail,
                exit_code=error.exit_code,
                output=error.output,
            )
            self._show(failed)

    def _show(self, step: Step) -> None:
        if step != self._step:
            self._step = step
            self._on_change()

    def _first_step(self, wanted: WantedGame) -> Step:
        act = plan(wanted, self._works.record)
        installed = self._works.record.installed
        if isinstance(act, Rest) and installed is not None:
            return end_step(None, wanted, installed.installed_at)
        return Step(name=name_game_install(wanted.template, wanted.version), state=StepState.PENDING)

    def _statuses(self) -> tuple[ProcessStatus, ...]:
        return () if self.supervised is None else self.supervised.statuses()

    def _is_ready(self) -> bool:
        return any(one.name == SERVER and one.ready for one in self._statuses())


def _of_disk(error: OSError) -> GameStepFailed:
    broken = DiskFailed(reason=str(error))
    return GameStepFailed(reason_code=broken.code, message=broken.detail, may_pass=True)


def _is_current(installed: Installed, game: WantedGame) -> bool:
    return installed.content == find_content(game)


def _key(wanted: WantedGame | None) -> object:
    """Return what makes one wish about files another; a port or a variable does not."""
    return None if wanted is None else (find_content(wanted), wanted.restore, wanted.attempt, wanted.backups_asked)
