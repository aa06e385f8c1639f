"""What a person does in the editor of a container, in a real browser, and what is left of it once the right has gone.

What a terminal of the editor shows is drawn, and no text: what was typed and saved is read in the file itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psutil
from playwright.async_api import Browser, Page, async_playwright, expect

from e2e.browser import CHROMIUM, FLAGS, PATIENCE_MS
from e2e.stack import WAIT_S
from zlh_common.addons import ADDON_PORTS, CODE_SERVER

# Returns what the file `typed.txt` of the container's workspace holds, empty where there is none.
Read = Callable[[], Awaitable[str]]
FILE = "typed.txt"
# Keeps the WebSockets of the document that is shown, and no others: those of the one before go with it, and whether
# the browser still tells of their end is chance.
KEEP_SOCKETS = """
window.keptSockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.wasOpen = false;
    this.addEventListener("open", () => { this.wasOpen = true; });
    window.keptSockets.push(this);
  }
};
"""
# One for what the editor does in general, one for its extensions.
ALL_OPEN = "keptSockets.filter(each => each.readyState === WebSocket.OPEN).length >= 2"
ALL_ENDED = "count => keptSockets.slice(0, count).every(each => each.readyState === WebSocket.CLOSED)"
ONE_REFUSED = "count => keptSockets.slice(count).some(each => each.readyState === WebSocket.CLOSED)"
NONE_OPENED = "count => keptSockets.slice(count).every(each => !each.wasOpen)"


@asynccontextmanager
async def browsers(domain: str) -> AsyncIterator[Browser]:
    """A browser that takes every name of a domain to this machine, whose CA it does not know."""
    rule = f"--host-resolver-rules=MAP *.{domain} 127.0.0.1"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rule])
        yield browser
        await browser.close()


async def new_page(browser: Browser) -> Page:
    """Return a page of somebody whom nobody knows yet."""
    context = await browser.new_context(ignore_https_errors=True, viewport={"width": 1400, "height": 900})
    await context.add_init_script(KEEP_SOCKETS)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page


async def sign_in(page: Page, email: str, password: str) -> None:
    """Fill in the form that the way to a host leads to."""
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_role("button", name="Sign in").click()


async def see_editor(page: Page) -> None:
    """Return once it is shown."""
    await expect(page.locator(".monaco-workbench")).to_be_visible()


async def see_nothing(page: Page) -> None:
    """Return once a page is shown that is none of the editor's."""
    await expect(page.locator("h1")).to_be_visible()
    await expect(page.locator(".monaco-workbench")).to_have_count(0)


async def open_terminal(page: Page) -> None:
    """Return once a terminal is shown. The question whom to trust comes when it likes, and takes keys until then."""
    trust = page.get_by_role("button", name="Yes, I trust the authors")
    terminal = page.locator(".terminal.xterm, .terminal .xterm").first
    async with asyncio.timeout(WAIT_S):
        while True:
            if await trust.is_visible():
                await trust.click()
            # The same key hides one that is shown.
            if not await terminal.is_visible():
                await page.keyboard.press("Control+Backquote")
            with contextlib.suppress(AssertionError):
                await expect(terminal).to_be_visible(timeout=10_000)
                return


async def type_into_terminal(page: Page, read: Read) -> None:
    """Have the file hold what node says of itself.

    What is typed before its shell has come up may be lost in part; whatever is typed too often does nothing more.
    """
    await open_terminal(page)
    async with asyncio.timeout(WAIT_S):
        while True:
            await page.locator(".xterm-helper-textarea").first.focus()
            await page.keyboard.press("Control+KeyU")
            await page.keyboard.type(f"test -s {FILE} || node --version > {FILE}\n")
            with contextlib.suppress(AssertionError):
                await wait_held(read, "v24.", within_s=10)
                return


async def edit_and_save(page: Page, read: Read, text: str) -> None:
    """Open the file, write a text behind what it holds, and save it."""
    await page.keyboard.press("Control+KeyP")
    await page.keyboard.type(FILE)
    # Enter takes whatever stands first by then.
    found = page.locator(".quick-input-list .monaco-list-row").filter(has_text=FILE)
    await expect(found.first).to_be_visible()
    await page.keyboard.press("Enter")
    lines = page.locator(".editor-instance .view-lines")
    await expect(lines).to_contain_text("v24.")
    await lines.first.click()
    await page.keyboard.press("Control+End")
    await page.keyboard.type(text)
    await page.keyboard.press("Control+KeyS")
    await wait_held(read, text)


async def wait_held(read: Read, wanted: str, *, within_s: float = WAIT_S) -> None:
    """Return once the file holds a text."""
    found = ""
    try:
        async with asyncio.timeout(within_s):
            while wanted not in found:
                await asyncio.sleep(0.2)
                found = await read()
    except TimeoutError:
        raise AssertionError(f"{FILE} never held {wanted!r}: {found!r}") from None


async def sign_out(page: Page, portal_url: str) -> None:
    """End the session of this browser at the portal, in another tab."""
    tab = await page.context.new_page()
    await tab.goto(portal_url)
    status = await tab.evaluate("fetch('/api/auth/logout', {method: 'POST'}).then(answer => answer.status)")
    assert status < 300, status
    await tab.close()


async def lose_the_right(page: Page, portal_url: str, proxy_pid: int) -> None:
    """Sign out: every connection of the editor that is shown ends, and none that it tries afterwards comes about."""
    await page.wait_for_function(ALL_OPEN)
    await sign_out(page, portal_url)
    # It goes on trying, so by now some may have been refused already; those that follow certainly are.
    begun = await page.evaluate("keptSockets.length")
    await page.wait_for_function(ALL_ENDED, arg=begun)
    await page.wait_for_function(ONE_REFUSED, arg=begun)
    assert await page.evaluate(NONE_OPENED, begun)
    await wait_nobody_inside(proxy_pid)
    # Neither does whoever comes anew.
    await page.reload()
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()


async def wait_nobody_inside(proxy_pid: int) -> None:
    """Return once the proxy has no connection to an editor, as the kernel tells."""
    async with asyncio.timeout(WAIT_S):
        while await asyncio.to_thread(_is_inside, proxy_pid):
            await asyncio.sleep(0.1)


def _is_inside(proxy_pid: int) -> bool:
    connections = psutil.Process(proxy_pid).net_connections("tcp")
    return any(
        each.raddr and each.raddr.port == ADDON_PORTS[CODE_SERVER] and each.status == psutil.CONN_ESTABLISHED
        for each in connections
    )
