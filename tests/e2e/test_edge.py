"""From a browser to a container by its public name, and what is left when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, BrowserContext, async_playwright, expect

from e2e.browser import CHROMIUM, FLAGS, PATIENCE_MS
from e2e.edge_site import EMAIL, PASSWORD, PUBLIC_ADDRESS, Site, running_site
from e2e.stack import NODE, WAIT_S, Stack
from guards import leaks
from real_parts.acme_edge import ZONE

pytestmark = pytest.mark.real("traefik", "knot", "pebble", "nginx", "sshd", "package-index")
PORT = 4200
# Tells who it is, and which cookies it was shown.
SERVER = """
require('http').createServer((q, r) => {
  r.setHeader('Content-Type', 'text/html');
  r.end('<h1>' + process.env.WHO + '</h1><pre>' + (q.headers.cookie || 'no cookie') + '</pre>');
}).listen(4200, process.env.HOST);
"""


@pytest.fixture
async def site(stack: Stack, tmp_path: Path) -> AsyncIterator[Site]:
    """An installation of its own, with a real edge."""
    leaks.long_lived.add(str(tmp_path))
    async with running_site(stack, tmp_path) as site:
        yield site


@contextlib.asynccontextmanager
async def browsers(site: Site) -> AsyncIterator[Browser]:
    """A browser that takes every name of the zone to the front, whose CA it does not know."""
    rule = f"--host-resolver-rules=MAP *.{ZONE} 127.0.0.1"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rule])
        yield browser
        await browser.close()


async def make_server(site: Site, who: str) -> int:
    """Make a container with a server, and publish its port for its owner alone."""
    status, made = await site.call("POST", "/api/containers", NODE)
    assert status == 202, made
    vmid: int = made["vmid"]
    await site.wait(vmid, "ready", wanted=True)
    process = {
        "argv": ["node", "-e", SERVER],
        "environment": {"WHO": who},
        "policy": {"ready": {"probe": {"kind": "tcp", "port": PORT}}},
    }
    status, said = await site.call("PUT", f"/api/containers/{vmid}/processes/web", process)
    assert status in {200, 201}, said
    async with asyncio.timeout(WAIT_S):
        while True:
            _, process = await site.call("GET", f"/api/containers/{vmid}/processes/web")
            if process["status"] and process["status"]["state"] == "running":
                return vmid
            await asyncio.sleep(0.1)


async def publish(site: Site, vmid: int, visibility: str) -> dict[str, Any]:
    """Publish the port of the server."""
    status, made = await site.call(
        "POST", f"/api/containers/{vmid}/exposures", {"port": PORT, "visibility": visibility}
    )
    assert status == 201, made
    published: dict[str, Any] = made
    return published


async def read(site: Site, url: str) -> tuple[int, str]:
    """Return what somebody without any cookie gets."""
    async with site.visitor() as session, session.get(url, allow_redirects=False) as answer:
        return answer.status, await answer.text()


async def sign_in(context: BrowserContext, site: Site, url: str) -> str:
    """Open a host in a browser, sign in at the portal on the way, and return what is shown in the end."""
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(url)
    await page.get_by_label("E-mail").fill(EMAIL)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("mine")
    assert page.url == url
    return await page.locator("pre").inner_text()


async def test_the_owner_opens_a_host_by_its_public_name_and_nobody_else_does(site: Site) -> None:
    """Through certificates, records and proxies that are real; the container sees no cookie of the platform."""
    vmid = await make_server(site, "mine")
    exposure = await publish(site, vmid, "private")
    assert exposure["url"] == site.url(f"{PORT}-dev-{vmid}")
    await site.wait(vmid, "ready", wanted=True)
    # A port that is published later runs these steps again, and the container stays ready meanwhile.
    await site.wait_steps(vmid, {"publish-records": "done", "answer-dns": "done", "check-ready": "done"})
    hosts = {f"dev-{vmid}.{ZONE}", f"{PORT}-dev-{vmid}.{ZONE}"}
    async with asyncio.timeout(WAIT_S):
        while {name for name, _ in (await site.records())["public"]} != hosts:
            await asyncio.sleep(0.1)
    assert (await site.records())["public"] == {(host, PUBLIC_ADDRESS) for host in hosts}
    async with browsers(site) as browser:
        ours = await browser.new_context(ignore_https_errors=True)
        shown = await sign_in(ours, site, exposure["url"])
        assert "zlh" not in shown
        # Somebody who is not signed in comes to the sign-in, and a program is told so.
        stranger = await (await browser.new_context(ignore_https_errors=True)).new_page()
        await stranger.goto(exposure["url"])
        assert stranger.url.startswith(site.portal_url)
    status, text = await read(site, exposure["url"])
    assert status == 401, text
    assert "mine" not in text


async def test_after_deletion_nobody_meets_another_at_the_name_and_nothing_is_left(site: Site) -> None:
    """A name that is asked for every ten milliseconds tells of its own container, or of nobody."""
    vmid = await make_server(site, "first")
    exposure = await publish(site, vmid, "public")
    async with asyncio.timeout(WAIT_S):
        while await read(site, exposure["url"]) != (200, "<h1>first</h1><pre>no cookie</pre>"):
            await asyncio.sleep(0.05)
    met: set[str] = set()
    probing = asyncio.create_task(_probe(site, exposure["url"], met))
    async with asyncio.timeout(WAIT_S):
        while "first" not in met:
            await asyncio.sleep(0.01)
    status, said = await site.call("DELETE", f"/api/containers/{vmid}")
    assert status == 202, said
    second = await make_server(site, "second")
    await publish(site, second, "public")
    await site.wait_gone(vmid)
    # Nobody else is given the name after that either.
    await asyncio.sleep(2)
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    assert "second" not in met
    assert "first" in met
    left = {name for records in (await site.records()).values() for name, _ in records if f"-{vmid}." in name}
    assert left == set()
    assert list(site.edge.traefik.directory.glob(f"dev-{vmid}*")) == []


async def _probe(site: Site, url: str, met: set[str]) -> None:
    """Ask again and again, and keep who has answered."""
    async with site.visitor() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url, allow_redirects=False) as answer:
                    text = await answer.text()
                    met |= {who for who in ("first", "second") if f"<h1>{who}</h1>" in text}
            await asyncio.sleep(0.01)
