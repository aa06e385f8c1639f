"""People of a customer in real browsers: invited, let in, restricted, suspended, and told of each in words."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest
from playwright.async_api import Browser, Locator, Page, expect

from e2e.browser import PATIENCE_MS, sign_in, type_and_see
from e2e.stack import Stack

pytestmark = pytest.mark.real("chromium", "portal")

PASSWORD = "correct horse battery"
# As a customer may be called: markup, and letters that are written from right to left.
NAME = "Zoo <b>& \u05d2\u05df</b>"
REASON = "The invoice of October is unpaid."

OpenPage = Callable[[], Awaitable[Page]]


@pytest.fixture
async def another(browser: Browser) -> AsyncIterator[OpenPage]:
    """Open a page in a browser profile of its own; no script of any of them fails."""
    failures: list[str] = []
    async with AsyncExitStack() as contexts:

        async def open_page() -> Page:
            context = await browser.new_context(viewport={"width": 1280, "height": 800})
            contexts.push_async_callback(context.close)
            page = await context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.on("pageerror", lambda error: failures.append(str(error)))
            return page

        yield open_page
    assert failures == []


async def enter(page: Page, stack: Stack, email: str, password: str = PASSWORD) -> None:
    """Sign in where the page asks for it."""
    await page.goto(f"{stack.dev['portalUrl']}/login")
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_role("button", name="Sign in").click()


async def choose(page: Page, field: Locator, option: str) -> None:
    """Choose an option of a drop-down."""
    await field.click()
    await page.get_by_role("option", name=option).click()


async def create_customer(page: Page, stack: Stack, name: str = NAME) -> str:
    """Create a customer as the operator; return the address of its page."""
    await sign_in(page, stack)
    await page.get_by_role("link", name="Platform").click()
    await page.get_by_role("tab", name="Customers").click()
    await page.get_by_role("button", name="Create customer").click()
    await page.get_by_role("dialog").get_by_label("Name").fill(name)
    await page.get_by_role("dialog").get_by_role("button", name="Create").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(name)
    return page.url


async def invite(page: Page, email: str, role: str) -> str:
    """Invite somebody from the page of a customer; return the link that is shown."""
    form = page.get_by_role("form", name="Invite somebody")
    await form.get_by_label("E-mail").fill(email)
    await choose(page, form.get_by_role("combobox", name="Role"), role)
    await form.get_by_role("button", name="Make the invitation").click()
    await expect(page.get_by_test_id("invitation-made")).to_contain_text("ZLH sends no mail")
    link = await page.get_by_test_id("invitation-url").inner_text()
    await page.get_by_role("button", name="Hide the link").click()
    await expect(page.get_by_test_id("invitation").filter(has_text=email)).to_be_visible()
    return link


async def join(page: Page, link: str) -> None:
    """Follow the link of an invitation as somebody new."""
    await page.goto(link)
    await expect(page.get_by_test_id("invitation-seen")).to_be_visible()
    await expect(page).to_have_url(re.compile(r"/invitation$"))
    await page.get_by_label("Choose a password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Make my account and join").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Containers")


async def make_token(page: Page, stack: Stack, name: str, preset: str) -> tuple[str, str]:
    """Make a token; return its secret and the command that the page offers to try it with."""
    await page.goto(f"{stack.dev['portalUrl']}/account/tokens")
    await page.get_by_role("button", name="Make a token").click()
    await page.get_by_label("Name").fill(name)
    await page.get_by_text(preset, exact=True).click()
    await page.get_by_role("button", name="Make the token").click()
    secret = await page.get_by_test_id("token-secret").inner_text()
    return secret, await page.get_by_test_id("token-curl").inner_text()


async def call(stack: Stack, method: str, path: str, token: str, body: object = None) -> tuple[int, dict[str, object]]:
    """Call the API with a token."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
        session.request(
            method, stack.dev["apiUrl"] + path, json=body, headers={"Authorization": f"Bearer {token}"}
        ) as answer,
    ):
        return answer.status, await answer.json()


