"""What uses real parts gets a second try, on clean ground and loudly; what our code alone decides gets none."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from guards.second_tries import may_try_again
from unit.guards.test_guards import run_pytest

# Each fails the first time in its own way, and leaves what would fail the second.
TEXT = """
import asyncio, os, pathlib, signal, socket, subprocess, tempfile
import pytest

TRIES, SAID, kept = {}, pathlib.Path(os.environ["SAID"]), []

def is_first(name):
    TRIES[name] = TRIES.get(name, 0) + 1
    return TRIES[name] == 1

def say(word):
    with SAID.open("a") as file:
        file.write(word + "\\n")

@pytest.fixture(scope="session")
def server():
    say("server up")
    yield
    say("server down")

@pytest.fixture(scope="module")
def part():
    say("part fails" if is_first("part") else "part up")
    if TRIES["part"] == 1:
        raise RuntimeError("it did not start")
    yield
    say("part down")

def test_assertion(server):
    assert not is_first("assertion"), "the machine was busy"

def test_module_fixture(part, server):
    pass

async def test_task():
    if is_first("task"):
        kept.append(asyncio.create_task(asyncio.sleep(1000)))

def test_process():
    if is_first("process"):
        subprocess.Popen(["sleep", "1000"]).returncode = 0

def test_descriptor():
    if is_first("descriptor"):
        os.open("/etc/hostname", os.O_RDONLY)

def test_folder():
    if is_first("folder"):
        tempfile.mkdtemp(prefix="zlh-")

def test_socket_in_the_frame_that_failed():
    held = socket.socket()
    if is_first("socket"):
        raise AssertionError(held)
    held.close()

@pytest.mark.timeout(5)
async def test_hangs():
    if is_first("hangs"):
        await asyncio.sleep(1000)
    # What is left of the grace of the first try would be more.
    assert signal.getitimer(signal.ITIMER_REAL)[0] <= 5

def test_good(server, part):
    pass
"""
NAMES = set(re.findall(r"def (test_\w+)", TEXT)) - {"test_good"}
ALWAYS = "import pytest\n@pytest.mark.real('root')\ndef test_it():\n    raise AssertionError('again')\n"


def run_below(tmp_path: Path, folder: str, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a test file that lies in a folder, under the project's own conftest and settings."""
    place = tmp_path / folder
    place.mkdir(parents=True)
    (place / "test_it.py").write_text(text)
    nothing = "def test_nothing():\n    pass\n"
    return run_pytest(tmp_path, nothing, *options, SAID=str(tmp_path / "said"))


def unsteady(said: str) -> set[str]:
    """Return the names of the tests that the end of a run calls unsteady."""
    return set(re.findall(r"^unsteady: \S+::(\S+) failed and then passed", said, re.MULTILINE))


@pytest.mark.parametrize("beside", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_second_try_is_clean_and_told(tmp_path: Path, beside: tuple[str, ...]) -> None:
    """Whatever the first has left behind; what tests share goes up and down once, and each name comes at the end."""
    done = run_below(tmp_path, "tests/component", TEXT, *beside)
    assert done.returncode == 0, done.stdout + done.stderr
    assert unsteady(done.stdout) == NAMES, done.stdout
    assert "the machine was busy" in done.stdout
    assert "took longer than 5 s" in done.stdout
    for complaint in ("tasks left behind", "left behind: process", "left behind: descriptor", "left behind: folder"):
        assert complaint in done.stdout
    last = done.stdout.strip().splitlines()
    assert all(line.startswith("unsteady: ") for line in last[-1 - len(NAMES) : -1]), done.stdout
    said = (tmp_path / "said").read_text().splitlines()
    assert sorted(said) == sorted(["server up", "part fails", "part up", "part down", "server down"])
    assert said[-1] == "server down"


@pytest.mark.parametrize("folder", ["tests/unit", "tests/architecture", "tests/faults", "tests/component", "tests/e2e"])
def test_what_fails_twice_has_failed(tmp_path: Path, folder: str) -> None:
    """It is called failed and not unsteady; where there is one try, there is one."""
    done = run_below(tmp_path, folder, ALWAYS)
    assert done.returncode == 1, done.stdout + done.stderr
    assert unsteady(done.stdout) == set()
    assert f"FAILED {folder}/test_it.py::test_it" in done.stdout
    assert ("1 rerun" in done.stdout) is (folder in {"tests/component", "tests/e2e"})


def test_a_worker_that_ends_has_failed_its_test(tmp_path: Path) -> None:
    """There is no second try of it: what it had started went with it, and the rest is done by another."""
    text = (
        "import os\nimport pytest\ndef test_ends():\n    os._exit(1)\n"
        "@pytest.mark.parametrize('n', range(4))\ndef test_good(n):\n    pass\n"
    )
    done = run_below(tmp_path, "tests/component", text, "-n", "2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"1 failed, 5 passed", done.stdout), done.stdout
    assert unsteady(done.stdout) == set()


@pytest.mark.parametrize(
    ("nodeid", "uses_real_parts", "may"),
    [
        ("tests/unit/api/test_plan.py::test_it", False, False),
        ("tests/unit/api/test_plan.py::test_it", True, False),
        ("tests/faults/files/test_races.py::test_it", True, False),
        ("tests/architecture/test_shape.py::test_it", False, False),
        ("tests/component/api/test_http.py::test_it", False, True),
        ("tests/e2e/test_portal.py::test_it", True, True),
        ("tests/lxc/test_limits.py::test_it", True, True),
        ("tests/bench/test_it.py::test_it", False, False),
        ("tests/bench/test_it.py::test_it", True, True),
    ],
)
def test_who_gets_a_second_try(nodeid: str, uses_real_parts: bool, may: bool) -> None:
    """By the place of a test, and elsewhere by what it needs."""
    assert may_try_again(nodeid, uses_real_parts=uses_real_parts) is may
