"""Starts each kind of shell as the customer would, in a unit of systemd that bounds its time, memory and processes.

A shell reads what the customer has written, so all of it may do anything that the customer may: hang, fork, print
without end. Each has a unit of its own, as the customer's user and without a way to more rights, which ends with
everything in it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from zlh_agent.shells.probe_rules import Mode, Question, Ran, judge, render_command
from zlh_common.schema.shells import ShellCheck

log = structlog.get_logger()
# How long a shell may take to read its files: a machine may be busy, and nobody looks again before the next change.
LIMIT_S = 20.0
# So many at once: one that hangs holds up few others.
AT_ONCE = 3
# Until systemd has ended what it should have.
GRACE_S = 15.0
MAX_OUTPUT_BYTES = 1024 * 1024
# Of that the end is kept, where ours is.
TAIL_BYTES = 128 * 1024
PROPERTIES = {
    "TasksMax": "64",
    "MemoryMax": "512M",
    "TimeoutStopSec": "1",
    "KillMode": "control-group",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "LimitCORE": "0",
    "Nice": "5",
}

# (command, user, home, seconds) → what came of it.
Run = Callable[[Sequence[str], str, str, float], Awaitable[Ran]]


async def probe(modes: Sequence[Mode], question: Question, *, user: str, home: str, run: Run) -> list[ShellCheck]:
    """Return what each mode finds, in their order; few at a time, since nobody waits and it should not be felt."""
    seats = asyncio.Semaphore(AT_ONCE)

    async def look(mode: Mode) -> ShellCheck:
        token = f"zlh-{secrets.token_hex(8)}"
        async with seats:
            ran = await run(render_command(mode, question, token), user, home, LIMIT_S)
        return judge(mode, ran, question, token)

    async with asyncio.TaskGroup() as group:
        looks = [group.create_task(look(mode)) for mode in modes]
    return [each.result() for each in looks]


async def run_in_unit(command: Sequence[str], user: str, home: str, limit_s: float) -> Ran:
    """Run a command as `user` in a transient unit; it and all that it has started have ended after this."""
    unit = f"zlh-shells-{secrets.token_hex(6)}.service"
    properties = {**PROPERTIES, "User": user, "WorkingDirectory": f"-{home}", "RuntimeMaxSec": f"{limit_s:.0f}"}
    options = [f"--property={name}={value}" for name, value in properties.items()]
    # systemd puts variables of its own in the place of what a command names with one $.
    literal = [argument.replace("$", "$$") for argument in command]
    try:
        starter = await asyncio.create_subprocess_exec(
            "systemd-run", "--quiet", "--collect", "--pipe", "--wait", f"--unit={unit}", *options, "--", *literal,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            cwd="/", start_new_session=True,
        )  # fmt: skip
    except OSError as exc:
        return Ran("", failure=exc.strerror or str(exc))
    try:
        ran = await _follow(starter, limit_s)
    except asyncio.CancelledError:
        # The agent goes, and waits for nobody; the unit ends by itself when its time is over.
        with suppress(ProcessLookupError):
            starter.kill()
        raise
    if starter.returncode is None:
        await _end(unit, starter)
    return ran


async def _follow(starter: asyncio.subprocess.Process, limit_s: float) -> Ran:
    assert starter.stdout is not None
    loop = asyncio.get_running_loop()
    begun = loop.time()
    tail, size = b"", 0
    try:
        async with asyncio.timeout(limit_s + GRACE_S):
            while block := await starter.stdout.read(64 * 1024):
                tail, size = (tail + block)[-TAIL_BYTES:], size + len(block)
                if size > MAX_OUTPUT_BYTES:
                    return Ran(_text(tail), is_too_loud=True)
            code = await starter.wait()
    except TimeoutError:
        return Ran(_text(tail), is_too_slow=True)
    return Ran(_text(tail), code, is_too_slow=code != 0 and loop.time() - begun >= limit_s)


async def _end(unit: str, starter: asyncio.subprocess.Process) -> None:
    """Kill what is left of a unit, and whoever waits for it."""
    for command in (("kill", "--signal=SIGKILL", unit), ("stop", unit)):
        with suppress(OSError, TimeoutError):
            ending = await asyncio.create_subprocess_exec(
                "systemctl", "--quiet", *command, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            try:
                async with asyncio.timeout(GRACE_S):
                    await ending.wait()
            except TimeoutError:
                ending.kill()
                await ending.wait()
    assert starter.stdout is not None
    with suppress(TimeoutError):
        # What waits in the pipe is read too: a program counts as ended only once that is closed.
        async with asyncio.timeout(GRACE_S):
            while await starter.stdout.read(TAIL_BYTES):
                pass
    with suppress(ProcessLookupError):
        starter.kill()
    await starter.wait()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