async def test_a_customer_from_its_first_invitation_to_its_suspension(
    page: Page, another: OpenPage, stack: Stack
) -> None:
    """An owner and a member join, the member loses the consoles while one is open, and suspension shows its reason."""
    customer = await create_customer(page, stack)
    ann, bob = await another(), await another()
    await join(ann, await invite(page, "ann@zoo.example", "Owner"))
    await ann.get_by_role("link", name="Customer", exact=True).click()
    await expect(ann.get_by_role("heading", level=1)).to_have_text(NAME)
    await join(bob, await invite(ann, "bob@zoo.example", "Member"))

    secret, command = await make_token(ann, stack, "pipeline", "Deploy")
    printed = await asyncio.to_thread(subprocess.check_output, ["sh", "-c", command], text=True)
    assert printed.startswith('{"items":[]'), printed
    status, made = await call(stack, "POST", "/api/containers", secret, {"kind": "dev", "runtime": "node"})
    assert status == 202, made
    assert made["customerId"] == customer.rsplit("/", 1)[1]
    vmid = int(str(made["vmid"]))
    wish = {"email": "eve@zoo.example", "role": "owner"}
    status, refused = await call(stack, "POST", f"/api/customers/{made['customerId']}/invitations", secret, wish)
    assert (status, refused["code"]) == (403, "scope_missing")
    await stack.wait_ready(vmid)

    await lose_the_consoles(ann, bob, stack, vmid, customer)
    await find_it_in_the_log(ann, customer, vmid)
    await be_suspended(page, bob, stack, vmid, customer)

    await stack.delete(vmid)
    await page.goto(f"{customer}/settings")
    await page.get_by_label("Type the name to confirm").fill(NAME)
    await page.get_by_role("button", name="Delete for good").click()
    await expect(page).to_have_url(re.compile(r"/platform/customers$"))
    await ann.goto(customer)
    await expect(ann.get_by_test_id("not-found")).to_be_visible()


async def lose_the_consoles(ann: Page, bob: Page, stack: Stack, vmid: int, customer: str) -> None:
    """Bob types, Ann makes him a viewer: his console closes at once, says why, and stays closed."""
    sockets: list[str] = []
    bob.on("websocket", lambda socket: sockets.append(socket.url))
    await bob.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/terminal")
    state = bob.get_by_test_id("terminal-state")
    await expect(state).to_have_attribute("data-kind", "attached")
    await bob.get_by_test_id("terminal").click()
    await type_and_see(bob, "echo still-h''ere", "still-here")

    await ann.goto(customer)
    row = ann.get_by_test_id("member").filter(has_text="bob@zoo.example")
    await choose(ann, row.get_by_role("combobox", name="Role of bob@zoo.example"), "Viewer")
    await expect(state).to_have_attribute("data-kind", "refused")
    await expect(state).to_contain_text("your role no longer includes consoles")
    await expect(bob.locator(".xterm-rows")).to_contain_text("still-here")
    await expect(bob.get_by_role("button", name="Stop")).to_be_hidden()
    opened = len(sockets)
    await bob.wait_for_timeout(3_000)
    assert len(sockets) == opened, "it connected again"

    await bob.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/settings")
    await expect(bob.get_by_test_id("may-not")).to_contain_text("Your role as viewer does not include")
    await bob.goto(customer)
    await expect(bob.get_by_test_id("member")).to_have_count(2)
    await expect(bob.get_by_role("button", name="Make the invitation")).to_be_hidden()


async def find_it_in_the_log(ann: Page, customer: str, vmid: int) -> None:
    """Each act with who and how it ended; what else is known unfolds, and filters stand in the address."""
    await ann.goto(f"{customer}/audit-log")
    entries = ann.get_by_test_id("audit-entry")
    made = entries.and_(ann.locator("[data-act='container.create']"))
    await expect(made).to_contain_text(
        re.compile(rf"Create a container.*container {vmid}.*ann@zoo.example.*token [0-9a-f]{{8}}.*Done")
    )
    await expect(entries.and_(ann.locator("[data-act='console.open']")).first).to_contain_text("bob@zoo.example")
    await choose(ann, ann.get_by_role("combobox", name="Outcome"), "Refused")
    await expect(entries).to_have_count(1)
    await expect(entries).to_contain_text("Invite somebody")

    await ann.goto(f"{customer}/audit-log?act=member.change")
    await expect(entries).to_have_count(1)
    await entries.get_by_role("button", name="Change a member's role").click()
    details = ann.get_by_test_id("entry-details")
    await expect(details).to_contain_text("viewer")
    await expect(details.get_by_test_id("entry-hash")).to_have_text(re.compile(r"[0-9a-f]{64}"))
    await expect(details.get_by_test_id("request-id")).to_be_visible()
    await ann.goto(f"{customer}/audit-log")
    await made.get_by_role("link", name=f"container {vmid}").click()
    await expect(ann).to_have_url(re.compile(rf"/containers/{vmid}$"))


