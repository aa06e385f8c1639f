"""Runs one script of a template in the child that is confined for it; what it has started is ended with it."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

from zlh_agent.games.errors import GameScriptFailed
from zlh_agent.games.model import OWN_FOLDER, DoneLine, ProgressLine, Run
from zlh_agent.games.server_folder import ServerFolder
from zlh_agent.games.telling import say
from zlh_agent.runtimes.confined import leave_network_but_for_talk
from zlh_agent.runtimes.watched_program import end_descendants, lower_limit, run_watched
from zlh_agent.sandbox.lifeline import PR_SET_PDEATHSIG, die_with
from zlh_agent.sandbox.syscalls import prctl

TELL_PAUSE_S = 1.0
# What it may write at once; a world is made of smaller files. Address space is not counted: a JVM reserves it.
FILE_BYTES = 8 * 1024**3


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
            end_descendants(None)
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
    _end_in_order_with(os.getppid())
    parent = os.getpid()

    def limited() -> None:
        die_with(parent)
        lower_limit(resource.RLIMIT_FSIZE, FILE_BYTES)
        if not order.may_use_network:
            leave_network_but_for_talk()

    # A JVM asks no variable of the system for its temporary folder.
    own = {"HOME": scratch, "TMPDIR": scratch, "JDK_JAVA_OPTIONS": f"-Djava.io.tmpdir={scratch}"}
    return run_watched(
        order.argv,
        executable=program,
        environment={**order.environment, **own},
        cwd=order.folder,
        timeout_s=order.timeout_s,
        before_exec=limited,
        on_output=_Telling().tell,
    )


def _end_in_order_with(parent: int) -> None:
    """Have the end of the agent be a SIGTERM here, in place of SIGKILL, so that the script ends with all of it."""
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


class _Telling:
    """Tells what a script prints while it runs, once a second at most."""

    def __init__(self) -> None:
        self._told_at = 0.0

    def tell(self, output: str) -> None:
        """Tell its last words so far."""
        if time.monotonic() - self._told_at >= TELL_PAUSE_S:
            self._told_at = time.monotonic()
            say(ProgressLine(stage="script", output=output))
