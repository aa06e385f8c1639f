"""A repository that becomes the workspace and a script that runs once, with a real agent and a real git."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil
import pytest

from component.agent.harness import AgentProcess, eventually, is_alive
from component.agent.workspace_harness import (
    clone_over,
    end_scripts,
    script_over,
    scripts,
    want_workspace,
    workspace_of,
)
from fakes.git_server import HttpOrigin, git_daemon, http_origin, make_repository
from guards.ports import free_port
from zlh_common.schema.spec import AgentSpec, WantedWorkspace
from zlh_common.schema.status import StepState
from zlh_common.schema.structs import encode
from zlh_common.step_names import RUN_START_SCRIPT

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
DONE, FAILED = StepState.DONE, StepState.FAILED
# How long the one script that hangs may run: long enough for a busy machine to begin it.
LIMIT_S = 6


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """Return a folder with one repository."""
    return make_repository(tmp_path / "git").parent


@pytest.fixture
async def git_url(served: Path) -> AsyncIterator[str]:
    """Return where git's own daemon serves it."""
    async with git_daemon(served) as url:
        yield url


@pytest.fixture
def origin(served: Path) -> Iterator[HttpOrigin]:
    """Serve it by HTTP; the agent has nothing to install here."""
    with http_origin(served) as server:
        yield server


@pytest.fixture
async def agent(unstarted: AgentProcess) -> AsyncIterator[AgentProcess]:
    """Return an agent that serves; whatever its start scripts leave is ended."""
    try:
        await unstarted.start()
        yield unstarted
    finally:
        if unstarted.process is not None and unstarted.process.returncode is None:
            await unstarted.kill()
        end_scripts(unstarted)


def beside(agent: AgentProcess) -> list[str]:
    """Return what lies beside the workspace and is no shell's."""
    return [path.name for path in (agent.root / "home/dev").iterdir() if path.name.startswith(".zlh-clone")]


def is_running(pid: int) -> bool:
    """Tell whether a process is there, and no mere remainder of one."""
    with suppress(psutil.NoSuchProcess):
        return is_alive(psutil.Process(pid))
    return False


def git(folder: Path, *words: str) -> str:
    """Return what git says of a clone."""
    return subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True).stdout.strip()


async def test_a_repository_becomes_the_workspace_and_the_script_runs_in_it(agent: AgentProcess, git_url: str) -> None:
    """In this order, by the branch that was asked for; nothing lies beside, and the spec was reached at once."""
    script = "echo hello from $(basename $PWD); cat README; echo $USER $HOME > seen"
    await want_workspace(agent, url=f"{git_url}/shop.git", branch="next", script=script)
    ran = await script_over(agent)
    cloned = await clone_over(agent)
    workspace = workspace_of(agent)
    assert (cloned.state, cloned.progress, cloned.code) == (DONE, 1.0, None)
    assert (ran.state, ran.exit_code, ran.output) == (DONE, 0, "hello from workspace\nA shop.\n")
    assert ran.started_at is not None
    assert cloned.finished_at is not None
    assert ran.started_at >= cloned.finished_at
    assert git(workspace, "branch", "--show-current") == "next"
    assert git(workspace, "status", "--porcelain") == "?? seen"
    assert git(workspace, "remote", "get-url", "origin") == f"{git_url}/shop.git"
    assert str(agent.root / "home/dev") in (workspace / "seen").read_text()
    assert beside(agent) == []
    assert not (agent.root / "var/lib/zlh/start-script/start-script").exists()


@pytest.mark.parametrize(
    ("path", "branch", "code"),
    [
        ("/nothing.git", None, "repository_not_found"),
        ("/shop.git", "gone", "repository_branch_not_found"),
        ("/shop.git", "b" * 255, "repository_branch_not_found"),
        ("/" + "n" * 1900 + ".git", None, "repository_not_found"),
    ],
)
async def test_what_cannot_be_cloned_is_told_once(
    agent: AgentProcess, git_url: str, path: str, branch: str | None, code: str
) -> None:
    """With its reason; it is not tried again, the script waits and the workspace stays as empty as it was."""
    await want_workspace(agent, url=git_url + path, branch=branch, script="echo ran > ran")
    step = await clone_over(agent)
    assert (step.state, step.code, step.finished_at is not None) == (FAILED, code, True)
    assert step.output
    status = await agent.settled()
    (script,) = [each for each in status.steps if each.name == RUN_START_SCRIPT]
    assert (script.state, script.code) == (StepState.PENDING, None)
    assert list(workspace_of(agent).iterdir()) == []
    assert beside(agent) == []
    await agent.kill()
    await agent.start()
    again = await clone_over(agent)
    assert again.started_at == step.started_at


