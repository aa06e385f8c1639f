"""An agent killed at any moment of a clone and a start script: the clone is whole or absent, the script ran once."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
from pathlib import Path

import pytest
import structlog

from component.agent.harness import AgentProcess, end
from component.agent.workspace_harness import clone_over, end_scripts, script_over, want_workspace, workspace_of
from fakes.git_server import http_origin, make_repository
from zlh_common.schema.status import StepState

log = structlog.get_logger()
pytestmark = [
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
    pytest.mark.timeout(180),
]
# How late after its start an agent is killed: before it serves, while it clones, while the script runs, after.
LATEST_S = (0.6, 1.2, 2.0)
KILLS = 5


@pytest.mark.parametrize("latest_s", LATEST_S)
async def test_an_agent_killed_at_any_moment_clones_whole_and_runs_once(
    unstarted: AgentProcess, tmp_path: Path, latest_s: float
) -> None:
    """Again and again, at random moments; then it is left alone."""
    seed = random.randrange(2**32)
    log.info("test.seed", seed=seed)
    chance = random.Random(seed)
    agent = unstarted
    served = await asyncio.to_thread(lambda: make_repository(tmp_path / "git", files=40).parent)
    script = "echo begun >> $HOME/ran; sleep 0.2; cat README; echo ended >> $HOME/ran"
    with http_origin(served) as server:
        try:
            await agent.start()
            await want_workspace(agent, url=f"{server.url}/shop.git", script=script)
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0, latest_s))
                await agent.kill()
                await asyncio.to_thread(require_whole_or_absent, workspace_of(agent))
                await agent.launch()
            await agent.served()
            ran = await script_over(agent)
            cloned = await clone_over(agent)
            assert (cloned.state, cloned.code) == (StepState.DONE, None)
            assert (ran.state, ran.output) == (StepState.DONE, "A shop.\n")
            assert (agent.root / "home/dev/ran").read_text() == "begun\nended\n"
            assert await asyncio.to_thread(require_whole_or_absent, workspace_of(agent))
            assert [path for path in (agent.root / "home/dev").iterdir() if path.name.startswith(".zlh-clone")] == []
        finally:
            await end(agent)
            await asyncio.to_thread(end_scripts, agent)


def require_whole_or_absent(workspace: Path) -> bool:
    """Tell whether there is a clone; one that lacks anything is a failure."""
    if not workspace.exists() or not list(workspace.iterdir()):
        return False
    for words in (("fsck", "--no-dangling"), ("diff", "--quiet", "HEAD")):
        subprocess.run(["git", "-C", str(workspace), *words], check=True, capture_output=True)
    return True
