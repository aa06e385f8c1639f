"""Supervised processes through the public API: declared, watched, crashed, stopped, killed, forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from e2e.stack import WAIT_S, Stack
from e2e.test_console import view

COUNTING = ["/bin/sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done"]


@pytest.fixture
def path(vmid: int) -> str:
    """Where the process `web` of a container is asked for."""
    return path_in(vmid)


def path_in(vmid: int) -> str:
    return f"/api/containers/{vmid}/processes/web"


async def put(stack: Stack, path: str, *argv: str, **more: object) -> dict[str, Any]:
    """Declare it."""
    status, process = await stack.call("PUT", path, {"argv": argv, **more})
    assert status in {200, 201}, process
    return dict(process)


async def until(stack: Stack, path: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the process once what is seen of it is so."""
    process: dict[str, Any] = {}
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                # The API may be one of the programs that were killed.
                with contextlib.suppress(aiohttp.ClientError):
                    code, process = await stack.call("GET", path)
                    if code == 200 and process["status"] and is_so(process["status"]):
                        return process
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"still {process}") from None


async def order(stack: Stack, path: str, verb: str) -> tuple[int, Any]:
    """Ask for something to be done with it."""
    return await stack.call("POST", f"{path}/{verb}")


async def test_a_process_is_declared_watched_stopped_and_forgotten(stack: Stack, path: str) -> None:
    """It stays stopped while agent and API are killed; its output can be read and searched meanwhile."""
    vmid = int(path.split("/")[3])
    process = await put(stack, path, *COUNTING)
    assert (process["power"], process["argv"]) == ("on", COUNTING)
    await until(stack, path, lambda _seen: True)
    async with view(stack, vmid, start=0, path="processes/web/console") as viewer:
        await viewer.until(b"line 30\r\n")
    assert viewer.data.startswith(b"line 1\r\nline 2\r\n")
    running = await until(stack, path, lambda seen: seen["state"] == "running")

    assert (await order(stack, path, "stop"))[0] == 202
    stopped = await until(stack, path, lambda seen: seen["state"] == "stopped")
    assert stopped["status"]["signal"] == "SIGTERM"
    stack.kill("agent")
    await stack.wait_status(vmid, "connection", wanted="online")
    await until(stack, path, lambda seen: seen["state"] == "stopped")
    async with asyncio.timeout(WAIT_S):
        # The report that says online may be from just before the agent was killed.
        while (found := await stack.call("GET", f"{path}/console/history?from=0&q=line%2030"))[0] != 200:
            assert found[1]["code"] == "agent_unreachable"
            await asyncio.sleep(0.1)
    assert found[1]["matches"]

    await order(stack, path, "start")
    again = await until(stack, path, lambda seen: seen["state"] == "running")
    assert again["status"]["pid"] != running["status"]["pid"]
    assert (await stack.call("DELETE", path))[0] == 204
    assert (await stack.call("GET", path))[0] == 404
    await stack.wait_status(vmid, "processes", wanted=[])


async def test_a_crash_is_told_waits_and_is_tried_again_when_somebody_says_so(stack: Stack, path: str) -> None:
    """The reason and the next start are in the status; so is that it was given up."""
    await put(stack, path, "/bin/sh", "-c", "echo dead; exit 3")
    process = await until(stack, path, lambda seen: seen["state"] == "backoff")
    seen = process["status"]
    assert (seen["exitCode"], seen["restarts"], seen["reason"]["code"]) == (3, 1, "crashed")
    assert seen["nextRestartAt"] is not None
    assert (await order(stack, path, "retry"))[0] == 202
    await until(stack, path, lambda seen: seen["state"] == "backoff" and seen["restarts"] == 2)
    assert (await order(stack, path, "give-up"))[0] == 202
    await until(stack, path, lambda seen: seen["state"] == "error")
    status, problem = await order(stack, path, "give-up")
    assert (status, problem["code"]) == (409, "nothing_to_retry")


