"""Pages and windows of the portal, held to the rules of axe-core in both schemes, wide and narrow; and by keyboard."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Error, Locator, Page, Route, ViewportSize, expect

from e2e.browser import PATIENCE_MS, sign_in
from e2e.stack import Stack

pytestmark = pytest.mark.real("chromium", "portal")

AXE = Path(__file__).parents[2] / "packages/zlh_portal/node_modules/axe-core/axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOOK = """async (tags) => {
  const {violations} = await axe.run(document, {runOnly: {type: "tag", values: tags}, resultTypes: ["violations"]});
  return violations.filter(({impact}) => impact === "serious" || impact === "critical").map(({id, help, nodes}) =>
    `${id}: ${help}\\n` + nodes.slice(0, 5).map(({target, failureSummary, html}) =>
      `    ${target.join(" ")} ${html.slice(0, 90)}\\n      ${failureSummary.replace(/\\n\\s*/g, " | ")}`).join("\\n"));
}"""
# The narrowest is what WCAG asks for: a small telephone, or four times as large in a window of 1280.
LOOKS = [("light", 1280), ("dark", 1280), ("light", 320), ("dark", 320)]
TABS = ("overview", "processes", "terminal", "files", "metrics", "history", "ports", "runtimes", "settings")
WAITING = ".mantine-Skeleton-root:visible, .mantine-Loader-root:visible"
OF_PLATFORM = (
    "standing", "containers", "nodes", "journal", "edge", "agents", "catalog", "customers", "users", "audit-log",
)  # fmt: skip

# Twice as large in a window of 1280: whatever stands in it has half of the room.
ZOOMED: ViewportSize = {"width": 640, "height": 450}
# What is too wide for the header is cut off by it, and widens no page.
SIDEWAYS = """() => {
  const {scrollWidth, clientWidth} = document.documentElement;
  const ends = [...document.querySelectorAll("header *")].map((each) => Math.floor(each.getBoundingClientRect().right));
  return [Math.max(scrollWidth, ...ends), clientWidth];
}"""
# What tells a chosen one from its neighbours where the system chooses all colours: lines, since backgrounds are gone.
LINES = """element => {
  const {outlineStyle, borderBottomWidth, borderBottomColor} = getComputedStyle(element);
  return [outlineStyle, borderBottomWidth, borderBottomColor].join(" ");
}"""

Open = Callable[[str, int], Awaitable[Page]]


@pytest.fixture
def seen(browser: Browser) -> Open:
    """Open a page of a colour scheme and a width, into which a test may put scripts of its own."""

    async def open_page(scheme: Any, width: int) -> Page:
        context = await browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce", bypass_csp=True
        )
        await context.add_init_script(path=AXE)
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        return page

    return open_page


async def look(page: Page, where: str) -> list[str]:
    """Return what is seriously wrong with the page as it is now."""
    found: list[str] = await page.evaluate(LOOK, TAGS)
    wide, room = await page.evaluate(SIDEWAYS)
    found += [f"it is {wide} px wide, of {room}"] if wide > room else []
    return [f"{where}: {each}" for each in found]


async def rest(page: Page) -> None:
    """Return once nothing of the page is on its way: neither code of its parts nor an animation."""
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await expect(page.locator(WAITING)).to_have_count(0)


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
async def test_nothing_serious_is_wrong_with_any_page(
    seen: Open, stack: Stack, vmid: int, scheme: str, width: int
) -> None:
    """No page has a serious or critical violation of WCAG 2.2 AA, as far as a program can find it."""
    body = {"argv": ["/bin/sh", "-c", "echo up; exec sleep 1000"]}
    await stack.call("PUT", f"/api/containers/{vmid}/processes/web", body)
    page = await seen(scheme, width)
    await page.goto(f"{stack.dev['portalUrl']}/login")
    await rest(page)
    wrong = await look(page, "login")
    await sign_in(page, stack)
    for path in pages_of(vmid):
        await page.goto(f"{stack.dev['portalUrl']}/{path}")
        await rest(page)
        wrong += await look(page, path)
        if width > ZOOMED["width"]:
            await page.set_viewport_size(ZOOMED)
            wide, room = await page.evaluate(SIDEWAYS)
            wrong += [f"{path}: zoomed, it is {wide} px wide, of {room}"] if wide > room else []
            await page.set_viewport_size({"width": width, "height": 900})
    assert not wrong, "\n".join(wrong)


async def test_what_is_chosen_is_told_by_lines_where_colours_are_forced(seen: Open, stack: Stack, vmid: int) -> None:
    """With the system's own colours a chosen tab, page and choice differ from the others, and a switch has an edge."""
    page = await seen("light", 1280)
    await page.emulate_media(forced_colors="active")
    await sign_in(page, stack)
    portal = stack.dev["portalUrl"]
    await page.goto(f"{portal}/containers/{vmid}/overview")
    await rest(page)
    tabs = page.get_by_role("tab")
    assert await lines_of(tabs.filter(has_text="Overview")) != await lines_of(tabs.filter(has_text="Files"))
    nav = page.get_by_role("navigation", name="Main").get_by_role("link")
    assert await lines_of(nav.filter(has_text="Containers")) != await lines_of(nav.filter(has_text="Catalog"))
    assert "0px" not in await lines_of(page.locator(".mantine-Switch-track"))
    await page.goto(f"{portal}/containers/new")
    await rest(page)
    sizes = page.locator(".mantine-SegmentedControl-label")
    assert await lines_of(sizes.filter(has_text="Usual")) != await lines_of(sizes.filter(has_text="Large"))


