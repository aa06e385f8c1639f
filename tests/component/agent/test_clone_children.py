"""A child that clones is the customer's, who may have made another program of it: the agent outlives what it says."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from zlh_agent.workspace import cloning
from zlh_agent.workspace.cloning import name_order, run_clone
from zlh_agent.workspace.errors import CloneFailed, CloneInterrupted, StepFailed
from zlh_common.schema.spec import Repository

# It judges nothing.
WAIT_S = 60.0


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the program that runs in the place of every child: what a test writes there."""
    program = tmp_path / "child"
    monkeypatch.setattr("zlh_agent.workspace.cloning.sys.executable", str(program))
    return program


def write_program(path: Path, text: str) -> None:
    """Make a program that reads its order and does this."""
    path.write_text(f"#!{sys.base_prefix}/bin/python3 -S\nimport os, sys, time\nsys.stdin.readline()\n{text}\n")
    path.chmod(0o755)


async def clone_by(program: Path, text: str) -> StepFailed:
    """Have a child of this text clone something, and return how that failed."""
    await asyncio.to_thread(write_program, program, text)
    order = name_order(
        Repository(url="http://localhost/shop.git"), workspace="/nowhere/workspace", home="/nowhere", token="t"
    )
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(StepFailed) as failed:
            await run_clone(order, None, limit_s=WAIT_S, on_progress=lambda _fraction, _message: None)
    return failed.value


@pytest.mark.parametrize("code", ["workspace_unusable", "start_script_failed", "nonsense", ""])
async def test_a_code_that_no_clone_ends_with_is_a_failure_like_any_other(say: Path, code: str) -> None:
    """It has words for people."""
    failed = await clone_by(say, f"""print('{{"code": "{code}", "output": "own words"}}')""")
    assert failed.code in {CloneFailed.code, CloneInterrupted.code}
    assert failed.output == "own words"


async def test_what_is_nested_without_end_is_not_read(say: Path) -> None:
    """The child counts as one that ended without a word."""
    failed = await clone_by(say, """print('{"x": ' + '[' * 30000 + ']' * 30000 + '}')""")
    assert failed.code == CloneInterrupted.code


async def test_nobody_waits_for_who_has_left_the_group_and_holds_its_pipes(
    say: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child has ended, and another program of its user goes on with what it was given."""
    monkeypatch.setattr(cloning, "END_S", 0.2)
    left = tmp_path / "left"
    text = f"""
if os.fork() == 0:
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with open({str(left) + ".new"!r}, "w") as file:
        file.write(str(os.getpid()))
    os.rename({str(left) + ".new"!r}, {str(left)!r})
    time.sleep(600)
while not os.path.exists({str(left)!r}):
    time.sleep(0.01)
os._exit(0)
"""
    try:
        failed = await clone_by(say, text)
    finally:
        os.kill(int(await asyncio.to_thread(left.read_text)), signal.SIGKILL)
    assert failed.code == CloneInterrupted.code