async def test_a_repository_that_wants_a_password_asks_nobody(agent: AgentProcess, origin: HttpOrigin) -> None:
    """Not even a terminal: it fails at once."""
    origin.refusals["shop.git"] = 401
    await want_workspace(agent, url=f"{origin.url}/shop.git")
    assert (await clone_over(agent)).code == "repository_needs_credentials"


async def test_a_server_that_is_away_is_tried_again(agent: AgentProcess, served: Path) -> None:
    """The step says so meanwhile, and is done once it is there."""
    port = free_port()
    await want_workspace(agent, url=f"git://127.0.0.1:{port}/shop.git")
    away = await clone_over(agent)
    assert (away.state, away.code) == (FAILED, "repository_unreachable")
    async with git_daemon(served, port):
        await agent.until(lambda status: any(step.state is DONE for step in status.steps))
    assert (workspace_of(agent) / "README").exists()


async def test_nothing_is_cloned_over_files(agent: AgentProcess, git_url: str) -> None:
    """They are the customer's; the script finds them as they are."""
    workspace = workspace_of(agent)
    await eventually(workspace.exists)
    (workspace / "mine").write_text("precious")
    await want_workspace(agent, url=f"{git_url}/shop.git", script="ls -A")
    step = await clone_over(agent)
    assert (step.state, step.code) == (StepState.SKIPPED, "workspace_not_empty")
    assert (await script_over(agent)).output == "mine\n"
    assert [path.name for path in workspace.iterdir()] == ["mine"]


async def test_a_file_that_comes_while_it_is_cloned_is_kept(agent: AgentProcess, origin: HttpOrigin) -> None:
    """The clone gives way, whole as it is, and nothing of it stays."""
    origin.released.clear()
    await want_workspace(agent, url=f"{origin.url}/shop.git")
    await eventually(lambda: bool(beside(agent)))
    (workspace_of(agent) / "mine").write_text("precious")
    origin.released.set()
    assert (await clone_over(agent)).code == "workspace_not_empty"
    assert [path.name for path in workspace_of(agent).iterdir()] == ["mine"]
    assert beside(agent) == []


async def test_what_failed_is_tried_again_when_somebody_says_so(
    agent: AgentProcess, served: Path, git_url: str
) -> None:
    """The clone first, then the script that waited for it; once more has the script alone run."""
    url, script = f"{git_url}/late.git", "echo ran >> $HOME/ran"
    await want_workspace(agent, url=url, script=script)
    assert (await clone_over(agent)).code == "repository_not_found"
    (served / "shop.git").rename(served / "late.git")
    await want_workspace(agent, url=url, script=script, attempt=1)
    assert (await script_over(agent)).state is DONE
    first = (await clone_over(agent)).started_at
    ran = agent.root / "home/dev/ran"
    assert ran.read_text() == "ran\n"
    await want_workspace(agent, url=url, script=script, attempt=2)
    await eventually(lambda: ran.read_text() == "ran\nran\n")
    assert (await clone_over(agent)).started_at == first


async def test_a_script_that_fails_says_how(agent: AgentProcess) -> None:
    """Its code, its last words; nobody runs it again."""
    await want_workspace(agent, script="echo once >> $HOME/ran; echo no room >&2; exit 3")
    step = await script_over(agent)
    assert (step.state, step.code, step.exit_code) == (FAILED, "start_script_failed", 3)
    assert step.output == "no room\n"
    await agent.kill()
    await agent.start()
    again = await script_over(agent)
    assert (again.code, again.output, again.started_at) == (step.code, step.output, step.started_at)
    assert (agent.root / "home/dev/ran").read_text() == "once\n"


async def test_a_script_that_hangs_is_ended_with_all_that_it_began(agent: AgentProcess) -> None:
    """Also what has left its session."""
    await agent.kill()
    agent.config.write_text(f"start_script_limit_s = {LIMIT_S}\n{agent.config.read_text()}")
    await agent.start()
    script = (
        "echo $$ > pids; setsid sleep 1000 & echo $! >> pids; "
        "setsid sh -c 'trap \"\" TERM; echo $$ >> pids; while :; do sleep 0.1; done' & "
        "while [ $(wc -l < pids) -lt 3 ]; do sleep 0.05; done; echo waiting; sleep 1000"
    )
    await want_workspace(agent, script=script)
    await agent.until(lambda status: any(step.output == "waiting\n" for step in status.steps))
    step = await script_over(agent)
    assert (step.state, step.code, step.output) == (FAILED, "start_script_timed_out", "waiting\n")
    began = [int(line) for line in (workspace_of(agent) / "pids").read_text().split()]
    assert len(began) == 3
    await eventually(lambda: not any(map(is_running, began)))


