"""What operators see of the whole platform, and what somebody who creates their first container is told."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from e2e.browser import sign_in
from e2e.stack import Stack

pytestmark = pytest.mark.real("chromium", "portal")
NEW, OLD = "24.19.0", "22.20.0"


async def test_an_operator_finds_what_was_done_for_a_container(stack: Stack, page: Page, vmid: int) -> None:
    """From everybody's containers to its machine, and to each try of its steps; the address keeps what is asked for."""
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/platform/containers?sort=vmid")
    row = page.get_by_test_id(f"platform-container-{vmid}")
    await expect(row).to_contain_text("Connected")
    await expect(page.get_by_role("columnheader", name="Number")).to_have_attribute("aria-sort", "ascending")
    await page.get_by_role("button", name="Number").click()
    await expect(page.get_by_role("columnheader", name="Number")).to_have_attribute("aria-sort", "descending")
    await page.get_by_label("Filter by text").fill(str(vmid))
    await expect(page.get_by_test_id("counted")).to_contain_text("1")

    await page.get_by_role("tab", name="Nodes").click()
    await expect(page.get_by_test_id("node-state")).to_have_text("Online")
    await expect(page.get_by_test_id("nodes")).to_contain_text("1 running")
    await expect(page.get_by_test_id("nodes")).to_contain_text("holds containers to nothing")

    await page.get_by_role("tab", name="Journal").click()
    await page.get_by_label("Number of a container").fill(str(vmid))
    attempts = page.get_by_test_id("attempt")
    await expect(attempts.filter(has_text="Create the container")).to_have_count(1)
    await page.reload()
    await expect(page.get_by_label("Number of a container")).to_have_value(str(vmid))
    await expect(attempts.filter(has_text="Create the container")).to_have_count(1)
    await page.get_by_role("combobox", name="Outcome").click()
    await page.get_by_role("option", name="Done").click()
    assert "outcome=done" in page.url
    await attempts.first.get_by_role("link").click()
    await page.wait_for_url(f"**/containers/{vmid}")


async def test_an_operator_changes_the_default_and_takes_it_back(stack: Stack, page: Page) -> None:
    """What it means is told first; it is signed and published at once, and stands in the audit log."""
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/platform/catalog")
    node = page.get_by_test_id("published-node")
    await expect(node.get_by_test_id(f"version-{NEW}")).to_contain_text("Default")
    for version, before in ((OLD, NEW), (NEW, OLD)):
        await node.get_by_role("button", name=f"Make default: Node.js {version}").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("Containers that are there stay as they are.")
        await dialog.get_by_role("button", name="Make default").click()
        await expect(node.get_by_test_id(f"version-{version}")).to_contain_text("Default")
        await expect(node.get_by_test_id(f"version-{before}")).not_to_contain_text("Default")
    await page.goto(f"{stack.dev['portalUrl']}/platform/audit-log?act=catalog.decide")
    entries = page.get_by_test_id("audit-entry")
    await expect(entries).to_have_count(2)
    await expect(entries.first).to_contain_text(f"runtime node {NEW}")


async def test_whoever_creates_their_first_container_is_told_what_it_means(stack: Stack, page: Page) -> None:
    """Everything is chosen already, sizes say what they are for, and what is next stands above the button."""
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/containers/new")
    await expect(page.get_by_test_id("about-size")).to_contain_text("web apps")
    await page.get_by_text("Large", exact=True).click()
    await expect(page.get_by_test_id("about-size")).to_contain_text("4 GiB of memory")
    await expect(page.get_by_test_id("size-memoryMib")).to_have_text("4 GiB")
    await expect(page.get_by_test_id("what-next")).to_contain_text("Node.js")
    await expect(page.get_by_role("button", name="Create container")).to_be_enabled()
