"""Addons by a real agent: in, up, back and out again, always on the version that is wanted, and told as they are."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from component.agent.harness import PATIENCE_S, AgentProcess, end, eventually, make_agent
from component.agent.test_event_stream import ALL, listen
from fakes.artifact_origin import ArtifactOrigin
from fakes.certificates import Certificates
from fakes.runtime_shop import RuntimeShop
from fakes.small_addon import NAME, add_addon
from guards.ports import free_port
from zlh_agent.addons.service import LAST_USE_S
from zlh_agent.runtimes.current import point_current
from zlh_agent.supervision.ports import PORTS_TIMEOUT_S
from zlh_common.schema.agent_events import HappeningsEvent
from zlh_common.schema.history import Happening
from zlh_common.schema.spec import AgentSpec, WantedRuntime
from zlh_common.schema.status import AddonState, AddonStatus, AgentStatus, StepState
from zlh_common.schema.structs import encode

PORT = 6000
HOST = "dev-101.example.com"


def want(version: str, *, previous: bool = False, attempt: int = 0) -> WantedRuntime:
    """Return a wanted version of the addon."""
    return WantedRuntime(name=NAME, version=version, default=not previous, previous=previous, attempt=attempt)


def told(status: AgentStatus) -> AddonStatus | None:
    """Return what is told of the addon, if anything is."""
    return next((addon for addon in status.addons if addon.name == NAME), None)


def is_in(status: AgentStatus, state: AddonState) -> bool:
    """Tell whether the addon is told to be there."""
    addon = told(status)
    return addon is not None and addon.state is state


def own_address() -> str:
    """Return an address of loopback that nobody else has: the addon's port is always the same."""
    number = free_port()
    return f"127.79.{number >> 8}.{number & 255}"


@pytest.fixture
def shop(tmp_path: Path) -> RuntimeShop:
    """Return a shop with two versions of the addon."""
    shop = RuntimeShop(tmp_path / "shop")
    for version in ("1.0", "2.0"):
        add_addon(shop, version)
    shop.publish()
    return shop


@pytest.fixture
def unstarted(tmp_path: Path, shop: RuntimeShop, origin: ArtifactOrigin, certificates: Certificates) -> AgentProcess:
    """Return an agent on an address of its own."""
    return make_agent(
        tmp_path / "agent", certificates, url=origin.url, trusted_root=shop.trusted_root, address=own_address()
    )


@pytest.fixture
async def agent(unstarted: AgentProcess) -> AsyncIterator[AgentProcess]:
    """Return an agent that serves; at last it is told to keep nothing, so that no process outlives the test."""
    try:
        await unstarted.start()
        yield unstarted
        if unstarted.process is None or unstarted.process.returncode is not None:
            await unstarted.start()
        await unstarted.want_spec()
        await unstarted.until(lambda status: not status.addons)
    finally:
        await end(unstarted)