async def test_a_flood_is_told_by_its_end(agent: AgentProcess) -> None:
    """4 KiB of it, without what would move a terminal."""
    script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); printf '\\033[31mline %s\\033[0m\\n' $i; done; echo the end"
    await want_workspace(agent, script=script)
    step = await script_over(agent)
    assert step.state is DONE
    assert step.output is not None
    assert len(step.output) <= 4096
    assert step.output.endswith("line 20000\nthe end\n")
    assert "\x1b" not in step.output


async def test_what_a_script_leaves_running_goes_on(agent: AgentProcess) -> None:
    """Over the end of the script and of the agent; once it ends, nothing of the script is left."""
    await want_workspace(
        agent, script="setsid sh -c 'echo $$ > left; exec sleep 1000' & while ! [ -s left ]; do :; done"
    )
    assert (await script_over(agent)).state is DONE
    left = psutil.Process(int((workspace_of(agent) / "left").read_text()))
    await agent.kill()
    await agent.start()
    assert is_alive(left)
    left.kill()
    await eventually(lambda: scripts(agent) == [])
    assert not (agent.root / "var/lib/zlh/scripts/start-script").exists()


async def test_a_script_without_an_interpreter_has_not_run(agent: AgentProcess) -> None:
    """The program that its first line names is not there."""
    await want_workspace(agent, script="#!/no/such/program\necho hello\n")
    step = await script_over(agent)
    assert (step.state, step.code) == (FAILED, "start_script_failed")
    assert "interpreter" in (step.message or "")


async def test_an_agent_that_died_over_the_last_line_of_a_script_leaves_no_text(agent: AgentProcess) -> None:
    """The end is written down before the text is removed, and the next agent removes it, whole or half written."""
    await want_workspace(agent, script="echo secret")
    await script_over(agent)
    await agent.kill()
    folder = agent.root / "var/lib/zlh/start-script"
    for name in ("start-script", ".start-script.new"):
        await asyncio.to_thread((folder / name).write_text, "echo secret")
    await agent.start()
    assert await asyncio.to_thread(lambda: list(folder.iterdir())) == []
    assert (await script_over(agent)).state == DONE


async def test_a_script_whose_shim_is_killed_is_not_run_again(agent: AgentProcess) -> None:
    """Nobody knows how far it came."""
    await want_workspace(agent, script="echo once >> $HOME/ran; sleep 1000")
    ran = agent.root / "home/dev/ran"
    await eventually(lambda: ran.exists() and ran.read_text() == "once\n")
    scripts(agent)[0].send_signal(signal.SIGKILL)
    step = await script_over(agent)
    assert (step.state, step.code) == (FAILED, "start_script_interrupted")
    assert ran.read_text() == "once\n"
    await eventually(lambda: scripts(agent) == [])


async def test_a_workspace_that_is_no_folder_is_told_until_it_is_one(agent: AgentProcess) -> None:
    """Nothing is moved away by us; whoever mends it in a terminal is noticed."""
    workspace = workspace_of(agent)
    await eventually(workspace.exists)
    workspace.rmdir()
    workspace.write_text("a file")
    await want_workspace(agent, script="pwd")
    seen = await agent.until(lambda status: any(step.state is FAILED for step in status.steps))
    (step,) = [step for step in seen.steps if step.state is FAILED]
    assert (step.name, step.code) == ("prepare-workspace", "workspace_unusable")
    assert workspace.read_text() == "a file"
    workspace.unlink()
    workspace.mkdir()
    code, body = await agent.call("POST", "/terminals", json={"cols": 80, "rows": 24})
    assert code == 201, body
    assert (await script_over(agent)).output == f"{workspace}\n"
    code, _ = await agent.call("DELETE", f"/terminals/{msgspec.json.decode(body)['id']}")
    assert code == 204


async def test_sudo_is_nobodys_where_programs_run_as_the_agent(agent: AgentProcess) -> None:
    """The step says why, and nothing fails."""
    agent.generation += 1
    spec = AgentSpec(generation=agent.generation, workspace=WantedWorkspace(sudo=True))
    await agent.call("PUT", "/spec", data=encode(spec))
    status = await agent.until(lambda status: any(step.name == "allow-sudo" for step in status.steps))
    (step,) = status.steps
    assert (step.state, step.code) == (StepState.SKIPPED, "sudo_unavailable")
