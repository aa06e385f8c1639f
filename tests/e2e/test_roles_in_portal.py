"""Whoever comes to the same pages sees what is theirs, is told why something is not, and learns nothing of the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Browser, Page, expect

from e2e.browser import PATIENCE_MS, sign_in, type_and_see
from e2e.stack import Stack
from e2e.test_accessible import rest
from e2e.test_portal_in_bad_times import enter
from e2e.visitors import Person, join

pytestmark = [pytest.mark.real("chromium", "portal"), pytest.mark.timeout(900)]

PROCESS = {"argv": ["/bin/sh", "-c", "echo needle; exec sleep 1000"]}
# What the platform has; each for operators alone.
OF_PLATFORM = (
    "", "/standing", "/containers", "/nodes", "/journal", "/edge", "/agents", "/catalog", "/customers", "/users",
    "/audit-log",
)  # fmt: skip
# Each tab of a container on which a role without rights is told so.
BARRED = ("processes/web", "terminal", "files", "ports", "runtimes", "addons", "settings", "processes")
OWN_TABS = ("", "/terminal", "/files", "/settings")

OpenAs = Callable[[Person], Awaitable[Page]]


@pytest.fixture
async def come(browser: Browser, stack: Stack) -> AsyncIterator[OpenAs]:
    """Sign somebody in, in a browser profile of their own; no script of any page fails."""
    failures: list[str] = []
    async with AsyncExitStack() as contexts:

        async def open_page(person: Person) -> Page:
            context = await browser.new_context(viewport={"width": 1280, "height": 800})
            contexts.push_async_callback(context.close)
            page = await context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.on("pageerror", lambda error: failures.append(str(error)))
            await enter(page, stack, person)
            return page

        yield open_page
    assert failures == []


@pytest.fixture
async def others(stack: Stack) -> AsyncIterator[str]:
    """Give the id of a customer that nobody of the first one belongs to."""
    status, made = await stack.call("POST", "/api/customers", {"name": "Others"})
    assert status == 201, made
    yield made["id"]
    await stack.call("DELETE", f"/api/customers/{made['id']}")


async def test_each_role_sees_what_is_theirs_and_is_told_why_not(
    page: Page, come: OpenAs, stack: Stack, vmid: int, others: str
) -> None:
    """An owner has everything of the customer, a viewer looks, and for a stranger there is nothing there."""
    status, answer = await stack.call("PUT", f"/api/containers/{vmid}/processes/web", PROCESS)
    assert status < 300, answer
    _, report = await stack.call("GET", f"/api/containers/{vmid}")
    customer = report["customerId"]
    people = [
        await join(stack, of, name, role)
        for of, name, role in ((customer, "olga", "owner"), (customer, "vera", "viewer"), (others, "sam", "owner"))
    ]
    try:
        owner, viewer, stranger = [await come(person) for person in people]
        await see_as_owner(owner, stack, vmid, customer)
        await see_as_viewer(viewer, stack, vmid, customer)
        await see_as_stranger(stranger, stack, vmid, customer)
        for somebody in (owner, viewer, stranger):
            await see_no_platform(somebody, stack)
        await sign_in(page, stack)
        await see_as_operator(page, stack, vmid, others)
    finally:
        for person in people:
            await stack.call("DELETE", f"/api/customers/{customer}/members/{person.id}")
            await stack.call("POST", f"/api/users/{person.id}/suspend")


async def see_as_owner(page: Page, stack: Stack, vmid: int, customer: str) -> None:
    """Nothing of the container or the customer is held back."""
    await expect(page.get_by_test_id(f"container-{vmid}")).to_be_visible()
    await expect(page.get_by_role("link", name="Create container")).to_be_visible()
    for tab in BARRED:
        await go(page, stack, f"/containers/{vmid}/{tab}")
        await expect(page.get_by_test_id("may-not")).to_have_count(0)
    await expect(page.get_by_role("button", name="Edit web")).to_be_visible()
    await go(page, stack, f"/containers/{vmid}/terminal")
    await expect(page.get_by_test_id("terminal-state")).to_have_attribute("data-kind", "attached")
    await page.get_by_test_id("terminal").click()
    await type_and_see(page, "echo own''er", "owner")
    for tab in ("members", "settings", "audit-log"):
        await go(page, stack, f"/customers/{customer}/{tab}")
        await expect(page.get_by_test_id("may-not")).to_have_count(0)


async def see_as_viewer(page: Page, stack: Stack, vmid: int, customer: str) -> None:
    """All of it is seen and nothing offered; where a place would be empty, it says whom to ask."""
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    await expect(page.get_by_test_id(f"container-{vmid}")).to_be_visible()
    await see_no_creation(page, stack)
    for tab in BARRED:
        await go(page, stack, f"/containers/{vmid}/{tab}")
        words = page.get_by_test_id("may-not")
        await expect(words).to_have_count(1)
        await expect(words).to_contain_text("Your role as viewer does not include")
        await expect(words).to_contain_text("Ask an owner of")
        for name in ("Restart", "Stop", "Start", "Kill"):
            await expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    await expect(page.get_by_test_id("process-web").get_by_test_id("process-state")).to_have_text("Running")
    for name in ("Edit web", "Delete web", "Console of web"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
    for tab, shown in (("metrics", "metrics-now"), ("history", "history-entry")):
        await go(page, stack, f"/containers/{vmid}/{tab}")
        await expect(page.get_by_test_id(shown).first).to_be_visible()
    # A page that says that consoles are not theirs has not asked for one first.
    assert not [url for url in sockets if "/console" in url]
    await go(page, stack, f"/customers/{customer}/members")
    await expect(page.get_by_test_id("may-not")).to_contain_text("members, invitations and the customer's name")
    await expect(page.get_by_role("button", name="Make the invitation")).to_have_count(0)
    await go(page, stack, f"/customers/{customer}/settings")
    await expect(page.get_by_role("button", name="Delete for good")).to_have_count(0)


async def see_no_creation(page: Page, stack: Stack) -> None:
    """The list keeps its button, which does nothing and says why; the form behind it is not given away either."""
    button = page.get_by_role("button", name="Create container")
    await expect(button).to_have_attribute("aria-disabled", "true")
    await button.hover()
    await expect(page.get_by_role("tooltip")).to_contain_text("Your role as viewer does not include")
    await button.click(force=True)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Containers")
    await go(page, stack, "/containers/new")
    await expect(page.get_by_test_id("may-not")).to_contain_text("Your role as viewer does not include")
    await expect(page.get_by_role("form", name="Create container")).to_have_count(0)


async def see_as_stranger(page: Page, stack: Stack, vmid: int, customer: str) -> None:
    """Pages of others read, to the letter, like those of what was never there."""
    await expect(page.get_by_test_id(f"container-{vmid}")).to_have_count(0)
    nowhere = "00000000-0000-4000-8000-000000000000"
    for theirs, nothing in (
        *((f"/containers/{vmid}{tab}", f"/containers/999999998{tab}") for tab in OWN_TABS),
        *((f"/customers/{customer}{tab}", f"/customers/{nowhere}{tab}") for tab in ("", "/quota", "/audit-log")),
    ):
        assert await absent(page, stack, theirs) == await absent(page, stack, nothing), theirs


async def see_no_platform(page: Page, stack: Stack) -> None:
    """Neither a way to the platform's pages nor a word of them."""
    await expect(page.get_by_role("link", name="Platform")).to_have_count(0)
    nothing = await absent(page, stack, "/nowhere")
    for tab in OF_PLATFORM:
        assert await absent(page, stack, f"/platform{tab}") == nothing, tab


async def see_as_operator(page: Page, stack: Stack, vmid: int, others: str) -> None:
    """The operator sees every page of the platform, and customers to whom they do not belong."""
    for tab in OF_PLATFORM:
        await go(page, stack, f"/platform{tab}")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Platform")
        await expect(page.get_by_test_id("problem")).to_have_count(0)
    await go(page, stack, f"/customers/{others}/members")
    await expect(page.get_by_text("You see it as an operator")).to_be_visible()
    await go(page, stack, f"/containers/{vmid}/processes")
    await expect(page.get_by_role("button", name="Edit web")).to_be_visible()


async def go(page: Page, stack: Stack, path: str) -> None:
    """Open a page of the portal, and return once it has come to rest."""
    await page.goto(stack.dev["portalUrl"].rstrip("/") + path)
    await rest(page)


async def absent(page: Page, stack: Stack, path: str) -> tuple[str, str]:
    """Return the title and the text of a page that must say that nothing is there."""
    await go(page, stack, path)
    told = page.get_by_test_id("not-found")
    await expect(told).to_be_visible()
    return await page.title(), await told.inner_text()
