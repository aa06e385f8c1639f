"""The home folder is the customer's: whatever he makes of it, the agent starts, serves and installs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from component.agent.harness import AgentProcess, step
from zlh_common.schema.status import StepState


def put_a_file(home: Path) -> None:
    """Let a file stand where the agent's folder should."""
    home.mkdir(parents=True)
    (home / ".zlh").touch()


def put_a_loop(home: Path) -> None:
    """Let a profile be a link to itself."""
    home.mkdir(parents=True)
    (home / ".profile").symlink_to(".profile")


def put_a_folder(home: Path) -> None:
    """Let a folder stand where a profile should."""
    (home / ".bashrc").mkdir(parents=True)


def put_no_home(home: Path) -> None:
    """Let a file stand where the home folder should."""
    home.parent.mkdir(parents=True)
    home.touch()


@pytest.mark.parametrize("spoil", [put_a_file, put_a_loop, put_a_folder, put_no_home])
async def test_a_spoilt_home_stops_no_agent(spoil: Callable[[Path], None], agent: AgentProcess) -> None:
    """It says so in its log; the runtime is installed, and a restart works as well."""
    assert await agent.stop() == 0
    home = agent.root / "home/dev"
    await asyncio.to_thread(home.rename, home.with_name("before"))
    await asyncio.to_thread(home.parent.rename, home.parent.with_name("home-before"))
    await asyncio.to_thread(spoil, home)
    await agent.start()
    await agent.want(("tiny", "1.0"))
    assert step(await agent.settled()).state is StepState.DONE
    assert agent.current() == "1.0"
    assert "workspace.not_refreshed" in await asyncio.to_thread(agent.log.read_text)
