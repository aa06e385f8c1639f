"""What we started and lost sight of is found by its mark, and ended for good."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from zlh_api import marked_processes
from zlh_api.marked_processes import SharedLook, end_all, find_marked
from zlh_common.processes import read_identity

# Says when it is ready, so that its signal handlers stand before it is signalled.
PATIENT = "print('up', flush=True); import time; time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + PATIENT

PARENT = f"""
import subprocess, sys, time
print("up", flush=True)
child = subprocess.Popen([sys.executable, "-c", {PATIENT!r}], env={{}}, stdout=-3, start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


@contextmanager
def child(code: str = PATIENT, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a child for the length of the block, and never longer."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code], env={"PATH": "", **environment}, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_processes_are_found_by_their_whole_mark() -> None:
    """A mark that merely begins alike, or stands in another variable, is another mark."""
    mark = uuid4().hex
    with child(ZLH_T=mark) as ours, child(ZLH_T=f"{mark}0"), child(XZLH_T=mark):
        assert [who.pid for who in find_marked("ZLH_T", mark)] == [ours.pid]
    assert find_marked("ZLH_T", mark) == []


def test_what_a_marked_process_has_started_belongs_to_it() -> None:
    """A child that has dropped the mark, and has left the session, is found below its parent."""
    mark = uuid4().hex
    with child(PARENT, ZLH_T=mark) as ours:
        assert ours.stdout is not None
        below = int(ours.stdout.readline())
        found = find_marked("ZLH_T", mark)
        assert [who.pid for who in found] == sorted([ours.pid, below])
        assert end_all(found, grace_s=2) == []


def test_a_process_that_ignores_the_first_signal_is_ended_all_the_same() -> None:
    """SIGTERM, a grace, then SIGKILL; nothing is left."""
    with child() as willing, child(STUBBORN) as stubborn:
        who = [found for process in (willing, stubborn) if (found := read_identity(process.pid))]
        assert end_all(who, grace_s=0.2) == []
        assert willing.wait(5) == -signal.SIGTERM
        assert stubborn.wait(5) == -signal.SIGKILL


async def test_who_asks_at_once_shares_a_look_that_begins_after_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred questions cost two looks, and none is answered by a look that had begun before it."""
    began, may_end = [], threading.Event()

    def find(name: str) -> dict[str, list[int]]:
        began.append(name)
        may_end.wait(5)
        return {"look": [len(began)]}

    monkeypatch.setattr(marked_processes, "find_marks", find)
    look = SharedLook("ZLH_T")
    first = asyncio.create_task(look.find_marks())
    while not began:
        await asyncio.sleep(0.001)
    others = [asyncio.create_task(look.find_marks()) for _ in range(100)]
    await asyncio.sleep(0.01)
    may_end.set()
    await first
    found = await asyncio.gather(*others)
    assert (found, len(began)) == ([{"look": [2]}] * 100, 2)


async def test_a_look_that_nobody_waited_for_answers_no_later_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks after it was given up gets a look of his own."""
    look = SharedLook("ZLH_T")
    asked = asyncio.create_task(look.find_marks())
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    mark = uuid4().hex
    with child(ZLH_T=mark) as ours:
        assert (await look.find_marks())[mark] == [ours.pid]
