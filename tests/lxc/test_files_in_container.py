"""File work in a real container: unprivileged, and under the very restrictions of the agent's unit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lxc.guest import Guest
from lxc.own_host import ROOT
from zlh_agent.sandbox.landlock import find_abi

pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(240)]
PYTHON = "/opt/zlh/agent/current/bin/python3"
UNIT = ROOT / "deploy/agent/zlh-agent.service"
# What the agent does with a customer's files, while a program of the customer lets a link lead in and out in turn.
PROGRAM = """
import asyncio, json, os, pwd, subprocess, time
from zlh_agent.files.link import FilePlace
from zlh_agent.files.service import FileService
from zlh_common.schema.file_refusals import FileRefused

WORKSPACE = "/home/dev/workspace"
SWAP = '''
import os
while True:
    for target in ("../out", "real"):
        os.symlink(target, "next")
        os.rename("next", "folder")
'''
told = {}

def as_dev(*argv, **named):
    return subprocess.Popen(argv, user="dev", group="dev", extra_groups=[], cwd=WORKSPACE, **named)

async def code_of(work):
    try:
        return repr(await work)
    except FileRefused as refused:
        return refused.code

async def read(files):
    fd, _ = await files.open_to_read("folder/file")
    with os.fdopen(fd) as file:
        return file.read()

async def race(files):
    seen = {}
    until = time.monotonic() + 3
    while time.monotonic() < until:
        what = await code_of(read(files))
        seen[what] = seen.get(what, 0) + 1
    return seen

async def main():
    dev = pwd.getpwnam("dev")
    as_dev("sh", "-c", "mkdir real ../out; echo inside > real/file; ln -s real folder; echo outside > ../out/file;"
           "ln -s /etc/shadow shadow; ln -s /proc/self/root magic").wait()
    open(f"{WORKSPACE}/of-root", "w").close()
    os.chmod(f"{WORKSPACE}/of-root", 0o600)
    service = FileService(FilePlace(WORKSPACE, (dev.pw_uid, dev.pw_gid, ())))
    async with service.borrow() as files:
        told["abi"] = files.landlock_abi
        rows = open(f"/proc/{files._link.pid}/status").read().splitlines()
        status = dict(row.split(":", 1) for row in rows)
        told["user"] = status["Uid"].split()[0] == str(dev.pw_uid)
        told["rights"] = [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
        async with files.writing("new", replace=False) as fd:
            os.write(fd, b"content")
        told["owner"] = os.stat(f"{WORKSPACE}/new").st_uid == dev.pw_uid
        for path in ("shadow", "magic/etc/passwd", "../out/file", "of-root"):
            told[path] = await code_of(files.open_to_read(path))
        await files.change_mode("new", 0o600)
        told["mode"] = os.stat(f"{WORKSPACE}/new").st_mode & 0o777
        # A program of the customer, of the same user.
        look = f"cat /proc/{files._link.pid}/environ /proc/{files._link.pid}/maps; ls -l /proc/{files._link.pid}/fd"
        looking = as_dev("sh", "-c", look, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        told["looked"] = looking.communicate()[0].decode()
        racer = as_dev("/usr/bin/python3", "-I", "-c", SWAP)
        told["race"] = await race(files)
        racer.kill()
        racer.wait()
    await service.close()
    print(json.dumps(told))

asyncio.run(main())
"""


def restrictions() -> list[str]:
    """Return what the agent's unit forbids it, as options of systemd-run."""
    rows = UNIT.read_text().splitlines()
    words = ("Protect", "Private", "Lock", "Restrict", "SystemCall")
    return [f"--property={row}" for row in rows if row.startswith(words) and not row.startswith("RestartSec")]


async def test_files_are_worked_on_as_the_customer(guest: Guest) -> None:
    """The kernel's means work here, nothing leads out, and a race is lost by whoever swaps names."""
    run = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", *restrictions()]
    said = await guest.inside(*run, PYTHON, "-I", "-c", PROGRAM)
    told: dict[str, Any] = json.loads(said.splitlines()[-1])
    race = told.pop("race")
    assert told == {
        "abi": find_abi(),
        "user": True,
        "rights": [0, 0, 0, 0, 0],
        "owner": True,
        "shadow": "path_outside",
        "magic/etc/passwd": "path_outside",
        "../out/file": "path_outside",
        "of-root": "permission_denied",
        "mode": 0o600,
        "looked": "",
    }
    assert set(race) == {repr("inside\n"), "path_outside"}
