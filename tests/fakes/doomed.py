"""A process that is killed from outside at its n-th act, with whatever runs below it at that moment."""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import psutil

# For hangs alone.
PATIENCE_S = 120.0
Act = Callable[[], None]


def run_doomed(work: Callable[[Act], Any], kill_at: int) -> bool:
    """Fork, have `work` call what it is given before and after each act that counts; tell whether it got to its end.

    At the act `kill_at` it stands still until it is killed, and so do its children end. 0 kills it never.
    """
    # Shared with the child: acts so far, and whether it waits for its end.
    shared = memoryview(mmap.mmap(-1, 16)).cast("Q")
    child = os.fork()
    if child == 0:
        _run(work, kill_at, shared)
    due, below = time.monotonic() + PATIENCE_S, list[psutil.Process]()
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > due or (shared[1] and not below):
            below = psutil.Process(child).children(recursive=True)
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            ended = (child, status)
            break
        time.sleep(0.001)
    assert time.monotonic() < due, "it neither ended nor came to its act"
    psutil.wait_procs(below, PATIENCE_S)
    assert not any(process.is_running() for process in below)
    code = os.waitstatus_to_exitcode(ended[1])
    assert code in {0, -signal.SIGKILL}, code
    return code == 0


def _run(work: Callable[[Act], Any], kill_at: int, shared: memoryview) -> NoReturn:
    def act() -> None:
        shared[0] += 1
        if shared[0] == kill_at:
            shared[1] = 1
            while True:
                signal.pause()

    try:
        work(act)
    except BaseException:  # noqa: BLE001 - this process must end here, whatever happens
        traceback.print_exc(file=sys.__stderr__)
        os._exit(1)
    os._exit(0)
