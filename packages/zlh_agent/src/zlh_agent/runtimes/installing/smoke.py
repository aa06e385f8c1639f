"""Runs what the catalog names to prove that an unpacked runtime works, with nothing in the environment.

It is the first program of an archive that runs anywhere, so it is confined: the tree cannot be changed by it, no
network answers it, and whatever it has started is ended with it, however often that has forked.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from zlh_agent.runtimes.confined import leave_network_but_for_talk, testing
from zlh_agent.runtimes.errors import SmokeTestFailed
from zlh_agent.sandbox.confined_program import NOT_CONFINED
from zlh_agent.sandbox.launch import confined_program
from zlh_agent.shim.stopping import count_descendants, freeze_below
from zlh_agent.shim.subreaper import become_subreaper
from zlh_common.processes import read_boot_id, send_signal
from zlh_common.schema.catalog import CatalogVersion

TIMEOUT_S = 30
# So much of the end of what the program prints is kept, however much that is.
TAIL_BYTES = 4096
# What it may write and keep at most. Address space is not counted: a JVM reserves far more of it than it uses.
DATA_BYTES, FILE_BYTES = 4 * 1024**3, 256 * 1024**2
# Rounds of ending what the program has left, and the pause between them.
KILL_ROUNDS, KILL_PAUSE_S = 100, 0.02
# A pipe holds no more than this after the end of the program.
_BLOCK_BYTES, _BLOCKS_AFTER_THE_END = 64 * 1024, 20


def smoke_test(tree: Path, version: CatalogVersion, *, scratch: Path) -> None:
    """Raise SmokeTestFailed unless the command ends with 0 and prints what it should; `scratch` is its own folder."""
    if not version.smoke_test:
        return
    command = " ".join(version.smoke_test)
    program = tree / version.smoke_test[0]
    if not os.access(program, os.X_OK):
        reason = "cannot be started (it is not there, or no program)"
        raise SmokeTestFailed(command=command, reason=reason, exit_code=None, output="")
    code, output = _run(
        confined_program(testing(tree, scratch), [str(program), *version.smoke_test[1:]]),
        {
            "PATH": "/usr/bin:/bin",
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "LC_ALL": "C.UTF-8",
            **{name: value.replace("{root}", str(tree)) for name, value in version.environment.items()},
        },
    )
    if code == NOT_CONFINED:
        raise SmokeTestFailed(command=command, reason="cannot be started", exit_code=None, output=output)
    if code != 0:
        reason = f"did not end within {TIMEOUT_S} s" if code is None else f"ended with {code}"
        raise SmokeTestFailed(command=command, reason=reason, exit_code=code, output=output)
    if version.smoke_expect not in output:
        raise SmokeTestFailed(
            command=command, reason=f"did not print {version.smoke_expect!r}", exit_code=0, output=output
        )


def _run(argv: list[str], environment: dict[str, str]) -> tuple[int | None, str]:
    """Run a program; return its exit code, or None after too long, and its last words. What it has started ends too."""
    become_subreaper()
    deadline = time.monotonic() + TIMEOUT_S
    with subprocess.Popen(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_limited,  # noqa: PLW1509 - the install child has no threads
    ) as process:
        assert process.stdout is not None
        output = _Output(process.stdout.fileno())
        code: int | None = None
        try:
            output.follow(process.pid, deadline)
            code = process.wait(_left(deadline))
        except (TimeoutError, subprocess.TimeoutExpired):
            pass
        finally:
            _end(process)
        output.read()
    return code, output.text()


def _limited() -> None:
    """Between fork and exec: memory, the size of files, and the network."""
    for kind, limit in ((resource.RLIMIT_DATA, DATA_BYTES), (resource.RLIMIT_FSIZE, FILE_BYTES)):
        hard = resource.getrlimit(kind)[1]
        lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lower, lower))
    leave_network_but_for_talk()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and all that it has left to us, which is whoever descends from this process."""
    boot_id = read_boot_id()
    for _ in range(KILL_ROUNDS):
        for identity in freeze_below(os.getpid(), boot_id):
            send_signal(identity, signal.SIGKILL)
        process.poll()
        _reap_orphans(process.pid)
        if not count_descendants(boot_id):
            return
        time.sleep(KILL_PAUSE_S)


def _reap_orphans(program: int) -> None:
    """Take note of the end of what was left to us; the program itself is waited for by its own object."""
    with suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != program:
            os.waitpid(ended.si_pid, os.WNOHANG)


class _Output:
    """The last words of a program. It is read while the program runs: what that leaves may hold the pipe open."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._tail = b""
        self._is_open = True

    def follow(self, pid: int, deadline: float) -> None:
        """Read until the program has ended; raise TimeoutError where it does not."""
        ended = os.pidfd_open(pid)
        try:
            while True:
                watched = [ended, self._descriptor] if self._is_open else [ended]
                ready, _, _ = select.select(watched, [], [], _left(deadline))
                if not ready:
                    raise TimeoutError
                if ended in ready:
                    return
                self._read_block()
        finally:
            os.close(ended)

    def read(self) -> None:
        """Read what is there, and no more than a flood could bring meanwhile."""
        for _ in range(_BLOCKS_AFTER_THE_END):
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

    def text(self) -> str:
        """Return it as far as it is text."""
        return self._tail.decode("utf-8", "replace")


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
