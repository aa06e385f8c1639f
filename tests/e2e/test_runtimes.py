"""Runtimes of a container that exists, on the whole platform: real archives, real agents, real files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from e2e.browser import sign_in, type_and_see
from e2e.stack import WAIT_S, Stack

OLD, NEW = "22.20.0", "24.19.0"


class Runtimes:
    """The runtimes of one container through the API."""

    def __init__(self, stack: Stack, vmid: int) -> None:
        self.stack = stack
        self.vmid = vmid
        self.at = f"/api/containers/{vmid}/runtimes"
        self.folder = stack.home / "containers" / str(vmid) / "root/opt/zlh/runtimes"

    async def ask(self, method: str, path: str = "", body: object = None) -> Any:
        """Return the answer of a call that is taken."""
        status, answer = await self.stack.call(method, self.at + path, body)
        assert status in {200, 202}, answer
        return answer

    async def settle(self) -> dict[str, str]:
        """Return what is installed once nothing is left to do: versions with what they are."""
        said: dict[str, Any] = {}
        try:
            async with asyncio.timeout(WAIT_S):
                while True:
                    said = await self.ask("GET")
                    report = await self.stack.status(self.vmid)
                    if not said["pending"] and report["observedGeneration"] == report["specGeneration"]:
                        break
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"it never settled: {said}") from None
        return {
            f"{each['name']} {each['version']}": "default" * each["default"] + "previous" * each["previous"]
            for each in said["runtimes"]
        }

    def flip_byte(self, version: str) -> None:
        """Change one byte of an installed program, as a disk or a person would."""
        with (self.folder / f"node/{version}/bin/node").open("r+b") as file:
            file.seek(1_000_000)
            byte = file.read(1)
            file.seek(1_000_000)
            file.write(bytes([byte[0] ^ 1]))

    def current(self) -> str:
        """Return the version that the name `node` leads to."""
        return (self.folder / "node/current").resolve().name


async def eventually(check: Callable[[], Awaitable[bool]], what: str) -> None:
    """Return once `check` holds."""
    async with asyncio.timeout(WAIT_S):
        while not await check():
            await asyncio.sleep(0.1)
    assert await check(), what


@pytest.fixture
async def runtimes(stack: Stack, own_vmid: int) -> Runtimes:
    """The runtimes of a container that has node 24."""
    return Runtimes(stack, own_vmid)


async def test_a_version_goes_in_beside_up_back_is_repaired_and_goes_out(runtimes: Runtimes) -> None:
    """The container is ready all the while, and what is asked for is really on its disk."""
    assert await runtimes.settle() == {f"node {NEW}": "default"}
    await runtimes.ask("POST", body={"name": "node", "version": "22"})
    assert await runtimes.settle() == {f"node {OLD}": "", f"node {NEW}": "default"}
    assert runtimes.current() == NEW

    # Make the older one the default, so that there is something to upgrade to.
    await runtimes.ask("POST", body={"name": "node", "version": OLD, "default": True})
    assert await runtimes.settle() == {f"node {OLD}": "default", f"node {NEW}": "previous"}
    assert (await runtimes.ask("POST", "/node/upgrade"))["upgrades"] == []
    assert await runtimes.settle() == {f"node {OLD}": "previous", f"node {NEW}": "default"}
    await runtimes.ask("POST", "/node/rollback")
    assert await runtimes.settle() == {f"node {OLD}": "default", f"node {NEW}": "previous"}
    assert runtimes.current() == OLD
    assert (await runtimes.stack.status(runtimes.vmid))["ready"]

    assert (await runtimes.ask("POST", "/node/verify"))["verified"]
    await asyncio.to_thread(runtimes.flip_byte, OLD)
    found = await runtimes.ask("POST", "/node/verify", {"version": OLD})
    assert (found["verified"], found["changed"], found["missing"], found["added"]) == (False, ["bin/node"], [], [])
    await runtimes.stack.wait_status(runtimes.vmid, "degraded", wanted=["runtime_unverified"])
    await runtimes.ask("POST", f"/node/{OLD}/repair")
    await runtimes.settle()
    assert (await runtimes.ask("POST", "/node/verify"))["verified"]
    await runtimes.stack.wait_status(runtimes.vmid, "degraded", wanted=[])

    await runtimes.ask("DELETE", f"/node/{NEW}")
    assert await runtimes.settle() == {f"node {OLD}": "default"}
    assert not (runtimes.folder / "node" / NEW).exists()
    status, refused = await runtimes.stack.call("DELETE", f"{runtimes.at}/node/{OLD}")
    assert (status, refused["code"]) == (409, "last_runtime")


async def test_a_version_that_runs_is_not_removed(runtimes: Runtimes) -> None:
    """Who runs from it is named; once he has ended it goes."""
    await runtimes.ask("POST", body={"name": "node", "version": OLD})
    await runtimes.settle()
    program = str(runtimes.folder / f"node/{OLD}/bin/node")
    web = f"/api/containers/{runtimes.vmid}/processes/web"
    wish = {"argv": [program, "-e", "setInterval(() => {}, 1000)"]}
    assert (await runtimes.stack.call("PUT", web, wish))[0] == 201

    async def is_refused() -> bool:
        status, answer = await runtimes.stack.call("DELETE", f"{runtimes.at}/node/{OLD}")
        return status == 409 and answer["code"] == "runtime_in_use" and "web" in answer["detail"]

    async def runs() -> bool:
        report = await runtimes.stack.status(runtimes.vmid)
        return any(each["name"] == "web" and each["state"] == "running" for each in report["processes"])

    await eventually(runs, "it never ran")
    assert await is_refused()
    await runtimes.stack.call("DELETE", web)
    await runtimes.stack.wait_status(runtimes.vmid, "processes", wanted=[])
    await runtimes.ask("DELETE", f"/node/{OLD}")
    assert await runtimes.settle() == {f"node {NEW}": "default"}
    assert not await asyncio.to_thread(Path(program).exists)


@pytest.mark.real("chromium", "portal")
async def test_a_person_installs_upgrades_goes_back_and_repairs(page: Page, runtimes: Runtimes) -> None:
    """With a mouse: each step is seen as it happens, and a shell tells what the name leads to."""
    await sign_in(page, runtimes.stack)
    await page.goto(f"{runtimes.stack.dev['portalUrl']}/containers/{runtimes.vmid}/runtimes")
    old, new = page.get_by_test_id(f"version-node-{OLD}"), page.get_by_test_id(f"version-node-{NEW}")
    await expect(new).to_contain_text("Default")

    await page.get_by_role("button", name="Install a runtime").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Runtime", exact=True).click()
    await page.get_by_role("option", name="Node.js").click()
    await dialog.get_by_label("Version", exact=True).click()
    await page.get_by_role("option", name=OLD).click()
    await dialog.get_by_label("Make it the default").check()
    await dialog.get_by_role("button", name="Install").click()
    await expect(dialog).to_be_hidden()
    await expect(old.get_by_text("Verified")).to_be_visible()
    await expect(old.get_by_text("Default", exact=True)).to_be_visible()
    await expect(new.get_by_text("Previous")).to_be_visible()

    await page.get_by_role("button", name=f"Upgrade to {NEW}").click()
    await expect(new.get_by_text("Default", exact=True)).to_be_visible()
    await page.get_by_role("button", name=f"Roll back to {OLD}").click()
    await expect(old.get_by_text("Default", exact=True)).to_be_visible()
    await expect(new.get_by_text("Previous")).to_be_visible()

    await asyncio.to_thread(runtimes.flip_byte, OLD)
    await page.get_by_role("button", name=f"Verify node {OLD}").click()
    await expect(old.get_by_test_id("verification")).to_contain_text("bin/node")
    await page.get_by_role("button", name=f"Repair node {OLD}").click()
    await expect(old.get_by_text("Verified")).to_be_visible()

    await expect(page.get_by_role("button", name=f"Remove node {OLD}")).to_have_attribute("aria-disabled", "true")
    await page.get_by_role("button", name=f"Remove node {NEW}").click()
    await page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    await expect(new).to_be_hidden()

    await page.get_by_role("tab", name="Terminal").click()
    await expect(page.get_by_test_id("terminal-state")).to_have_attribute("data-kind", "attached")
    await page.get_by_test_id("terminal").click()
    await type_and_see(page, "node --version", f"v{OLD}")


@pytest.mark.real("chromium", "portal")
async def test_the_catalog_shows_what_is_offered(page: Page, stack: Stack) -> None:
    """By name, found by a search, and one click away from a container."""
    await sign_in(page, stack)
    await page.get_by_role("link", name="Catalog").click()
    await expect(page.get_by_test_id("offer-node")).to_contain_text(NEW)
    await expect(page.get_by_test_id("offer-go")).to_be_visible()
    await page.get_by_label("Search the catalog").fill("node 22")
    await expect(page.get_by_test_id("offer-go")).to_be_hidden()
    await expect(page.get_by_test_id(f"offered-{OLD}")).to_be_visible()
    await expect(page.get_by_test_id(f"offered-{NEW}")).to_be_hidden()
    await page.get_by_test_id("offer-node").get_by_role("link", name="Create container").click()
    await expect(page.get_by_role("combobox", name="Runtime")).to_have_value("Node.js")
