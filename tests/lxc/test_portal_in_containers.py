"""A person at the portal whose container is a real one: made, worked in and deleted with a mouse and a keyboard."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from component.api.conftest import dsn, postgres
from e2e.browser import browser, page, type_and_see
from e2e.editor_page import sign_in
from e2e.visitors import PASSWORD as STRANGERS_PASSWORD
from e2e.visitors import join
from fakes.runtime_shop import RuntimeShop, make_shop
from guards import leaks
from lxc.own_host import OwnHost
from lxc.platform import EMAIL, PASSWORD, LxcPlatform, running_platform
from lxc.test_installs_in_container import served

__all__ = ["browser", "dsn", "page", "postgres"]
pytestmark = [pytest.mark.real("lxc", "traefik", "chromium", "portal"), pytest.mark.timeout(600)]
SERVER = "python3 -m http.server 4000"


@pytest.fixture
def shop(tmp_path: Path) -> RuntimeShop:
    """A signed tree with one runtime, which says its version."""
    return make_shop(tmp_path / "shop", "1.0")


async def test_a_container_is_made_worked_in_and_deleted(
    page: Page, host: OwnHost, dsn: str, shop: RuntimeShop, tmp_path: Path
) -> None:
    """Its terminal is the customer's own, its files are in it, and its server is met; nothing of it stays."""
    leaks.long_lived.add(str(tmp_path))
    with served(shop.tree, host.settings.gateway, host.settings.artifacts_port):
        async with running_platform(host, dsn, tmp_path, trusted_root=shop.trusted_root) as platform:
            await wait_met(page, platform.dev["portalUrl"])
            await sign_in(page, EMAIL, PASSWORD)
            vmid = await create(page)
            await work_in_the_terminal(page)
            await go_on_over_a_kill_of_the_api(page, platform)
            await write_a_file(page, platform, vmid)
            await serve(page)
            await see_what_it_uses(page)
            await meet_nothing_as_a_stranger(page, platform, vmid)
            await delete(page, platform, host, vmid)


async def create(page: Page) -> int:
    """Fill in what has to be, and watch until it is ready; return its number."""
    await page.get_by_role("link", name="Create container").first.click()
    await page.get_by_label("Name").fill("by hand")
    await page.get_by_role("button", name="Create container").click()
    await expect(page.get_by_test_id("step-check-ready")).to_have_attribute("data-state", "done")
    found = re.search(r"/containers/(\d+)", page.url)
    assert found is not None
    return int(found[1])


async def work_in_the_terminal(page: Page) -> None:
    """Type: the shell is that of the user `dev`, of a container that is not this machine, with its runtime at hand."""
    await page.get_by_role("tab", name="Terminal").click()
    await expect(page.get_by_test_id("terminal-state")).to_have_attribute("data-kind", "attached")
    await page.get_by_test_id("terminal").click()
    await type_and_see(page, "id -un; cat /proc/1/comm; tiny", "tiny 1.0")
    await expect(page.locator(".xterm-rows")).to_contain_text(re.compile(r"dev\s*systemd\s*tiny 1\.0"))


async def go_on_over_a_kill_of_the_api(page: Page, platform: LxcPlatform) -> None:
    """Have the shell count while the API is killed and another one starts: each line is there once, and it is used."""
    count = "n=0; while [ $n -lt 60 ]; do n=$((n+1)); echo at:$n; sleep 0.05; done; echo coun''ted"
    await page.keyboard.type("clear; " + count + "\n")
    await expect(page.locator(".xterm-rows")).to_contain_text("at:3")
    assert platform.api is not None
    platform.api.kill()
    await asyncio.to_thread(platform.api.wait)
    platform.start()
    await expect(page.locator(".xterm-rows")).to_contain_text("counted")
    shown = (await page.locator(".xterm-rows").inner_text()).split()
    told = [line for line in shown if line.startswith("at:")]
    assert told == [f"at:{number}" for number in range(61 - len(told), 61)]
    assert len(told) > 5
    await type_and_see(page, "echo here''by", "hereby")


