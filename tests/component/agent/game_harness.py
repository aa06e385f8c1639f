"""What tests of a game server under a real agent share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from component.agent.harness import AgentProcess, end, eventually
from zlh_common.schema.game import SERVER, WantedGame
from zlh_common.schema.status import AgentStatus, ProcessStatus, Step, StepState


@asynccontextmanager
async def serving(unstarted: AgentProcess) -> AsyncIterator[AgentProcess]:
    """Lend an agent that serves; at last it is told to keep nothing, so that no process outlives the test."""
    try:
        await unstarted.start()
        yield unstarted
        if unstarted.process is None or unstarted.process.returncode is not None:
            await unstarted.start()
        await unstarted.want_spec()
        await unstarted.until(lambda status: not status.processes)
        shims = unstarted.root / "run/zlh/processes"
        await eventually(lambda: not any(shims.glob("*")))
    finally:
        await end(unstarted)


def folder_of(agent: AgentProcess) -> Path:
    """Return the server's folder."""
    return agent.root / "srv/game"


def server_of(status: AgentStatus) -> ProcessStatus:
    """Return what is told of the server."""
    return next(process for process in status.processes if process.name == SERVER)


def step_of(status: AgentStatus) -> Step:
    """Return the step of the game's files."""
    return next(step for step in status.steps if step.name.startswith("install blocks"))


def is_ready(status: AgentStatus, version: str = "1.0") -> bool:
    """Tell whether this version is in place and its server has said that it is ready."""
    game = status.game
    return game is not None and game.version == version and any(one.ready for one in status.processes)


async def running(agent: AgentProcess, game: WantedGame) -> AgentStatus:
    """Want a game, and wait until it is ready."""
    await agent.want_spec(game=game)
    return await agent.until(lambda status: is_ready(status, game.version) and step_of(status).state is StepState.DONE)
