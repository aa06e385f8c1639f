"""A test that hangs, however it does, fails alone and tells what it was at; nothing of it is left, the run goes on."""

from __future__ import annotations

import re
from pathlib import Path

import psutil
import pytest

from unit.guards.test_guards import run_pytest

TEXT = """
import asyncio, collections, contextlib, itertools, os, signal, subprocess
import pytest
from guards import leaks

async def deaf():
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)

def fork_and_hang():
    # It has its parent's pipes, and hears of nothing.
    if os.fork() == 0:
        signal.pause()
    hang_in_c()

def hang_in_c():
    collections.deque(itertools.count(), maxlen=0)

WAYS = {"c": hang_in_c, "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP), "fork": fork_and_hang,
        "exit": lambda: os._exit(1)}

@pytest.fixture(scope="session")
def server():
    leaks.long_lived.add("sleep 1234.5")
    process = subprocess.Popen(["setsid", "sleep", "1234.5"])
    yield
    process.kill()
    process.wait()

@pytest.mark.timeout(1)
async def test_patient(server):
    await asyncio.sleep(1000)

@pytest.mark.timeout(1)
async def test_deaf(server):
    await asyncio.create_task(deaf())

@pytest.mark.timeout(1)
@pytest.mark.parametrize("way", WAYS)
def test_hangs(server, way):
    WAYS[way]()

@pytest.mark.parametrize("number", range(5))
def test_good(server, number):
    pass
"""
BESIDE = ("-n", "2", "-o", "hang_grace_s=1")


def living(line: str) -> list[int]:
    """Return the processes with this in their command lines."""
    found = psutil.process_iter(["cmdline", "status"])
    return [
        each.pid for each in found if line in " ".join(each.info["cmdline"] or ()) and each.info["status"] != "zombie"
    ]


def test_whatever_hangs_fails_alone_and_the_run_goes_on(tmp_path: Path) -> None:
    """Each in its own way, in a worker that another replaces; their server goes with each, their folders at the end."""
    done = run_pytest(tmp_path, TEXT, *BESIDE)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "5 passed" in done.stdout, done.stdout
    failed = set(re.findall(r"^(?:FAILED|ERROR) .*::(\S+)", done.stdout, re.MULTILINE))
    ways = {f"test_hangs[{way}]" for way in ("c", "stop", "fork", "exit")}
    assert failed == {"test_patient", "test_deaf", *ways}
    assert living("sleep 1234.5") == []
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("zlht-")]


@pytest.mark.parametrize(
    ("name", "line"),
    [("test_patient", "in test_patient|test_it.py:\\d+ test_patient"), ("test_deaf", "test_it.py:\\d+ deaf"),
     ("test_hangs[c]", "in hang_in_c")],
)  # fmt: skip
def test_it_tells_what_it_was_at(tmp_path: Path, name: str, line: str) -> None:
    """The line of the task that waits, or of the call that does not return."""
    done = run_pytest(tmp_path, TEXT, *BESIDE, "-k", name.replace("[", " and ").rstrip("]"))
    assert done.returncode == 1
    assert re.search(line, done.stdout), done.stdout


def test_one_process_alone_ends_too(tmp_path: Path) -> None:
    """Whoever runs a single test sees what it was at; the server of the test is ended."""
    done = run_pytest(tmp_path, TEXT, "-o", "hang_grace_s=1", "-k", "deaf")
    assert done.returncode == 1
    assert re.search("test_it.py:\\d+ deaf", done.stderr), done.stdout + done.stderr
    assert living("sleep 1234.5") == []


def test_a_run_that_takes_too_long_ends_and_tells_what_it_was_at(tmp_path: Path) -> None:
    """What passed before is told too."""
    text = TEXT.replace("timeout(1)", "timeout(100)")
    done = run_pytest(tmp_path, text, *BESIDE, "-o", "run_limit_s=15", "-k", "good or deaf")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "took longer than 15 s" in done.stdout
    assert re.search(r"gw\d: test_it.py::test_deaf, for \d+ s", done.stdout), done.stdout
    assert living("sleep 1234.5") == []


def test_a_run_that_is_told_to_end_leaves_nothing(tmp_path: Path) -> None:
    """As where a limit of the machine that runs it is over."""
    text = TEXT.replace("timeout(1)", "timeout(100)") + (
        "@pytest.fixture(autouse=True, scope='session')\n"
        "def told():\n"
        "    import threading, time\n"
        "    threading.Timer(3, os.kill, (os.getppid(), signal.SIGTERM)).start()\n"
    )
    done = run_pytest(tmp_path, text, *BESIDE, "-k", "deaf")
    assert done.returncode == 2, done.stdout + done.stderr
    assert living("sleep 1234.5") == []
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("zlht-")]