async def write_a_file(page: Page, platform: LxcPlatform, vmid: int) -> None:
    """Make a file in the portal, and find in the container what was written."""
    await page.get_by_role("tab", name="Files").click()
    await page.get_by_role("button", name="New").click()
    await page.get_by_role("menuitem", name="File…").click()
    await page.get_by_label("Name", exact=True).fill("index.html")
    await page.get_by_role("button", name="Create", exact=True).click()
    state = page.get_by_test_id("editor-state")
    await expect(state).to_have_text("Saved")
    await page.locator(".cm-content").click()
    await page.keyboard.type("<h1>by hand")
    await page.keyboard.press("Control+s")
    await expect(state).to_have_text("Saved")
    assert "<h1>by hand" in await platform.read_file(vmid, "index.html")


async def serve(page: Page) -> None:
    """Keep a server running as a process of the container, publish its port, and open it by its public name."""
    await page.get_by_role("tab", name="Processes").click()
    await page.get_by_role("button", name="Add process").click()
    await page.get_by_label("Name", exact=True).fill("web")
    await page.get_by_label("Command", exact=True).fill(SERVER)
    await page.get_by_role("button", name="Add and start").click()
    await expect(page.get_by_test_id("process-web").get_by_test_id("process-state")).to_have_text("Running")
    await page.get_by_role("tab", name="Ports").click()
    listening = page.get_by_test_id("listening-4000")
    await listening.get_by_role("button", name="Publish port 4000").click()
    await page.get_by_role("button", name="Publish", exact=True).click()
    await expect(listening.get_by_role("link")).to_be_visible()
    address = await page.get_by_test_id("exposure-4000").get_by_role("link").first.get_attribute("href")
    assert address is not None
    visitor = await page.context.new_page()
    await wait_met(visitor, address)
    await expect(visitor.locator("h1")).to_have_text("by hand")
    await visitor.close()


async def wait_met(page: Page, address: str) -> None:
    """Open an address as soon as the proxy knows it."""
    async with asyncio.timeout(90):
        while (answer := await page.goto(address)) is None or answer.status != 200:
            await asyncio.sleep(0.2)


async def see_what_it_uses(page: Page) -> None:
    """Find the container's own figures, and its process among them."""
    await page.get_by_role("tab", name="Metrics").click()
    await expect(page.get_by_test_id("metrics-now")).to_contain_text("MiB")
    await expect(page.get_by_test_id("metrics-processes")).to_contain_text("web")


async def meet_nothing_as_a_stranger(page: Page, platform: LxcPlatform, vmid: int) -> None:
    """Somebody of another customer, by its address: it reads like a container that never was."""
    status, others = await platform.call("POST", "/api/customers", {"name": "others"})
    assert status == 201, others
    stranger = await join(platform, others["id"], "stranger", "owner")
    assert page.context.browser is not None
    other = await (await page.context.browser.new_context()).new_page()
    await other.goto(f"{platform.dev['portalUrl']}containers/{vmid}/terminal")
    await sign_in(other, stranger.email, STRANGERS_PASSWORD)
    there = await absent(other)
    await other.goto(f"{platform.dev['portalUrl']}containers/{vmid + 1}/terminal")
    assert await absent(other) == there
    await other.context.close()


async def absent(other: Page) -> tuple[str, str]:
    """Return the title and the text of a page that must say that nothing is there."""
    told = other.get_by_test_id("not-found")
    await expect(told).to_be_visible()
    return await other.title(), await told.inner_text()


async def delete(page: Page, platform: LxcPlatform, host: OwnHost, vmid: int) -> None:
    """Name what is deleted, and see it gone: from the list, and from the host."""
    await page.get_by_role("tab", name="Settings").click()
    await page.get_by_label("Type the name to confirm").fill("by hand")
    await page.get_by_role("button", name="Delete for good").click()
    await expect(page.get_by_text("by hand is deleted.")).to_be_visible()
    await platform.wait_gone(vmid)
    assert not [path for path in host.settings.root.iterdir() if path.name.startswith(str(vmid))]
