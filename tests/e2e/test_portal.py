"""A person at the portal, in a real browser, through the real proxy."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from e2e.stack import Stack

pytestmark = pytest.mark.real("chromium", "portal")
CHROMIUM = "/usr/bin/chromium"
# Chromium resolves *.localhost by itself; nothing of it leaves the machine.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A browser of its own for each test."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page on which no script fails and no rule of the page's own policy is broken."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on(
        "console",
        lambda message: failures.append(message.text) if "Content Security Policy" in message.text else None,
    )
    yield page
    assert failures == []


async def sign_in(page: Page, stack: Stack) -> None:
    """Come to the list of containers as the operator."""
    await page.goto(stack.dev["portalUrl"])
    await page.get_by_label("E-mail").fill(stack.dev["adminEmail"])
    await page.get_by_label("Password", exact=True).fill(stack.dev["adminPassword"])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Containers")


async def type_and_see(page: Page, command: str, wanted: str) -> None:
    """Type into the terminal that has the focus, and see it answer."""
    await page.keyboard.type(command + "\n")
    await expect(page.locator(".xterm-rows")).to_contain_text(wanted)


async def test_a_wrong_password_is_told(page: Page, stack: Stack) -> None:
    """The reason stands in the form, and nobody is signed in."""
    await page.goto(stack.dev["portalUrl"])
    await page.get_by_label("E-mail").fill(stack.dev["adminEmail"])
    await page.get_by_label("Password", exact=True).fill("not it")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_test_id("problem")).to_be_visible()
    await expect(page.get_by_label("E-mail")).to_be_visible()


async def test_the_whole_path_of_a_customer(page: Page, stack: Stack) -> None:
    """Sign in, create, watch, use the terminal, publish a port, open it, delete: with a mouse and a keyboard."""
    await sign_in(page, stack)
    await page.get_by_role("link", name="Create container").first.click()
    await page.get_by_label("Name").fill("from the browser")
    await page.get_by_role("button", name="Create container").click()
    await expect(page.get_by_test_id("steps")).to_be_visible()
    await expect(page.get_by_test_id("step-check-ready")).to_have_attribute("data-state", "done")
    found = re.search(r"/containers/(\d+)", page.url)
    assert found is not None
    vmid = int(found[1])

    await page.get_by_role("tab", name="Terminal").click()
    await expect(page.get_by_test_id("terminal-state")).to_have_attribute("data-kind", "attached")
    await page.get_by_test_id("terminal").click()
    await type_and_see(page, "node --version", "v24.")
    page_source = "require('http').createServer((q,s)=>s.end('<h1>it works</h1>')).listen(4000,process.env.HOST)"
    await type_and_see(page, f'node -e "{page_source}" & echo start""ed', "started")

    await page.get_by_role("tab", name="Ports").click()
    await page.get_by_label("Port", exact=True).fill("4000")
    await page.get_by_role("button", name="Publish", exact=True).click()
    exposure = page.get_by_test_id("exposure-4000")
    address = await exposure.get_by_role("link").first.get_attribute("href")
    assert address is not None
    visitor = await page.context.new_page()
    await open_published(visitor, address)
    await expect(visitor.locator("h1")).to_have_text("it works")
    await visitor.close()

    await page.reload()
    await page.get_by_role("tab", name="Terminal").click()
    await expect(page.locator(".xterm-rows")).to_contain_text("started")

    await page.get_by_role("tab", name="Delete").click()
    await page.get_by_label("Type the name to confirm").fill("from the browser")
    await page.get_by_role("button", name="Delete for good").click()
    await expect(page.get_by_text("from the browser is deleted.")).to_be_visible()
    await stack.wait_gone(vmid)
    assert stack.traces(vmid) == []


async def open_published(visitor: Page, address: str) -> None:
    """Open a published port, as soon as the proxy has taken it up."""
    for _ in range(50):
        answer = await visitor.goto(address)
        if answer is not None and answer.status == 200:
            return
        await visitor.wait_for_timeout(200)
    raise AssertionError(f"{address} never opened")


@pytest.mark.parametrize("width", [360, 1280])
async def test_no_page_is_wider_than_its_window(page: Page, stack: Stack, width: int) -> None:
    """Nobody has to scroll sideways, on a phone neither."""
    await page.set_viewport_size({"width": width, "height": 800})
    await sign_in(page, stack)
    for path in ("/", "/containers/new", "/account", "/nowhere"):
        await page.goto(stack.dev["portalUrl"] + path)
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
