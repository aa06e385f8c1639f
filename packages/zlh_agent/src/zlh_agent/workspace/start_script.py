"""Runs the start script once, held by a shim as a terminal's shell is: it outlives the agent, and its output is kept.

What the script leaves running goes on until the container stops; its shim stays for as long, and ends with the last.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from zlh_agent.shim.errors import LaunchFailed, ShimLost
from zlh_agent.shim.host import ShimHost, child_of
from zlh_agent.shim.link import ShimLink
from zlh_agent.shim.model import EXITED, RUNNING, Launch, Rung, Snapshot
from zlh_agent.shim.records import ExitRecord
from zlh_agent.shim.ring import RingInvalid, RingReader
from zlh_agent.shim.signals import signal_name
from zlh_agent.workspace.clone_rules import OUTPUT_CHARS, clean_output
from zlh_agent.workspace.records import WorkspaceRecords
from zlh_agent.workspace.script_rules import (
    GRACE_S,
    Ending,
    Move,
    Outcome,
    ScriptRecord,
    ShimSays,
    choose_argv,
    decide,
    interrupted,
    judge,
    left_s,
    render_script,
)
from zlh_common.clock import Clock
from zlh_common.durable_files import write_durably
from zlh_common.processes import ProcessIdentity
from zlh_common.schema.status import Step, StepState
from zlh_common.step_names import RUN_START_SCRIPT

log = structlog.get_logger()
NAME = "start-script"
RING_BYTES = 1024 * 1024
# How often people are told of new output at most.
TELL_PAUSE_S = 1.0
END_GRACE_S = 3.0
STOP = (Rung(signal=signal.SIGTERM, grace_ms=int(GRACE_S * 1000)),)


class StartScript:
    """The script of one container. `run` may be cancelled at any line: the next one goes on where it was."""

    def __init__(
        self,
        host: ShimHost,
        records: WorkspaceRecords,
        folder: Path,
        clock: Clock,
        *,
        launch: Callable[[], Launch],
        boot_mark: str,
        limit_s: float,
        on_change: Callable[[], None],
    ) -> None:
        """`folder` is where the script lies while it runs; `launch` says who runs it, where and with what."""
        self._host = host
        self._records = records
        self._folder = folder
        self._clock = clock
        self._launch = launch
        self._boot_mark = boot_mark
        self._limit_s = limit_s
        self._on_change = on_change
        self._record: ScriptRecord | None = None
        self._link: ShimLink | None = None
        self._snapshot: Snapshot | None = None
        self._moved, self._left = asyncio.Event(), asyncio.Event()
        # Held while its shim is being ended.
        self._ending_shim = asyncio.Lock()
        self.step: Step | None = None

    @property
    def shim_pid(self) -> int | None:
        """The process below which the script and what it has left run."""
        return self._link.shim.pid if self._link is not None else None

    @property
    def shim(self) -> ProcessIdentity | None:
        """The shim that is held, if there is one."""
        return self._link.shim if self._link is not None else None

    # What its shim says

    def on_output(self) -> int:
        """See ShimListener. People need no more of a flood than its end."""
        self._moved.set()
        return 0

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """See ShimListener."""
        self._snapshot = snapshot
        self._moved.set()
        self._left.set()

    def on_lost(self) -> None:
        """See ShimListener."""
        self._link = None
        self._moved.set()

    # What is done

    async def load(self) -> None:
        """Take up what is known, and the shim that runs since a former agent."""
        self._record = await asyncio.to_thread(self._records.load_script)
        if not self.is_under_way():
            # An agent that died over its last lines has left the text, which may hold secrets.
            with suppress(OSError):
                await asyncio.to_thread(self._forget_text)
        # Makes their folders as well.
        await self._host.find()
        await self._find_shim()
        if self._record is not None and self._record.phase == "ended":
            self._show_end(self._record)

    def is_settled(self, attempt: int) -> bool:
        """Tell whether it has run so often as is asked."""
        return self._record is not None and self._record.phase == "ended" and self._record.attempt >= attempt

    def is_under_way(self) -> bool:
        """Tell whether it was begun and its end is not known."""
        return self._record is not None and self._record.phase != "ended"

    async def run(self, text: str, attempt: int) -> None:
        """Bring it to its end; raise OSError, LaunchFailed or ShimLost where that must be tried again later."""
        while True:
            ended = await self._find_exit()
            match decide(self._record, attempt, self._says(), has_exit=ended is not None):
                case Move.REST:
                    await self._see_off()
                    return
                case Move.BEGIN:
                    await self._begin(attempt)
                case Move.ORDER:
                    await self._order(text)
                case Move.FOLLOW:
                    await self._follow()
                case Move.CONCLUDE:
                    await self._conclude(self._ending(ended))
                case Move.GIVE_UP:
                    await self._end_with(interrupted())

    async def see_off_for_ever(self) -> None:
        """End the shim once nothing runs any more of what the script has left running; run until cancelled."""
        while True:
            await self._left.wait()
            self._left.clear()
            if not self.is_under_way():
                await self._see_off()

    def detach(self) -> None:
        """Let go of the shim, which goes on; may be called twice."""
        if self._link is not None:
            self._link.close()
            self._link = None
        self._host.close()

    async def _find_shim(self) -> None:
        """Connect to a live shim twice: what a dying agent has ordered last it has obeyed by the second time."""
        with suppress(ShimLost):
            link = await self._host.connect(NAME, self)
            link.close()
            self._adopt(await self._host.connect(NAME, self))

    def _adopt(self, link: ShimLink) -> None:
        self._link = link
        self.on_snapshot(link.snapshot)

    def _says(self) -> ShimSays:
        if self._link is None or self._snapshot is None:
            return ShimSays.NONE
        states = {RUNNING: ShimSays.RUNNING, EXITED: ShimSays.EXITED}
        return states.get(self._snapshot.state, ShimSays.IDLE)

    async def _find_exit(self) -> ExitRecord | None:
        """Return how the script ended, as a shim has written it down that is gone."""
        if self._link is not None or not self.is_under_way():
            return None
        # A shim that was killed leaves a child, whose end nobody will see.
        await self._host.clear_dead(NAME, child_of(self._snapshot))
        return (await self._host.take_history(NAME))[1]

    def _ending(self, written: ExitRecord | None) -> Ending:
        if written is not None:
            return Ending(written.code, signal_name(written.signal), written.out_of_memory)
        assert self._snapshot is not None
        seen = self._snapshot
        return Ending(seen.exit_code, signal_name(seen.exit_signal), seen.out_of_memory)

    async def _begin(self, attempt: int) -> None:
        await self._end_shim()
        await self._keep(ScriptRecord(attempt, "starting", self._boot_mark, self._clock.now()))
        self._show_running("")
        self._adopt(await self._host.start(NAME, self))

    async def _order(self, text: str) -> None:
        assert self._record is not None
        link, launch = self._link, self._launch()
        assert link is not None
        path = await asyncio.to_thread(self._write_script, text, launch.gid)
        argv = choose_argv(text, str(path), launch.argv[0])
        await self._keep(msgspec.structs.replace(self._record, phase="begun", begun_at=self._clock.now()))
        log.info("start_script.begun", attempt=self._record.attempt)
        try:
            await link.spawn(launch.replace(argv=argv))
        except LaunchFailed as error:
            # The shim says for certain that nothing of it has run.
            await self._end_with(Outcome("start_script_failed", f"{error.detail} Its first line may name no program."))

    def _write_script(self, text: str, gid: int | None) -> Path:
        """Put it where its user may read and nobody write it."""
        path = self._folder / NAME
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._folder.chmod(0o711)
        write_durably(path, render_script(text), mode=0o700 if gid is None else 0o640)
        if gid is not None:
            os.chown(path, -1, gid)
            path.chmod(0o750)
        return path

    def _forget_text(self) -> None:
        for name in (NAME, f".{NAME}.new"):
            (self._folder / name).unlink(missing_ok=True)

    async def _follow(self) -> None:
        """Show what it prints until it ends or its shim goes; end it when its time is up."""
        assert self._record is not None
        if self._record.is_timed_out:
            self._stop()
        while self._says() is ShimSays.RUNNING:
            self._moved.clear()
            self._show_running(await self._read_tail())
            if await self._is_moved_in_time():
                # A flood is told of once a second, its end at once.
                await asyncio.sleep(TELL_PAUSE_S if self._says() is ShimSays.RUNNING else 0)
            else:
                await self._time_out()

    async def _is_moved_in_time(self) -> bool:
        assert self._record is not None
        left = None if self._record.is_timed_out else left_s(self._record, self._clock.now(), self._limit_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self._moved.wait()
        return self._moved.is_set()

    async def _time_out(self) -> None:
        assert self._record is not None
        log.warning("start_script.timed_out", limit_s=self._limit_s)
        timed_out = msgspec.structs.replace(self._record, is_timed_out=True)
        # It is ended in any case; that it is kept tells an agent that comes after this one why.
        with suppress(OSError):
            await self._keep(timed_out)
        self._record = timed_out
        self._stop()

    def _stop(self) -> None:
        if self._link is not None:
            self._link.stop(STOP)

    async def _conclude(self, ending: Ending) -> None:
        assert self._record is not None
        self._record = msgspec.structs.replace(self._record, exit_code=ending.code)
        await self._end_with(judge(self._record, ending, boot_mark=self._boot_mark, limit_s=self._limit_s))

    async def _end_with(self, outcome: Outcome) -> None:
        """Keep how it ended; the script itself, which may hold secrets, is needed no more."""
        assert self._record is not None
        record = msgspec.structs.replace(
            self._record,
            phase="ended",
            finished_at=self._clock.now(),
            code=outcome.code,
            message=outcome.message,
            output=await self._read_tail() or None,
        )
        await self._keep(record)
        await asyncio.to_thread(self._forget_text)
        log.info("start_script.ended", code=outcome.code, exit_code=record.exit_code)
        self._show_end(record)

    async def _keep(self, record: ScriptRecord) -> None:
        await asyncio.to_thread(self._records.save_script, record)
        self._record = record

    async def _see_off(self) -> None:
        """Have the shim end once nothing runs below it; its history goes with it, the record has the end of it."""
        if self._says() is ShimSays.EXITED and self._snapshot is not None and not self._snapshot.left:
            await self._end_shim()

    async def _end_shim(self) -> None:
        async with self._ending_shim:
            if self._link is not None:
                await self._host.end(NAME, self._link, forget=True, grace_s=END_GRACE_S)
            if self._link is not None:
                self._link.close()
            self._link = self._snapshot = None
            await self._host.forget(NAME)

    # What people see

    async def _read_tail(self) -> str:
        try:
            return await asyncio.to_thread(_read_tail, self._host.folder(NAME) / "ring")
        except (OSError, RingInvalid):
            return ""

    def _show_running(self, output: str) -> None:
        assert self._record is not None
        self.step = Step(
            name=RUN_START_SCRIPT,
            state=StepState.RUNNING,
            started_at=self._record.begun_at,
            output=output or None,
        )
        self._on_change()

    def _show_end(self, record: ScriptRecord) -> None:
        self.step = Step(
            name=RUN_START_SCRIPT,
            state=StepState.FAILED if record.code else StepState.DONE,
            started_at=record.begun_at,
            finished_at=record.finished_at,
            progress=None if record.code else 1.0,
            code=record.code,
            message=record.message,
            exit_code=record.exit_code,
            output=record.output,
        )
        self._on_change()


def _read_tail(path: Path) -> str:
    reader = RingReader(path)
    try:
        written = reader.written()
        return clean_output(bytes(reader.read(max(reader.oldest(), written - OUTPUT_CHARS), OUTPUT_CHARS) or b""))
    finally:
        reader.close()
