"""The portal by its keys alone."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from e2e.browser import sign_in
from e2e.stack import Stack

pytestmark = pytest.mark.real("chromium", "portal")


async def test_keys_lead_everywhere(page: Page, stack: Stack, vmid: int) -> None:
    """Pairs go to pages, `/` to the filter, `?` tells them all, and a field keeps its letters."""
    await sign_in(page, stack)
    await page.keyboard.press("g")
    await page.keyboard.press("k")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Catalog")
    await page.keyboard.press("g")
    await page.keyboard.press("p")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Platform")
    await page.keyboard.press("g")
    await page.keyboard.press("c")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Containers")
    await expect(page.get_by_test_id(f"container-{vmid}")).to_be_visible()
    await page.keyboard.press("/")
    field = page.get_by_label("Filter by text")
    await expect(field).to_be_focused()
    await page.keyboard.type("c?gp")
    await expect(field).to_have_value("c?gp")
    await expect(page.get_by_text("matches.")).to_be_visible()
    await field.fill("")
    await page.get_by_role("heading", level=1).click()
    await page.keyboard.press("?")
    await expect(page.get_by_test_id("keys")).to_contain_text("Find a container, a page or an act")
    await page.keyboard.press("c")
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("keys")).to_have_count(0)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Containers")


async def test_the_palette_finds_a_container_and_acts_on_it(page: Page, stack: Stack, vmid: int) -> None:
    """By number to its page, by a word to its tab, and what the terminal is sent stays the terminal's."""
    await sign_in(page, stack)
    await page.keyboard.press("Control+k")
    search = page.get_by_placeholder("A container, a page, an act…")
    await expect(search).to_be_focused()
    await page.keyboard.type(str(vmid))
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(rf"/containers/{vmid}$"))
    await expect(search).to_have_count(0)
    await page.keyboard.press("Control+k")
    await expect(search).to_be_focused()
    await page.keyboard.type("terminal")
    await expect(page.get_by_role("dialog").get_by_role("button").first).to_contain_text("Terminal")
    await expect(page.get_by_role("dialog").get_by_role("button")).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("terminal-state")).to_have_attribute("data-kind", "attached")
    await page.get_by_test_id("terminal").click()
    await page.keyboard.type("echo gc?\n")
    await expect(page.locator(".xterm-rows")).to_contain_text("echo gc?")
    await page.keyboard.press("Control+k")
    await expect(search).to_have_count(0)
    await page.get_by_title("Find a container, a page or an act").click()
    await expect(search).to_be_focused()
    await page.keyboard.type("no such thing")
    await expect(page.get_by_text("Nothing of that name.")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(search).to_have_count(0)


async def test_a_phone_has_room_for_the_frame(page: Page, stack: Stack) -> None:
    """Nothing of the frame stands beyond the edge, and the account is reached."""
    await page.set_viewport_size({"width": 390, "height": 780})
    await sign_in(page, stack)
    account = page.get_by_role("button", name="Account menu")
    box = await account.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390
    await account.click()
    await expect(page.get_by_role("menuitem", name="Sign out")).to_be_visible()
