"""The agent is killed at random moments while versions come, go and are checked: after each start it is old or new."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
from collections.abc import Sequence

import aiohttp
import pytest
import structlog

from component.agent.harness import AgentProcess
from fakes.runtime_shop import RuntimeShop
from zlh_agent.runtimes.checking.comparison import Findings, compare_tree
from zlh_agent.runtimes.store import RuntimeStore
from zlh_common.schema.spec import WantedRuntime

log = structlog.get_logger()
VERSIONS = ("1.0", "2.0", "3.0", "4.0")
# At moments of their own in each run: ZLH_KILLS makes one run longer.
KILLS = int(os.environ.get("ZLH_KILLS", "50"))


def next_spec(chance: random.Random, spec: Sequence[WantedRuntime]) -> tuple[WantedRuntime, ...]:
    """Return what somebody may want after `spec`: another default, back again, mended, one more beside, one less."""
    default, *others = spec
    previous = next((one for one in others if one.previous), None)
    beside = [one for one in others if not one.previous]
    match chance.choice(("upgrade", "back", "mend", "add", "drop")):
        case "back" if previous is not None:
            return want(previous.version, previous.attempt), former(default), *beside
        case "mend":
            return want(default.version, default.attempt + 1), *others
        case "add":
            free = [version for version in VERSIONS if version not in {one.version for one in spec}]
            return *spec, *(WantedRuntime(name="tiny", version=version, default=False) for version in free[:1])
        case "drop":
            return (default,)
        case _:
            pass
    version = chance.choice([version for version in VERSIONS if version != default.version])
    return want(version), former(default), *(one for one in beside if one.version != version)


def want(version: str, attempt: int = 0) -> WantedRuntime:
    """Return a default."""
    return WantedRuntime(name="tiny", version=version, attempt=attempt)


def former(runtime: WantedRuntime) -> WantedRuntime:
    """Return it as what is kept to go back to."""
    return WantedRuntime(name="tiny", version=runtime.version, default=False, previous=True, attempt=runtime.attempt)


def works(agent: AgentProcess) -> str:
    """Return the version that PATH leads to, as its program says it itself."""
    program = agent.runtimes / "tiny/current/bin/tiny"
    done = subprocess.run([str(program)], capture_output=True, check=True, text=True)
    return done.stdout.split()[1]


async def check_reached(agent: AgentProcess, spec: Sequence[WantedRuntime]) -> None:
    """Fail unless the container has what the spec says, whole, and nothing temporary."""
    status = await agent.settled()
    found = {entry.version: entry.default for entry in status.runtimes}
    must = {one.version for one in spec if not one.previous}
    assert must <= found.keys() <= {one.version for one in spec}
    assert [version for version, is_default in found.items() if is_default] == [spec[0].version]
    assert await asyncio.to_thread(works, agent) == spec[0].version
    assert agent.leftovers() == []
    assert agent.names() == sorted([*found, "current"])
    installed = (await asyncio.to_thread(RuntimeStore(agent.runtimes).load)).installed
    assert [await asyncio.to_thread(compare_tree, entry.folder) for entry in installed] == [Findings()] * len(installed)


async def verify(agent: AgentProcess, version: str) -> None:
    """Ask for a check, whatever comes of it."""
    with contextlib.suppress(aiohttp.ClientError):
        await agent.call("POST", f"/runtimes/tiny/{version}/verify")


@pytest.mark.timeout(600)
async def test_an_agent_killed_at_any_moment_has_the_old_version_or_the_new(
    agent: AgentProcess, shop: RuntimeShop
) -> None:
    """The default works after every kill; the spec is reached, by the next agent or by the one after it."""
    seed = random.randrange(2**32)
    log.info("test.seed", seed=seed)
    chance = random.Random(seed)
    for version in VERSIONS:
        shop.add(version, filler=1_000_000)
    await asyncio.to_thread(shop.publish)
    spec: tuple[WantedRuntime, ...] = (want("1.0"),)
    await agent.want_versions(*spec)
    await check_reached(agent, spec)
    may_work = {"1.0"}
    for _ in range(KILLS):
        spec = next_spec(chance, spec)
        await agent.want_versions(*spec)
        may_work.add(spec[0].version)
        checking = asyncio.create_task(verify(agent, spec[-1].version))
        await asyncio.sleep(chance.uniform(0, 0.8))
        await agent.kill()
        await checking
        assert await asyncio.to_thread(works, agent) in may_work
        await agent.start()
        assert await asyncio.to_thread(works, agent) in may_work
        if chance.random() < 0.4:
            await check_reached(agent, spec)
            may_work = {spec[0].version}
    await check_reached(agent, spec)
