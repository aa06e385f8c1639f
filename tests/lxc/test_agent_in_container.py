"""The agent where it lives: an unprivileged container with systemd, every process in a unit of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
import structlog

from lxc.guest import PATIENCE_S, Follower, Guest
from zlh_agent.workspace.profile import SOURCE_LINE
from zlh_common.schema.process import ProcessPolicy, StopPolicy, WantedProcess
from zlh_common.schema.status import ProcessStatus
from zlh_common.schema.structs import decode
from zlh_common.schema.terminal import ConsoleHistory

log = structlog.get_logger()
pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(240)]


def shell(command: str, name: str = "web", **changes: object) -> WantedProcess:
    """A process that is a line of sh."""
    return WantedProcess(name=name, argv=("/bin/sh", "-c", command), **changes)  # type: ignore[arg-type]


async def wait_process(guest: Guest, is_so: Callable[[ProcessStatus], bool]) -> ProcessStatus:
    """Return the report on the only process once it is so."""
    seen: ProcessStatus | None = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for seen in (await guest.wait_online()).processes:
                    if is_so(seen):
                        return seen
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"still {seen}") from None


async def test_the_container_comes_up_whole(guest: Guest) -> None:
    """Nothing has failed, and the agent is what its unit says."""
    assert await guest.inside("systemctl", "is-system-running", "--wait") == "running"
    assert await guest.inside("systemctl", "show", "-p", "ActiveState", "--value", "zlh-agent") == "active"


async def test_the_customers_home_is_the_customers(guest: Guest) -> None:
    """Nothing is put there for shells, and what an earlier version has left goes by the customer's own hand alone."""
    owners = await guest.inside("find", "/home/dev", "-printf", "%u\\n")
    assert set(owners.split()) == {"dev"}
    assert await guest.inside("find", "/home/dev", "-name", ".zlh*") == ""
    # Root would follow the link, and take the line out of a file that the customer may not write.
    await guest.inside("sh", "-c", 'printf "%s\\nprecious\\n" "$1" >/etc/of-root', "sh", SOURCE_LINE)
    await guest.inside("su", "dev", "-c", "rm ~/.bashrc && ln -s /etc/of-root ~/.bashrc")
    before = await guest.inside("stat", "--format=%i %Z", "/etc/of-root")
    await guest.inside("systemctl", "restart", "zlh-agent")
    # It says that it is ready only after it has been at the home folder.
    await guest.wait_online()
    assert await guest.inside("stat", "--format=%i %Z", "/etc/of-root") == before
    assert await guest.inside("tail", "-n1", "/etc/of-root") == "precious"


async def test_a_process_is_a_unit_of_its_own_and_the_customers(guest: Guest) -> None:
    """The user, the folder, the control group; no right comes with it."""
    await guest.want(processes=(shell("echo $$ $(id -un) $PWD; exec sleep 1000"),))
    status = await wait_process(guest, lambda status: status.state == "running")
    proc = f"/proc/{status.pid}"
    assert await guest.inside("ps", "-o", "user=", "-p", str(status.pid)) == "dev"
    assert await guest.inside("readlink", f"{proc}/cwd") == "/home/dev/workspace"
    assert "zlh-process-web.service" in await guest.inside("cat", f"{proc}/cgroup")
    rights = await guest.inside("grep", "Cap", f"{proc}/status")
    assert "CapEff:\t0000000000000000" in rights


async def test_a_process_outlives_its_agent_in_every_way_that_an_agent_goes(guest: Guest) -> None:
    """Killed at random moments and restarted in order, under output: the same process, and every byte once."""
    seed = random.randrange(2**32)
    log.info("test.seed", seed=seed)
    chance = random.Random(seed)
    await guest.want(processes=(shell("i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done"),))
    before = await wait_process(guest, lambda status: status.state == "running")
    viewers = [Follower(guest, "/processes/web/console") for _ in range(3)]
    for turn in range(10):
        await asyncio.sleep(chance.uniform(0, 0.5))
        how = ("restart",) if turn % 2 else ("kill", "--kill-who=main", "-s", "KILL")
        await guest.inside("systemctl", *how, "zlh-agent")
        assert not any(viewer.has_failed() for viewer in viewers)
    after = await wait_process(guest, lambda status: status.state == "running")
    assert (after.pid, after.started_at, after.restarts) == (before.pid, before.started_at, 0)
    written = decode(await guest.call("GET", "/processes/web/history?limit=0"), ConsoleHistory).written
    for viewer in viewers:
        await viewer.until(written)
        numbers = [int(line.split()[1]) for line in viewer.text().splitlines()[:-1]]
        assert len(numbers) > 20
        assert numbers == list(range(1, len(numbers) + 1))


