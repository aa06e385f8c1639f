"""The workers of one run, as the process sees them that hands the tests out.

A worker that ends in the middle of a test has failed this test and no other: another worker takes its place and does
the rest. What it had started and made goes with it. A run has a limit too, after which it says what it was at and ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from guards import remains
from guards.hangs import Running, running_file, stacks_file
from guards.leaks import is_gone
from guards.shares import rank_of, share_of

LOOK_S = 1.0
# For how many looks a worker may have ended without being seen to have.
MOST_UNSEEN = 5
# What a process that is asked for its stacks needs to write them.
LAST_WORDS_S = 3.0
# In this time another worker stands in the place of one that has ended, or none will.
REPLACED_IN_S = 30.0


class Shares(LoadScopeScheduling):
    """Hands out shares of the tests, each worker's next one when it has one test left."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        self.workqueue.move_to_end(min(self.workqueue, key=rank_of), last=False)
        super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        # A worker begins a test when it knows the next one.
        while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            self._assign_work_unit(node)
        if not self.workqueue:
            node.shutdown()

    def remove_node(self, node: WorkerController) -> str | None:
        """Take away a worker that has ended; return the test it was at, which nobody is given again."""
        units = self.assigned_work[node]
        ended = next((test for unit in units.values() for test, is_done in unit.items() if not is_done), None)
        if ended is not None:
            units[share_of(ended)][ended] = True
        self.assigned_work[node] = {share: unit for share, unit in units.items() if not all(unit.values())}
        super().remove_node(node)
        return ended


class Crew:
    """Watches over the workers; `folder` holds what they leave word in, and everything that they make."""

    def __init__(self, folder: Path, limit_s: float, grace_s: float) -> None:
        self._folder = folder
        self._limit_s = limit_s
        self._grace_s = grace_s
        self._pids: dict[str, int] = {}
        self._unseen: Counter[str] = Counter()
        # A worker that begins has no pid here yet, and looks like what an ended one has left: until then nothing is
        # taken for that. Whoever clears away, or is about to begin one, has the lock.
        self._clearing = threading.Lock()
        self._replaced_until = 0.0
        self._ended_because = ""
        self._is_over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    @pytest.hookimpl
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> Shares:
        """Hand out shares."""
        return Shares(config, log)

    @pytest.hookimpl
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Tell a worker where it leaves word, and watch over it."""
        node.workerinput["word"] = str(self._folder / node.gateway.id)
        self._pids[node.gateway.id] = node.gateway._rinfo().pid
        self._replaced_until = 0.0

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Begin to watch: the workers are there."""
        # Whoever ends the run so has everything cleared away, as with Ctrl-C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self._watch.start()

    @pytest.hookimpl
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        """Clear away what a worker has left that has not ended in order, and end a run that took too long."""
        name = node.gateway.id
        pid = self._pids.pop(name, None)
        if pid is not None and error is not None:
            with self._clearing:
                remains.end_orphans(self._pids.values())
                self._replaced_until = time.monotonic() + REPLACED_IN_S
            remains.clear(self._folder / name, pid)
        if self._ended_because:
            pytest.exit(self._ended_because)

    @pytest.hookimpl
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """Tell with a test in which its worker has ended what it was at then."""
        name = report.node.gateway.id
        with contextlib.suppress(OSError):
            report.longrepr = f"{report.longrepr}\n{stacks_file(self._folder / name).read_text(errors='replace')}"

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        """Let nothing go on, and leave nothing of workers that were cut short."""
        self._is_over.set()
        remains.end_orphans(())
        for name, pid in self._pids.items():
            remains.clear(self._folder / name, pid)

    def _look(self) -> None:
        until = time.monotonic() + self._limit_s
        while not self._is_over.wait(LOOK_S):
            if time.monotonic() > until:
                self._end_run()
                return
            for name, pid in list(self._pids.items()):
                self._look_at(name, pid)

    def _look_at(self, name: str, pid: int) -> None:
        running = Running.read(running_file(self._folder / name))
        if is_gone(pid):
            self._unseen[name] += 1
            if self._unseen[name] > MOST_UNSEEN:
                # A child of it holds its pipe.
                with self._clearing:
                    if time.monotonic() > self._replaced_until:
                        remains.end_orphans(self._pids.values())
        elif running is not None and time.monotonic() > running.until + self._grace_s:
            # It is stopped, or within the kernel: its own watchdogs have done nothing.
            os.kill(pid, signal.SIGKILL)

    def _end_run(self) -> None:
        lines = [f"the whole run took longer than {self._limit_s:g} s and was ended; this is what it was at:"]
        for name in self._pids:
            running = Running.read(running_file(self._folder / name))
            lines.append(f"  {name}: {_told(running)}")
        self._ended_because = "\n".join(lines)
        # Whoever gets it writes what its threads are at, and ends; none is put in its place, see above.
        self._signal(list(self._pids.values()), signal.SIGABRT)
        time.sleep(LAST_WORDS_S)
        self._signal(list(self._pids.values()), signal.SIGKILL)
        remains.end_orphans(self._pids.values())

    def _signal(self, pids: Sequence[int], number: int) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _told(running: Running | None) -> str:
    return "nothing" if running is None else f"{running.test}, for {time.monotonic() - running.since:.0f} s"
