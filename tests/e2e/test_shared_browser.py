"""One browser and several people: whoever comes after another finds nothing of them, in any window that is open."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from e2e.browser import PATIENCE_MS
from e2e.stack import Stack
from e2e.test_portal_in_bad_times import begin_a_process, enter
from e2e.visitors import PASSWORD, Person, join

pytestmark = [pytest.mark.real("chromium", "portal"), pytest.mark.timeout(600)]

TYPED = "sleep 4321"


@pytest.fixture
async def ann(stack: Stack, vmid: int) -> AsyncIterator[Person]:
    """Somebody to whose customer the container belongs."""
    _, report = await stack.call("GET", f"/api/containers/{vmid}")
    person = await join(stack, report["customerId"], "ann", "member")
    yield person
    await stack.call("DELETE", f"/api/customers/{report['customerId']}/members/{person.id}")
    await stack.call("POST", f"/api/users/{person.id}/suspend")


@pytest.fixture
async def bob(stack: Stack) -> AsyncIterator[Person]:
    """Somebody who has nothing to do with the container."""
    status, customer = await stack.call("POST", "/api/customers", {"name": "Bob's"})
    assert status == 201, customer
    person = await join(stack, customer["id"], "bob", "owner")
    yield person
    await stack.call("POST", f"/api/users/{person.id}/suspend")
    await stack.call("DELETE", f"/api/customers/{customer['id']}")


async def open_another(page: Page, stack: Stack) -> Page:
    """Open another window of the same browser at the portal."""
    other = await page.context.new_page()
    other.set_default_timeout(PATIENCE_MS)
    await other.goto(stack.dev["portalUrl"])
    return other


async def sign_out(page: Page) -> None:
    """Sign out by the menu."""
    await page.get_by_role("button", name="Account menu").click()
    await page.get_by_role("menuitem", name="Sign out").click()
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()


async def test_who_signs_in_elsewhere_takes_over_no_page_of_another(
    page: Page, stack: Stack, vmid: int, ann: Person, bob: Person
) -> None:
    """Bob signs in where Ann was: her page is not his, nor what she has typed in it, nor what it has remembered."""
    await enter(page, stack, ann)
    await begin_a_process(page, stack, vmid)
    other = await open_another(page, stack)
    await sign_out(other)
    await enter(other, stack, bob)
    await expect(other.get_by_test_id(f"container-{vmid}")).to_have_count(0)
    # Nobody has looked at her page meanwhile.
    await expect(page.get_by_test_id("not-found")).to_be_visible()
    await page.bring_to_front()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_role("button", name="Account menu").click()
    await expect(page.get_by_role("menu")).to_contain_text(bob.email)
    await page.keyboard.press("Escape")
    # Neither behind the page, nor in what the browser keeps, is anything of her.
    for look in ("document.documentElement.outerHTML", "JSON.stringify({...localStorage, ...sessionStorage})"):
        found = await page.evaluate(look)
        assert not [word for word in (ann.email, ann.id, TYPED) if word in found], look
    await page.get_by_role("link", name="Containers", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Containers")
    await expect(page.get_by_test_id(f"container-{vmid}")).to_have_count(0)
    assert await page.get_by_label("Command", exact=True).count() == 0


async def test_who_comes_back_in_another_window_goes_on_in_the_first(
    page: Page, stack: Stack, vmid: int, ann: Person
) -> None:
    """Signed out elsewhere, the page waits for her alone; signed in elsewhere, it has all that she had typed."""
    await enter(page, stack, ann)
    await begin_a_process(page, stack, vmid)
    other = await open_another(page, stack)
    await sign_out(other)
    await page.bring_to_front()
    await expect(page.get_by_test_id("come-back").get_by_label("E-mail")).to_have_value(ann.email)
    await other.bring_to_front()
    await other.get_by_label("E-mail").fill(ann.email)
    await other.get_by_label("Password", exact=True).fill(PASSWORD)
    await other.get_by_role("button", name="Sign in").click()
    await expect(other.get_by_role("heading", level=1)).to_have_text("Containers")
    await page.bring_to_front()
    await expect(page.get_by_test_id("come-back")).to_be_hidden()
    await expect(page.get_by_label("Command", exact=True)).to_have_value(TYPED)
    await page.get_by_role("button", name="Add and start").click()
    await expect(page.get_by_test_id("process-kept").get_by_test_id("process-state")).to_have_text("Running")


async def test_who_is_removed_while_they_look_is_told_of_no_deletion(
    page: Page, stack: Stack, vmid: int, ann: Person
) -> None:
    """For them the container is gone, and the page does not claim to know why."""
    await enter(page, stack, ann)
    await page.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/overview")
    await expect(page.get_by_role("tab", name="Overview")).to_be_visible()
    _, report = await stack.call("GET", f"/api/containers/{vmid}")
    status, answer = await stack.call("DELETE", f"/api/customers/{report['customerId']}/members/{ann.id}")
    assert status < 300, answer
    await expect(
        page.get_by_text(re.compile("is gone: it was deleted, or you may not see it any more"))
    ).to_be_visible()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Containers")
    await expect(page.get_by_test_id(f"container-{vmid}")).to_have_count(0)
