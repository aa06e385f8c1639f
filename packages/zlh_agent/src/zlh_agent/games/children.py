"""The agent's end of a child that works on a game server's files: started, heard, answered, and ended with all of it.

The child has the customer's user, so nothing of what it says is believed beyond what people are shown of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec
import structlog

from zlh_agent.games.errors import GameChildFailed, GameStepFailed
from zlh_agent.games.model import ChildLine, ChildOrder, DoneLine, FailedLine, ProgressLine, ReadyLine
from zlh_agent.runtimes.short_child import read_last_words
from zlh_common.names import CONTAINER_MARK

log = structlog.get_logger()
MAX_LINE_BYTES = 64 * 1024
# How long one that is called off may take to end what it has started, and to be gone once it was killed.
END_S, KILLED_S = 5.0, 5.0
OUTPUT_CHARS = 4096
MESSAGE_CHARS = 1000

OnProgress = Callable[[ProgressLine], None]
OnReady = Callable[[], Awaitable[None]]


async def run_child(
    order: ChildOrder,
    *,
    limit_s: float,
    on_progress: OnProgress = lambda _line: None,
    on_ready: OnReady | None = None,
    descriptors: Sequence[int] = (),
) -> DoneLine:
    """Return its last word; raise GameStepFailed. Cancelling ends the child and what it has started.

    `on_ready` is awaited where the child asks to go on; what it raises ends the child.
    """
    try:
        child = await _start(descriptors)
    except OSError as error:
        raise _interrupted(f"no child can be started ({error.strerror or error})") from error
    complaints = asyncio.create_task(read_last_words(child.stderr))
    said: DoneLine | FailedLine | None = None
    reason = ""
    try:
        async with asyncio.timeout(limit_s):
            said = await _follow(child, order, on_progress, on_ready)
            await child.wait()
    except TimeoutError:
        said, reason = None, f"it has taken more than {limit_s:.0f} s"
    except (ValueError, OSError, RecursionError) as error:
        # A MsgspecError is a ValueError. It says what no child of ours says, or is gone.
        said, reason = None, f"it broke off ({error!r})"
    finally:
        words = await _end(child, complaints)
    if isinstance(said, DoneLine):
        return said
    if said is None:
        log.warning("game.child_ended", call=type(order).__name__.lower(), reason=reason, said=words)
        raise _interrupted(reason or f"its child ended with {child.returncode}", words)
    raise GameStepFailed(
        reason_code=said.code[:64],
        message=said.detail[:MESSAGE_CHARS],
        may_pass=said.retryable,
        exit_code=said.exit_code,
        output=said.output[-OUTPUT_CHARS:] if said.output else None,
    )


def _interrupted(reason: str, output: str | None = None) -> GameStepFailed:
    error = GameChildFailed(reason=reason)
    return GameStepFailed(reason_code=error.code, message=error.detail, may_pass=True, output=output or None)


async def _start(descriptors: Sequence[int]) -> asyncio.subprocess.Process:
    mark = {CONTAINER_MARK: os.environ[CONTAINER_MARK]} if CONTAINER_MARK in os.environ else {}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-m", "zlh_agent.games.child",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        limit=MAX_LINE_BYTES, start_new_session=True, pass_fds=descriptors, cwd="/",
        env={"LC_ALL": "C.UTF-8", **mark}, umask=0o022,
    )  # fmt: skip


async def _follow(
    child: asyncio.subprocess.Process, order: ChildOrder, on_progress: OnProgress, on_ready: OnReady | None
) -> DoneLine | FailedLine | None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(msgspec.json.encode(order) + b"\n")
    said: DoneLine | FailedLine | None = None
    async for raw in child.stdout:
        match msgspec.json.decode(raw, type=ChildLine):
            case ProgressLine() as line:
                on_progress(line)
            case ReadyLine():
                if on_ready is not None:
                    await on_ready()
                child.stdin.write(b"\n")
            case line:
                said = line
    return said


async def _end(child: asyncio.subprocess.Process, complaints: asyncio.Task[str]) -> str:
    """Have the child end what it has started and then itself; kill one that does not. Return its last words."""
    ending = asyncio.create_task(child.wait())
    try:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.terminate()
            if not (await asyncio.wait({ending}, timeout=END_S))[0]:
                with suppress(ProcessLookupError):
                    child.kill()
        await asyncio.wait({ending, complaints}, timeout=KILLED_S)
    finally:
        for task in (ending, complaints):
            task.cancel()
        child._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - nothing else closes its pipes
    has_words = complaints.done() and not complaints.cancelled() and complaints.exception() is None
    return complaints.result() if has_words else ""
