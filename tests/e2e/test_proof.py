"""What breaks after a container was ready: its people see which link it is, operators see it beside all others."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from playwright.async_api import Page, expect

from e2e.browser import sign_in
from e2e.stack import WAIT_S, Stack


def shadow(folder: Path, vmid: int) -> Path:
    """Put a foreign file there that is valid, and takes the platform's part of a container's name away from us."""
    rule = f"Host(`dev-{vmid}.localhost`) && PathPrefix(`/.zlh/`)"
    router = {"rule": rule, "entryPoints": ["web"], "service": "elsewhere", "priority": 20_000}
    services = {"elsewhere": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}}
    file = folder / "elsewhere.yml"
    written = file.with_suffix(".new")
    written.write_text(json.dumps({"http": {"routers": {"elsewhere": router}, "services": services}}))
    return written.rename(file)


async def wait_shadowed(stack: Stack, vmid: int) -> None:
    """Return once the proxy goes by the foreign file."""
    port = urlsplit(stack.dev["portalUrl"]).port
    async with aiohttp.ClientSession() as client, asyncio.timeout(WAIT_S):
        while True:
            url, headers = f"http://127.0.0.1:{port}/.zlh/ready", {"Host": f"dev-{vmid}.localhost"}
            async with client.get(url, headers=headers) as answer:
                if answer.status != 200:
                    return
            await asyncio.sleep(0.05)


async def check_now(page: Page) -> None:
    """Ask for a look, as soon as one may."""
    await page.locator("button:not([data-loading])", has_text="Check now").click()


async def test_what_breaks_later_is_shown_and_taken_back(page: Page, stack: Stack, own_vmid: int) -> None:
    """Link by link on the container's page, in its history, and on the operators' page of the edge."""
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/containers/{own_vmid}")
    await check_now(page)
    for name, state in (("agent", "holds"), ("route", "holds"), ("dns", "skipped"), ("name", "holds")):
        await expect(page.get_by_test_id(f"link-{name}")).to_have_attribute("data-link-state", state)
    await expect(page.get_by_test_id("proof-summary")).to_have_text("Every link holds.")
    file = shadow(stack.home / "routes", own_vmid)
    await wait_shadowed(stack, own_vmid)
    await check_now(page)
    await expect(page.get_by_test_id("link-name")).to_have_attribute("data-link-state", "broken")
    await expect(page.get_by_test_id("degraded")).to_contain_text("public name does not lead")
    await expect(page.get_by_test_id("link-route")).to_have_attribute("data-link-state", "holds")
    await page.goto(f"{stack.dev['portalUrl']}/platform/edge")
    await expect(page.get_by_test_id("edge-standing")).to_contain_text("cannot be reached")
    await expect(page.get_by_test_id("edge-faults")).to_contain_text(str(own_vmid))
    await expect(page.get_by_test_id("proxy-state")).to_have_text("answers")
    file.unlink()
    await expect(page.get_by_test_id("edge-standing")).to_have_attribute("data-tone", "good")
    await page.goto(f"{stack.dev['portalUrl']}/containers/{own_vmid}/history")
    await expect(page.get_by_text("The public name leads to the container again.")).to_be_visible()
