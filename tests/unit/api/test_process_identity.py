"""Which process is meant: ours by its start, never a stranger by its number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

from zlh_api.drivers.process_identity import end_all, find_by_environment, identify

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


def test_a_child_is_identified_and_ended() -> None:
    """The identity holds while the process runs, and reaches it."""
    with child() as process:
        who = identify(process.pid)
        assert who is not None
        assert who.is_alive()
        assert who.signal(signal.SIGTERM)
        assert process.wait(5) == -signal.SIGTERM
        assert not who.is_alive()
        assert not who.signal(signal.SIGTERM)


def test_a_zombie_is_not_alive() -> None:
    """What has ended and was not waited for is gone for every purpose of ours."""
    with child() as process:
        who = identify(process.pid)
        assert who is not None
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not who.is_alive()
        assert identify(process.pid) is None


def test_a_process_with_another_start_time_is_never_signalled() -> None:
    """A pid that was given to a stranger does not hit the stranger."""
    with child() as process:
        who = identify(process.pid)
        assert who is not None
        earlier = replace(who, start_time=who.start_time - 1)
        assert not earlier.is_alive()
        assert not earlier.signal(signal.SIGKILL)
        assert process.poll() is None


def test_a_process_of_another_boot_is_never_signalled() -> None:
    """Pids and start times repeat after a reboot; the boot id does not."""
    with child() as process:
        who = identify(process.pid)
        assert who is not None
        assert not replace(who, boot_id="another").signal(signal.SIGKILL)
        assert process.poll() is None


def test_processes_are_found_by_their_whole_mark() -> None:
    """A mark that merely begins alike, or stands in another variable, is another mark."""
    mark = uuid4().hex
    with child(ZLH_T=mark) as ours, child(ZLH_T=f"{mark}0"), child(XZLH_T=mark):
        assert [who.pid for who in find_by_environment("ZLH_T", mark)] == [ours.pid]
    assert find_by_environment("ZLH_T", mark) == []


def test_what_a_marked_process_has_started_belongs_to_it() -> None:
    """A child that has dropped the mark, and has left the session, is found below its parent."""
    mark = uuid4().hex
    with child(PARENT, ZLH_T=mark) as ours:
        assert ours.stdout is not None
        below = int(ours.stdout.readline())
        found = find_by_environment("ZLH_T", mark)
        assert [who.pid for who in found] == sorted([ours.pid, below])
        assert end_all(found, grace_s=2) == []


def test_a_process_that_ignores_the_first_signal_is_ended_all_the_same() -> None:
    """SIGTERM, a grace, then SIGKILL; nothing is left."""
    with child() as willing, child(STUBBORN) as stubborn:
        who = [found for process in (willing, stubborn) if (found := identify(process.pid))]
        assert end_all(who, grace_s=0.2) == []
        assert willing.wait(5) == -signal.SIGTERM
        assert stubborn.wait(5) == -signal.SIGKILL
