"""The agent is killed while it installs: nothing of it runs on, and the next start brings what was wished."""

from __future__ import annotations

import asyncio

import pytest

from component.agent.harness import AgentProcess, eventually, is_alive, step
from fakes.artifact_origin import ArtifactOrigin, Fault
from fakes.runtime_shop import RuntimeShop
from zlh_common.schema.status import StepState


@pytest.mark.timeout(240)
async def test_an_agent_killed_at_any_moment_of_an_install_comes_back_to_it(
    agent: AgentProcess, shop: RuntimeShop
) -> None:
    """After each kill the old version or the new one is in use; the spec is held, and the new one arrives."""
    versions = [f"3.{number}" for number in range(12)]
    for version in versions:
        shop.add(version, filler=3_000_000)
    await asyncio.to_thread(shop.publish)
    await agent.want(("tiny", "1.0"))
    await agent.settled()
    before, cut = "1.0", 0
    for turn, version in enumerate(versions):
        await agent.want(("tiny", version))
        # Each turn dies a little later in the install, which takes about a second.
        await asyncio.sleep(turn * 0.1)
        cut += bool(agent.install_children())
        await agent.kill()
        assert agent.current() in {before, version}
        await agent.start()
        assert agent.leftovers_but_downloads() == [] or agent.install_children()
        status = await agent.settled()
        assert (status.spec_generation, step(status).state) == (agent.generation, StepState.DONE)
        assert (agent.current(), agent.leftovers()) == (version, [])
        before = version
    assert cut


async def test_a_killed_agent_takes_its_install_with_it(
    agent: AgentProcess, origin: ArtifactOrigin, shop: RuntimeShop
) -> None:
    """The child dies with its agent, and what it had downloaded is gone on with."""
    shop.add("3.0", filler=3_000_000)
    await asyncio.to_thread(shop.publish)
    origin.misbehave(shop.path("3.0"), Fault(stall_after=2_000_000))
    await agent.want(("tiny", "3.0"))
    part = agent.root / "var/lib/zlh/downloads"
    await eventually(lambda: sum(path.stat().st_size for path in part.glob("*.partial")) > 1_000_000)
    assert agent.install_children()
    await agent.kill()
    (size,) = await asyncio.to_thread(lambda: [path.stat().st_size for path in part.iterdir()])
    await agent.start()
    assert step(await agent.settled()).state is StepState.DONE
    assert origin.ranges(shop.path("3.0")) == [None, f"bytes={size}-"]


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_what_an_install_runs_ends_with_the_agent(how: str, agent: AgentProcess, shop: RuntimeShop) -> None:
    """A runtime that is being tried out does not run on, however the agent ends."""
    shop.add("3.0", script="touch $HOME/begun; while ! [ -e $HOME/go ]; do sleep 0.05; done")
    await asyncio.to_thread(shop.publish)
    await agent.want(("tiny", "3.0"))
    await agent.smoke_test_begun()
    children = agent.children()
    assert len(children) >= 2
    if how == "kill":
        await agent.kill()
    else:
        assert await agent.stop() == 0
    await eventually(lambda: not any(map(is_alive, children)))
    assert agent.current() is None
    await agent.start()
    folder = await agent.smoke_test_begun()
    await asyncio.to_thread((folder / "go").touch)
    assert step(await agent.settled()).state is StepState.DONE
    assert (agent.current(), agent.leftovers()) == ("3.0", [])


async def test_an_install_child_that_is_killed_again_and_again_is_tried_again(
    agent: AgentProcess, origin: ArtifactOrigin, shop: RuntimeShop
) -> None:
    """The step says that it was interrupted, and the runtime arrives once nobody kills it."""
    origin.misbehave(shop.path("1.0"), Fault(stall_after=200), Fault(stall_after=200))
    await agent.want(("tiny", "1.0"))
    for _ in range(2):
        await eventually(origin.is_stalling.is_set)
        origin.is_stalling.clear()
        (child,) = agent.install_children()
        child.kill()
        status = await agent.until(lambda seen: step(seen).state is StepState.FAILED)
        assert (step(status).code, step(status).exit_code) == ("install_interrupted", -9)
        assert status.observed_generation == 0
    assert step(await agent.settled()).state is StepState.DONE
    assert (agent.current(), agent.leftovers()) == ("1.0", [])


async def test_a_tree_that_was_never_taken_into_use_is(agent: AgentProcess) -> None:
    """Killed between the rename and the link: the next start makes the link, with no server at all."""
    await agent.want(("tiny", "1.0"))
    await agent.settled()
    assert await agent.stop() == 0
    await asyncio.to_thread((agent.runtimes / "tiny/current").unlink)
    await agent.start()
    status = await agent.until(lambda seen: any(runtime.default for runtime in seen.runtimes))
    assert agent.current() == "1.0"
    assert step(status).state is not StepState.FAILED
