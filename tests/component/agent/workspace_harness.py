"""What tests of a workspace ask of an agent of its own process."""

from __future__ import annotations

from pathlib import Path

import psutil

from component.agent.harness import AgentProcess, is_alive
from zlh_common.schema.spec import AgentSpec, Repository, WantedWorkspace
from zlh_common.schema.status import Step, StepState
from zlh_common.schema.structs import encode
from zlh_common.step_names import CLONE_REPOSITORY, RUN_START_SCRIPT

OVER = {StepState.DONE, StepState.FAILED, StepState.SKIPPED}


def workspace_of(agent: AgentProcess) -> Path:
    """Return the workspace of an agent's container."""
    return agent.root / "home/dev/workspace"


async def want_workspace(
    agent: AgentProcess,
    *,
    url: str | None = None,
    branch: str | None = None,
    script: str | None = None,
    attempt: int = 0,
) -> None:
    """Put a spec with the next generation that wants this of the workspace alone."""
    agent.generation += 1
    repository = Repository(url=url, branch=branch) if url else None
    workspace = WantedWorkspace(repository=repository, start_script=script, attempt=attempt)
    code, body = await agent.call(
        "PUT", "/spec", data=encode(AgentSpec(generation=agent.generation, workspace=workspace))
    )
    assert code == 202, body


async def step_over(agent: AgentProcess, name: str) -> Step:
    """Wait until a step is over, and return it."""
    status = await agent.until(lambda status: any(step.name == name and step.state in OVER for step in status.steps))
    return next(step for step in status.steps if step.name == name)


async def script_over(agent: AgentProcess) -> Step:
    """Wait until the start script has ended."""
    return await step_over(agent, RUN_START_SCRIPT)


async def clone_over(agent: AgentProcess) -> Step:
    """Wait until the clone has ended, or has failed for now."""
    return await step_over(agent, CLONE_REPOSITORY)


def scripts(agent: AgentProcess) -> list[psutil.Process]:
    """Return the shim of the script of an agent and everybody below it."""
    found = []
    for process in psutil.process_iter():
        try:
            if "zlh-shim:start-script" in process.cmdline() and str(agent.root) in " ".join(
                file.path for file in process.open_files()
            ):
                found += [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
    return found


def end_scripts(agent: AgentProcess) -> None:
    """Kill what is left of a script."""
    left = scripts(agent)
    for process in left:
        if is_alive(process):
            process.kill()
    psutil.wait_procs(left, timeout=30)
