"""The agent's side of a clone: starts the child, hears how far it is, and ends it with everything of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

import msgspec

from zlh_agent.runtimes.short_child import read_last_words
from zlh_agent.workspace.clone_rules import OUTPUT_CHARS, tell_failure
from zlh_agent.workspace.errors import FAILURES, CloneFailed, CloneInterrupted, StepFailed
from zlh_agent.workspace.login_environment import Account
from zlh_common.names import CONTAINER_MARK
from zlh_common.schema.spec import Repository

MAX_LINE_BYTES = 64 * 1024
# Until everything of a child has gone that was killed.
END_S = 5.0
MESSAGE_CHARS = 200


class CloneOrder(msgspec.Struct, frozen=True):
    """What a child is told."""

    url: str
    branch: str | None
    workspace: str
    home: str
    # Which clone this is, in the word of whoever has ordered it.
    token: str


class _Line(msgspec.Struct, frozen=True, rename="camel"):
    """What a child says; it is the customer's, so nothing of it is believed beyond what people are shown."""

    progress: float | None = None
    message: str = ""
    done: bool = False
    code: str | None = None
    output: str | None = None
    exit_code: int | None = None


async def run_clone(
    order: CloneOrder,
    account: Account | None,
    *,
    limit_s: float,
    on_progress: Callable[[float, str], None],
) -> None:
    """Return once the repository is the workspace; raise StepFailed. Cancelling kills the child and git.

    Without an `account` it is done as the agent's own user.
    """
    child = await _start(account)
    complaints = asyncio.create_task(read_last_words(child.stderr))
    said: _Line | None = None
    code = None
    try:
        async with asyncio.timeout(limit_s):
            said = await _follow(child, order, on_progress)
    except TimeoutError:
        code = "repository_timed_out"
    except (ValueError, OSError, RecursionError, msgspec.MsgspecError):
        pass
    finally:
        words = await _end(child, complaints)
    if said is not None and said.done:
        return
    code = code or (said.code if said is not None else None) or CloneInterrupted.code
    raise _failure(code, order, said, words)


async def _end(child: asyncio.subprocess.Process, complaints: asyncio.Task[str]) -> str:
    """Kill the child with everything of its group, and return its last words.

    Who made it the customer's may have made a program of it that left the group and holds its pipes: for that nobody
    waits.
    """
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    ending = asyncio.create_task(child.wait())
    try:
        await asyncio.wait({ending, complaints}, timeout=END_S)
    finally:
        for task in (ending, complaints):
            task.cancel()
        child._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - nothing else closes its pipes
    has_words = complaints.done() and not complaints.cancelled() and complaints.exception() is None
    return complaints.result() if has_words else ""


def name_order(repository: Repository, *, workspace: str, home: str, token: str) -> CloneOrder:
    """Return what a child is told to clone."""
    return CloneOrder(repository.url, repository.branch, workspace, home, token)


def _failure(code: str, order: CloneOrder, said: _Line | None, words: str) -> StepFailed:
    kind = FAILURES.get(code, CloneFailed)
    output = (said.output if said is not None else None) or words
    return kind(
        tell_failure(kind.code, order.url, order.branch, order.workspace),
        exit_code=said.exit_code if said is not None else None,
        output=output[-OUTPUT_CHARS:] or None,
    )


async def _start(account: Account | None) -> asyncio.subprocess.Process:
    become = (
        {}
        if account is None
        else {
            "user": account.uid,
            "group": account.gid,
            "extra_groups": os.getgrouplist(account.name, account.gid),
        }
    )
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        "zlh_agent.workspace.clone_child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MAX_LINE_BYTES,
        start_new_session=True,
        cwd="/",
        env={"LC_ALL": "C.UTF-8", **_mark()},
        umask=0o022,
        **become,  # type: ignore[arg-type]
    )


def _mark() -> dict[str, str]:
    """Return the mark by which a container's processes are known, where there is one."""
    return {CONTAINER_MARK: os.environ[CONTAINER_MARK]} if CONTAINER_MARK in os.environ else {}


async def _follow(
    child: asyncio.subprocess.Process, order: CloneOrder, on_progress: Callable[[float, str], None]
) -> _Line | None:
    assert child.stdin is not None
    assert child.stdout is not None
    # Left open: its end tells the child that we have gone.
    child.stdin.write(msgspec.json.encode(order) + b"\n")
    said: _Line | None = None
    async for raw in child.stdout:
        line = msgspec.json.decode(raw, type=_Line)
        if line.progress is not None:
            on_progress(min(max(line.progress, 0.0), 1.0), line.message[:MESSAGE_CHARS])
        else:
            said = line
    return said
