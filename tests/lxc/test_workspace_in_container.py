"""A workspace where it lives: the customer's user, sudo, what a login finds, and a script over a reboot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lxc.guest import PATIENCE_S, Guest
from zlh_common.schema.spec import WantedWorkspace
from zlh_common.schema.status import AgentStatus, Step, StepState
from zlh_common.step_names import ALLOW_SUDO, PREPARE_WORKSPACE, RUN_START_SCRIPT

pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(240)]
RULE = "/etc/sudoers.d/zlh-dev"
# What a login has that a program of ours has not, and the other way round.
OF_LOGIN = {"PATH", "MAIL", "SHLVL", "PWD", "OLDPWD", "_"}
OF_OURS = {"TERM", "BASH_ENV"}


def find(status: AgentStatus, name: str) -> Step | None:
    """Return a step of a report."""
    return next((step for step in status.steps if step.name == name), None)


async def wait_step(guest: Guest, name: str, is_so: Callable[[Step], bool]) -> Step:
    """Return a step once it is so; an agent that is away meanwhile is waited for."""
    seen: Step | None = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                seen = find(await guest.wait_online(), name)
                if seen is not None and is_so(seen):
                    return seen
                await asyncio.sleep(0.1)
    except TimeoutError:
        look = "journalctl -u zlh-agent -o cat --no-pager | grep -v request.served | tail -n 30; ls -la /home/dev"
        raise AssertionError(f"still {seen}: {await guest.inside('sh', '-c', look, check=False)}") from None


def is_over(step: Step) -> bool:
    """Tell whether a step has ended, however."""
    return step.state in {StepState.DONE, StepState.FAILED, StepState.SKIPPED}


async def as_dev(guest: Guest, command: str, *, check: bool = True) -> str:
    """Run a line in a real login of the customer's user."""
    return await guest.inside("su", "-", "dev", "-c", command, check=check)


async def test_sudo_is_there_exactly_while_it_is_wanted(guest: Guest) -> None:
    """Without a password, by a file that sudo itself finds right; an agent that starts finds what it must."""
    assert await as_dev(guest, "sudo -n id -u", check=False) == ""
    for _ in range(2):
        await guest.want(workspace=WantedWorkspace(sudo=True))
        await wait_step(guest, ALLOW_SUDO, lambda step: step.state is StepState.DONE)
        assert await as_dev(guest, "sudo -n id -u") == "0"
        assert await guest.inside("stat", "-c", "%a %U", RULE) == "440 root"
        assert await guest.inside("visudo", "-c", "-q") == ""
        # Whatever root of the container has made of it meanwhile, the agent's start puts it right.
        await guest.inside("sh", "-c", f"echo nonsense > {RULE}; chmod 666 {RULE}; systemctl restart zlh-agent")
        async with asyncio.timeout(PATIENCE_S):
            while await guest.inside("stat", "-c", "%a", RULE) != "440":
                await asyncio.sleep(0.1)
        assert await as_dev(guest, "sudo -n id -u") == "0"
        await guest.wait_online()
        await guest.want(workspace=WantedWorkspace(sudo=False))
        async with asyncio.timeout(PATIENCE_S):
            while await guest.inside("ls", RULE, check=False):
                await asyncio.sleep(0.1)
        assert await as_dev(guest, "sudo -n id -u", check=False) == ""
        async with asyncio.timeout(PATIENCE_S):
            while find(await guest.status(), ALLOW_SUDO) is not None:
                await asyncio.sleep(0.1)


