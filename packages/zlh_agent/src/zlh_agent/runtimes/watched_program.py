"""Runs a program of somebody else's to its end in a child of ours: its last words are kept, and all that it has started
ends with it, however often that has forked. It blocks, and belongs into a process that does nothing else.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from zlh_agent.shim.stopping import count_descendants, freeze_below
from zlh_agent.shim.subreaper import become_subreaper
from zlh_common.processes import read_boot_id, send_signal

# So much of the end of what the program prints is kept, however much that is.
TAIL_BYTES = 4096
# Rounds of ending what the program has left, and the pause between them.
KILL_ROUNDS, KILL_PAUSE_S = 100, 0.02
# A pipe holds no more than this after the end of the program.
_BLOCK_BYTES, _BLOCKS_AFTER_THE_END = 64 * 1024, 20
OnOutput = Callable[[str], None]


def run_watched(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout_s: float,
    before_exec: Callable[[], None],
    executable: str | None = None,
    cwd: str | None = None,
    on_output: OnOutput = lambda _text: None,
) -> tuple[int | None, str]:
    """Return a program's exit code, or None after too long, and its last words; `before_exec` runs in the program.

    `on_output` is told its last words so far, whenever there are others. This process becomes the one to which the
    program's orphans fall, so it must have no other children.
    """
    become_subreaper()
    deadline = time.monotonic() + timeout_s
    with subprocess.Popen(
        list(argv),
        executable=executable,
        env=dict(environment),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=before_exec,  # noqa: PLW1509 - a child that does nothing else has no threads
    ) as process:
        assert process.stdout is not None
        output = _Output(process.stdout.fileno(), on_output)
        code: int | None = None
        try:
            output.follow(process.pid, deadline)
            code = process.wait(_left(deadline))
        except (TimeoutError, subprocess.TimeoutExpired):
            pass
        finally:
            end_descendants(process)
        output.read_rest()
    return code, output.text()


def lower_limit(kind: int, limit: int) -> None:
    """Have this process get no more of something; a limit that is lower already stays."""
    hard = resource.getrlimit(kind)[1]
    lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (lower, lower))


def end_descendants(process: subprocess.Popen[bytes] | None) -> None:
    """Kill a program and all that it has left to us, which is whoever descends from this process."""
    boot_id = read_boot_id()
    if not count_descendants(boot_id):
        return
    for _ in range(KILL_ROUNDS):
        for identity in freeze_below(os.getpid(), boot_id):
            send_signal(identity, signal.SIGKILL)
        if process is not None:
            process.poll()
        _reap_orphans(None if process is None else process.pid)
        if not count_descendants(boot_id):
            return
        time.sleep(KILL_PAUSE_S)


def _reap_orphans(program: int | None) -> None:
    """Take note of the end of what was left to us; the program itself is waited for by its own object."""
    with suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != program:
            os.waitpid(ended.si_pid, os.WNOHANG)


class _Output:
    """The last words of a program. It is read while the program runs: what that leaves may hold the pipe open."""

    def __init__(self, descriptor: int, on_output: OnOutput) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._on_output = on_output
        self._tail = b""
        self._is_open = True

    def follow(self, pid: int, deadline: float) -> None:
        """Read until the program has ended; raise TimeoutError where it does not, however much it prints."""
        ended = os.pidfd_open(pid)
        try:
            while True:
                watched = [ended, self._descriptor] if self._is_open else [ended]
                ready, _, _ = select.select(watched, [], [], _left(deadline))
                if ended in ready:
                    return
                if not ready or not _left(deadline):
                    raise TimeoutError
                self._read_block()
                self._on_output(self.text())
        finally:
            os.close(ended)

    def read_rest(self) -> None:
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
