"""A game server is brought about by an agent that dies, by children that are killed, and for wishes that change."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from component.agent.game_harness import folder_of, running, server_of, serving, step_of
from component.agent.harness import AgentProcess, command_of, eventually
from fakes.artifact_origin import ArtifactOrigin, Fault
from fakes.game_source import GameSource, want_game
from fakes.runtime_shop import RuntimeShop
from guards.ports import free_port
from zlh_common.schema.status import StepState
from zlh_common.schema.template import InstallScript

HALF = 200_000
BIG = bytes(range(256)) * 2000
# More than the server's own program, and less than HALF.
SERVER_BYTES = 50_000

# Each brings a server about several times, on a machine that has other things to do.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
async def agent(unstarted: AgentProcess) -> AsyncIterator[AgentProcess]:
    """Return an agent that serves; at last it is told to keep nothing, so that no process outlives the test."""
    async with serving(unstarted):
        yield unstarted


@pytest.fixture
def source(shop: RuntimeShop) -> GameSource:
    """Return what publishes files at the agent's artifact server."""
    return GameSource(shop.tree)


def game_children(agent: AgentProcess) -> list[psutil.Process]:
    """Return the children that work on the server's files now."""
    return [child for child in agent.children() if "zlh_agent.games.child" in command_of(child)]


def largest_part(folder: Path) -> int:
    """Return how much lies there of the largest file that has no name yet; others get theirs meanwhile."""
    sizes = [0]
    for path in (folder / ".zlh-game").rglob("*.part"):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return max(sizes)


async def stalls(origin: ArtifactOrigin) -> None:
    """Wait until an answer stands still."""
    async with asyncio.timeout(60):
        await origin.is_stalling.wait()


async def test_an_agent_that_is_killed_over_a_download_goes_on_with_it(
    agent: AgentProcess, source: GameSource, origin: ArtifactOrigin
) -> None:
    """What had arrived is asked for no more, and nothing is left beside."""
    game = want_game((*source.server(), source.add("big.bin", BIG)), free_port())
    origin.misbehave("files/1/big.bin", Fault(stall_after=HALF))
    await agent.want_spec(game=game)
    await stalls(origin)
    # What was sent is not yet what lies there.
    await eventually(lambda: largest_part(folder_of(agent)) > SERVER_BYTES)
    await agent.kill()
    await agent.start()
    await running(agent, game)
    assert (origin.ranges("files/1/big.bin")[-1] or "").startswith("bytes=")
    assert (folder_of(agent) / "big.bin").read_bytes() == BIG
    assert not (folder_of(agent) / ".zlh-game").exists()


async def test_a_child_that_its_user_kills_is_started_again(
    agent: AgentProcess, source: GameSource, origin: ArtifactOrigin
) -> None:
    """The step says that it was interrupted, and goes on by itself."""
    game = want_game((*source.server(), source.add("big.bin", BIG)), free_port())
    origin.misbehave("files/1/big.bin", Fault(stall_after=HALF))
    await agent.want_spec(game=game)
    await stalls(origin)
    for child in game_children(agent):
        child.send_signal(signal.SIGKILL)
    await running(agent, game)


async def test_a_newer_wish_calls_off_what_is_fetched_for_another(
    agent: AgentProcess, source: GameSource, origin: ArtifactOrigin
) -> None:
    """Nobody waits for its server, and nothing of it is left."""
    port = free_port()
    origin.always["files/1/big.bin"] = Fault(stall_after=HALF)
    await agent.want_spec(game=want_game((*source.server("1"), source.add("big.bin", BIG)), port))
    await stalls(origin)
    newer = want_game(source.server("2"), port, version="2.0")
    status = await running(agent, newer)
    assert step_of(status).name == "install blocks 2.0"
    assert {path.name for path in folder_of(agent).iterdir() if path.name.startswith((".", "big"))} == set()


async def test_an_agent_that_is_killed_over_a_script_runs_it_again(agent: AgentProcess, source: GameSource) -> None:
    """The first one has ended with its agent, the second one makes what is needed, and then the server is started."""
    text = "echo x >> runs; if [ $(wc -l < runs) = 1 ]; then sleep 600; fi; touch made"
    script = InstallScript(name="installer", argv=("sh", "-c", text), makes=("made",))
    game = want_game(source.server(), free_port(), scripts=(script,))
    await agent.want_spec(game=game)
    await eventually((folder_of(agent) / "runs").exists)
    await agent.kill()
    await agent.start()
    await running(agent, game)
    assert (folder_of(agent) / "runs").read_text() == "x\nx\n"


async def test_a_server_that_saves_for_long_is_waited_for_before_its_version_changes(
    agent: AgentProcess, source: GameSource
) -> None:
    """Its files are touched only once it has saved; killed meanwhile, the next agent waits on."""
    port = free_port()
    await running(agent, want_game(source.server("1"), port, words=["--slow-stop", "3"]))
    newer = want_game(source.server("2"), port, version="2.0")
    await agent.want_spec(game=newer)
    await agent.until(lambda status: server_of(status).state == "stopping")
    assert not (folder_of(agent) / "world/saved.txt").exists()
    await agent.kill()
    await agent.start()
    status = await running(agent, newer)
    assert (folder_of(agent) / "world/saved.txt").exists()
    assert step_of(status).state is StepState.DONE
    assert status.game is not None
    assert [backup.version for backup in status.game.backups] == ["1.0"]
