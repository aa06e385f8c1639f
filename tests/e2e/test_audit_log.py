"""The audit log of the running platform: an entry leads to the lines of every program, and the chains are whole."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable

import aiohttp
import pytest

from e2e.stack import WAIT_S, Stack
from e2e.test_processes import COUNTING, path_in, until
from zlh_common.schema.console_wire import SUBPROTOCOL


@pytest.fixture
async def path(stack: Stack, vmid: int) -> str:
    """Where a process that runs is asked for."""
    path = path_in(vmid)
    status, _ = await stack.call("PUT", path, {"argv": COUNTING})
    assert status == 201
    await until(stack, path, lambda seen: seen["state"] == "running")
    return path


async def entry_of(stack: Stack, act: str, request_id: str) -> dict[str, object]:
    """Return the entry of an act of this request, once it is there."""
    async with asyncio.timeout(WAIT_S):
        while True:
            _, page = await stack.call("GET", f"/api/audit-log?act={act}&limit=20")
            for entry in page["items"]:
                if entry["requestId"] == request_id:
                    return dict(entry)
            await asyncio.sleep(0.1)


def said(stack: Stack, vmid: int, request_id: str) -> dict[str, set[str]]:
    """Return what each program has written on behalf of a request."""
    logs = {
        "api": stack.home / "logs/api.log",
        "agent": stack.home / f"containers/{vmid}/root/var/log/zlh-agent.log",
    }
    lines = {who: map(json.loads, log.read_text().splitlines()) for who, log in logs.items()}
    return {
        who: {line["msg"] for line in found if line.get("request_id") == request_id} for who, found in lines.items()
    }


async def until_said(stack: Stack, vmid: int, request_id: str, is_so: Callable[[dict[str, set[str]]], bool]) -> None:
    """Return once it is so: each program writes its line when it is done, which may be after another has answered."""
    async with asyncio.timeout(WAIT_S):
        while not is_so(said(stack, vmid, request_id)):
            await asyncio.sleep(0.05)


async def test_a_kill_can_be_followed_from_the_audit_log_to_the_agent(stack: Stack, path: str, vmid: int) -> None:
    """One id in the entry, in the answer, and in the lines of API and agent."""
    asked = "follow-the-kill"
    status, _ = await stack.call("POST", f"{path}/kill", request_id=asked)
    assert status == 202
    entry = await entry_of(stack, "process.kill", asked)
    assert (entry["outcome"], entry["subject"], entry["details"]) == ("done", f"container {vmid}", {"process": "web"})
    await until(stack, path, lambda seen: seen["state"] == "stopped")
    wanted = {"api": {"request.served"}, "agent": {"request.served", "process.state_changed"}}
    await until_said(stack, vmid, asked, lambda found: all(found[who] >= words for who, words in wanted.items()))


async def test_a_console_can_be_followed_from_the_audit_log_to_the_agent(stack: Stack, path: str, vmid: int) -> None:
    """Its opening and its end have the id of the request that opened it."""
    asked = "follow-the-console"
    headers = {"Authorization": f"Bearer {stack.dev['adminToken']}", "X-Request-Id": asked}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{stack.dev['apiUrl']}{path}/console", headers=headers, protocols=[SUBPROTOCOL]) as socket,
    ):
        await socket.receive(timeout=WAIT_S)
    opened, closed = await entry_of(stack, "console.open", asked), await entry_of(stack, "console.close", asked)
    assert (opened["outcome"], opened["status"], opened["details"]) == ("done", 101, {"process": "web"})
    assert closed["details"] == {"process": "web", "reason": "left"}
    await until_said(stack, vmid, asked, lambda found: all(found.values()))


async def test_the_chains_of_a_platform_that_runs_are_whole(stack: Stack, path: str) -> None:
    """As the command says that operators call, also after the API was killed."""
    stack.kill("api")
    await until(stack, path, lambda seen: seen["state"] == "running")
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "zlh_api", "audit-log", "verify"),
        env=stack.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await child.communicate()
    assert child.returncode == 0, told.decode()
    assert b"entries are as they were written" in told