async def test_an_agent_that_hangs_is_started_again_and_its_processes_go_on(guest: Guest) -> None:
    """By systemd's watchdog, which the loop itself feeds."""
    drop_in = "/run/systemd/system/zlh-agent.service.d"
    settings = f"mkdir -p {drop_in} && printf '[Service]\\nWatchdogSec=2s\\n' > {drop_in}/fast.conf"
    await guest.inside("sh", "-c", f"{settings} && systemctl daemon-reload && systemctl restart zlh-agent")
    await guest.wait_online()
    await guest.want(processes=(shell("sleep 1000"),))
    before = await wait_process(guest, lambda status: status.state == "running")
    agent = await guest.inside("systemctl", "show", "-p", "MainPID", "--value", "zlh-agent")
    await guest.inside("kill", "-STOP", agent)
    after = await wait_process(guest, lambda status: status.state == "running")
    assert await guest.inside("systemctl", "show", "-p", "MainPID", "--value", "zlh-agent") != agent
    assert (after.pid, after.restarts) == (before.pid, 0)


async def test_memory_that_is_used_up_ends_the_process_and_not_its_shim(guest: Guest) -> None:
    """And that is what the report says of it."""
    hog = "import os; held = []\nwhile True: held.append(os.urandom(1 << 24))"
    argv = ("/usr/bin/python3", "-c", hog)
    await guest.want(processes=(WantedProcess(name="web", argv=argv),))
    status = await wait_process(guest, lambda status: status.state == "backoff")
    assert (status.signal, status.out_of_memory) == ("SIGKILL", True)
    assert status.reason is not None
    assert status.reason.code == "out_of_memory"
    assert (await guest.inside("systemctl", "is-active", "zlh-process-web")) == "active"


async def test_a_container_that_is_restarted_starts_its_processes_at_once(guest: Guest) -> None:
    """They were stopped in order, with the time that they need, and that was no crash."""
    slow = "trap 'sleep 3; echo saved > saved; exit 0' TERM; touch up; while :; do sleep 0.1; done"
    policy = ProcessPolicy(stop=StopPolicy(grace_s=20))
    await guest.want(processes=(shell(slow, policy=policy),))
    before = await wait_process(guest, lambda status: status.state == "running")
    async with asyncio.timeout(PATIENCE_S):
        while await guest.inside("ls", "/home/dev/workspace/up", check=False) == "":
            await asyncio.sleep(0.1)
    await guest.inside("systemctl", "reboot", check=False)
    async with asyncio.timeout(PATIENCE_S):
        while await guest.inside("cat", "/home/dev/workspace/saved", check=False) != "saved":
            await asyncio.sleep(0.2)
    after = await wait_process(
        guest, lambda status: status.state == "running" and status.started_at != before.started_at
    )
    assert (after.restarts, after.reason) == (0, None)


async def test_a_process_that_is_switched_off_and_on_starts_each_time(guest: Guest) -> None:
    """Its unit ends when it is at rest; a start that comes at that very moment waits until the unit has gone."""
    for attempt in range(1, 21):
        await guest.want(processes=(shell("sleep 1000", attempt=attempt),))
        status = await wait_process(guest, lambda status: status.state not in {"starting", "stopped", "stopping"})
        assert (status.state, status.restarts, status.reason) == ("running", 0, None)
        await guest.want(processes=(shell("sleep 1000", attempt=attempt, power="off"),))
        await asyncio.sleep(0.005 * attempt)
