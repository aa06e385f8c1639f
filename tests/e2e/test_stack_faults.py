"""Programs of the running platform are killed while a container is on its way: it arrives, or says why not."""

from __future__ import annotations

import asyncio

import pytest

from e2e.stack import NODE, WAIT_S, Stack


@pytest.mark.parametrize("program", ["api", "agent", "artifacts", "traefik"])
@pytest.mark.parametrize("delay_s", [0.2, 0.7, 1.5])
async def test_a_program_killed_during_provisioning_comes_back_and_the_container_arrives(
    stack: Stack, program: str, delay_s: float
) -> None:
    """kill -9 at any moment costs time and nothing else."""
    vmid = await stack.create()
    await asyncio.sleep(delay_s)
    stack.kill(program)
    report = await stack.wait_ready(vmid)
    assert report["runtimes"][0]["version"] == "24.19.0"
    await stack.delete(vmid)


@pytest.mark.parametrize("program", ["api", "agent", "traefik"])
async def test_a_program_killed_during_deletion_leaves_nothing(stack: Stack, program: str) -> None:
    """The deletion goes on where it was."""
    vmid = await stack.create()
    await stack.wait_ready(vmid)
    status, _ = await stack.call("DELETE", f"/api/containers/{vmid}")
    assert status == 202
    stack.kill(program)
    async with asyncio.timeout(WAIT_S):
        while await asyncio.to_thread(stack.traces, vmid):
            await asyncio.sleep(0.1)
    await stack.wait_gone(vmid)


async def test_a_database_that_is_killed_is_one_clear_error_and_comes_back(stack: Stack) -> None:
    """Callers are told to try again; what was on its way arrives."""
    vmid = await stack.create()
    postmaster = int((stack.home / "postgres/cluster/postmaster.pid").read_text().split()[0])
    seen = set()
    stack.kill_pid(postmaster)
    async with asyncio.timeout(WAIT_S):
        while "database_unavailable" not in seen or 200 not in seen:
            status, answer = await stack.call("GET", "/api/containers")
            seen |= {status, answer.get("code")}
            await asyncio.sleep(0.02)
    assert seen <= {200, 503, None, "database_unavailable"}
    await stack.wait_ready(vmid)
    await stack.delete(vmid)


async def test_an_archive_that_was_changed_is_never_installed(stack: Stack) -> None:
    """One byte of it is another: the reason is shown, and nothing of it is kept."""
    (archive,) = (stack.home / "artifacts/archives").rglob("go-*.tar.zst")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    right = archive.read_bytes()
    archive.write_bytes(content)
    try:
        vmid = await stack.create({**NODE, "runtime": "go", "version": "1"})
        report = await stack.wait_status(vmid, "lifecycle", wanted="error")
        assert report["provisioningError"]["code"] == "artifact_hash_mismatch"
        assert not report["ready"]
        assert report["runtimes"] == []
        assert not list((stack.home / "containers" / str(vmid)).rglob("bin/go"))
    finally:
        archive.write_bytes(right)
    await stack.delete(vmid)
