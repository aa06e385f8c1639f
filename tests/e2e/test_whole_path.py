"""The path of a customer through the running platform: everything real, everything through public doors."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from e2e.stack import NODE, Stack
from fakes.deep_tree import make_deep_tree

ROOT = Path(__file__).parents[2]


async def test_the_demo_shows_the_whole_path(stack: Stack) -> None:
    """Create, install, terminal, publish, fetch through the proxy, delete, nothing left: what `make demo` does."""
    demo = await asyncio.create_subprocess_exec(
        sys.executable,
        ROOT / "deploy/demo/demo.py",
        env=stack.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await demo.communicate()
    assert demo.returncode == 0, printed.decode()
    # The older one, the upgrade, and back.
    versions = re.findall(r"^  (v\d+\.\d+\.\d+)\s*$", printed.decode(), re.MULTILINE)
    assert versions == ["v22.20.0", "v24.19.0", "v22.20.0"], printed.decode()


async def test_several_containers_at_once_get_addresses_of_their_own(stack: Stack) -> None:
    """Five customers' wishes at the same moment, with two runtimes."""
    go = {"kind": "dev", "runtime": "go", "version": "1"}
    vmids = await asyncio.gather(*(stack.create(wish) for wish in (NODE, go, NODE, go, NODE)))
    reports = await asyncio.gather(*map(stack.wait_ready, vmids))
    assert len({report["hostname"] for report in reports}) == len(vmids)
    assert [report["runtimes"][0]["name"] for report in reports] == ["node", "go", "node", "go", "node"]
    assert all(runtime["verified"] for report in reports for runtime in report["runtimes"])
    await asyncio.gather(*map(stack.delete, vmids))


async def test_the_portals_name_leads_to_the_portal(stack: Stack) -> None:
    """Through the proxy, as a browser goes, the API answers at the portal's host."""
    host = stack.dev["portalUrl"].split("//")[1]
    async with aiohttp.ClientSession() as session:
        url = stack.dev["traefikUrl"] + "/api/version"
        async with session.get(url, headers={"Host": host}) as answer:
            assert answer.status == 200
        async with session.get(stack.dev["traefikUrl"], headers={"Host": "nobody.localhost"}) as answer:
            assert answer.status == 404


async def test_a_container_that_is_off_comes_back_with_its_files(stack: Stack) -> None:
    """Stop and start through the API; what the customer wrote stays."""
    vmid = await stack.create()
    await stack.wait_ready(vmid)
    kept = next((stack.home / "containers" / str(vmid)).rglob("workspace*"), None)
    assert kept is not None, "no workspace folder"
    (kept / "mine.txt").write_text("kept")
    await stack.call("POST", f"/api/containers/{vmid}/stop")
    await stack.wait_status(vmid, "lifecycle", wanted="stopped")
    await stack.call("POST", f"/api/containers/{vmid}/start")
    await stack.wait_ready(vmid)
    assert (kept / "mine.txt").read_text() == "kept"
    await stack.delete(vmid)


async def test_whatever_a_customer_makes_of_the_files_the_container_can_be_deleted(stack: Stack) -> None:
    """Folders that may not be written, as go's module cache has them, and a path beyond all lengths."""
    vmid = await stack.create()
    await stack.wait_ready(vmid)
    workspace = stack.home / "containers" / str(vmid) / "root/home/dev/workspace"
    (workspace / "go/pkg/mod").mkdir(parents=True)
    (workspace / "go/pkg/mod/file").touch()
    (workspace / "go/pkg/mod").chmod(0o500)
    (workspace / "go/pkg").chmod(0)
    make_deep_tree(workspace)
    await stack.delete(vmid)


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"kind": "dev", "runtime": "node", "version": "25"}, 422, "cannot_install"),
        ({"kind": "dev", "runtime": "nod", "version": "24"}, 422, "cannot_install"),
        ({"kind": "dev"}, 422, "runtime_missing"),
        ({"kind": "toaster", "runtime": "node"}, 400, "invalid_body"),
        ({**NODE, "name": "../etc"}, 400, "invalid_body"),
        ({**NODE, "surprise": 1}, 400, "invalid_body"),
        (["not", "an", "object"], 400, "invalid_body"),
    ],
)
async def test_a_bad_wish_is_refused_and_leaves_nothing(stack: Stack, wish: object, status: int, code: str) -> None:
    """A stable code and a sentence; no container comes of it."""
    _, before = await stack.call("GET", "/api/containers")
    found, answer = await stack.call("POST", "/api/containers", wish)
    assert (found, answer["code"]) == (status, code)
    assert len(answer["detail"]) > 20
    assert (await stack.call("GET", "/api/containers"))[1] == before


async def test_ctrl_c_stops_everything_and_a_start_brings_it_back(stack: Stack) -> None:
    """No process is left after it; containers, runtimes and the login are there again, fast."""
    vmid, token = await stack.create(), stack.dev["adminToken"]
    await stack.wait_ready(vmid)
    assert await stack.stop(signal.SIGINT) == 0
    assert await asyncio.to_thread(stack.processes) == []
    assert not (stack.home / "dev.json").exists()
    await stack.start()
    assert stack.dev["adminToken"] == token
    report = await stack.wait_ready(vmid)
    assert [step["name"] for step in report["steps"] if step["state"] == "failed"] == []
    await stack.delete(vmid)
