"""One program that the orchestrator runs: started, watched, started again when it dies, ended with its whole group.

A child never outlives the orchestrator: the kernel kills it when the orchestrator dies (PDEATHSIG, set in a launcher
before the program itself begins, since code between fork and exec of a process with threads may hang). What the child
had started itself is known by the record, pid + start time + boot id, and by a token in its environment;
`end_leftovers` ends that, and never signals a process that does not match.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from zlh_api.marked_processes import end_all, identities, is_marked
from zlh_common.durable_files import write_durably
from zlh_common.errors import ZlhError
from zlh_common.processes import ProcessRow, read_boot_id, read_row, read_rows

log = structlog.get_logger()

# A child that ran this long before it died is thought sound: the back-off begins anew.
STABLE_S = 60.0
_DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_TOKEN = "ZLH_CHILD_TOKEN"  # noqa: S105 - the name of a mark, not a secret

# PR_SET_PDEATHSIG is 1. The parent may have died before the call, hence the look at it after.
_LAUNCHER = """
import ctypes, os, signal, sys
if ctypes.CDLL(None, use_errno=True).prctl(1, int(signal.SIGKILL), 0, 0, 0) != 0:
    sys.exit("prctl(PR_SET_PDEATHSIG) failed")
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent has gone")
try:
    os.execvpe(sys.argv[2], sys.argv[2:], os.environ)
except OSError as exc:
    sys.exit(f"cannot run {sys.argv[2]}: {exc.strerror}")
"""


class ChildFailed(ZlhError):
    """A program of the stack ended, or did not become ready in time."""

    code, status, retryable = "child_failed", 503, True

    def __init__(self, *, name: str, reason: str, log_file: Path, tail: str = "") -> None:
        said = f" It said: {tail}" if tail else ""
        super().__init__(f"{name} {reason}.{said} Its log is {log_file}.", name=name)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How one program is run; `name` is unique in the stack and becomes the record's file name."""

    name: str
    argv: tuple[str, ...]
    # Standard output and error are appended here.
    log_file: Path
    # The whole environment of the child, or that of this process where it is None.
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    # Between SIGTERM and SIGKILL.
    stop_timeout_s: float = 10.0


class Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which process it was: the start time, in clock ticks since boot, tells two bearers of one pid apart."""

    name: str
    pid: int
    start_ticks: int
    boot_id: str
    token: str


def decide_delay(quick_deaths: int) -> float:
    """Return the seconds to wait before the next start, after this many deaths in a row."""
    return _DELAYS_S[min(max(quick_deaths, 1), len(_DELAYS_S)) - 1]


class ChildProcess:
    """`await start()`, `await wait_ready(probe)`, `supervise()` as a task, and `await stop()` in the end.

    `state_dir` holds the record `<name>.json` while the child runs.
    """

    def __init__(self, spec: ChildSpec, state_dir: Path) -> None:
        self.spec = spec
        # Deaths since `start`, for whoever shows the state of the stack.
        self.restarts = 0
        self._record = state_dir / f"{spec.name}.json"
        self._process: asyncio.subprocess.Process | None = None
        self._recorded: Record | None = None
        self._started = 0.0
        self._stopping = asyncio.Event()
        # A stop that comes while the child is being started again waits, and then ends the new one.
        self._changing = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The pid of the running child, or None."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start the program and record who it is; raise ChildFailed where this machine cannot run it at all."""
        self._stopping.clear()
        await self._spawn()

    async def wait_ready(self, probe: Callable[[], Awaitable[bool]], *, timeout_s: float = 30.0) -> None:
        """Return once `probe` says True; raise ChildFailed with the end of the log if the child dies or is too slow."""
        deadline = time.monotonic() + timeout_s
        while not await probe():
            if self.pid is None:
                code = self._process.returncode if self._process else None
                raise await self._failed(f"ended with {_describe_exit(code)} before it was ready")
            if time.monotonic() >= deadline:
                raise await self._failed(f"was not ready within {timeout_s:.0f} s")
            await asyncio.sleep(0.05)

    async def supervise(self) -> None:
        """Start the child again whenever it dies, with a growing delay; return once `stop` was called."""
        quick_deaths = 0
        while self._process is not None:
            code = await self._process.wait()
            if self._stopping.is_set():
                return
            quick_deaths = 1 if time.monotonic() - self._started >= STABLE_S else quick_deaths + 1
            delay = decide_delay(quick_deaths)
            self.restarts += 1
            log.warning("child.died", child=self.spec.name, exit=_describe_exit(code), restartInS=delay)
            await asyncio.to_thread(_end_group, self._recorded)
            if await self._is_stopping_within(delay):
                return
            async with self._changing:
                if not self._stopping.is_set():
                    await self._spawn()

    async def stop(self) -> None:
        """End the child and its group: SIGTERM, a wait, SIGKILL. Harmless to repeat."""
        self._stopping.set()
        async with self._changing:
            await self._end()

    async def _end(self) -> None:
        process = self._process
        if process is None or self._recorded is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(self.spec.stop_timeout_s):
                    await process.wait()
            except TimeoutError:
                log.warning("child.killed", child=self.spec.name, waitedS=self.spec.stop_timeout_s)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        await asyncio.to_thread(_end_group, self._recorded)
        await asyncio.to_thread(self._record.unlink, missing_ok=True)

    async def _is_stopping_within(self, delay: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._stopping.wait()
        return self._stopping.is_set()

    async def _spawn(self) -> None:
        token = uuid.uuid4().hex
        env = dict(os.environ if self.spec.env is None else self.spec.env) | {_TOKEN: token}
        launcher = (sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()))
        output = await asyncio.to_thread(_open_log, self.spec.log_file)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *launcher,
                *self.spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd=self.spec.cwd,
                start_new_session=True,
            )
        except OSError as exc:
            raise await self._failed(f"cannot be started: {exc.strerror or exc}") from exc
        finally:
            os.close(output)
        self._started = time.monotonic()
        self._recorded = await asyncio.to_thread(self._write_record, self._process.pid, token)
        log.info("child.started", child=self.spec.name, pid=self._process.pid)

    def _write_record(self, pid: int, token: str) -> Record:
        row = read_row(pid)
        found = Record(
            name=self.spec.name,
            pid=pid,
            start_ticks=row.start_ticks if row else 0,
            boot_id=read_boot_id(),
            token=token,
        )
        write_durably(self._record, msgspec.json.encode(found))
        return found

    async def _failed(self, reason: str) -> ChildFailed:
        tail = await asyncio.to_thread(_read_tail, self.spec.log_file)
        return ChildFailed(name=self.spec.name, reason=reason, log_file=self.spec.log_file, tail=tail)


def end_leftovers(state_dir: Path) -> list[str]:
    """End what an orchestrator that was killed left running, and return the names that had anything left.

    Blocks for some seconds at worst. Records of another boot, and pids that others have by now, are only forgotten.
    """
    ended = []
    for path in sorted(state_dir.glob("*.json")):
        try:
            record = msgspec.json.decode(path.read_bytes(), type=Record)
        except (msgspec.MsgspecError, OSError):
            # A half-written record cannot be: it is renamed into place. This is some other file.
            continue
        if _end_group(record):
            ended.append(record.name)
        path.unlink(missing_ok=True)
    return ended


def _end_group(record: Record | None, *, patience_s: float = 5.0) -> bool:
    """End whatever of the child's session is left: SIGTERM, a wait, SIGKILL; tell whether there was anything."""
    if record is None or record.boot_id != read_boot_id():
        return False
    members = identities([row for row in read_rows() if _is_ours(row, record)])
    end_all(members, grace_s=patience_s)
    return bool(members)


def _is_ours(row: ProcessRow, record: Record) -> bool:
    """Tell whether a process is the child, or one of its session that carries its token."""
    if row.session != record.pid or row.state == "Z":
        return False
    if row.pid == record.pid:
        return row.start_ticks == record.start_ticks
    return is_marked(row.pid, _TOKEN, record.token)


def _open_log(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _read_tail(path: Path, limit: int = 600) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - limit))
            text = file.read().decode(errors="replace").strip()
    except OSError:
        return ""
    return " | ".join(text.splitlines()[-4:])


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