async def test_a_script_finds_what_a_login_finds(guest: Guest) -> None:
    """User, groups, folder, mask and variables; nothing of the agent's own, not even a descriptor."""
    probe = "env; echo umask=$(umask); echo groups=$(id -G); echo limit=$(ulimit -Sn):$(ulimit -Hu)"
    await guest.inside("sh", "-c", "echo LANG=C > /etc/default/locale")
    login = dict(line.split("=", 1) for line in (await as_dev(guest, probe)).splitlines())
    script = f"{probe}; ls /proc/$$/fd > /tmp/fds; pwd > /tmp/where"
    await guest.want(workspace=WantedWorkspace(start_script=script))
    step = await wait_step(guest, RUN_START_SCRIPT, is_over)
    assert step.code is None, step
    ours = dict(line.split("=", 1) for line in (step.output or "").splitlines())
    # bash holds the script itself by 255.
    assert set((await guest.inside("cat", "/tmp/fds")).split()) <= {"0", "1", "2", "255"}
    assert {name: ours[name] for name in login.keys() - OF_LOGIN} == {
        name: login[name] for name in login.keys() - OF_LOGIN
    }
    assert ours.keys() - login.keys() <= OF_OURS
    assert set(login["PATH"].split(":")) - {"/usr/local/games", "/usr/games"} <= set(ours["PATH"].split(":"))
    assert await guest.inside("cat", "/tmp/where") == "/home/dev/workspace"


async def test_a_script_runs_once_over_a_reboot(guest: Guest) -> None:
    """One that was cut off is told and not run again; one that had ended is what it was."""
    script = "echo once >> ~/ran; sleep 1000"
    await guest.want(workspace=WantedWorkspace(start_script=script))
    async with asyncio.timeout(PATIENCE_S):
        while await guest.inside("cat", "/home/dev/ran", check=False) != "once":
            await asyncio.sleep(0.1)
    await guest.inside("touch", "/run/before-the-reboot")
    await guest.inside("systemctl", "reboot", check=False)
    step = await wait_step(guest, RUN_START_SCRIPT, is_over)
    assert (step.state, step.code) == (StepState.FAILED, "start_script_interrupted")
    async with asyncio.timeout(PATIENCE_S):
        look = "ls /run/before-the-reboot 2>/dev/null || cat /proc/1/comm"
        while await guest.inside("sh", "-c", look, check=False) != "systemd":
            await asyncio.sleep(0.1)
    step = await wait_step(guest, RUN_START_SCRIPT, is_over)
    assert (step.state, step.code) == (StepState.FAILED, "start_script_interrupted")
    assert await guest.inside("cat", "/home/dev/ran") == "once"
    await guest.want(workspace=WantedWorkspace(start_script=script.replace("1000", "0"), attempt=1))
    await wait_step(guest, RUN_START_SCRIPT, lambda step: step.state is StepState.DONE)
    assert await guest.inside("cat", "/home/dev/ran") == "once\nonce"
    # Its end is told while its shim still ends.
    async with asyncio.timeout(PATIENCE_S):
        while await guest.inside("systemctl", "is-active", "zlh-script-start-script", check=False) != "inactive":
            await asyncio.sleep(0.1)


async def test_a_home_is_made_from_the_skeleton_and_never_taken(guest: Guest) -> None:
    """What is not the customer's is told with what to do, and neither followed nor given away."""
    await guest.inside("sh", "-c", "rm -r /home/dev; echo hello > /etc/skel/.hello")
    await guest.want(workspace=WantedWorkspace(start_script="cat ~/.hello; ls -A ~ > /tmp/home"))
    step = await wait_step(guest, RUN_START_SCRIPT, is_over)
    assert (step.code, step.output) == (None, "hello\n")
    assert await guest.inside("stat", "-c", "%U %a", "/home/dev", "/home/dev/workspace") == "dev 755\ndev 755"
    for spoil, said in (
        ("mkdir workspace; chown root: workspace", "belongs to user 0"),
        ("mkdir /root/theirs; ln -s /root/theirs workspace", "is a link"),
        ("echo precious > workspace", "is no folder"),
    ):
        # An agent that runs looks again when a terminal changes, and would make the folder anew in between.
        away = f"systemctl stop zlh-agent; cd /home/dev && rm -rf workspace && {spoil}; systemctl start zlh-agent"
        await guest.inside("sh", "-c", away)
        step = await wait_step(guest, PREPARE_WORKSPACE, lambda step: step.state is StepState.FAILED)
        assert step.code == "workspace_unusable"
        assert said in (step.message or "")
        # A terminal is there to mend it.
        await guest.call("POST", "/terminals")
    assert await guest.inside("stat", "-c", "%U", "/root/theirs") == "root"
    assert await guest.inside("cat", "/home/dev/workspace") == "precious"
