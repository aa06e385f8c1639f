"""A container whose agent was put out, and another program has its place, its key and its address."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from e2e.stack import WAIT_S, Stack
from fakes.hostile_words import TEXTS
from zlh_common.names import CONTAINER_MARK

TESTS = Path(__file__).parents[1]
PROGRAM = TESTS / "fakes/hostile_agent.py"
LOG = "hostile.log"


@pytest.fixture
async def hostile_vmid(stack: Stack, own_vmid: int, tmp_path: Path) -> AsyncIterator[int]:
    """A container with a process, of which a hostile program tells."""
    body = {"argv": ["/bin/sh", "-c", "exec sleep 1000", *TEXTS], "environment": {"TEXT": "".join(TEXTS)}}
    status, answer = await stack.call("PUT", f"/api/containers/{own_vmid}/processes/web", body)
    assert status < 300, answer
    status, answer = await stack.call(
        "POST", f"/api/containers/{own_vmid}/exposures", {"port": 3000, "visibility": "public"}
    )
    assert status < 300, answer
    async with taken_over(stack, own_vmid, tmp_path / LOG):
        await _go_up(stack, own_vmid)
        yield own_vmid


async def _go_up(stack: Stack, vmid: int) -> None:
    """Have a runtime that is the default, and one before it that is kept to go back to."""
    path = f"/api/containers/{vmid}/runtimes"
    older: dict[str, object] = {"name": "node", "version": "22", "default": True}
    for where, body in ((path, older), (f"{path}/node/upgrade", {"version": "24"})):
        status, answer = await stack.call("POST", where, body)
        assert status < 300, answer
        # Nothing is kept to go back to that was not in place when another came.
        async with asyncio.timeout(WAIT_S):
            while not await _has_default(stack, path, str(body["version"])):
                await asyncio.sleep(0.1)


async def _has_default(stack: Stack, path: str, version: str) -> bool:
    _, found = await stack.call("GET", path)
    return any(
        each["name"] == "node" and each["default"] and each["version"].startswith(f"{version}.")
        for each in found["runtimes"]
    )


@asynccontextmanager
async def taken_over(stack: Stack, vmid: int, log: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Have a container's agent be the hostile one, and return once the API hears that one; its log is at `log`."""
    config = stack.home / f"containers/{vmid}/root/etc/zlh/agent.toml"
    program = await asyncio.to_thread(_start, config, stack.owner_of(vmid), log)
    try:
        async with asyncio.timeout(WAIT_S):
            while not await _is_heard(stack, vmid):
                _end_agents(stack, vmid, but=program.pid)
                assert program.poll() is None, await asyncio.to_thread(log.read_text)
                await asyncio.sleep(0.2)
        yield program
    finally:
        program.kill()
        await asyncio.to_thread(program.wait)


def _start(config: Path, owner: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), "zlh_agent", "--config", str(config)],
            env={**os.environ, "PYTHONPATH": str(TESTS), CONTAINER_MARK: owner},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


async def _is_heard(stack: Stack, vmid: int) -> bool:
    report = await stack.status(vmid)
    return report["connection"] == "online" and "<img" in (report["agent"] or {"version": ""})["version"]


def _end_agents(stack: Stack, vmid: int, *, but: int) -> None:
    for agent in stack.programs("agent"):
        if agent.pid != but and _is_of(stack, vmid, agent):
            agent.kill()


def _is_of(stack: Stack, vmid: int, agent: psutil.Process) -> bool:
    try:
        return any(word.startswith(f"{stack.home}/containers/{vmid}/") for word in agent.cmdline())
    except psutil.Error:
        return False
