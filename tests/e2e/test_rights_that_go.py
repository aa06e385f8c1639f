"""A right that goes while somebody fills in a form: what they typed is kept, and comes back with the right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from playwright.async_api import Locator, Page, expect

from e2e.browser import PATIENCE_MS
from e2e.stack import Stack
from e2e.test_portal_in_bad_times import begin_a_process, enter
from e2e.visitors import Person, join

pytestmark = [pytest.mark.real("chromium", "portal"), pytest.mark.timeout(600)]

GONE = "may-not"


@dataclass
class Scene:
    """Somebody at a page of their customer, whose role an operator changes."""

    page: Page
    stack: Stack
    kim: Person
    customer: str

    async def give(self, role: str) -> None:
        """Give them another role."""
        path = f"/api/customers/{self.customer}/members/{self.kim.id}"
        status, answer = await self.stack.call("PATCH", path, {"role": role})
        assert status == 200, answer

    async def go(self, path: str) -> None:
        """Open a page."""
        await self.page.goto(self.stack.dev["portalUrl"].rstrip("/") + path)

    async def lose(self) -> None:
        """Lose the right, and be told so."""
        await self.give("viewer")
        await self.look_until(is_gone=True)

    async def regain(self) -> None:
        """Have it again, and be told nothing of the loss any more."""
        await self.give("owner")
        await self.look_until(is_gone=False)
        await expect(self.page.get_by_test_id("kept-typed")).to_have_count(0)

    async def look_until(self, *, is_gone: bool) -> None:
        """Come back to the window, whereupon the page asks what one may, until it says so."""
        async with asyncio.timeout(PATIENCE_MS / 1000):
            while (await self.page.get_by_test_id(GONE).count() > 0) is not is_gone:
                await self.page.evaluate("window.dispatchEvent(new Event('visibilitychange'))")
                await asyncio.sleep(0.5)

    async def see_kept(self, words: str) -> None:
        """See what was typed, to be copied, and no form."""
        await expect(self.page.get_by_test_id("kept-text")).to_contain_text(words)

    async def see_nothing_kept(self) -> None:
        """See that what was sent is not called unsent."""
        await expect(self.page.get_by_test_id("kept-typed")).to_have_count(0)


@pytest.fixture
async def scene(page: Page, stack: Stack) -> AsyncIterator[Callable[[str], Awaitable[Scene]]]:
    """Have somebody join a customer as an owner, one of two, and sign in."""
    joined: list[Person] = []

    async def begin(customer: str) -> Scene:
        joined.extend([await join(stack, customer, name, "owner") for name in ("kim", "olga")])
        await enter(page, stack, joined[0])
        return Scene(page, stack, joined[0], customer)

    yield begin
    for person in joined:
        await stack.call("POST", f"/api/users/{person.id}/suspend")


@pytest.fixture
async def customer(stack: Stack) -> AsyncIterator[str]:
    """Give the id of a customer of this test's own."""
    status, made = await stack.call("POST", "/api/customers", {"name": "Zoo"})
    assert status == 201, made
    yield made["id"]
    await stack.call("DELETE", f"/api/customers/{made['id']}")


async def keep_and_send(
    scene: Scene, field: Locator, typed: str, kept: str, send: Callable[[], Awaitable[None]]
) -> None:
    """Type, lose the right, have it again, go on where one was, send, and lose it once more."""
    await field.fill(typed)
    await scene.lose()
    await expect(field).to_be_hidden()
    await scene.see_kept(kept)
    await scene.regain()
    await expect(field).to_have_value(typed)
    await send()
    await scene.lose()
    await scene.see_nothing_kept()


async def test_an_invitation_is_kept_and_comes_back(scene: Callable[[str], Awaitable[Scene]], customer: str) -> None:
    """And the one that was made is not called unsent."""
    kim = await scene(customer)
    await kim.go(f"/customers/{customer}/members")
    form = kim.page.get_by_role("form", name="Invite somebody", include_hidden=True)

    async def send() -> None:
        await kim.page.get_by_role("button", name="Make the invitation").click()
        await expect(kim.page.get_by_test_id("invitation-made")).to_be_visible()

    await keep_and_send(kim, form.get_by_label("E-mail"), "ann@example.org", "E-mail: ann@example.org", send)


