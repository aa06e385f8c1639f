"""The agent's side of an install: starts the child, hears its progress, and ends it when the agent goes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import structlog

from zlh_agent.runtimes.errors import InstallInterrupted
from zlh_agent.runtimes.model import ChildLine, FailedLine, InstalledLine, InstallOrder, ProgressLine
from zlh_agent.runtimes.short_child import read_last_words
from zlh_common.errors import ZlhError
from zlh_common.schema.status import Transfer

log = structlog.get_logger()
# No install takes this long; a child that does is stuck where it does not notice.
INSTALL_TIMEOUT_S = 3600
MAX_LINE_BYTES = 64 * 1024
END_TIMEOUT_S = 2
# Of each stage: where it begins in the whole, its share, and its word. Downloading takes most of the time on a real
# network, unpacking most of the rest; what an earlier try has left is hashed before the download goes on.
_STAGES = {
    "verify": (0.0, 0.0, "comparing"),
    "catalog": (0.0, 0.0, "reading the catalog"),
    "hash": (0.0, 0.0, "checking what is there"),
    "download": (0.0, 0.7, "downloading"),
    "unpack": (0.7, 0.25, "unpacking"),
    "smoke": (0.95, 0.0, "testing"),
    "record": (0.97, 0.0, "writing to the disk"),
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an install is."""

    fraction: float
    message: str
    transfer: Transfer


def read_progress(line: ProgressLine) -> Progress:
    """Return what a child's line means for the whole; raise KeyError for a stage that there is not."""
    start, share, word = _STAGES[line.stage]
    counted = f": {line.done} of {line.total} bytes" if line.total else ""
    return Progress(
        round(start + share * (line.done / line.total if line.total else 0.0), 3),
        f"{word}{counted}",
        Transfer(
            stage=line.stage,
            done_bytes=line.done,
            total_bytes=line.total,
            bytes_per_s=line.bytes_per_s,
            left_s=line.left_s,
        ),
    )


class InstallFailed(ZlhError):
    """The runtime was not installed; `reason_code` says why."""

    code, status = "install_failed", 502

    def __init__(self, line: FailedLine) -> None:
        super().__init__(line.detail, reasonCode=line.code)
        self.reason_code = line.code
        # An instance knows better than its class whether the reason can pass.
        self.may_pass = line.retryable
        self.exit_code = line.exit_code
        self.output = line.output


async def run_install(order: InstallOrder, *, on_progress: Callable[[Progress], None]) -> str:
    """Return the installed version; raise InstallFailed. Cancelling kills the child."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "zlh_agent.runtimes.installing.install_child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MAX_LINE_BYTES,
        start_new_session=True,
    )
    complaints = asyncio.create_task(read_last_words(child.stderr))
    outcome: InstalledLine | FailedLine | None = None
    try:
        async with asyncio.timeout(INSTALL_TIMEOUT_S):
            outcome = await _follow(child, order, on_progress)
            await child.wait()
    except (TimeoutError, ValueError, KeyError, msgspec.MsgspecError) as error:
        # It is stuck, or says what no child of ours says: either is a failed install, and no end of the agent.
        log.warning("runtime.child_ended", name=order.name, version=order.version, error=repr(error))
    finally:
        code = await _end(child)
        said = await complaints
    if isinstance(outcome, InstalledLine):
        return outcome.version
    if outcome is None:
        silent = InstallInterrupted(exit_code=code, output=said)
        outcome = FailedLine(code=silent.code, detail=silent.detail, retryable=True, exit_code=code, output=said)
    raise InstallFailed(outcome)


async def _end(child: asyncio.subprocess.Process) -> int:
    """Have the child end what it has started, and then itself; one that does not is killed. Return its exit code."""
    if child.returncode is None:
        child.terminate()
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await child.wait()
        except TimeoutError:
            child.kill()
    return await child.wait()


async def _follow(
    child: asyncio.subprocess.Process, order: InstallOrder, on_progress: Callable[[Progress], None]
) -> InstalledLine | FailedLine | None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(msgspec.json.encode(order))
    child.stdin.close()
    outcome: InstalledLine | FailedLine | None = None
    async for raw in child.stdout:
        match msgspec.json.decode(raw, type=ChildLine):
            case ProgressLine() as line:
                on_progress(read_progress(line))
            case line:
                outcome = line
    return outcome
