"""One program that `make dev` runs: started, watched, started again when it dies, and stopped with everything else.

A child dies with us (PR_SET_PDEATHSIG), so a `kill -9` of `make dev` leaves no program of its own behind.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from zlh_common.errors import ZlhError

log = structlog.get_logger()
PR_SET_PDEATHSIG = 1
READY_TIMEOUT_S = 30.0
READY_POLL_S = 0.03
STOP_GRACE_S = 10.0
RESTART_S = (0.2, 1.0, 3.0, 10.0)
# A child that lived this long was well; its next death is the first again.
STABLE_S = 60.0
LOG_TAIL_BYTES = 1500
_libc = ctypes.CDLL(None)


class ChildFailed(ZlhError):
    """A program of the platform ended or did not become ready."""

    code, status = "child_failed", 500

    def __init__(self, *, name: str, reason: str, log_tail: str) -> None:
        super().__init__(f"{name} {reason}. The last of its log: {log_tail or '(nothing)'}")


class ChildProcess:
    """A program with its log file. `is_ready` is asked until it is true."""

    def __init__(
        self, name: str, argv: Sequence[str], *, log_file: Path, is_ready: Callable[[], Awaitable[bool]]
    ) -> None:
        self.name = name
        self._argv = list(argv)
        self._log_file = log_file
        self._is_ready = is_ready
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the program and return when it is ready; raise ChildFailed."""
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not await self._is_ready():
            if self._process.returncode is not None:
                raise self._failure(f"ended with {self._process.returncode}")
            if time.monotonic() > deadline:
                await self.stop()
                raise self._failure(f"is not ready after {READY_TIMEOUT_S:.0f} s")
            await asyncio.sleep(READY_POLL_S)

    async def keep_running(self) -> None:
        """Start the program again whenever it ends, for ever, ever more slowly while it keeps dying."""
        deaths = 0
        while True:
            assert self._process is not None
            began = time.monotonic()
            code = await self._process.wait()
            deaths = 0 if time.monotonic() - began > STABLE_S else deaths + 1
            delay_s = RESTART_S[min(deaths, len(RESTART_S) - 1)]
            log.warning("child.died", name=self.name, exit_code=code, restart_in_s=delay_s)
            await asyncio.sleep(delay_s)
            try:
                await self.start()
                log.info("child.restarted", name=self.name)
            except ChildFailed as error:
                log.warning("child.restart_failed", name=self.name, error=error.detail)

    async def stop(self) -> None:
        """End the program: SIGTERM, and SIGKILL where that is not enough."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _failure(self, reason: str) -> ChildFailed:
        try:
            tail = self._log_file.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace")
        except OSError:
            tail = ""
        return ChildFailed(name=self.name, reason=reason, log_tail=tail.strip())


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
