"""Whatever strangers call things and whatever an agent says: the portal shows it as text, and stays as it is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, expect

from e2e.browser import PATIENCE_MS, sign_in
from e2e.hostile_containers import LOG, hostile_vmid
from e2e.hostile_games import blocks_on_offer, hostile_game, hostile_modrinth, modrinth
from e2e.hostile_looks import Watch
from e2e.stack import Stack
from e2e.test_accessible import WAITING, rest
from fakes.hostile_agent import END
from fakes.hostile_words import ELSEWHERE, NAMES, TEXTS

__all__ = ["blocks_on_offer", "hostile_game", "hostile_modrinth", "hostile_vmid", "modrinth"]
pytestmark = [pytest.mark.real("chromium", "portal"), pytest.mark.timeout(900)]

OF_DEV = (
    "overview", "processes", "processes/web", "terminal", "files", "metrics", "history", "ports", "runtimes", "addons",
    "settings",
)  # fmt: skip
OF_GAME = (
    "overview", "game", "mods", "processes", "files", "metrics", "history", "ports", "settings",
)  # fmt: skip
OF_PLATFORM = ("standing", "customers", "users", "agents", "edge", "audit-log")
# Of what an address may have: no markup, but what other engines of templates would run.
HOSTILE_PERSON = "'{{window.hostile=1}}`${window.hostile=2}`'"
NARROW: ViewportSize = {"width": 390, "height": 844}
# What would run a script or fetch something, and what of the browser's words tells that it is not done.
ATTEMPTS = {
    "document.body.innerHTML = '<img src=x onerror=window.hostile=1>'": "TrustedHTML",
    "document.body.insertAdjacentHTML('beforeend', '<b>x</b>')": "TrustedHTML",
    "const made = document.createElement('script'); made.text = 'window.hostile=2'; document.body.append(made)": (
        "TrustedScript"
    ),
    "setTimeout('window.hostile=4')": "TrustedScript",
    "document.body.setAttribute('onclick', 'window.hostile=5')": "TrustedScript",
    "trustedTypes.createPolicy('another', {createHTML: text => text})": "trusted-types",
    f"new Image().src = 'https://{ELSEWHERE}/i'": "img-src",
    f"fetch('https://{ELSEWHERE}/f').catch(() => 0)": "connect-src",
    f"const made = document.createElement('iframe'); made.src = 'https://{ELSEWHERE}/'; document.body.append(made)": (
        "frame-src"
    ),
}
# What stands in the place of what threw; others may use the word.
BROKEN = re.compile("^This (part|page) broke$")
MINE = "what I had copied"


async def copy(context: BrowserContext, page: Page, stack: Stack) -> None:
    """Have something in the clipboard, which a page may then read and write."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"], origin=stack.dev["portalUrl"].rstrip("/"))
    await page.evaluate("text => navigator.clipboard.writeText(text)", MINE)


async def walk(page: Page, watch: Watch, address: str, places: tuple[str, ...]) -> list[str]:
    """Return what is wrong with pages below an address, once each of them has come to rest."""
    wrong: list[str] = []
    for place in places:
        await page.goto(f"{address}/{place}")
        await rest(page)
        assert await page.get_by_text(BROKEN).count() == 0, place
        if place in {"terminal", "processes/web"}:
            await expect(page.locator(".xterm-rows")).to_contain_text(END)
        wrong += await watch.look(place)
    return wrong


async def test_whatever_an_agent_says_is_shown_and_does_nothing(
    page: Page, stack: Stack, hostile_vmid: int, tmp_path: Path
) -> None:
    """Every tab stays, on a telephone: nothing is made of its texts, nothing runs, nothing is asked for elsewhere."""
    await page.set_viewport_size(NARROW)
    watch = Watch(page.context, page)
    await sign_in(page, stack)
    await copy(page.context, page, stack)
    wrong = await watch.look("the list")
    wrong += await walk(page, watch, f"{stack.dev['portalUrl']}/containers/{hostile_vmid}", OF_DEV)
    wrong += await walk(page, watch, f"{stack.dev['portalUrl']}/platform", OF_PLATFORM)
    address = f"{stack.dev['portalUrl']}/containers/{hostile_vmid}"
    wrong += await see_whole(page, watch, f"{address}/overview")
    assert await page.evaluate("navigator.clipboard.readText()") == MINE
    # Whoever looks at what was printed answers nothing of it: that would be typed into a shell.
    assert "typed" not in await asyncio.to_thread((tmp_path / LOG).read_text)
    assert not wrong, "\n".join(wrong)


async def test_whatever_a_game_and_its_mods_say_is_shown_and_does_nothing(
    page: Page, stack: Stack, hostile_game: int
) -> None:
    """Every tab of a game server and every window of it stays, whatever its template, its agent and Modrinth say."""
    await page.set_viewport_size(NARROW)
    watch = Watch(page.context, page)
    await sign_in(page, stack)
    address = f"{stack.dev['portalUrl']}/containers/{hostile_game}"
    wrong = await walk(page, watch, address, OF_GAME)
    wrong += await open_windows(
        page, watch, f"{address}/game", ("Change the version", "Restore the backup of", "Rename")
    )
    await page.get_by_test_id("command").fill("list")
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_test_id("answers")).to_contain_text("> list")
    await page.get_by_role("button", name="Verify its files").click()
    await expect(page.get_by_role("button", name="Place them again")).to_be_visible()
    wrong += await watch.look("what it answers")
    wrong += await open_windows(page, watch, f"{address}/mods", ("Update all", "Update ", "Remove ", "Install "))
    assert not wrong, "\n".join(wrong)