async def ask(agent: AgentProcess, path: str = "/") -> dict[str, Any]:
    """Return what the addon answers."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session,
        session.get(f"http://{agent.address}:{PORT}{path}") as answer,
    ):
        said: dict[str, Any] = await answer.json(content_type=None)
        return said


async def running(agent: AgentProcess, version: str) -> AgentStatus:
    """Wait until this version of the addon runs and answers, and nothing is left to do."""

    def is_so(status: AgentStatus) -> bool:
        addon = told(status)
        return addon is not None and (addon.state, addon.version) == (AddonState.RUNNING, version)

    await agent.until(is_so)

    # It is told to run the new version from the switch on, and is restarted right after.
    async def answers() -> bool:
        with suppress(aiohttp.ClientError):
            return bool((await ask(agent))["version"] == version)
        return False

    await eventually(answers)
    return await agent.until(lambda status: is_so(status) and status.observed_generation == agent.generation)


def starts(agent: AgentProcess) -> list[str]:
    """Return which versions were started, in this order."""
    return (agent.root / "home/dev/starts").read_text().split()


def trees(agent: AgentProcess) -> list[str]:
    """Return what there is of the addon."""
    home = agent.root / "opt/zlh/services" / NAME
    return sorted(path.name for path in home.iterdir()) if home.exists() else []


def save_spec(agent: AgentProcess, spec: AgentSpec) -> None:
    """Have the next agent find this spec as the one that it holds."""
    (agent.root / "var/lib/zlh/spec.json").write_bytes(encode(spec))


async def test_in_up_back_and_out(agent: AgentProcess) -> None:
    """It runs as what is wanted of it, is restarted onto each version once, and leaves the customer's files alone."""
    await agent.want_spec(addons=(want("1.0"),), origins=(HOST,))
    status = await running(agent, "1.0")
    addon = told(status)
    assert addon is not None
    assert (addon.message, [entry.version for entry in addon.versions]) == (None, ["1.0"])
    assert [step.name for step in status.steps] == [f"install-{NAME}"]
    # It is told as an addon, and its files are in nobody's way.
    assert (status.processes, status.runtimes) == ((), ())
    answer = await ask(agent)
    assert Path(answer["folder"]) == agent.root / "home/dev/workspace"
    assert "/opt/zlh/services" not in answer["environment"]["PATH"]
    await agent.want_spec(addons=(want("2.0"), want("1.0", previous=True)), origins=(HOST,))
    addon = told(await running(agent, "2.0"))
    assert addon is not None
    assert [(entry.version, entry.default, entry.previous) for entry in addon.versions] == [
        ("1.0", False, True), ("2.0", True, False),
    ]  # fmt: skip
    await agent.want_spec(addons=(want("1.0"), want("2.0", previous=True)), origins=(HOST,))
    await running(agent, "1.0")
    await agent.want_spec()
    await agent.until(lambda status: not status.addons)
    assert starts(agent) == ["1.0", "2.0", "1.0"]
    assert trees(agent) == []
    with pytest.raises(aiohttp.ClientConnectionError):
        await ask(agent)
    kinds = await told_kinds(agent, 6)
    assert kinds[:4] == ["addon.installed", "addon.installed", "addon.upgraded", "addon.rolled_back"]
    assert kinds[4:] == ["addon.removed", "addon.removed"]


async def told_kinds(agent: AgentProcess, least: int) -> list[str]:
    """Return what was told of addons, once there is so much of it."""
    heard: list[Happening] = []
    async with listen(agent, ALL) as stream:
        while len([entry for entry in heard if entry.kind.startswith("addon.")]) < least:
            heard += (await stream.until(HappeningsEvent)).items
    return [entry.kind for entry in heard if entry.kind.startswith("addon.")]


async def test_it_is_started_as_the_agent_says_and_as_nobody_else_does(
    unstarted: AgentProcess, agent: AgentProcess
) -> None:
    """Neither the agent's own environment nor the customer's home says where it listens and whom it believes."""
    await agent.stop()
    agent.environment = {"PORT": "7777", "PASSWORD": "secret", "CODE_SERVER_CONFIG": "/tmp/x", "LOG_LEVEL": "trace"}
    with unstarted.config.open("a") as config:
        config.write('[terminal_environment]\nPORT = "7777"\nHASHED_PASSWORD = "x"\nOWN = "kept"\n')
    await agent.start()
    await agent.want_spec(addons=(want("1.0"),), origins=(HOST, "dev-101.example.org:8443"))
    await running(agent, "1.0")
    answer = await ask(agent)
    words, environment = answer["words"], answer["environment"]
    assert words[:6] == ["--config", "/dev/null", "--bind-addr", f"{agent.address}:{PORT}", "--auth", "none"]
    assert words[6:10] == ["--trusted-origins", HOST, "--trusted-origins", "dev-101.example.org:8443"]
    assert {"--disable-proxy", "--disable-telemetry", "--disable-update-check"} <= set(words)
    strange = ("PORT", "PASSWORD", "HASHED_PASSWORD", "CODE_SERVER_CONFIG", "LOG_LEVEL", "ZLH_ADDON")
    assert not environment.keys() & set(strange)
    assert (environment["OWN"], environment["HOME"]) == ("kept", str(agent.root / "home/dev"))