async def be_suspended(page: Page, bob: Page, stack: Stack, vmid: int, customer: str) -> None:
    """The reason stands on the customer's pages and on those of its containers, until it is resumed."""
    await page.goto(f"{customer}/settings")
    await page.get_by_role("button", name="Suspend…").click()
    await page.get_by_role("dialog").get_by_label("Reason").fill(REASON)
    await page.get_by_role("dialog").get_by_role("button", name="Suspend").click()
    await expect(page.get_by_test_id("suspended-reason")).to_have_text(REASON)
    for path in (customer, f"{stack.dev['portalUrl']}/containers/{vmid}", stack.dev["portalUrl"]):
        await bob.goto(path)
        await expect(bob.get_by_test_id("suspended-reason")).to_have_text(REASON)
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_test_id("suspended")).to_be_hidden()
    await bob.reload()
    await expect(bob.get_by_role("link", name="Customer", exact=True)).to_be_visible()
    await expect(bob.get_by_test_id("suspended")).to_be_hidden()


async def test_a_code_that_opens_nothing_is_told(page: Page, another: OpenPage, stack: Stack) -> None:
    """Wrong, cut, withdrawn, used, and for somebody else: each says so, and nobody is let in."""
    await create_customer(page, stack, "Codes")
    visitor = await another()
    for path in ("/invitation#code=zlh_nothing", "/invitation", "/invitation#", "/password-reset"):
        await visitor.goto(stack.dev["portalUrl"] + path)
        await expect(visitor.get_by_test_id("dead-link")).to_be_visible()
    await visitor.goto(f"{stack.dev['portalUrl']}/password-reset#code=zlh_nothing")
    await visitor.get_by_label("New password", exact=True).fill(PASSWORD)
    await visitor.get_by_role("button", name="Set the password").click()
    await expect(visitor.get_by_test_id("problem")).to_contain_text("password_reset_invalid")

    withdrawn = await invite(page, "carol@codes.example", "Viewer")
    await page.get_by_role("button", name="Withdraw the invitation for carol@codes.example").click()
    await page.get_by_role("dialog").get_by_role("button", name="Withdraw").click()
    await expect(page.get_by_test_id("no-invitations")).to_be_visible()
    await visitor.goto(withdrawn)
    await expect(visitor.get_by_test_id("dead-link")).to_contain_text("withdrawn")

    used = await invite(page, "dave@codes.example", "Viewer")
    await visitor.goto(used)
    await visitor.get_by_label("Choose a password", exact=True).fill("short")
    await visitor.get_by_role("button", name="Make my account and join").click()
    await expect(visitor.get_by_text("at least 12 characters; this has 5")).to_be_visible()
    await join(visitor, used)
    await visitor.goto(used)
    await expect(visitor.get_by_test_id("dead-link")).to_be_visible()

    other = await invite(page, "erin@codes.example", "Viewer")
    await visitor.goto(other)
    await expect(visitor.get_by_text("so nobody else can accept it")).to_be_visible()
    await visitor.get_by_role("button", name="Sign out and go on").click()
    await expect(visitor.get_by_label("Choose a password", exact=True)).to_be_visible()


