"""An agent becomes another version in a real container, under systemd: what the customer runs does not notice it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from fakes.runtime_shop import RuntimeShop, make_shop
from lxc.guest import Follower, Guest, running_guest
from lxc.own_host import OwnHost
from lxc.test_installs_in_container import served
from real_parts.agent_versions import offer_version
from zlh_common.schema.agent_update import AgentUpdate, AgentUpdateState, StartAgentUpdate
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.status import AgentStatus
from zlh_common.schema.structs import encode

pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(420)]
PATIENCE_S = 200.0
STATE = AgentUpdateState
NEWER, NEWEST = "90.0.0", "90.0.1"
# Its smoke test, which asks for the version alone, finds nothing wrong with it.
IF_IT_RUNS = "\nimport sys\nif '--version' not in sys.argv:\n"
# Counts for ever, so that a line that is lost or comes twice is seen.
COUNTER = WantedProcess(name="counter", argv=("/bin/sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"))


@dataclass
class Fleet:
    """One container, and where its agent comes from."""

    guest: Guest
    host: OwnHost
    shop: RuntimeShop

    async def offer(self, version: str, module: str = "", added: str = "") -> None:
        """Have the catalog offer the template's own bundle as another version, with lines added to a module of it."""
        template = self.host.settings.template
        await asyncio.to_thread(offer_version, template, self.shop, version, module=module, added=added)

    async def tell(self, version: str) -> None:
        """Tell the agent of a version."""
        await self.guest.call("POST", "/update", encode(StartAgentUpdate(version=version)))

    async def until(self, state: AgentUpdateState, version: str) -> AgentStatus:
        """Wait until the agent tells of this state of its update, and return its report."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                # One that hangs is away for a minute.
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    status = await self.guest.status()
                    update = update_of(status)
                    if update is not None and (update.state, update.version) == (state, version):
                        return status
                    assert update is None or update.state is not STATE.FAILED, update
                await asyncio.sleep(0.2)

    async def pid(self) -> int:
        """Return the pid of the process once it runs."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for process in (await self.guest.wait_online()).processes:
                    if process.pid is not None:
                        assert process.restarts == 0
                        return process.pid
                await asyncio.sleep(0.1)


def update_of(status: AgentStatus) -> AgentUpdate | None:
    """Return what an agent tells of its update."""
    return status.agent.update if status.agent is not None else None


@pytest.fixture
async def fleet(host: OwnHost, tmp_path: Path) -> AsyncIterator[Fleet]:
    """Lend a container in which a process counts."""
    shop = await asyncio.to_thread(make_shop, tmp_path / "shop", "1.0")
    with served(shop.tree, host.settings.gateway, host.settings.artifacts_port):
        async with running_guest(host, trusted_root=shop.trusted_root) as guest:
            await guest.inside("sed", "-i", "1i update_probation_s = 2", "/etc/zlh/agent.toml")
            await guest.wait_online()
            await guest.inside("systemctl", "restart", "zlh-agent")
            await guest.wait_online()
            await guest.want(processes=(COUNTER,))
            yield Fleet(guest, host, shop)


async def test_a_process_and_its_console_outlive_an_update(fleet: Fleet) -> None:
    """Its pid stays, no line of its console is lost or comes twice, and what starts the agent is the new version's."""
    guest, pid = fleet.guest, await fleet.pid()
    follower = Follower(guest, "/processes/counter/console")
    before = await guest.wait_online()
    assert before.agent is not None
    assert before.agent.fixed_because is None
    await fleet.offer(NEWER)
    await guest.inside("sh", "-c", "echo '# of before' >> /etc/systemd/system/zlh.slice")
    await fleet.tell(NEWER)
    after = await fleet.until(STATE.DONE, NEWER)
    assert (after.agent_version, await fleet.pid()) == (NEWER, pid)
    assert await guest.inside("readlink", "/opt/zlh/agent/current") == NEWER
    running = await guest.inside("systemctl", "show", "-p", "MainPID", "--value", "zlh-agent")
    assert f"/opt/zlh/agent/{NEWER}/" in await guest.inside("sh", "-c", f"tr '\\0' ' ' < /proc/{running}/cmdline")
    async with asyncio.timeout(PATIENCE_S):
        while "# of before" in await guest.inside("cat", "/etc/systemd/system/zlh.slice"):
            await asyncio.sleep(0.2)
    assert await guest.inside("systemctl", "show", "-p", "NeedDaemonReload", "--value", "zlh-agent") == "no"
    assert await guest.inside("systemctl", "is-system-running", check=False) == "running"
    modes = await guest.inside("find", f"/opt/zlh/agent/{NEWER}", "!", "-type", "l", "-perm", "/022")
    assert (modes, await guest.inside("stat", "-c", "%U", f"/opt/zlh/agent/{NEWER}/bin/zlh-agent")) == ("", "root")
    assert not follower.has_failed()
    await follower.until(200)
    lines = follower.text().split()
    assert lines == [str(number) for number in range(1, len(lines) + 1)]


@pytest.mark.parametrize(
    ("added", "code"),
    [
        (f"{IF_IT_RUNS}    raise ImportError('a library that is not there')\n", "agent_update_ended"),
        (f"{IF_IT_RUNS}    import time\n    time.sleep(1000)\n", "agent_update_hung"),
    ],
    ids=["broken", "hangs"],
)
async def test_a_broken_version_is_undone_by_itself(fleet: Fleet, added: str, code: str) -> None:
    """The former one runs again and says why; the process has not noticed, and a good version is taken after that."""
    pid = await fleet.pid()
    was = (await fleet.guest.wait_online()).agent_version
    await fleet.offer(NEWER, "app/serve.py", added)
    await fleet.tell(NEWER)
    after = await fleet.until(STATE.UNDONE, NEWER)
    update = update_of(after)
    assert update is not None
    assert (after.agent_version, update.code, await fleet.pid()) == (was, code, pid)
    if code == "agent_update_ended":
        assert "a library that is not there" in (update.output or "")
    await fleet.offer(NEWEST)
    await fleet.tell(NEWEST)
    assert ((await fleet.until(STATE.DONE, NEWEST)).agent_version, await fleet.pid()) == (NEWEST, pid)
