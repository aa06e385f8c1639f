"""Ways within the pages of a container: what leads where, and what the address keeps."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, expect

from e2e.browser import sign_in, type_and_see
from e2e.stack import Stack

pytestmark = pytest.mark.real("chromium", "portal")
SERVER = "require('http').createServer((q,s)=>s.end('up')).listen(4555,process.env.HOST)"


async def test_publish_in_a_row_leads_into_the_form(page: Page, stack: Stack, vmid: int) -> None:
    """The form has the port, and its button the keyboard; one key more, and it is published."""
    status, answer = await stack.call("PUT", f"/api/containers/{vmid}/processes/up", {"argv": ["node", "-e", SERVER]})
    assert status < 300, answer
    await sign_in(page, stack)
    await page.goto(stack.dev["portalUrl"] + f"/containers/{vmid}/ports")
    await page.get_by_role("button", name="Publish port 4555").press("Enter")
    form = page.get_by_role("form", name="Publish port 4555")
    await expect(form.get_by_label("Port", exact=True)).to_have_value("4555")
    await expect(form.get_by_role("button", name="Publish", exact=True)).to_be_focused()
    await expect(form.get_by_role("button", name="Publish", exact=True)).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("exposure-4555")).to_be_visible()
    await expect(page.get_by_role("heading", name="Published ports")).to_be_focused()
    await expect(page.get_by_role("form", name="Publish a port")).to_be_visible()


async def test_the_address_says_which_terminal_is_open(page: Page, stack: Stack, vmid: int) -> None:
    """A reload comes back to it; the main one has no words in the address, and one that is closed leads there."""
    await sign_in(page, stack)
    attached = page.get_by_test_id("terminal-state")
    await page.goto(stack.dev["portalUrl"] + f"/containers/{vmid}/terminal")
    await expect(attached).to_have_attribute("data-kind", "attached")
    await page.get_by_role("button", name="New terminal").click()
    second = page.get_by_role("button", name="Terminal 2", exact=True)
    await expect(second).to_have_attribute("aria-pressed", "true")
    (known,) = [row["id"] for row in await terminals(stack, vmid) if row["id"] != "main"]
    await page.wait_for_url(f"**/containers/{vmid}/terminal?terminal={known}")
    await expect(attached).to_have_attribute("data-kind", "attached")
    await page.get_by_test_id("terminal").click()
    await type_and_see(page, "echo sec''ond", "second")
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(urlsplit(socket.url).path))
    await page.reload()
    await expect(second).to_have_attribute("aria-pressed", "true")
    await expect(page.locator(".xterm-rows")).to_contain_text("second")
    assert set(sockets) == {f"/api/containers/{vmid}/terminals/{known}"}
    await page.get_by_role("button", name="Main", exact=True).click()
    await page.wait_for_url(f"**/containers/{vmid}/terminal")
    await second.click()
    await page.wait_for_url(f"**/terminal?terminal={known}")
    await page.get_by_role("button", name="Close Terminal 2", exact=True).click()
    await page.wait_for_url(f"**/containers/{vmid}/terminal")
    await expect(page.get_by_role("button", name="Main", exact=True)).to_have_attribute("aria-pressed", "true")
    await page.goto(stack.dev["portalUrl"] + f"/containers/{vmid}/terminal?terminal={known}")
    await expect(page.get_by_role("button", name="Main", exact=True)).to_have_attribute("aria-pressed", "true")


async def test_closing_a_terminal_leaves_the_others_alone(page: Page, stack: Stack, vmid: int) -> None:
    """Whoever works in one goes on in it, and one that is gone already can be put away."""
    await sign_in(page, stack)
    await page.goto(stack.dev["portalUrl"] + f"/containers/{vmid}/terminal")
    for number in (2, 3):
        await page.get_by_role("button", name="New terminal").click()
        tab = page.get_by_role("button", name=f"Terminal {number}", exact=True)
        await expect(tab).to_have_attribute("aria-pressed", "true")
    third = parse_qs(urlsplit(page.url).query)["terminal"]
    await page.get_by_role("button", name="Close Terminal 2", exact=True).click()
    last = page.get_by_role("button", name="Terminal 2", exact=True)
    await expect(page.get_by_role("button", name="Terminal 3", exact=True)).to_have_count(0)
    await expect(last).to_have_attribute("aria-pressed", "true")
    assert parse_qs(urlsplit(page.url).query)["terminal"] == third
    assert (await stack.call("DELETE", f"/api/containers/{vmid}/terminals/{third[0]}"))[0] == 204
    await page.get_by_role("button", name="Close Terminal 2", exact=True).click()
    await expect(last).to_have_count(0)
    await expect(page.get_by_role("button", name="Main", exact=True)).to_have_attribute("aria-pressed", "true")


async def terminals(stack: Stack, vmid: int) -> list[dict[str, str]]:
    """Return the terminals of a container."""
    status, answer = await stack.call("GET", f"/api/containers/{vmid}/terminals")
    assert status == 200, answer
    found: list[dict[str, str]] = answer["items"]
    return found
