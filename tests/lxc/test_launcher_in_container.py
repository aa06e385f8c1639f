"""The launcher under systemd: what it is told of an end, which jobs it sees, and that its timer comes."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from lxc.guest import PATIENCE_S, Guest
from zlh_common.schema.process import WantedProcess

pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(420)]
STATE, STARTED = "/var/lib/zlh/update/state.json", "/run/zlh/started.json"
SLEEPER = WantedProcess(name="sleeper", argv=("/bin/sleep", "100000"))
# What the agent does at its switch, by the launcher's own means.
SWITCH = """
import sys
from pathlib import Path
sys.path.insert(0, "/opt/zlh/agent")
sys.dont_write_bytecode = True
import launcher
folder, bundles, version = Path("/var/lib/zlh/update"), Path("/opt/zlh/agent"), sys.argv[1]
former = launcher.read_current(bundles)
state = launcher.UpdateState(phase="proving", version=version, former=former)
launcher.lay_link(bundles, launcher.FORMER_LINK, former)
launcher.write_state(folder, state)
launcher.switch(bundles, version)
launcher.lay_link(bundles, launcher.FORMER_LINK, former)
"""
# A bundle like the one that runs, with another agent in it.
LAY = """
cd /opt/zlh/agent && cp -al "$(readlink current)" "$1" && cd "$1/lib/site-packages/zlh_agent" \
&& rm -f __main__.py __pycache__/__main__.* && printf '%s' "$2" > __main__.py
"""
# Tells systemd that it is ready, and feeds its watchdog, as often as it is let.
READY = """
import os, socket, signal, sys, time
print("the words of this one", flush=True)
def tell(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.connect(os.environ["NOTIFY_SOCKET"])
        door.send(text)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
tell(b"READY=1")
"""
LIVES = READY + "\nwhile True:\n    tell(b'WATCHDOG=1')\n    time.sleep(0.2)\n"
HANGS_LATER = READY + "\nwhile True:\n    time.sleep(1000)\n"
ENDS = "import sys\nprint('the words of this one', file=sys.stderr)\nraise SystemExit(3)\n"
CRASHES = "import os\nprint('the words of this one', flush=True)\nos.abort()\n"
HANGS = "import time\nprint('the words of this one', flush=True)\ntime.sleep(1000)\n"


async def settle(guest: Guest, *settings: str) -> None:
    """Have the unit hold these settings too, from its next start on."""
    folder, text = "/run/systemd/system/zlh-agent.service.d", "\n".join(("[Service]", *settings, ""))
    await guest.inside("sh", "-c", f"mkdir -p {folder} && printf '%s' \"$1\" > {folder}/fast.conf", "sh", text)
    await guest.inside("systemctl", "daemon-reload")


async def switch(guest: Guest, version: str, agent: str) -> str:
    """Have the agent leave for a version whose agent is this program; return which one that was."""
    former = await guest.inside("readlink", "/opt/zlh/agent/current")
    await guest.inside("sh", "-c", LAY, "sh", version, textwrap.dedent(agent))
    await guest.inside("/usr/bin/python3", "-I", "-S", "-c", SWITCH, version)
    await guest.inside("systemctl", "kill", "--kill-who=main", "--signal=TERM", "zlh-agent")
    return former


async def read(guest: Guest, path: str) -> dict[str, Any]:
    """Return what stands in a file of the container; nothing where there is none."""
    said = await guest.inside("cat", path, check=False)
    return dict(json.loads(said)) if said else {}


async def until(guest: Guest, path: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return what stands in a file once it is so."""
    seen: dict[str, Any] = {}
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so(seen := await read(guest, path)):
                await asyncio.sleep(0.1)
    except TimeoutError:
        journal = await guest.inside("journalctl", "-u", "zlh-agent", "-o", "cat", "-n", "40", "--no-pager")
        raise AssertionError(f"still {seen}\n{journal}") from None
    return seen


async def pid_of_sleeper(guest: Guest) -> int:
    """Return the pid of the only process once it runs."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for process in (await guest.wait_online()).processes:
                if process.pid is not None:
                    return process.pid
            await asyncio.sleep(0.1)


async def show(guest: Guest, unit: str, what: str) -> str:
    """Return what systemd knows of a unit."""
    return await guest.inside("systemctl", "show", "-p", what, "--value", unit)


async def test_each_end_of_a_version_on_trial_brings_the_former_one_back(guest: Guest) -> None:
    """Its exit, a crash, a start and a loop that hang: with the reason, and its last words and nobody else's."""
    await settle(guest, "TimeoutStartSec=5s", "WatchdogSec=5s")
    await guest.want(processes=(SLEEPER,))
    pid = await pid_of_sleeper(guest)
    ends: list[tuple[str, str, int | None]] = [
        (ENDS, "agent_update_ended", 3),
        (CRASHES, "agent_update_ended", None),
        (HANGS, "agent_update_hung", None),
        (HANGS_LATER, "agent_update_hung", None),
    ]
    for number, (agent, code, exit_code) in enumerate(ends):
        version = f"90.0.{number}"
        # The real one needs its time on a machine that does much else.
        former = await switch(guest, version, agent)
        state = await until(
            guest, STATE, lambda seen, version=version: (  # type: ignore[misc] # its own number
                (seen.get("version"), seen.get("phase")) == (version, "undone") and seen["output"]
            ),
        )  # fmt: skip
        assert (state["code"], state["exit_code"]) == (code, exit_code), state
        words = [line for line in state["output"].splitlines() if not line.startswith(("{", "zlh-agent"))]
        assert words[0] == "the words of this one", state
        assert "agent.started" not in state["output"]
        await until(guest, STARTED, lambda seen, former=former: seen.get("version") == former)  # type: ignore[misc]
        assert await guest.inside("readlink", "/opt/zlh/agent/current") == former
        assert await pid_of_sleeper(guest) == pid


async def test_who_stops_it_is_not_the_version(guest: Guest) -> None:
    """A restart and a stop by an operator, and the container's own: the trial begins again, its timer too."""
    version = "90.1.0"
    former = await switch(guest, version, LIVES)
    first = await until(guest, STARTED, lambda seen: seen.get("version") == version)
    assert await show(guest, "zlh-agent-overdue.timer", "ActiveState") == "active"
    due = await show(guest, "zlh-agent-overdue.timer", "NextElapseUSecMonotonic")
    await guest.inside("systemctl", "restart", "zlh-agent")
    await until(guest, STARTED, lambda seen: seen.get("pid", first["pid"]) != first["pid"])
    assert await show(guest, "zlh-agent-overdue.timer", "ActiveState") == "active"
    assert await show(guest, "zlh-agent-overdue.timer", "NextElapseUSecMonotonic") != due
    await guest.inside("systemctl", "stop", "zlh-agent")
    assert (await read(guest, STATE))["phase"] == "proving"
    boot = await guest.inside("systemctl", "show", "-p", "UserspaceTimestampMonotonic", "--value")
    await guest.inside("systemctl", "start", "zlh-agent")
    await guest.inside("systemctl", "reboot", check=False)
    async with asyncio.timeout(PATIENCE_S):
        while await guest.inside(
            "systemctl", "show", "-p", "UserspaceTimestampMonotonic", "--value", check=False
        ) in {"", boot}:  # fmt: skip
            await asyncio.sleep(0.2)
    await until(guest, STARTED, lambda seen: seen.get("version") == version)
    state = await read(guest, STATE)
    assert (state["phase"], state["switched"], state["former"]) == ("proving", True, former)


async def test_one_that_proves_nothing_is_given_up_by_the_timer(guest: Guest) -> None:
    """It runs, feeds its watchdog and proves nothing: the timer comes, and the former one is started."""
    await guest.inside("sed", "-i", "s/^OVERDUE_S = .*/OVERDUE_S = 5/", "/opt/zlh/agent/launcher.py")
    former = await switch(guest, "90.2.0", LIVES)
    state = await until(guest, STATE, lambda seen: seen.get("phase") == "undone")
    assert state["code"] == "agent_update_overdue"
    await until(guest, STARTED, lambda seen: seen.get("version") == former)
    await guest.wait_online()
    # Nothing of the timer stays, so that the next trial can have one.
    async with asyncio.timeout(PATIENCE_S):
        while await show(guest, "zlh-agent-overdue.service", "LoadState") != "not-found":
            await asyncio.sleep(0.1)
