"""Each guard bites, and lets good code through: small test files run in a pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]


def run_pytest(tmp_path: Path, text: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run one test file under the project's own conftest and settings."""
    (tmp_path / "test_it.py").write_text(text)
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    config = TESTS.parent / "pyproject.toml"
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-c",
            str(config),
            "--rootdir",
            str(tmp_path),
            str(tmp_path),
            "-p",
            "no:cacheprovider",
            # Half of a start is its imports, and it has nothing to do here.
            "-p",
            "no:schemathesis",
            "-o",
            f"pythonpath={TESTS}",
            *options,
        ],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


BITES = {
    "outside address": ("import socket\ndef test_it():\n    socket.create_connection(('192.0.2.1', 80), 0.1)\n",
                        "a test wanted to reach 192.0.2.1"),
    "outside name": ("import socket\ndef test_it():\n    socket.getaddrinfo('example.org', 80)\n",
                     "a test wanted to reach example.org"),
    "process": ("import subprocess\ndef test_it():\n    subprocess.Popen(['sleep', '5']).returncode = 0\n",
                "left behind: process"),
    "descriptor": ("import os\ndef test_it():\n    os.open('/etc/hostname', os.O_RDONLY)\n",
                   "left behind: descriptor"),
    "folder": ("import tempfile\ndef test_it():\n    tempfile.mkdtemp(prefix='zlh-')\n", "left behind: folder"),
    "task": ("import asyncio\nk = []\nasync def test_it():\n    k.append(asyncio.create_task(asyncio.sleep(9)))\n",
             "tasks left behind"),
    "warning": ("import warnings\ndef test_it():\n    warnings.warn('old')\n", "UserWarning: old"),
}  # fmt: skip


@pytest.mark.parametrize("name", BITES)
def test_guard_bites(name: str, tmp_path: Path) -> None:
    """A test that does what it must not is failed, and told why."""
    text, complaint = BITES[name]
    done = run_pytest(tmp_path, text)
    assert done.returncode == 1, done.stdout + done.stderr
    assert complaint in done.stdout


def test_blocking_guard_bites_in_our_own_code(tmp_path: Path) -> None:
    """Code of ours that blocks the event loop fails the test in which it runs."""
    text = (
        "from pathlib import Path\nfrom zlh_common.durable_files import write_durably\n"
        "async def test_it(tmp_path):\n    write_durably(tmp_path / 'x', b'')\n"
    )
    done = run_pytest(tmp_path, text)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BlockingError" in done.stdout


def test_good_code_passes(tmp_path: Path) -> None:
    """What stays on this machine and cleans up is let through."""
    text = (
        "import asyncio, socket, subprocess, tempfile\n"
        "def test_loopback():\n"
        "    with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "        socket.create_connection(server.getsockname()).close()\n"
        "def test_child():\n    subprocess.run(['true'], check=True)\n"
        "def test_folder():\n    tempfile.TemporaryDirectory(prefix='zlh-').cleanup()\n"
        "async def test_task():\n    await asyncio.create_task(asyncio.sleep(0))\n"
    )
    done = run_pytest(tmp_path, text)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("beside", [(), ("-n", "2")], ids=["alone", "workers"])
def test_skip_fails_where_nothing_may_be_skipped(tmp_path: Path, beside: tuple[str, ...]) -> None:
    """In CI a skipped test fails the run, so that nothing is left out unseen."""
    text = "import pytest\ndef test_it():\n    pytest.skip('no')\n"
    assert run_pytest(tmp_path, text, *beside).returncode == 0
    done = run_pytest(tmp_path, text, *beside, ZLH_TEST_NOTHING_SKIPPED="1")
    assert done.returncode == 1
    assert "SKIPPED [1] test_it.py:3: no" in done.stdout
    assert "skipped where nothing may be: test_it.py::test_it" in done.stdout


def test_missing_part_skips_with_its_reason(tmp_path: Path) -> None:
    """A part that a machine lacks is named."""
    text = "import pytest\nfrom guards import parts\nparts.PARTS['moon'] = (lambda: False, 'needs the moon')\n"
    text += "@pytest.mark.real('moon')\ndef test_it():\n    raise AssertionError\n"
    done = run_pytest(tmp_path, text)
    assert done.returncode == 0
    assert "needs the moon" in done.stdout
