"""A program that does one piece of work and ends: what is heavy or may break is kept out of the API's own process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Finished:
    """How it ended and what it said; `code` is minus the signal's number where a signal ended it."""

    code: int
    out: bytes
    err: bytes


async def run_child(
    command: Sequence[str],
    *,
    timeout_s: float,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Finished:
    """Run a program to its end; raise TimeoutError where that takes longer. It is gone whenever this returns or raises.

    Everything it says is kept in memory, so it is for programs of ours or of the project's own tools.
    """
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=cwd, env=env)
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await child.communicate(stdin)
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    return Finished(child.returncode or 0, out, err)
