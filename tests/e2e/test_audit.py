"""`zlh-api audit` beside the running platform, what hands do behind its back, and the page that tells of it."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from playwright.async_api import Page, expect

from e2e.browser import sign_in
from e2e.stack import Stack

# Whatever is not as it should be is put right by then.
REPAIR_S = 60


async def audit(stack: Stack, *arguments: str) -> tuple[int, str]:
    """Run the command as a person beside the platform does; return its exit code and what it printed."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "zlh_api",
        "audit",
        *arguments,
        env=stack.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, _ = await child.communicate()
    assert child.returncode is not None
    return child.returncode, out.decode()


async def wait_for(is_so: Callable[[], bool]) -> None:
    """Return once it is so."""
    async with asyncio.timeout(REPAIR_S):
        while not await asyncio.to_thread(is_so):
            await asyncio.sleep(0.1)


def route_of(stack: Stack, vmid: int) -> Path:
    """Return where the route file of a container is."""
    return stack.home / "routes" / f"dev-{vmid}.yml"


async def test_the_audit_is_clean_after_a_life_of_containers(stack: Stack) -> None:
    """Made, published, switched off and on, and deleted: books and world agree at each stop."""
    first, second = await stack.create_ready(), await stack.create_ready()
    status, _ = await stack.call("POST", f"/api/containers/{first}/exposures", {"port": 3000, "visibility": "public"})
    assert status == 201
    await stack.wait_ready(first)
    await stack.call("POST", f"/api/containers/{second}/stop")
    await stack.wait_status(second, "lifecycle", wanted="stopped")
    code, printed = await audit(stack)
    assert code == 0, printed
    assert (await audit(stack, "names"))[0] == 0
    await stack.call("POST", f"/api/containers/{second}/start")
    await stack.wait_ready(second)
    await stack.delete(first)
    await stack.delete(second)
    code, printed = await audit(stack)
    assert code == 0, printed
    assert "as it should be" in printed


async def test_what_hands_do_is_undone_within_a_minute(stack: Stack, own_vmid: int) -> None:
    """A route file that was edited or deleted, and a guest that was killed and taken away."""
    file, folder = route_of(stack, own_vmid), stack.home / "containers" / str(own_vmid)
    text = await asyncio.to_thread(file.read_text)
    await asyncio.to_thread(file.write_text, text.replace("127.", "192."))
    await wait_for(lambda: file.exists() and file.read_text() == text)
    await asyncio.to_thread(file.unlink)
    await wait_for(lambda: file.exists() and file.read_text() == text)
    await asyncio.to_thread(take_away, stack, folder)
    await wait_for((folder / "guest.json").exists)
    await stack.wait_ready(own_vmid)
    code, printed = await audit(stack)
    assert code == 0, printed


def take_away(stack: Stack, folder: Path) -> None:
    """Take the folder of a guest away and end every process of it, before anybody can begin another."""
    taken = stack.home / "taken"
    of_guest = [process for process in stack.processes() if f"{folder}/" in _line(process)]
    folder.rename(taken)
    for process in of_guest:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(of_guest, timeout=REPAIR_S)
    # What was being started at that moment goes by itself, and may write until then.
    due = time.monotonic() + REPAIR_S
    while taken.exists():
        shutil.rmtree(taken, ignore_errors=time.monotonic() < due)


def _line(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


async def test_an_orphan_is_told_to_operators_and_removed_when_a_person_says_so(stack: Stack, page: Page) -> None:
    """The page names it as it appears; the command takes it away; the page says that all is well, and since when."""
    owner, folder = str(uuid4()), stack.home / "containers" / "900000001"
    await sign_in(page, stack)
    await page.get_by_role("link", name="Platform").click()
    await expect(page.get_by_test_id("standing")).to_contain_text("All is as it should be")
    await expect(page.get_by_test_id("last-look")).to_contain_text("Last look")
    await asyncio.to_thread(put_orphan, folder, owner)
    await page.get_by_role("button", name="Look now").click()
    await expect(page.get_by_test_id("kind-orphan")).to_contain_text(owner)
    await expect(page.get_by_test_id("standing")).to_contain_text("One thing is not as it should be")
    code, printed = await audit(stack, "--json")
    told: dict[str, Any] = json.loads(printed)
    assert (code, [finding["owner"] for finding in told["report"]["findings"]]) == (1, [owner])
    assert await audit(stack, "remove", owner) == (0, f"removed {folder}\n")
    assert not folder.exists()
    await page.get_by_role("button", name="Look now").click()
    await expect(page.get_by_test_id("standing")).to_contain_text("All is as it should be")


def put_orphan(folder: Path, owner: str) -> None:
    """Make a guest with a mark that no container has, all of it in one moment."""
    made = folder.parents[1] / "made"
    made.mkdir()
    (made / "guest.json").write_text(json.dumps({"owner": owner}))
    made.rename(folder)
