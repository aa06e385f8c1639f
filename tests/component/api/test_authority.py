"""The CAs' folder, as several API processes meet in it and as a crash leaves it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fakes.clock import FakeClock
from zlh_api.agents.authority import Authority

START = (
    "import os, sys, pathlib\n"
    "from zlh_api.agents.authority import Authority\n"
    "from zlh_common.clock import SystemClock\n"
    "print('on', flush=True); sys.stdin.readline()\n"
    "authority = Authority(pathlib.Path(sys.argv[1]), SystemClock())\n"
    "authority.client_context(); sys.stdout.write(authority.api_ca.decode())\n"
)


def test_processes_that_start_at_once_trust_the_same(tmp_path: Path) -> None:
    """One makes the keys, and none meets the certificate of another's key."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", START, str(tmp_path / "keys")]
    started = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(6)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = {process.communicate(timeout=60)[0] for process in started}
    assert [process.returncode for process in started] == [0] * 6
    assert len(said) == 1
    assert "BEGIN CERTIFICATE" in said.pop()


def test_a_key_without_its_certificate_is_made_anew(tmp_path: Path) -> None:
    """A crash between the two leaves a key that has signed nothing; afterwards both stay what they are."""
    Authority(tmp_path, FakeClock())
    (tmp_path / "api-ca.crt").unlink()
    again = Authority(tmp_path, FakeClock())
    again.client_context()
    assert Authority(tmp_path, FakeClock()).api_ca == again.api_ca
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