async def test_a_name_is_kept_and_comes_back(scene: Callable[[str], Awaitable[Scene]], customer: str) -> None:
    """Of a customer; once it is called so, there is nothing unsent."""
    kim = await scene(customer)
    await kim.go(f"/customers/{customer}/settings")
    form = kim.page.get_by_role("form", name="Rename the customer", include_hidden=True)
    field = form.get_by_label("Name", exact=True)

    async def send() -> None:
        await kim.page.get_by_role("button", name="Rename").click()
        await expect(kim.page.get_by_role("heading", level=1)).to_have_text("Zoological garden")

    await keep_and_send(kim, field, "Zoological garden", "Name: Zoological garden", send)


async def test_a_port_is_kept_and_comes_back(scene: Callable[[str], Awaitable[Scene]], stack: Stack, vmid: int) -> None:
    """A published one is not called unsent."""
    kim = await scene((await stack.status(vmid))["customerId"])
    await kim.go(f"/containers/{vmid}/ports")

    async def send() -> None:
        await kim.page.get_by_role("button", name="Publish", exact=True).click()
        await expect(kim.page.get_by_test_id("exposure-4321")).to_be_visible()

    await keep_and_send(kim, kim.page.get_by_label("Port", exact=True), "4321", "Port: 4321", send)


async def test_a_command_stays_in_its_window(scene: Callable[[str], Awaitable[Scene]], stack: Stack, vmid: int) -> None:
    """The window of a process stays open, refuses what may not be done, and sends it once it may."""
    kim = await scene((await stack.status(vmid))["customerId"])
    await begin_a_process(kim.page, stack, vmid)
    command = kim.page.get_by_label("Command", exact=True)
    await kim.give("viewer")
    await kim.page.get_by_role("button", name="Add and start").click()
    problem = kim.page.get_by_role("dialog").get_by_test_id("problem")
    await expect(problem).to_be_visible()
    await expect(command).to_have_value("sleep 4321")
    await kim.give("owner")
    await kim.page.get_by_role("button", name="Add and start").click()
    await expect(command).to_have_count(0)
    await expect(kim.page.get_by_test_id("process-kept").get_by_test_id("process-state")).to_have_text("Running")


async def test_a_size_comes_back(scene: Callable[[str], Awaitable[Scene]], stack: Stack, vmid: int) -> None:
    """It is chosen and not typed: there is nothing to copy, and it stands where it was moved to."""
    kim = await scene((await stack.status(vmid))["customerId"])
    await kim.go(f"/containers/{vmid}/settings")
    slider = kim.page.get_by_role("slider", name="Memory")
    before = await slider.get_attribute("aria-valuetext")
    await slider.press("ArrowRight")
    moved = await slider.get_attribute("aria-valuetext")
    assert moved is not None
    assert moved != before
    await kim.lose()
    await expect(slider).to_be_hidden()
    await kim.see_nothing_kept()
    await kim.regain()
    await expect(slider).to_have_attribute("aria-valuetext", moved)
    await kim.page.get_by_role("button", name="Apply the size").click()
    await expect(kim.page.get_by_role("button", name="Apply the size")).to_be_disabled()
    await kim.lose()
    await kim.see_nothing_kept()


async def test_what_was_typed_is_thrown_away_when_asked(
    scene: Callable[[str], Awaitable[Scene]], stack: Stack, vmid: int
) -> None:
    """Then it comes back no more."""
    kim = await scene((await stack.status(vmid))["customerId"])
    await kim.go(f"/containers/{vmid}/ports")
    port = kim.page.get_by_label("Port", exact=True)
    await port.fill("4322")
    await kim.lose()
    await kim.page.get_by_role("button", name="Throw away what was typed").click()
    await kim.see_nothing_kept()
    await kim.regain()
    await expect(port).to_have_value("")
