"""Runs one script of a template in the child that is confined for it; what it has started is ended with it."""

from __future__ import annotations

import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from zlh_agent.games.errors import GameScriptFailed
from zlh_agent.games.model import OWN_FOLDER, DoneLine, ProgressLine, Run
from zlh_agent.games.server_folder import ServerFolder
from zlh_agent.games.telling import say
from zlh_agent.runtimes.confined import leave_network_but_for_talk
from zlh_agent.sandbox.lifeline import PR_SET_PDEATHSIG, die_with
from zlh_agent.sandbox.syscalls import prctl
from zlh_agent.shim.stopping import count_descendants, freeze_below
from zlh_agent.shim.subreaper import become_subreaper
from zlh_common.processes import read_boot_id, send_signal

TAIL_BYTES = 4096
TELL_PAUSE_S = 1.0
# What it may write at once; a world is made of smaller files. Address space is not counted: a JVM reserves it.
FILE_BYTES = 8 * 1024**3
KILL_ROUNDS, KILL_PAUSE_S = 100, 0.02
_BLOCK_BYTES = 64 * 1024


def run_script(order: Run) -> DoneLine:
    """Run it to its end and look at what it has made; raise GameScriptFailed."""
    program = shutil.which(order.argv[0], path=order.environment.get("PATH", ""))
    if program is None:
        raise _failure(order, f"needs {order.argv[0]}, and it is not there", None, "")
    with ServerFolder(order.folder) as folder, folder.staging("scratch"):
        scratch = str(Path(order.folder, OWN_FOLDER, "scratch"))
        try:
            code, output = _run(program, order, scratch)
        finally:
            # Called off while it was being started, it is nobody's by now.
            _end(None)
            folder.forget_staging()
    if code is None:
        raise _failure(order, f"did not end within {order.timeout_s:.0f} s", None, output)
    if code != 0:
        reason = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        raise _failure(order, reason, code if code > 0 else None, output)
    for pattern in order.makes:
        if not _is_made(order.folder, pattern):
            raise _failure(order, f"ended well and has not made {pattern}", 0, output)
    return DoneLine(output=output)


def _failure(order: Run, reason: str, code: int | None, output: str) -> GameScriptFailed:
    return GameScriptFailed(name=order.name, reason=reason, exit_code=code, output=output)


def _is_made(folder: str, pattern: str) -> bool:
    return next(Path(folder).glob(pattern.lstrip("/")), None) is not None


def _run(program: str, order: Run, scratch: str) -> tuple[int | None, str]:
    """Return its exit code, or None after too long, and its last words."""
    become_subreaper()
    _end_in_order_with(os.getppid())
    deadline = time.monotonic() + order.timeout_s
    own = {"HOME": scratch, "TMPDIR": scratch, "JDK_JAVA_OPTIONS": f"-Djava.io.tmpdir={scratch}"}
    parent = os.getpid()

    def limited() -> None:
        die_with(parent)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        lower = FILE_BYTES if hard == resource.RLIM_INFINITY else min(FILE_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_FSIZE, (lower, lower))
        if not order.may_use_network:
            leave_network_but_for_talk()

    with subprocess.Popen(
        [order.argv[0], *order.argv[1:]],
        executable=program,
        # A JVM asks no variable of the system for its temporary folder.
        env={**order.environment, **own},
        cwd=order.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=limited,  # noqa: PLW1509 - this child has no threads
    ) as process:
        assert process.stdout is not None
        output = _Output(process.stdout.fileno())
        code: int | None = None
        try:
            output.follow(process.pid, deadline)
            code = process.wait()
        except TimeoutError:
            pass
        finally:
            _end(process)
        output.read_rest()
    return code, output.text()


def _end_in_order_with(parent: int) -> None:
    """Have the end of the agent be a SIGTERM here, in place of SIGKILL, so that the script ends with all of it."""
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    """Kill the script and all that it has left to us, which is whoever descends from this process."""
    boot_id = read_boot_id()
    if not count_descendants(boot_id):
        return
    for _ in range(KILL_ROUNDS):
        for identity in freeze_below(os.getpid(), boot_id):
            send_signal(identity, signal.SIGKILL)
        if process is not None:
            process.poll()
        with suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and (
                process is None or ended.si_pid != process.pid
            ):
                os.waitpid(ended.si_pid, os.WNOHANG)
        if not count_descendants(boot_id):
            return
        time.sleep(KILL_PAUSE_S)


class _Output:
    """The last words of a script, told while it runs; what it leaves may hold the pipe open."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._tail = b""
        self._is_open = True
        self._told_at = 0.0

    def follow(self, pid: int, deadline: float) -> None:
        """Read until the script has ended; raise TimeoutError where it does not."""
        ended = os.pidfd_open(pid)
        try:
            while True:
                watched = [ended, self._descriptor] if self._is_open else [ended]
                ready, _, _ = select.select(watched, [], [], max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise TimeoutError
                if ended in ready:
                    return
                self._read_block()
                self._tell()
        finally:
            os.close(ended)

    def read_rest(self) -> None:
        """Read what is there, and no more than a pipe holds."""
        for _ in range(20):
            if not self._read_block():
                return

    def _read_block(self) -> bool:
        try:
            block = os.read(self._descriptor, _BLOCK_BYTES)
        except BlockingIOError:
            return False
        self._is_open = bool(block)
        self._tail = (self._tail + block)[-TAIL_BYTES:]
        return self._is_open

    def _tell(self) -> None:
        if time.monotonic() - self._told_at >= TELL_PAUSE_S:
            self._told_at = time.monotonic()
            say(ProgressLine(stage="script", output=self.text()))

    def text(self) -> str:
        """Return it as far as it is text."""
        return self._tail.decode("utf-8", "replace")