async def see_whole(page: Page, watch: Watch, address: str) -> list[str]:
    """Return what is wrong once a text that was cut is asked for whole: it scrolls by itself and the page stays."""
    await page.goto(address)
    await rest(page)
    await page.get_by_test_id("said-more").first.click()
    await expect(page.get_by_test_id("said-whole")).to_be_visible()
    return await watch.look("a whole text")


async def open_windows(page: Page, watch: Watch, address: str, buttons: tuple[str, ...]) -> list[str]:
    """Return what is wrong with windows that the first button of each name opens; each is closed with Escape."""
    wrong: list[str] = []
    await page.goto(address)
    await rest(page)
    window = page.get_by_role("dialog")
    for button in buttons:
        await page.get_by_role("button", name=button).first.click()
        await expect(window).to_be_visible()
        await expect(window.locator(WAITING)).to_have_count(0)
        wrong += await watch.look(f"window {button}")
        await page.keyboard.press("Escape")
        await expect(window).to_be_hidden()
    return wrong


@pytest.fixture
async def customers(stack: Stack) -> AsyncIterator[list[str]]:
    """Give ids of customers that are called whatever one may be called."""
    made: list[str] = []
    try:
        for name in NAMES:
            # Each is kept as soon as it is there, to be removed whatever comes after it.
            made += [await make(stack, name)]
        yield made
    finally:
        for customer in made:
            await stack.call("DELETE", f"/api/customers/{customer}")


async def test_whatever_people_call_things_is_shown_and_does_nothing(
    page: Page, stack: Stack, customers: list[str]
) -> None:
    """Customers have any names, are suspended for any reasons, and invite anybody; the audit log tells of all of it."""
    await page.set_viewport_size(NARROW)
    watch = Watch(page.context, page)
    await sign_in(page, stack)
    portal = stack.dev["portalUrl"]
    wrong = await walk(page, watch, f"{portal}/platform", OF_PLATFORM)
    wrong += await walk(page, watch, portal, ("customers", "containers/new", "account/tokens"))
    for customer in customers:
        wrong += await walk(page, watch, f"{portal}/customers/{customer}", ("members", "settings", "audit-log"))
    wrong += await make_and_delete_token(page, watch, portal)
    assert not wrong, "\n".join(wrong)


async def make_and_delete_token(page: Page, watch: Watch, portal: str) -> list[str]:
    """Return what is wrong with a token of a hostile name: its form, its secret, and the question before its end."""
    await page.goto(f"{portal}/account/tokens")
    await page.get_by_role("button", name="Make a token").first.click()
    await page.get_by_label("Name", exact=True).fill(NAMES[0])
    wrong = await watch.look("the form of a token")
    await page.get_by_role("button", name="Make the token").click()
    await expect(page.get_by_test_id("token-made")).to_be_visible()
    wrong += await watch.look("a token that was made")
    # The one of this name, and not that by which the installation's own programs come in.
    made = page.get_by_test_id("token").filter(has_text="<img src=x")
    await made.get_by_role("button", name="Delete the token").click()
    window = page.get_by_role("dialog")
    await expect(window).to_be_visible()
    wrong += await watch.look("window of a token's end")
    await window.get_by_role("button", name="Delete", exact=True).click()
    await expect(window).to_be_hidden()
    return wrong


async def make(stack: Stack, name: str) -> str:
    """Return the id of a customer of this name that is suspended for a hostile reason, with somebody invited."""
    status, customer = await stack.call("POST", "/api/customers", {"name": name})
    assert status == 201, customer
    path = f"/api/customers/{customer['id']}"
    invitation = {"email": f"{HOSTILE_PERSON}@{ELSEWHERE}", "role": "viewer"}
    for where, body in (("/invitations", invitation), ("/suspend", {"reason": " ".join(TEXTS)[:500]})):
        status, answer = await stack.call("POST", path + where, body)
        assert status < 300, answer
    return str(customer["id"])


async def test_markup_and_scripts_that_get_into_a_page_are_refused(browser: Browser, stack: Stack) -> None:
    """What a mistake of ours would let in is stopped by the page's own policy, and each way of it told as blocked."""
    page = await (await browser.new_context()).new_page()
    await sign_in(page, stack)
    blocked: list[str] = []
    page.on("console", lambda said: blocked.append(said.text))
    for attempt, rule in ATTEMPTS.items():
        await page.evaluate(f"try {{ {attempt} }} catch (refused) {{ console.error(`${{refused}}`) }}")
        async with asyncio.timeout(PATIENCE_MS / 1000):
            while not any(rule in said for said in blocked):
                await page.wait_for_timeout(50)
        blocked.clear()
    assert await page.evaluate("window.hostile") is None