async def test_a_lost_password_is_set_anew_and_sessions_end(page: Page, another: OpenPage, stack: Stack) -> None:
    """The link works once and ends every session; a session that is ended from another one leads to the sign-in."""
    await create_customer(page, stack, "Resets")
    first, second = await another(), await another()
    await join(first, await invite(page, "fay@resets.example", "Owner"))
    await enter(second, stack, "fay@resets.example")
    await expect(second.get_by_role("heading", level=1)).to_have_text("Containers")

    await first.goto(f"{stack.dev['portalUrl']}/account/sessions")
    await expect(first.get_by_test_id("session")).to_have_count(2)
    await expect(first.get_by_test_id("session").first).to_contain_text("This one")
    await first.get_by_role("button", name="End all others").click()
    await first.get_by_role("dialog").get_by_role("button", name="End them").click()
    await expect(first.get_by_test_id("session")).to_have_count(1)
    # Nobody has touched it: its live stream has ended, and so the page knows.
    await expect(second.get_by_role("button", name="Sign in")).to_be_visible()

    await page.goto(f"{stack.dev['portalUrl']}/platform/users?q=fay%40")
    await page.get_by_role("button", name="Actions on fay@resets.example").click()
    await page.get_by_role("menuitem", name="Make a link for a new password").click()
    await page.get_by_role("dialog").get_by_role("button", name="Make the link").click()
    link = await page.get_by_test_id("reset-url").inner_text()
    await second.goto(link)
    await expect(second).to_have_url(re.compile(r"/password-reset$"))
    await second.get_by_label("New password", exact=True).fill("another horse battery")
    await second.get_by_role("button", name="Set the password").click()
    await expect(second.get_by_test_id("password-set")).to_be_visible()
    await enter(second, stack, "fay@resets.example", "another horse battery")
    await expect(second.get_by_role("heading", level=1)).to_have_text("Containers")
    # Ended with every other session; the page that was asked for comes after the sign-in.
    await first.goto(f"{stack.dev['portalUrl']}/account/tokens")
    await first.get_by_label("E-mail").fill("fay@resets.example")
    await first.get_by_label("Password", exact=True).fill("another horse battery")
    await first.get_by_role("button", name="Sign in").click()
    await expect(first.get_by_test_id("no-tokens")).to_be_visible()


async def test_a_quota_is_set_and_holds(page: Page, another: OpenPage, stack: Stack) -> None:
    """The bar says how much is left; what is beyond it is refused where it is asked for, with the reason."""
    customer = await create_customer(page, stack, "Quotas")
    await page.get_by_role("tab", name="Quota").click()
    await page.get_by_role("button", name="Change the quota").click()
    await page.get_by_role("textbox", name="Containers").fill("0")
    await page.get_by_role("button", name="Set the quota").click()
    await expect(page.get_by_test_id("quota-containers").get_by_test_id("quota-words")).to_have_text("0 of 0")
    await page.get_by_role("tab", name="Members").click()
    owner = await another()
    await join(owner, await invite(page, "gus@quotas.example", "Owner"))
    await owner.goto(f"{stack.dev['portalUrl']}/containers/new")
    await expect(owner.get_by_test_id("no-room")).to_be_visible()
    await expect(owner.get_by_role("button", name="Create container")).to_be_disabled()
    await owner.goto(f"{customer}/quota")
    await expect(owner.get_by_test_id("quota-containers")).to_contain_text("Used up")
    await expect(owner.get_by_role("button", name="Change the quota")).to_be_hidden()


@pytest.mark.parametrize("width", [360, 1280])
async def test_no_page_of_people_is_wider_than_its_window(page: Page, stack: Stack, width: int) -> None:
    """Names without a gap, with markup or written from right to left break no page and run nothing."""
    name = f"\u05d2\u05df{width}" + "W" * 12 + "<img src=x onerror=document.title='broken'>"
    await page.set_viewport_size({"width": 1280, "height": 800})
    customer = await create_customer(page, stack, name)
    await invite(page, "x" * 64 + "@" + "y" * 60 + ".example", "Viewer")
    await page.set_viewport_size({"width": width, "height": 800})
    portal = stack.dev["portalUrl"]
    for path in (
        *(f"{customer}/{tab}" for tab in ("members", "quota", "audit-log", "settings")),
        *(f"{portal}/account/{tab}" for tab in ("profile", "sessions", "tokens")),
        *(f"{portal}/platform/{tab}" for tab in ("customers", "users", "audit-log")),
        f"{portal}/customers",
        f"{portal}/invitation#code=x",
        f"{portal}/password-reset#code=x",
    ):
        await page.goto(path)
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await page.wait_for_timeout(300)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert await page.title() != "broken"