async def test_a_killed_process_stays_down(stack: Stack, path: str) -> None:
    """Whoever asks for it to be killed has it switched off."""
    await put(stack, path, "/bin/sh", "-c", "trap '' TERM HUP; echo up; while :; do sleep 1; done")
    await until(stack, path, lambda seen: seen["state"] == "running")
    assert (await order(stack, path, "kill"))[0] == 202
    process = await until(stack, path, lambda seen: seen["state"] == "stopped")
    assert (process["power"], process["status"]["signal"]) == ("off", "SIGKILL")
    status, problem = await order(stack, path, "restart")
    assert (status, problem["code"]) == (409, "process_switched_off")
    status, problem = await order(stack, path, "kill")
    assert (status, problem["code"]) == (409, "process_not_running")


async def test_a_bad_definition_is_refused_and_nothing_is_stored(stack: Stack, path: str) -> None:
    """Each with its code and the field in the message."""
    for body, word in (
        ({}, "argv"),
        ({"argv": []}, "argv"),
        ({"argv": ["a\0"]}, "NUL"),
        ({"argv": ["a"], "policy": {"restart": {"wehn": "always"}}}, "wehn"),
        ({"argv": ["a"], "policy": {"restart": {"delaysS": [-1]}}}, "delaysS"),
        ({"argv": ["a"], "policy": {"ports": [70000]}}, "ports"),
    ):
        status, problem = await stack.call("PUT", path, body)
        assert (status, problem["code"]) == (400, "invalid_body"), body
        assert word in problem["detail"]
    # Of the right shape, and of no use.
    status, problem = await stack.call("PUT", path, {"argv": ["a"], "folder": "../.."})
    assert (status, problem["code"]) == (422, "process_unusable")
    for name in ("Web", "a" * 33, "-a", "a_b", "a%2Fb"):
        status, problem = await stack.call("PUT", path.replace("/web", f"/{name}"), {"argv": ["a"]})
        assert status in {404, 422}, name
    assert (await stack.call("GET", path.removesuffix("/web")))[1] == {"items": []}
    assert (await order(stack, path, "start"))[0] == 404


async def test_a_container_that_is_stopped_lets_its_processes_save(stack: Stack, own_vmid: int) -> None:
    """By their own stop command and in their own time; the next start runs them at once, and that was no crash."""
    path = path_in(own_vmid)
    saving = "while read line; do [ $line = save ] && { sleep 4; echo done > saved; exit 0; }; done"
    stop = {"command": "save", "commandGraceS": 30}
    await put(stack, path, "/bin/sh", "-c", saving, policy={"stop": stop})
    before = await until(stack, path, lambda seen: seen["state"] == "running")
    container = path.rpartition("/processes")[0]
    await stack.call("POST", f"{container}/restart")
    after = await until(stack, path, lambda seen: seen["state"] == "running" and seen["pid"] != before["status"]["pid"])
    assert (after["status"]["restarts"], after["status"]["reason"]) == (0, None)
    saved = stack.home / f"containers/{own_vmid}/root/home/dev/workspace/saved"
    assert saved.read_text() == "done\n"


