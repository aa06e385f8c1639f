"""A child that confines itself and then tries something: what it found comes back as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zlh_agent
from zlh_agent.sandbox.confinement import Confinement, render_confinement

NOBODY = 65534
_TESTS = Path(__file__).parents[2]
_PACKAGES = Path(zlh_agent.__path__[0]).parent
# Everything is imported before: afterwards there may be no file that it could be read from.
_BOOT = f"""
import sys; sys.path += [{str(_PACKAGES)!r}, {str(_TESTS)!r}]
import ctypes, errno, json, os, resource, signal, socket, subprocess, threading, time
from fakes.seccomp import take_away
from zlh_agent.sandbox.confine import NotConfined, enter
from zlh_agent.sandbox.confinement import Confinement, parse_confinement
from zlh_agent.sandbox import landlock, syscalls
"".encode("idna")

def tried(call, *arguments, **named):
    try:
        result = call(*arguments, **named)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok" if result is None or not isinstance(result, str) else result

def read(path):
    with open(path) as file:
        return file.read()

def write(path, text="x"):
    with open(path, "w") as file:
        file.write(text)

def status_of(pid="self"):
    return dict(line.split(":", 1) for line in read(f"/proc/{{pid}}/status").splitlines() if ":" in line)

told = {{}}
confinement = parse_confinement(sys.argv[1])
"""
_ENTER = "confined = enter(confinement, parent=os.getppid())\n"
_TELL = "\nprint(json.dumps(told), flush=True)\n"


def start(confinement: Confinement, probe: str, *, before: str = "", keep: Sequence[int] = ()) -> subprocess.Popen[str]:
    """Start a child that runs `before`, confines itself and runs `probe`; both may put things into `told`."""
    program = _BOOT + before + "\n" + _ENTER + probe + _TELL
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program, render_confinement(confinement)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=keep,
    )


def run(confinement: Confinement, probe: str, *, before: str = "", keep: Sequence[int] = ()) -> dict[str, Any]:
    """Do the same, and return what was told."""
    child = start(confinement, probe, before=before, keep=keep)
    said, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    told: dict[str, Any] = json.loads(said)
    return told


def the_user() -> tuple[int, int, tuple[int, ...]] | None:
    """Whom a child of these tests becomes: nobody where they run as root, else nobody else."""
    return (NOBODY, NOBODY, ()) if os.geteuid() == 0 else None