async def test_another_host_is_believed_after_one_restart(agent: AgentProcess) -> None:
    """The spec names the hosts; what runs is restarted once, and not again by anything else that changes."""
    await agent.want_spec(addons=(want("1.0"),), origins=(HOST,))
    await running(agent, "1.0")
    await agent.want_spec(addons=(want("1.0"),), origins=("other.example.com",))
    await eventually(lambda: starts(agent) == ["1.0", "1.0"])
    await running(agent, "1.0")
    assert "other.example.com" in (await ask(agent))["words"]
    pid = (await ask(agent))["pid"]
    await agent.want_spec(addons=(want("1.0"), want("2.0", previous=True)), origins=("other.example.com",))
    await agent.settled()
    assert (await ask(agent))["pid"] == pid


async def test_it_is_mended_and_runs_what_was_mended(agent: AgentProcess) -> None:
    """The calls on versions know addons too; one that is unpacked anew is started anew."""
    await agent.want_spec(addons=(want("1.0"),))
    await running(agent, "1.0")
    code, body = await agent.call("GET", f"/runtimes/{NAME}/1.0/users")
    assert code == 200
    assert "process code-server" in [user["owner"] for user in msgspec.json.decode(body)["users"]]
    (agent.root / "opt/zlh/services" / NAME / "1.0/lib/server.py").write_text("broken")
    code, body = await agent.call("POST", f"/runtimes/{NAME}/1.0/verify")
    assert (code, msgspec.json.decode(body)["changed"]) == (200, ["lib/server.py"])
    addon = told(await agent.status())
    assert addon is not None
    assert [entry.verified for entry in addon.versions] == [False]
    await agent.want_spec(addons=(want("1.0", attempt=1),))
    await eventually(lambda: starts(agent) == ["1.0", "1.0"])
    await running(agent, "1.0")


@pytest.mark.timeout(240)
async def test_a_taken_port_is_told_with_who_has_it(agent: AgentProcess) -> None:
    """It waits for half a minute, then says why, and runs once the port is free and somebody asks."""
    with socket.create_server((agent.address, PORT)):
        await agent.want_spec(addons=(want("1.0"),))
        await agent.until(lambda status: is_in(status, AddonState.STARTING))
        async with asyncio.timeout(PORTS_TIMEOUT_S + PATIENCE_S):
            while not is_in(status := await agent.status(), AddonState.BACKOFF):
                await asyncio.sleep(0.2)
        addon = told(status)
        assert addon is not None
        assert addon.started_at is None
        assert str(addon.message).startswith("Port 6000 is held by ")
        assert f"(pid {os.getpid()})" in str(addon.message)
    assert (await agent.call("POST", f"/processes/{NAME}/retry"))[0] == 202
    await running(agent, "1.0")
    assert starts(agent) == ["1.0"]


async def test_an_upgrade_that_fails_leaves_the_old_one_running(agent: AgentProcess, shop: RuntimeShop) -> None:
    """For want of room, or since the new one does not prove itself: it is told, and nobody is interrupted."""
    add_addon(shop, "3.0", unpacked_size=10**15)
    await asyncio.to_thread(shop.publish)
    await agent.want_spec(addons=(want("1.0"),))
    await running(agent, "1.0")
    pid = (await ask(agent))["pid"]
    await agent.want_spec(addons=(want("3.0"), want("1.0", previous=True)))
    status = await agent.until(lambda status: any(step.state is StepState.FAILED for step in status.steps))
    addon = told(status)
    assert addon is not None
    assert (addon.state, addon.version) == (AddonState.RUNNING, "1.0")
    assert str(addon.message).startswith("code-server 3.0 could not be installed: The install needs ")
    assert [step.code for step in status.steps if step.name == f"install-{NAME}"] == ["disk_full"]
    assert ((await ask(agent))["pid"], trees(agent)) == (pid, ["1.0", "current"])


async def test_what_cannot_be_installed_is_told_as_an_error(agent: AgentProcess) -> None:
    """Nothing of it runs, and the reason is that of its step; an addon that no agent knows says so."""
    other = WantedRuntime(name="strange", version="1.0")
    await agent.want_spec(addons=(want("9.9"), other))
    status = await agent.settled()
    states = {addon.name: (addon.state, str(addon.message)) for addon in status.addons}
    assert states[NAME][0] == AddonState.ERROR
    assert "9.9 is not offered" in states[NAME][1]
    assert states["strange"][0] == AddonState.ERROR
    assert "does not know how strange is run" in states["strange"][1]


