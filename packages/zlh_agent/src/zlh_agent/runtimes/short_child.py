"""Children that check or remove one version: an order on standard input, one line as the answer, and an end.

An install is followed line by line and ended gently instead (`installer.py`), since it has programs of its own to end.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from zlh_agent.runtimes.errors import RuntimeChildFailed
from zlh_agent.runtimes.model import FailedLine, RemovedLine, ShortChildLine, VerifiedLine

# Three hundred names of files, and what JSON makes of their letters.
MAX_ANSWER_BYTES = 1024 * 1024
COMPLAINT_BYTES = 4096


async def run_short_child(module: str, order: msgspec.Struct, *, limit_s: float) -> VerifiedLine | RemovedLine:
    """Return the answer; raise RuntimeChildFailed. Cancelling kills the child."""
    try:
        child = await _start(module)
    except OSError as error:
        detail = f"The child cannot be started: {error}."
        raise RuntimeChildFailed(reason_code=RuntimeChildFailed.code, message=detail) from error
    complaints = asyncio.create_task(read_last_words(child.stderr))
    said = b""
    try:
        async with asyncio.timeout(limit_s):
            said = await _ask(child, msgspec.json.encode(order))
            await child.wait()
        answer: ShortChildLine = msgspec.json.decode(said, type=ShortChildLine)
    except (TimeoutError, OSError, ValueError) as error:
        # A MsgspecError is a ValueError. It is stuck, killed, or says what no child of ours says.
        answer = FailedLine(code=RuntimeChildFailed.code, detail=repr(error), retryable=True)
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        tail = await complaints
    if isinstance(answer, FailedLine):
        detail = f"{answer.detail} {tail}".strip()
        raise RuntimeChildFailed(reason_code=answer.code, message=detail, may_pass=answer.retryable)
    return answer


async def _start(module: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


async def _ask(child: asyncio.subprocess.Process, order: bytes) -> bytes:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(order)
    child.stdin.close()
    said = b""
    while block := await child.stdout.read(64 * 1024):
        said += block
        if len(said) > MAX_ANSWER_BYTES:
            raise ValueError("its answer is too long")
    return said


async def read_last_words(stream: asyncio.StreamReader | None) -> str:
    """Return the end of what a child complains of, 4 KiB; all of it is read, so that the child never blocks."""
    assert stream is not None
    tail = b""
    while block := await stream.read(COMPLAINT_BYTES):
        tail = (tail + block)[-COMPLAINT_BYTES:]
    return tail.decode("utf-8", "replace")
