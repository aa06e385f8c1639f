"""Programs of others that are started confined: tar, a runtime that is tried."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from component.sandbox.probe import NOBODY, the_user
from guards.leaks import is_gone
from zlh_agent.sandbox.confined_program import NOT_CONFINED
from zlh_agent.sandbox.confinement import Confinement
from zlh_agent.sandbox.launch import SYSTEM_FOLDERS, confined_program


def run(confinement: Confinement, *argv: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a program confined."""
    return subprocess.run(confined_program(confinement, argv), input=stdin, capture_output=True, check=False, env={})


def test_a_program_gets_its_streams_its_arguments_and_its_code() -> None:
    """As if it had been started by itself."""
    confinement = Confinement(user=the_user(), executable=SYSTEM_FOLDERS)
    done = run(confinement, "/bin/sh", "-c", 'cat; echo "$1" >&2; exit 7', "sh", "a b", stdin=b"\0in")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"\0in", b"a b\n")


@pytest.mark.real("root")
def test_a_program_is_the_user() -> None:
    """And no capability has come back by the exec."""
    confinement = Confinement(user=(NOBODY, NOBODY, ()), executable=SYSTEM_FOLDERS, readable=["/proc"])
    said = run(confinement, "/bin/sh", "-c", "id -u; id -G; grep -E 'Cap|NoNew' /proc/self/status").stdout.decode()
    uid, groups, *rows = said.splitlines()
    assert (uid, groups) == ("65534", "65534")
    assert {row.split()[1].strip("0") for row in rows} == {"", "1"}


@pytest.mark.real("landlock")
def test_a_program_reaches_what_is_named(tmp_path: Path) -> None:
    """And nothing beside it, not even where it is root."""
    (tmp_path / "out").mkdir()
    (tmp_path / "secret").write_text("x")
    confinement = Confinement(user=None, executable=SYSTEM_FOLDERS, writable=[str(tmp_path / "out"), "/dev/null"])
    script = f"cd {tmp_path}/out; touch made 2>/dev/null; cat ../secret"
    done = run(confinement, "/bin/sh", "-c", script)
    assert b"Permission denied" in done.stderr
    assert (tmp_path / "out/made").exists()


@pytest.mark.parametrize("program", ["/none", "relative", "/etc/passwd"])
def test_what_cannot_be_started_is_said_in_one_line(program: str) -> None:
    """With a code that no program of ours has."""
    done = run(Confinement(user=None), program)
    assert done.returncode == NOT_CONFINED
    assert done.stderr.decode().startswith(f"{program} was not started: ")
    assert done.stderr.count(b"\n") == 1


async def test_a_program_ends_with_whoever_started_it() -> None:
    """By SIGKILL, as the kernel does it."""
    command = confined_program(Confinement(user=the_user(), executable=SYSTEM_FOLDERS), ["/bin/sleep", "60"])
    starter = (
        "import os, subprocess, sys, time\n"
        "command = [str(os.getpid()) if word == sys.argv[1] else word for word in sys.argv[2:]]\n"
        "print(subprocess.Popen(command, stdin=subprocess.DEVNULL).pid, flush=True); sys.stdin.read()"
    )
    middle = await asyncio.create_subprocess_exec(
        sys.executable, "-c", starter, str(os.getpid()), *command,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert middle.stdout is not None
    pid = int(await middle.stdout.readline())
    while await asyncio.to_thread(Path(f"/proc/{pid}/comm").read_text) != "sleep\n":
        await asyncio.sleep(0.01)
    middle.kill()
    await middle.wait()
    async with asyncio.timeout(5):
        while not is_gone(pid):
            await asyncio.sleep(0.01)