async def lines_of(element: Locator) -> str:
    """Return the lines that stand around an element."""
    found: str = await element.first.evaluate(LINES)
    return found


def pages_of(vmid: int) -> list[str]:
    """Return the addresses of all pages, those of one container among them."""
    return [
        "", "containers/new", "catalog", "customers", "nowhere", "invitation#code=x", "password-reset#code=x",
        *(f"containers/{vmid}/{tab}" for tab in TABS), f"containers/{vmid}/processes/web",
        *(f"account/{tab}" for tab in ("profile", "sessions", "tokens")),
        *(f"platform/{tab}" for tab in OF_PLATFORM),
    ]  # fmt: skip


@asynccontextmanager
async def held(page: Page, vmid: int) -> AsyncIterator[None]:
    """Leave whatever the pages ask for unanswered, but who one is, and how the container is whose tabs are shown."""
    answered = re.compile(rf"/api/(me|version|events|containers/{vmid}(/status)?)(\?|$)")
    waiting: list[Route] = []

    async def answer(route: Route) -> None:
        if answered.search(route.request.url):
            await route.continue_()
        else:
            waiting.append(route)

    await page.route(re.compile("/api/"), answer)
    try:
        yield
    finally:
        await page.goto("about:blank")
        for route in waiting:
            # A page that was left has given its requests up itself.
            with suppress(Error):
                await route.abort()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_serious_is_wrong_with_pages_that_wait(seen: Open, stack: Stack, vmid: int, scheme: str) -> None:
    """What stands in for a page until the API has answered is held to the same rules, and is told to who hears it."""
    page = await seen(scheme, 1280)
    await sign_in(page, stack)
    wrong: list[str] = []
    waiting = page.locator(WAITING)
    found = 0
    async with held(page, vmid):
        for path in pages_of(vmid):
            await page.goto(f"{stack.dev['portalUrl']}/{path}")
            await expect(page.locator("h1, [role=status]").first).to_be_visible()
            wrong += await look(page, path)
            found += await waiting.count() > 0
            mute = await waiting.evaluate_all("found => found.filter(each => !each.closest('[role=status]')).length")
            wrong += [f"{path}: nobody hears of {mute}"] if mute else []
    # What the container's own report says is shown at once; everything else waits.
    assert found > len(OF_PLATFORM)
    assert not wrong, "\n".join(wrong)


async def windows(page: Page, stack: Stack, vmid: int) -> AsyncIterator[str]:
    """Open one window after the other by keyboard; each is closed with Escape before the next."""
    portal = stack.dev["portalUrl"]
    for path, button in (
        (f"containers/{vmid}/processes", "Add process"),
        (f"containers/{vmid}/processes", "Edit web"),
        (f"containers/{vmid}/processes", "Delete web"),
        (f"containers/{vmid}/overview", "Rename"),
        (f"containers/{vmid}/runtimes", "Install a runtime"),
        ("platform/customers", "Create customer"),
    ):
        await page.goto(f"{portal}/{path}")
        opener = page.get_by_role("button", name=button, exact=True).first
        await opener.focus()
        await page.keyboard.press("Enter")
        yield button


@pytest.mark.parametrize(("scheme", "width"), LOOKS[::3])
async def test_windows_hold_the_focus_and_give_it_back(
    seen: Open, stack: Stack, vmid: int, scheme: str, width: int
) -> None:
    """Opened with Enter the focus is in it, Tab does not leave it, and Escape gives it back to what opened it."""
    body = {"argv": ["/bin/sh", "-c", "echo up; exec sleep 1000"]}
    await stack.call("PUT", f"/api/containers/{vmid}/processes/web", body)
    page = await seen(scheme, width)
    await sign_in(page, stack)
    wrong: list[str] = []
    async for name in windows(page, stack, vmid):
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_be_visible()
        await expect(dialog.locator(":focus")).to_have_count(1)
        wrong += await look(page, name)
        for _ in range(30):
            await page.keyboard.press("Tab")
            assert await dialog.locator(":focus").count() == 1, name
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await expect(page.get_by_role("button", name=name, exact=True).first).to_be_focused()
    assert not wrong, "\n".join(wrong)
