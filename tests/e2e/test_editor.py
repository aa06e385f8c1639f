"""The editor in a real browser: by its public name and TLS, through sign-in and proxy, to a shell and a file."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, Page, WebSocket, async_playwright, expect

from e2e.browser import CHROMIUM, FLAGS, PATIENCE_MS
from e2e.edge_site import EMAIL, PASSWORD, Site, running_site
from e2e.editor_artifact import code_server_archive, editor_on_offer
from e2e.stack import NODE, START_S, WAIT_S, Stack
from guards import leaks
from real_parts.acme_edge import ZONE
from real_parts.code_server import BUILD_LIMIT_S

__all__ = ["code_server_archive", "editor_on_offer"]
pytestmark = pytest.mark.real("traefik", "knot", "pebble", "nginx", "sshd", "chromium", "code-server")
CODE_SERVER = "code-server"
STRANGER = "stranger@example.test"


@pytest.fixture
async def site(stack: Stack, editor_on_offer: None, tmp_path: Path) -> AsyncIterator[Site]:
    """An installation of its own with a real edge, whose catalog has the editor."""
    leaks.long_lived.add(str(tmp_path))
    async with running_site(stack, tmp_path) as site:
        yield site


@contextlib.asynccontextmanager
async def browsers() -> AsyncIterator[Browser]:
    """A browser that takes every name of the zone to the front, whose CA it does not know."""
    rule = f"--host-resolver-rules=MAP *.{ZONE} 127.0.0.1"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rule])
        yield browser
        await browser.close()


async def new_page(browser: Browser) -> Page:
    """Return a page of somebody whom nobody knows yet."""
    context = await browser.new_context(ignore_https_errors=True, viewport={"width": 1400, "height": 900})
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page


async def sign_in(page: Page, email: str) -> None:
    """Fill in the form that the way to a host leads to."""
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()


async def sign_out(site: Site, page: Page) -> None:
    """End the session of this browser at the portal, in another tab."""
    tab = await page.context.new_page()
    await tab.goto(site.portal_url)
    status = await tab.evaluate("fetch('/api/auth/logout', {method: 'POST'}).then(answer => answer.status)")
    assert status < 300, status


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


async def type_until_heard(page: Page, folder: Path) -> None:
    """Have `typed.txt` hold what node says. What a terminal shows there is drawn, and no text: the file tells.

    What is typed before its shell has come up may be lost in part; whatever is typed too often does nothing more.
    """
    async with asyncio.timeout(WAIT_S):
        while True:
            await page.keyboard.press("Control+KeyU")
            await page.keyboard.type("test -s typed.txt || node --version > typed.txt\n")
            with contextlib.suppress(AssertionError):
                await wait_file(folder, "typed.txt", "v24.", within_s=10)
                return


async def wait_file(folder: Path, name: str, wanted: str, *, within_s: float = WAIT_S) -> None:
    """Return once a file of the container holds a text, wherever its workspace lies."""
    found = ""
    try:
        async with asyncio.timeout(within_s):
            while wanted not in found:
                await asyncio.sleep(0.2)
                found = await asyncio.to_thread(_read, folder, name)
    except TimeoutError:
        raise AssertionError(f"{name} never held {wanted!r}: {found!r}") from None


def _read(folder: Path, name: str) -> str:
    return "".join(path.read_text() for path in folder.rglob(name) if path.is_file())


async def wait_editor(site: Site, vmid: int, *, is_there: bool) -> str | None:
    """Return where the editor opens, once people are told so, or are no more."""
    async with asyncio.timeout(WAIT_S):
        while True:
            _, report = await site.call("GET", f"/api/containers/{vmid}/status")
            urls = [addon["url"] for addon in report["addons"] if addon["name"] == CODE_SERVER]
            url: str | None = urls[0] if urls else None
            if (url is not None) is is_there:
                return url
            await asyncio.sleep(0.2)


async def add_stranger(site: Site) -> None:
    """Have somebody own another customer."""
    status, customer = await site.call("POST", "/api/customers", {"name": "others"})
    assert status == 201, customer
    status, made = await site.call(
        "POST", f"/api/customers/{customer['id']}/invitations", {"email": STRANGER, "role": "owner"}
    )
    assert status == 201, made
    body: dict[str, Any] = {"code": made.get("code") or made["url"].partition("#")[2], "password": PASSWORD}
    async with (
        site.visitor(Origin=site.portal_url) as session,
        session.post(f"{site.portal_url}/api/invitations/accept", json=body) as answer,
    ):
        assert answer.status in {200, 201}, await answer.text()


@pytest.mark.timeout(START_S + BUILD_LIMIT_S + 600)
async def test_an_editor_is_opened_typed_into_and_saves(site: Site) -> None:
    """Who has made the container signs in on the way; somebody else finds nothing, and who signs out is cut off."""
    status, made = await site.call("POST", "/api/containers", {**NODE, "enableCodeServer": True})
    assert status == 202, made
    vmid: int = made["vmid"]
    await site.wait(vmid, "ready", wanted=True)
    url = await wait_editor(site, vmid, is_there=True)
    assert url == site.url(f"6000-dev-{vmid}")
    folder = site.folder / "containers" / str(vmid)
    async with browsers() as browser:
        page = await new_page(browser)
        sockets: list[WebSocket] = []
        # The library marks what it is given, which a method of a built-in does not bear.
        page.on("websocket", lambda socket: sockets.append(socket))  # noqa: PLW0108
        await page.goto(url)
        await sign_in(page, EMAIL)
        await expect(page.locator(".monaco-workbench")).to_be_visible()
        await open_terminal(page)
        await page.locator(".xterm-helper-textarea").first.focus()
        await type_until_heard(page, folder)
        await page.keyboard.press("Control+KeyP")
        await page.keyboard.type("typed.txt")
        # Enter takes whatever stands first by then.
        found = page.locator(".quick-input-list .monaco-list-row").filter(has_text="typed.txt")
        await expect(found.first).to_be_visible()
        await page.keyboard.press("Enter")
        await expect(page.locator(".editor-instance .view-lines")).to_contain_text("v24.")
        await page.locator(".editor-instance .view-lines").first.click()
        await page.keyboard.press("Control+End")
        await page.keyboard.type("written by hand")
        await page.keyboard.press("Control+KeyS")
        await wait_file(folder, "typed.txt", "written by hand")

        # The container's own host shows it too.
        await page.goto(site.url(f"dev-{vmid}"))
        await expect(page.locator(".monaco-workbench")).to_be_visible()

        await add_stranger(site)
        other = await new_page(browser)
        await other.goto(url)
        await sign_in(other, STRANGER)
        await expect(other.locator("h1")).to_be_visible()
        await expect(other.locator(".monaco-workbench")).to_have_count(0)

        async with asyncio.timeout(WAIT_S):
            while all(socket.is_closed() for socket in sockets):
                await asyncio.sleep(0.1)
        await sign_out(site, page)
        async with asyncio.timeout(WAIT_S):
            while not all(socket.is_closed() for socket in sockets):
                await asyncio.sleep(0.1)

        status, _ = await site.call("PATCH", f"/api/containers/{vmid}", {"enableCodeServer": False})
        assert status == 200
        await wait_editor(site, vmid, is_there=False)
        async with site.visitor() as session:
            await wait_gone(session, url)


async def wait_gone(session: aiohttp.ClientSession, url: str) -> None:
    """Return once nothing is found at an address."""
    async with asyncio.timeout(WAIT_S):
        while True:
            async with session.get(url, allow_redirects=False) as answer:
                if answer.status == 404:
                    return
            await asyncio.sleep(0.1)
