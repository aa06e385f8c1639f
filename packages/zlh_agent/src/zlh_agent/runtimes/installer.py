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
from zlh_common.errors import ZlhError

log = structlog.get_logger()
# No install takes this long; a child that does is stuck where it does not notice.
INSTALL_TIMEOUT_S = 3600
MAX_LINE_BYTES = 64 * 1024
# Downloading takes most of the time on a real network, unpacking the rest.
_SHARE = {"download": (0.0, 0.7), "unpack": (0.7, 0.3)}
_WORDS = {"download": "downloading", "unpack": "unpacking"}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an install is."""

    fraction: float
    message: str


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
        "zlh_agent.runtimes.install_child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MAX_LINE_BYTES,
        start_new_session=True,
    )
    complaints = asyncio.create_task(_read_tail(child.stderr))
    outcome: InstalledLine | FailedLine | None = None
    try:
        async with asyncio.timeout(INSTALL_TIMEOUT_S):
            outcome = await _follow(child, order, on_progress)
            await child.wait()
    except (TimeoutError, ValueError, KeyError, msgspec.MsgspecError) as error:
        # It is stuck, or says what no child of ours says: either is a failed install, and no end of the agent.
        log.warning("runtime.child_ended", name=order.name, version=order.version, error=repr(error))
    finally:
        if child.returncode is None:
            child.kill()
        code = await child.wait()
        said = await complaints
    if isinstance(outcome, InstalledLine):
        return outcome.version
    if outcome is None:
        silent = InstallInterrupted(exit_code=code, output=said)
        outcome = FailedLine(code=silent.code, detail=silent.detail, retryable=True, exit_code=code, output=said)
    raise InstallFailed(outcome)


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
            case ProgressLine(stage=stage, done=done, total=total):
                start, share = _SHARE[stage]
                fraction = start + share * (done / total if total else 1.0)
                on_progress(Progress(round(fraction, 3), f"{_WORDS[stage]}: {done} of {total} bytes"))
            case line:
                outcome = line
    return outcome


async def _read_tail(stream: asyncio.StreamReader | None) -> str:
    """Return the last 4 KiB of what a child complains of, reading all of it so that it never blocks."""
    assert stream is not None
    tail = b""
    while block := await stream.read(4096):
        tail = (tail + block)[-4096:]
    return tail.decode("utf-8", "replace")
