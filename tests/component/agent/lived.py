"""One container whose agent lives under its launcher, as the unit keeps it, and may become another version."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from component.agent.harness import AgentProcess, end, eventually, make_agent
from component.agent.update_harness import FIRST, SECOND
from fakes.agent_bundles import PYTHON, Bundle
from fakes.agent_unit import AgentUnit
from fakes.artifact_origin import ArtifactOrigin
from fakes.certificates import Certificates
from fakes.runtime_shop import RuntimeShop
from zlh_common.schema.agent_update import AgentUpdate, AgentUpdateState, StartAgentUpdate
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.status import AgentStatus
from zlh_common.schema.structs import encode

# A program that nobody restarts, and that says who it is.
SLEEPER = WantedProcess(name="sleeper", argv=("/bin/sh", "-c", "echo up; exec sleep 1000"))


@dataclass
class Lived:
    """A container with its unit."""

    agent: AgentProcess
    unit: AgentUnit
    shop: RuntimeShop

    async def told(self, version: str, attempt: int = 0) -> tuple[int, bytes]:
        """Tell the agent of a version."""
        return await self.agent.call("POST", "/update", data=encode(StartAgentUpdate(version=version, attempt=attempt)))

    async def offer(self, bundle: Bundle) -> None:
        """Have the catalog offer one more version."""
        await asyncio.to_thread(bundle.offer, self.shop)
        await asyncio.to_thread(self.shop.publish)

    async def until_update(self, *states: AgentUpdateState) -> AgentStatus:
        """Wait until the agent tells of one of these states, and return its report."""
        found: list[AgentStatus] = []

        async def look() -> bool:
            try:
                status = await self.agent.status()
            except aiohttp.ClientError:
                return False
            update = update_of(status)
            found[:] = [status]
            return update is not None and update.state in states

        await eventually(look, explain=lambda: repr(found) + self.agent.log.read_text()[-4000:])
        return found[0]

    async def pid(self) -> int:
        """Return the pid of the process once it runs."""
        status = await self.agent.until(lambda seen: bool(seen.processes) and seen.processes[0].pid is not None)
        assert status.processes[0].pid is not None
        return status.processes[0].pid


def update_of(status: AgentStatus) -> AgentUpdate | None:
    """Return what an agent tells of its update."""
    return status.agent.update if status.agent is not None else None


@asynccontextmanager
async def living(tmp_path: Path, *, probation_s: float = 0.5) -> AsyncIterator[Lived]:
    """Run an agent of FIRST under its launcher, with one process."""
    shop = RuntimeShop(tmp_path / "shop")
    await asyncio.to_thread(Bundle(SECOND).offer, shop)
    await asyncio.to_thread(shop.publish)
    async with ArtifactOrigin(shop.tree) as origin:
        folder, root = tmp_path / "agent", shop.trusted_root
        certificates = await asyncio.to_thread(Certificates, tmp_path / "keys")
        agent = await asyncio.to_thread(make_agent, folder, certificates, url=origin.url, trusted_root=root)
        text = agent.config.read_text()
        agent.config.write_text(f"update_probation_s = {probation_s}\n{text}")
        await asyncio.to_thread(lay_out, agent.root)
        unit = AgentUnit(agent.root, tmp_path / "systemd", agent.log, ["--config", str(agent.config)])
        unit.lay_out()
        unit.start()
        lived = Lived(agent, unit, shop)
        try:
            await serving(lived)
            await agent.want(processes=[SLEEPER])
            await lived.pid()
            yield lived
        finally:
            await unit.stop()
            # The last one takes away what the others have left to run.
            await agent.start()
            await agent.want()
            await agent.until(lambda status: not status.processes)
            # Gone from the report is not yet ended: who ends the agent first leaves the shim behind.
            await eventually(lambda: asyncio.to_thread(has_no_shim, agent.root))
            await end(agent)


def has_no_shim(root: Path) -> bool:
    """Tell whether no shim runs that an agent below this folder has started."""
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return not any(str(root) in command and "zlh_agent.shim" in command for command in commands)


def lay_out(root: Path) -> None:
    """Put FIRST and its launcher in place, as a template has them."""
    folder = root / "opt/zlh/agent"
    folder.mkdir(parents=True)
    programs = root / "usr/bin"
    programs.mkdir(parents=True)
    (programs / f"python{PYTHON}").symlink_to(Path("/usr/bin/python3").resolve())
    bundle = Bundle(FIRST).unpack(folder)
    (folder / "current").symlink_to(FIRST)
    (folder / "launcher.py").write_bytes((bundle / "system/launcher.py").read_bytes())


async def serving(lived: Lived) -> None:
    """Wait until an agent answers."""

    async def look() -> bool:
        try:
            return (await lived.agent.call("GET", "/healthz"))[0] == 200
        except aiohttp.ClientError:
            return False

    await eventually(look, explain=lived.agent.log.read_text)