async def test_a_wish_can_be_followed_from_the_public_edge_to_the_shim(stack: Stack, path: str) -> None:
    """One request id in the lines of API, agent and shim; what happens later by itself does not carry it."""
    vmid = path.split("/")[3]
    asked, again = "follow-the-declaration", "follow-the-restart"
    code, _ = await stack.call("PUT", path, {"argv": COUNTING}, request_id=asked)
    assert code == 201
    before = await until(stack, path, lambda seen: seen["state"] == "running")
    code, _ = await stack.call("POST", f"{path}/restart", request_id=again)
    assert code == 202
    await until(stack, path, lambda seen: seen["state"] == "running" and seen["pid"] != before["status"]["pid"])
    log = stack.home / f"containers/{vmid}/root/var/log/zlh-agent.log"
    shim = stack.home / f"containers/{vmid}/root/var/lib/zlh/processes/web/shim.log"
    lines = {"api": stack.home / "logs/api.log", "agent": log, "shim": shim}

    def said(who: str, request_id: str) -> set[str]:
        found = map(json.loads, lines[who].read_text().splitlines())
        return {line["msg"] for line in found if line.get("request_id") == request_id}

    # Each writes its line when it is done, which may be after the next one has answered.
    for who, request_id, wanted in (
        ("api", asked, {"request.served", "step.done"}),
        ("agent", asked, {"request.served", "spec.accepted", "process.state_changed"}),
        ("shim", asked, {"child.started"}),
        ("agent", again, {"request.served", "process.state_changed"}),
        ("shim", again, {"child.stopping", "child.started"}),
    ):
        async with asyncio.timeout(WAIT_S):
            while not said(who, request_id) >= wanted:
                await asyncio.sleep(0.05)
    assert said("shim", asked) == {"child.started"}
    await stack.call("POST", f"{path}/stop")
    await until(stack, path, lambda seen: seen["state"] == "stopped")
    stopped = [json.loads(line) for line in log.read_text().splitlines()][-1]
    assert stopped.get("request_id") not in {asked, again}


async def test_what_a_process_does_and_uses_can_be_read_afterwards(stack: Stack, own_vmid: int) -> None:
    """Its crashes, once each and in order, though agent and API are killed meanwhile; its figures, now and before."""
    path = path_in(own_vmid)
    container = path.rpartition("/processes")[0]
    delays = {"policy": {"restart": {"delaysS": [1, 1, 1]}}}
    await put(stack, path, "/bin/sh", "-c", "echo dead; exit 3", **delays)
    await until(stack, path, lambda seen: seen["state"] == "backoff")
    for program in ("agent", "api"):
        stack.kill(program)
    # Returns once the API is back and hears the agent.
    await stack.wait_ready(own_vmid)
    await until(stack, path, lambda seen: seen["state"] == "error")
    told = await read_events(stack, container, "process.gave_up")
    about_web = [entry for entry in told if entry["subject"] == "web"]
    ends = [entry for entry in about_web if entry["kind"] == "process.exited"]
    assert [entry["data"]["code"] for entry in ends] == [3, 3, 3, 3]
    assert about_web[-1]["data"] == {"code": "crashed", "restarts": 3}
    assert "runtime.installed" in {entry["kind"] for entry in told}
    assert [entry["at"] for entry in ends] == sorted(entry["at"] for entry in ends)

    await put(stack, path, "/bin/sh", "-c", "while :; do :; done")
    await order(stack, path, "start")
    await until(stack, path, lambda seen: seen["state"] == "running")
    async with asyncio.timeout(WAIT_S):
        while True:
            status, metrics = await stack.call("GET", f"{container}/metrics")
            if status == 200 and metrics["processes"] and metrics["processes"][0]["usage"]["cpuS"] > 0.2:
                break
            await asyncio.sleep(0.2)
    assert (metrics["processes"][0]["name"], metrics["container"]["source"]) == ("web", "processes")
    async with asyncio.timeout(WAIT_S):
        while not (page := (await stack.call("GET", f"{container}/metrics/history"))[1])["items"]:
            await asyncio.sleep(0.2)
    assert page["items"][0]["container"]["memoryBytes"] > 0


async def read_events(stack: Stack, container: str, until_kind: str) -> list[dict[str, Any]]:
    """Return the history, oldest first, once a kind is in it; that an agent came back may stand behind it."""
    async with asyncio.timeout(WAIT_S):
        while True:
            status, page = await stack.call("GET", f"{container}/events?limit=200")
            if status == 200 and until_kind in {entry["kind"] for entry in page["items"]}:
                return list(reversed(page["items"]))
            await asyncio.sleep(0.2)