async def test_when_it_was_last_used_is_told(agent: AgentProcess) -> None:
    """As it says itself, asked by a report and nothing else."""
    await agent.want_spec(addons=(want("1.0"),))
    await running(agent, "1.0")
    # Whoever opens it uses it; `running` did. The first answer may be from before.
    await agent.stop()
    await agent.start()
    # Asked again in a minute where a busy machine has given no answer in time.
    async with asyncio.timeout(LAST_USE_S + PATIENCE_S):
        while (addon := told(status := await agent.status())) is None or addon.last_used_at is None:
            await asyncio.sleep(0.2)
    assert addon.last_used_at <= status.observed_at


async def test_it_goes_on_over_the_end_of_its_agent(agent: AgentProcess) -> None:
    """The agent is killed and comes back; the process is the same, and runs what is wanted."""
    await agent.want_spec(addons=(want("1.0"),), origins=(HOST,))
    await running(agent, "1.0")
    pid = (await ask(agent))["pid"]
    for _ in range(3):
        await agent.kill()
        assert (await ask(agent))["pid"] == pid
        await agent.start()
        await running(agent, "1.0")
    assert ((await ask(agent))["pid"], starts(agent)) == (pid, ["1.0"])


async def test_an_agent_killed_between_switch_and_restart_is_made_good(agent: AgentProcess) -> None:
    """The next one finds what runs to be outdated, and restarts it: once."""
    await agent.want_spec(addons=(want("1.0"), want("2.0", previous=True)))
    await running(agent, "1.0")
    beside = WantedRuntime(name=NAME, version="2.0", default=False)
    await agent.want_spec(addons=(want("1.0"), beside))
    await agent.settled()
    await agent.kill()
    await asyncio.to_thread(point_current, agent.root / "opt/zlh/services" / NAME, "2.0")
    agent.generation += 1
    spec = AgentSpec(generation=agent.generation, addons=(want("2.0"), want("1.0", previous=True)))
    await asyncio.to_thread(save_spec, agent, spec)
    await agent.start()
    await running(agent, "2.0")
    for _ in range(2):
        await agent.kill()
        await agent.start()
        await running(agent, "2.0")
    assert starts(agent) == ["1.0", "2.0"]


@pytest.mark.parametrize("version", ["2.0", None])
async def test_killed_again_and_again_on_the_way(agent: AgentProcess, version: str | None) -> None:
    """Whatever moment of an upgrade or a removal an agent is killed in, another one brings it to its end."""
    await agent.want_spec(addons=(want("1.0"),))
    await running(agent, "1.0")
    await agent.want_spec(addons=() if version is None else (want(version), want("1.0", previous=True)))
    for lived_s in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5):
        await asyncio.sleep(lived_s)
        await agent.kill()
        await agent.start()
    if version is None:
        await agent.until(lambda status: not status.addons and status.observed_generation == agent.generation)
        assert (trees(agent), starts(agent)) == ([], ["1.0"])
    else:
        await running(agent, version)
        assert (trees(agent), starts(agent)) == (["1.0", "2.0", "current"], ["1.0", "2.0"])


async def test_one_that_was_given_up_is_tried_with_the_next_version(agent: AgentProcess) -> None:
    """Nobody has to ask: what kept the former one down may not keep this one."""
    await agent.want_spec(addons=(want("1.0"),))
    await running(agent, "1.0")
    os.kill((await ask(agent))["pid"], signal.SIGKILL)
    await agent.until(lambda status: is_in(status, AddonState.BACKOFF))
    assert (await agent.call("POST", f"/processes/{NAME}/give-up"))[0] == 202
    status = await agent.until(lambda status: is_in(status, AddonState.ERROR))
    addon = told(status)
    assert addon is not None
    assert "was ended by SIGKILL" in str(addon.message)
    await agent.want_spec(addons=(want("2.0"), want("1.0", previous=True)))
    await running(agent, "2.0")
    assert starts(agent) == ["1.0", "2.0"]
