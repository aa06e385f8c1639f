"""A test that takes too long fails alone, and tells what every task and every thread was at.

At its limit the test is failed from within, so that its fixtures clean up. Where this does not end it (a task that will
not be called off holds the loop for ever), the process ends after a grace; where no Python runs any more (a call that
holds the interpreter), a watchdog of the C library ends it. Beside others, whoever hands out the tests reads what the
process has left, and puts another in its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CoroutineType, FrameType
from typing import Any

import psutil
import pytest
import pytest_timeout

from guards.second_tries import is_second_try

# How far a wait is followed, and how many calls of a thread are told: beneath them is only pytest.
DEEPEST = 50
DEEPEST_FRAMES = 25


@dataclass(frozen=True)
class Running:
    """Which test a process is at, since when, and until when it may be; by the monotonic clock."""

    test: str
    since: float
    until: float

    @staticmethod
    def read(file: Path) -> Running | None:
        """Return what a process has written last, or None where it is at nothing."""
        with contextlib.suppress(OSError, ValueError):
            return Running(**json.loads(file.read_text()))
        return None


class Alarms:
    """The limits of the tests of one process, in the place of pytest-timeout's own two ways.

    `word` is where it leaves word for whoever hands out the tests, or None where nobody does.
    """

    def __init__(self, grace_s: float, word: Path | None) -> None:
        self._grace_s = grace_s
        # Of the test that runs, None between two and where none is set.
        self._limit_s: float | None = None
        self._running = word and running_file(word)
        # A descriptor of its own: what pytest catches of a test's output is lost when the process ends.
        self._out = os.open(stacks_file(word), os.O_WRONLY | os.O_CREAT | os.O_APPEND) if word else os.dup(2)

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_set_timer(self, item: Any, settings: Any) -> bool | None:
        """Begin the time of a test."""
        if threading.current_thread() is not threading.main_thread():
            return None
        self._begin(item, settings.timeout)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Begin the time of a second try: it has as much as the first."""
        if is_second_try(item) and self._limit_s is not None:
            self._begin(item, self._limit_s)

    def _begin(self, item: pytest.Item, limit_s: float) -> None:
        rings = iter(range(sys.maxsize))
        self._limit_s = limit_s

        def ring(_number: int, _frame: FrameType | None) -> None:
            if pytest_timeout.is_debugging():  # type: ignore[no-untyped-call]
                return
            told = f"{item.nodeid} took longer than {limit_s:g} s"
            if next(rings) == 0:
                pytest.fail(f"{told}\n{render_stacks()}")
            told += f", and did not end within {self._grace_s:g} s of being failed"
            # Beside the loop, in which code of ours may stand that must not block.
            threading.Thread(target=self._end, args=(told,), daemon=True).start()

        now = time.monotonic()
        self._note(Running(item.nodeid, now, now + limit_s + 2 * self._grace_s))
        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, limit_s, self._grace_s)
        faulthandler.dump_traceback_later(limit_s + 2 * self._grace_s, exit=True, file=self._out)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """End the time of a test when its fixtures have cleaned up; pytest-timeout ends it at the first failure."""
        try:
            return (yield)
        finally:
            self._cancel()

    @pytest.hookimpl
    def pytest_enter_pdb(self) -> None:
        """Leave somebody who looks into a test all the time of the world."""
        self._cancel()

    def _cancel(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.cancel_dump_traceback_later()
        self._limit_s = None
        self._note(None)

    def _note(self, running: Running | None) -> None:
        if self._running is not None:
            self._running.write_text(json.dumps(asdict(running)) if running else "")

    def _end(self, told: str) -> None:
        os.write(self._out, f"\n{told}\n{render_stacks()}\n".encode())
        if self._running is None:
            end_children()
        os._exit(1)


def end_children() -> None:
    """Kill every process that this one has started, whatever it is at."""
    while children := [child for child in psutil.Process().children(recursive=True) if _lives(child)]:
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
        time.sleep(0.02)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def render_stacks() -> str:
    """Return what every task and every thread is at."""
    return "\n".join((*_render_tasks(), *_render_threads()))


def _render_tasks() -> Iterator[str]:
    # A loop that runs somewhere else tells nobody its tasks, and one that stands still has none that runs.
    tasks = [found for found in gc.get_objects() if issubclass(type(found), asyncio.Task)]
    for task in tasks:
        if not task.done():
            yield f"task {task.get_name()}"
            yield from _render_wait(task.get_coro())


def _render_wait(waiting: Any) -> Iterator[str]:
    """Follow what one awaits through what that awaits; the task itself tells its outermost line alone."""
    for _ in range(DEEPEST):
        if not isinstance(waiting, CoroutineType):
            yield f"    awaits {waiting!r}"
            return
        frame = waiting.cr_frame
        if frame is not None:
            yield f"    {frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}"
        waiting = waiting.cr_await


def _render_threads() -> Iterator[str]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        yield f"thread {names.get(ident, ident)}"
        yield "".join(traceback.format_stack(frame, DEEPEST_FRAMES)).rstrip()


def stacks_file(word: Path) -> Path:
    """Return where a worker leaves what its tasks and threads were at when it ended itself."""
    return word.with_suffix(".stacks")


def running_file(word: Path) -> Path:
    """Return where a worker says which test it is at."""
    return word.with_suffix(".running")
