"""A real browser at the portal, and what every visit begins with."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from e2e.stack import Stack

# Without the windows that nobody sees a test costs a sixth less of a processor.
CHROMIUM = shutil.which("chromium-headless-shell") or "/usr/bin/chromium"
# Chromium resolves *.localhost by itself; nothing of it leaves the machine.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PATIENCE_MS = 90_000
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
