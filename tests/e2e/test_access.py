"""Who may open a published port, through the whole platform: in browsers, and with WebSockets that must end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import structlog
from playwright.async_api import Browser, expect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from e2e.browser import PATIENCE_MS
from e2e.stack import WAIT_S, Stack
from e2e.visitors import PASSWORD, Person, is_open, join
from zlh_api.database.embedded.server import EmbeddedPostgres

log = structlog.get_logger()
PORT = 4100
# Much more than it takes, and much less than whatever would have ended it by itself.
SOON_S = 3.0
# Says what it was sent, and keeps every WebSocket open without a word.
SERVER = """
const c = require('crypto'), s = require('http').createServer((q, r) => {
  r.setHeader('Content-Type', 'application/json'); r.end(JSON.stringify({path: q.url, ...q.headers}));
});
s.on('upgrade', (q, k) => {
  const key = q.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  const accept = c.createHash('sha1').update(key).digest('base64');
  k.on('error', () => 0);
  k.write(['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade',
           'Sec-WebSocket-Accept: ' + accept, '', ''].join('\\r\\n'));
});
s.listen(4100, process.env.HOST);
"""


# Those that wait for the proxy to let go of a route too: they are cut when that has happened.
LEFT_TO_CUT = "select count(*) from connection_cuts join containers using (owner) where vmid = $1"


@dataclass
class Scene:
    """A container with a server, of which Ann has published the port for herself."""

    stack: Stack
    vmid: int
    customer: str
    ann: Person
    bob: Person
    url: str = ""
    exposure: str = ""

    async def publish(self, visibility: str = "private") -> None:
        """Publish the port as Ann."""
        status, made = await self.ann.call(
            "POST", f"/api/containers/{self.vmid}/exposures", {"port": PORT, "visibility": visibility}
        )
        assert status == 201, made
        self.url, self.exposure = made["url"], made["id"]
        async with asyncio.timeout(WAIT_S):
            while (await self.ann.fetch(self.url))[0] != 302:
                await asyncio.sleep(0.05)


@pytest.fixture
async def scene(stack: Stack, own_vmid: int) -> AsyncIterator[Scene]:
    """Have a server run, and two people of its customer."""
    _, report = await stack.call("GET", f"/api/containers/{own_vmid}")
    process = {"argv": ["node", "-e", SERVER]}
    status, said = await stack.call("PUT", f"/api/containers/{own_vmid}/processes/web", process)
    assert status in {200, 201}, said
    customer = report["customerId"]
    ann, bob = [await join(stack, customer, name, role) for name, role in (("ann", "member"), ("bob", "viewer"))]
    made = Scene(stack, own_vmid, customer, ann, bob)
    await made.publish()
    yield made
    for person in (ann, bob):
        await stack.call("DELETE", f"/api/users/{person.id}")


@pytest.mark.real("chromium", "portal")
async def test_its_publisher_opens_it_and_nobody_else(scene: Scene, browser: Browser) -> None:
    """In browsers: Ann signs in once and comes back to where she was going; the server sees neither of our cookies."""
    ann = await browser.new_context()
    page = await ann.new_page()
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(f"{scene.url}deep?x=1")
    await expect(page.get_by_role("heading", name="Sign in to ZLH")).to_be_visible()
    await expect(page.get_by_text("you come back to it")).to_be_visible()
    await page.get_by_label("E-mail").fill(scene.ann.email)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(f"{scene.url}deep?x=1")
    seen = json.loads(await page.inner_text("body"))
    assert (seen["path"], seen["x-zlh-user"]) == ("/deep?x=1", scene.ann.id)
    assert "cookie" not in seen
    await page.evaluate("document.cookie = 'own=1'")
    await page.reload()
    assert json.loads(await page.inner_text("body"))["cookie"] == "own=1"
    assert await page.evaluate("document.cookie") == "own=1"

    bob = await browser.new_context()
    portal = urlsplit(scene.stack.dev["portalUrl"])
    cookie: Any = {"name": "zlh_session", "value": scene.bob.session, "domain": portal.hostname or "", "path": "/"}
    await bob.add_cookies([cookie])
    other = await bob.new_page()
    answer = await other.goto(scene.url)
    assert answer is not None
    assert answer.status == 404
    await expect(other.get_by_role("heading", name="There is no such page")).to_be_visible()
    await ann.close()
    await bob.close()


async def signed_out(scene: Scene) -> None:
    """Ann's session ends."""
    assert (await scene.ann.call("POST", "/api/auth/logout"))[0] == 204


async def made_viewer(scene: Scene) -> None:
    """Ann has another role."""
    path = f"/api/customers/{scene.customer}/members/{scene.ann.id}"
    status, said = await scene.stack.call("PATCH", path, {"role": "viewer"})
    assert status == 200, said


async def removed(scene: Scene) -> None:
    """Ann belongs to the customer no more."""
    status, _ = await scene.stack.call("DELETE", f"/api/customers/{scene.customer}/members/{scene.ann.id}")
    assert status == 204


async def suspended(scene: Scene) -> None:
    """Ann is held back by the platform."""
    status, said = await scene.stack.call("POST", f"/api/users/{scene.ann.id}/suspend", {"reason": "a test"})
    assert status in {200, 204}, said


async def unpublished(scene: Scene) -> None:
    """The port is taken back."""
    status, _ = await scene.stack.call("DELETE", f"/api/containers/{scene.vmid}/exposures/{scene.exposure}")
    assert status == 204


async def opened_for_all(scene: Scene) -> None:
    """Somebody else publishes it, for everybody of the customer."""
    wish = {"port": PORT, "visibility": "customer"}
    status, said = await scene.bob.platform.call("POST", f"/api/containers/{scene.vmid}/exposures", wish)
    assert status == 201, said


async def deleted(scene: Scene) -> None:
    """The container is on its way out."""
    status, said = await scene.stack.call("DELETE", f"/api/containers/{scene.vmid}")
    assert status == 202, said


async def test_an_open_websocket_of_a_revoked_viewer_dies(scene: Scene) -> None:
    """Whatever takes the right: the proxy would keep it for ever, and its agent ends it."""
    ends: list[tuple[Callable[[Scene], Awaitable[None]], bool]] = [
        (opened_for_all, False), (unpublished, False), (made_viewer, False), (signed_out, True), (removed, True),
        (suspended, True), (deleted, True),
    ]  # fmt: skip
    took: dict[str, float] = {}
    with pytest.raises(InvalidStatus) as refused:
        await scene.ann.watch(scene.url)
    assert refused.value.response.status_code == 401
    for lose, is_anew in ends:
        if is_anew:
            scene.ann = await join(scene.stack, scene.customer, "ann", "member")
        await scene.publish()
        # The route before may have answered that it is there, and what publishing has cut must be over.
        await settle(scene)
        await scene.ann.enter(scene.url)
        socket = await scene.ann.watch(scene.url)
        # Else it would have ended without anybody losing anything.
        assert await is_open(socket)
        began = time.monotonic()
        await lose(scene)
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(SOON_S):
                await socket.recv()
        took[lose.__name__] = round(time.monotonic() - began, 3)
        await socket.close()
    log.info("connections.ended", seconds=took)


async def settle(scene: Scene) -> None:
    """Return once no cut is left to make: those of a change come in pairs, two seconds apart."""
    address = await EmbeddedPostgres(scene.stack.home / "postgres").ensure_started()
    database = await asyncpg.connect(address.dsn)
    try:
        async with asyncio.timeout(WAIT_S):
            while await database.fetchval(LEFT_TO_CUT, scene.vmid):
                await asyncio.sleep(0.1)
    finally:
        await database.close()
