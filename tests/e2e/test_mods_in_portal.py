"""A person who puts mods into a game server, with a mouse and a keyboard."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Locator, Page, expect

from e2e.browser import browser, page, sign_in
from e2e.game_with_mods import Blocks, blocks, blocks_on_offer, modrinth
from e2e.test_mods import offer
from fakes.modrinth import requires

__all__ = ["blocks", "blocks_on_offer", "browser", "modrinth", "page"]
pytestmark = [pytest.mark.real("chromium", "portal"), pytest.mark.timeout(900)]


async def test_mods_are_chosen_planned_changed_and_undone(page: Page, blocks: Blocks) -> None:
    """The version is chosen within a channel and the plan follows; pin, update, undo; a start that waits is told."""
    offer(blocks.modrinth)
    modrinth = blocks.modrinth
    modrinth.add_version("rival", 1, requires("barn", kind="incompatible"))
    modrinth.add_version("lost", 1, requires("nowhere"))
    await sign_in(page, blocks.stack)
    await page.goto(f"{blocks.stack.dev['portalUrl']}/containers/{blocks.vmid}")
    await page.get_by_role("tab", name="Mods").click()

    plan = await choose(page, "barn", "Install BARN")
    await expect(plan.get_by_test_id("mod-plan")).to_contain_text("Install BARN 2.0")
    await expect(plan.get_by_test_id("mod-plan")).to_contain_text("needed by BARN")
    await plan.get_by_text("Alpha", exact=True).click()
    await expect(plan.get_by_test_id("mod-plan")).to_contain_text("Install BARN 3.0")
    await choose_version(page, plan, "1.0")
    await expect(plan.get_by_test_id("mod-plan")).to_contain_text("Install BARN 1.0")
    await expect(plan.get_by_test_id("mod-plan")).to_contain_text("Install LIB 1.0")
    await carry_out(page, plan)
    await expect(page.get_by_test_id("mod-barn")).to_contain_text("1.0")
    assert blocks.names == ["barn-1.jar", "lib-1.jar"]
    await expect(page.get_by_role("list", name="Found mods")).to_contain_text("Installed")
    await page.get_by_role("button", name="Restart now").click()
    await expect(page.get_by_test_id("restart-offer")).to_have_count(0)

    plan = await choose(page, "rival", "Install RIVAL")
    await expect(plan.get_by_test_id("plan-obstacle")).to_contain_text("do not work together")
    await expect(plan.get_by_test_id("plan-obstacle")).to_contain_text("Remove or disable one of the two first.")
    await expect(plan.get_by_role("button", name="Do it")).to_be_disabled()
    await plan.get_by_role("button", name="Cancel").click()
    plan = await choose(page, "lost", "Install LOST")
    await expect(plan.get_by_test_id("plan-obstacle")).to_contain_text("Modrinth has no project nowhere")
    await plan.get_by_role("button", name="Cancel").click()

    barn = page.get_by_test_id("mod-barn")
    await barn.get_by_role("button", name="Pin", exact=True).click()
    await expect(barn).to_contain_text("Pinned")
    # What was pressed keeps the focus while it cannot be pressed.
    await expect(barn.get_by_role("button", name="Unpin")).to_be_focused()
    await barn.get_by_role("button", name="Update").click()
    plan = page.get_by_role("dialog")
    await expect(plan.get_by_test_id("plan-warning")).to_contain_text("stays at 1.0, since it is pinned")
    await plan.get_by_role("button", name="Cancel").click()
    await barn.get_by_role("button", name="Unpin").click()
    await expect(barn.get_by_role("button", name="Pin", exact=True)).to_be_enabled()
    await barn.get_by_role("button", name="Update").click()
    await expect(plan.get_by_test_id("mod-plan")).to_contain_text("Update BARN 1.0 to 2.0")
    await carry_out(page, plan)
    await expect(barn).to_contain_text("2.0")
    await page.get_by_role("button", name="Undo the last change").click()
    await expect(barn).to_contain_text("1.0")
    assert blocks.names == ["barn-1.jar", "lib-1.jar"]

    await asyncio.to_thread((blocks.folder / "mods/lib-1.jar").unlink)
    await page.get_by_role("button", name="Verify").click()
    lib = page.get_by_test_id("mod-lib")
    await expect(lib).to_contain_text("Missing")
    await lib.get_by_role("button", name="Repair").click()
    await expect(lib.get_by_role("button", name="Repair")).to_have_count(0)
    await expect(page.get_by_text("The change is made.")).to_be_visible()
    assert blocks.names == ["barn-1.jar", "lib-1.jar"]
    await see_a_start_that_waits(page, blocks)
    await page.get_by_role("tab", name="History").click()
    await expect(page.get_by_text("The last change of the mods was undone: updated BARN 2.0 to 1.0.")).to_be_visible()
    await expect(page.get_by_text("The mods were changed: repaired LIB 1.0.")).to_be_visible()


async def choose(page: Page, query: str, button: str) -> Locator:
    """Find a mod, and return the plan of its installation."""
    await page.get_by_test_id("mod-search").fill(query)
    await page.get_by_role("button", name=button, exact=True).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    return dialog


async def choose_version(page: Page, plan: Locator, version: str) -> None:
    """Choose one version by its name."""
    await plan.get_by_test_id("mod-version").click()
    await page.get_by_role("option", name=version, exact=True).click()


async def carry_out(page: Page, plan: Locator) -> None:
    """Do what a plan says, and wait until it is done."""
    await plan.get_by_role("button", name="Do it").click()
    await expect(page.get_by_text("The change is made.")).to_be_visible()


async def see_a_start_that_waits(page: Page, blocks: Blocks) -> None:
    """A server that crashes during a change is told to wait for it, and comes up by itself."""
    held = next(path for path in blocks.modrinth.files.contents if path.endswith("maps-2.jar"))
    blocks.modrinth.files.tricks[held] = "held"
    told = await blocks.ask("POST", "", {"install": [{"project": "maps"}]}, status=202)
    status = await blocks.stack.status(blocks.vmid)
    pid = next(process["pid"] for process in status["processes"] if process["name"] == "server")
    blocks.stack.kill_pid(pid)
    await page.get_by_role("tab", name="Game").click()
    await expect(page.get_by_text("It is started once the change of its mods is through.")).to_be_visible()
    report = await blocks.stack.status(blocks.vmid)
    assert (report["lifecycle"], report["ready"]) == ("starting", False)
    blocks.modrinth.files.released.set()
    while (await blocks.ask("GET", f"/changes/{told['id']}"))["state"] == "running":
        await asyncio.sleep(0.1)
    await blocks.stack.wait_ready(blocks.vmid)
    assert (await blocks.loads())[-1] == "3 mods: barn-1.jar lib-1.jar maps-2.jar"
    await expect(page.get_by_text("It is started once the change of its mods is through.")).to_have_count(0)
