"""Windows of processes, runtimes, files and people: what strangers call things is shown in them, and does nothing."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from playwright.async_api import FilePayload, Page, ViewportSize, expect

from e2e.browser import sign_in
from e2e.hostile_containers import hostile_vmid
from e2e.hostile_looks import Watch
from e2e.hostile_windows import Windows
from e2e.stack import Stack
from e2e.visitors import PASSWORD
from fakes.hostile_words import ELSEWHERE, NAMES, TEXTS

__all__ = ["hostile_vmid"]
pytestmark = [pytest.mark.real("chromium", "portal"), pytest.mark.timeout(900)]

NARROW: ViewportSize = {"width": 390, "height": 844}
# Of what an address may have: no markup, but what other engines of templates would run.
PERSON = "'{{window.hostile=1}}`${window.hostile=2}`'"
# What it is told by, of a browser; more than it is cut to.
BROWSER = "".join(letter for letter in "".join(TEXTS) if letter.isascii() and letter.isprintable())[:900]
# Of each kind that a file may have, one that is an archive by its name and one that is none.
FILES = 8


@pytest.fixture
async def windows(page: Page, stack: Stack) -> Windows:
    """Windows on a telephone of an operator."""
    await page.set_viewport_size(NARROW)
    watch = Watch(page.context, page)
    await sign_in(page, stack)
    return Windows(page, watch)


async def test_windows_of_processes_and_runtimes(page: Page, stack: Stack, windows: Windows, hostile_vmid: int) -> None:
    """Forms, questions, refusals and what a check has found."""
    address = f"{stack.dev['portalUrl']}/containers/{hostile_vmid}"
    await windows.go(f"{address}/processes")
    await windows.open("Edit web")
    await windows.press("▸ Advanced")
    await windows.look("all of a process")
    await windows.close()
    await windows.see("Delete web")
    await windows.open("Add process")
    await windows.window.get_by_label("Name", exact=True).fill(NAMES[0])
    await windows.press("Add and start")
    await windows.look("a name that none may have")
    await windows.close()
    await windows.go(f"{address}/processes/web")
    await windows.open("Kill")
    await windows.press("Kill now")
    await expect(page.get_by_role("alert").filter(has_text="web was not killed")).to_be_visible()
    await windows.look("a refusal in passing")
    await windows.go(f"{address}/runtimes")
    await windows.see("Install a runtime")
    await windows.see("Free space")
    await windows.see(re.compile("^Remove node 22"))
    await windows.press(re.compile("^Verify node 24"))
    refused = page.get_by_role("alert").filter(has_text="was not verified")
    await expect(page.get_by_test_id("verification").or_(refused).first).to_be_visible()
    await windows.look("what a check has found, or why it was not made")
    assert not windows.wrong, "\n".join(windows.wrong)


async def test_windows_of_files(page: Page, stack: Stack, windows: Windows, hostile_vmid: int) -> None:
    """The menu of each entry, every window that it opens, and the refusal of what is sent from there."""
    await windows.go(f"{stack.dev['portalUrl']}/containers/{hostile_vmid}/files")
    await expect(page.get_by_role("button", name=re.compile("^Actions of"))).to_have_count(FILES)
    seen: set[str] = set()
    for at in range(FILES):
        items = await see_menu_of_entry(page, windows, at)
        await page.keyboard.press("Escape")
        asking = [item for item in items if item.endswith("…") or item == "Checksum"]
        seen |= set(asking)
        for item in asking:
            await see_menu_of_entry(page, windows, at)
            await windows.open(re.compile(f"^{item}"))
            await send_if_it_can_be(windows)
            await windows.close()
    assert seen == {"Rename…", "Move…", "Copy…", "Compress…", "Extract…", "Rights…", "Checksum", "Delete…"}
    for kind in ("File…", "Folder…"):
        await windows.open("New ▾", kind)
        await windows.window.get_by_role("textbox").fill("a")
        await send_if_it_can_be(windows)
        await windows.close()
    await windows.press("Search")
    await page.get_by_label("Text in it").fill("a")
    await page.get_by_role("search").get_by_role("button", name="Search", exact=True).click()
    await expect(page.get_by_test_id("search-count")).to_be_visible()
    await windows.look("what was found")
    assert not windows.wrong, "\n".join(windows.wrong)


async def see_menu_of_entry(page: Page, windows: Windows, at: int) -> list[str]:
    """Open the menu of an entry by keys, whatever moves the list meanwhile; return what stands in it."""
    await expect(page.get_by_role("menu")).to_be_hidden()
    await page.get_by_role("grid").focus()
    for key in ("Home", *["ArrowDown"] * at, "Shift+F10"):
        await page.keyboard.press(key)
    return await windows.see_opened_menu()


async def send_if_it_can_be(windows: Windows) -> None:
    """Send what stands in a window, where it is enough for that."""
    send = windows.window.locator("button[type=submit]:enabled")
    if await send.count() > 0:
        await windows.send(await send.inner_text())


async def test_windows_that_ask_what_becomes_of_a_file(
    page: Page, stack: Stack, windows: Windows, hostile_vmid: int
) -> None:
    """A file that has changed, one that is left, and uploads whose names are taken."""
    await windows.go(f"{stack.dev['portalUrl']}/containers/{hostile_vmid}/files")
    await page.get_by_role("row").nth(1).get_by_role("link").click()
    text = page.locator(".cm-content")
    # By key: what is told in passing may stand over it.
    await text.focus()
    await page.keyboard.type("mine")
    await page.keyboard.press("Control+s")
    await expect(page.get_by_test_id("differs")).to_be_visible()
    await windows.look("a file that has changed")
    await windows.open("Compare side by side")
    await expect(page.get_by_test_id("compare")).to_contain_text("mine")
    await windows.look("both texts")
    await windows.close()
    await windows.open("← Back to the folder")
    await windows.press("Leave")
    await expect(windows.window).to_be_hidden()
    names = [f"{name[:60]}.txt".replace("/", "-") for name in NAMES]
    for chosen in (names[:1], names):
        files = [FilePayload(name=name, mimeType="text/plain", buffer=b"a") for name in chosen]
        await page.get_by_test_id("choose-files").set_input_files(files)
        await expect(windows.window).to_be_visible()
        await windows.look("names that are taken")
        await windows.press("Skip")
        await expect(windows.window).to_be_hidden()
        await windows.look("what was not uploaded")
    assert not windows.wrong, "\n".join(windows.wrong)


@dataclass
class Hostile:
    """A customer of a hostile name, the address of its owner, and that of somebody who is invited."""

    customer: str
    owner: str
    invited: str


@pytest.fixture
async def hostile(stack: Stack) -> AsyncIterator[Hostile]:
    """Have somebody join a customer, somebody else invited, and the operator signed in by an odd browser."""
    status, customer = await stack.call("POST", "/api/customers", {"name": NAMES[0]})
    assert status == 201, customer
    path = f"/api/customers/{customer['id']}"
    owner, invited = (f"{PERSON}{number}@{ELSEWHERE}" for number in (time.monotonic_ns(), 1))
    try:
        code = await invite(stack, path, owner)
        await visit(stack, "/api/invitations/accept", {"code": code, "password": PASSWORD})
        await invite(stack, path, invited)
        operator = {"email": stack.dev["adminEmail"], "password": stack.dev["adminPassword"]}
        await visit(stack, "/api/auth/login", operator)
        yield Hostile(customer["id"], owner, invited)
    finally:
        await stack.call("DELETE", path)


async def invite(stack: Stack, customer: str, email: str) -> str:
    """Invite somebody as an owner; return the code of the invitation."""
    status, made = await stack.call("POST", f"{customer}/invitations", {"email": email, "role": "owner"})
    assert status == 201, made
    return str(made["code"])


async def visit(stack: Stack, path: str, body: dict[str, str]) -> None:
    """Do as a browser of a hostile name does, which is signed in from then on."""
    headers = {"Origin": stack.dev["portalUrl"].rstrip("/"), "User-Agent": BROWSER}
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as browser,
        browser.post(stack.dev["apiUrl"] + path, json=body, headers=headers) as answer,
    ):
        assert answer.status in {200, 201}, await answer.text()


async def test_windows_of_people(page: Page, stack: Stack, windows: Windows, hostile: Hostile) -> None:
    """Members, invitations, users and sessions: what is asked before each act, and what is told of it."""
    portal = stack.dev["portalUrl"]
    await windows.go(f"{portal}/customers/{hostile.customer}/members")
    await windows.see(f"Withdraw the invitation for {hostile.invited}")
    await windows.see(f"Remove {hostile.owner}")
    await page.get_by_role("combobox", name=f"Role of {hostile.owner}").click()
    await windows.look("roles to choose from")
    await page.get_by_role("option", name="Member").click()
    # The only owner stays one.
    await expect(page.get_by_role("alert").filter(has_text="stays as it is")).to_be_visible()
    await windows.look("a refusal in passing")
    await windows.go(f"{portal}/platform/customers")
    await windows.open("Create customer")
    await windows.window.get_by_label("Name").fill(NAMES[0])
    await windows.press("Create")
    await expect(windows.window.locator("[aria-invalid=true]")).to_be_visible()
    await windows.look("a name that is taken")
    await windows.close()
    await windows.go(f"{portal}/customers/{hostile.customer}/settings")
    await windows.see("Suspend…")
    await windows.go(f"{portal}/platform/users")
    menu = page.get_by_role("button", name=f"Actions on {hostile.owner}", exact=True)
    await windows.see_menu(menu)
    await windows.see("Make an operator")
    await menu.click()
    await windows.see("Suspend…")
    await menu.click()
    await windows.open("Make a link for a new password")
    await windows.press("Make the link")
    await expect(page.get_by_test_id("reset-made")).to_be_visible()
    await windows.look("a link that was made")
    await windows.close()
    await windows.go(f"{portal}/account/sessions")
    await windows.look("sessions")
    other = page.get_by_test_id("session").filter(has_not_text="This one").first
    await other.locator("p[tabindex]").hover()
    await windows.look("a browser that is pointed at")
    await windows.open("End all others")
    await windows.press("End them")
    await expect(windows.window).to_be_hidden()
    await expect(page.get_by_test_id("session")).to_have_count(1)
    assert not windows.wrong, "\n".join(windows.wrong)
