"""An editor behind the real proxy: whose it is, what the container's own host leads to, and that it is told in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from component.api.access_world import NAVIGATION, Place, make_place, relative
from component.api.people_world import CountedPasswords, browser
from component.api.test_addons import offer
from fakes.api_world import ADDRESS_BLOCK, RESERVED, WAIT_S, World
from guards.ports import free_port
from real_parts.traefik import RunningTraefik, running_traefik
from zlh_api.containers.service import Hosting
from zlh_api.database.pool import Database
from zlh_api.edge.local_directory import LocalRouteDirectory
from zlh_api.edge.model import ProxySetting
from zlh_api.edge.traefik import Traefik
from zlh_api.edge.traefik_hosts import render_hosts_file
from zlh_api.reconcile.steps import Ports, Settings, Steps
from zlh_common.addons import ADDON_PORTS, CODE_SERVER

pytestmark = [pytest.mark.real("traefik")]
ACCESS = "zlh_access"


@pytest.fixture(scope="module")
def traefik(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTraefik]:
    """Run one for all tests."""
    with running_traefik(tmp_path_factory.mktemp("traefik"), games=0) as running:
        yield running


@dataclass
class Site:
    """A container whose routes a reconciler writes for the real proxy, with an editor and a program of its customer."""

    place: Place
    traefik: RunningTraefik
    session: aiohttp.ClientSession
    editor_port: int
    app_port: int

    @property
    def own(self) -> str:
        """The container's own host."""
        return f"dev-{self.place.vmid}.localhost"

    @property
    def editor(self) -> str:
        """The host of the editor's port."""
        return f"{self.editor_port}-{self.own}"

    async def call(self, method: str, path: str, body: object = None, who: str = "publisher") -> Any:
        """Ask the API for something of the container."""
        url = f"/api/containers/{self.place.vmid}{path}"
        headers = browser(self.place.sessions[who])
        answer = await self.place.client.request(method, url, json=body, headers=headers)
        assert answer.status < 300, await answer.text()
        return await answer.json()

    async def ask(self, host: str, cookie: str = "") -> tuple[int, Any, str]:
        """Ask the proxy as a browser does; return status, headers and text."""
        headers = {**NAVIGATION, "Host": f"{host}:{self.traefik.web_port}", **({"Cookie": cookie} if cookie else {})}
        async with self.session.get(self.traefik.web_url, headers=headers, allow_redirects=False) as answer:
            return answer.status, answer.headers, await answer.text()

    async def come_in(self, host: str, who: str) -> str | None:
        """Sign somebody in at a host by way of the portal; return the cookie, or None where that leads nowhere."""
        status, headers, _ = await self.ask(host)
        assert status == 302, status
        nonce = headers["Set-Cookie"].partition(";")[0]
        answer = await self.place.visitor(who).authorize(headers["Location"])
        if answer.status != 302 or "/login" in answer.headers["Location"]:
            return None
        way = answer.headers["Location"]
        assert urlsplit(way).hostname == host
        headers = {"Host": f"{host}:{self.traefik.web_port}", "Cookie": nonce}
        url = f"{self.traefik.web_url}{relative(way)}"
        async with self.session.get(url, headers=headers, allow_redirects=False) as entered:
            put = [line.partition(";")[0] for line in entered.headers.getall("Set-Cookie")]
        return next(cookie for cookie in put if cookie.startswith(f"{ACCESS}="))

    async def shown(self, host: str, who: str) -> str | None:
        """Return what somebody sees at a host; None where that leads nowhere."""
        cookie = await self.come_in(host, who)
        return None if cookie is None else (await self.ask(host, cookie))[2]

    async def wait_routed(self) -> None:
        """Return once the proxy uses the route that is wanted by now."""
        await self.place.world.wait_until(
            "select lease_until is null and provisioned_at is not null and wake_at > now() "
            "and not exists (select from steps s where s.owner = c.owner and s.state in ('running', 'failed')) "
            "from containers c where vmid = $1",
            self.place.vmid,
        )

    async def wait_url(self, *, is_there: bool) -> str | None:
        """Return where the editor is told to open, once it is or is no more."""
        async with asyncio.timeout(WAIT_S):
            while True:
                addons = (await self.call("GET", "/status"))["addons"]
                url: str | None = addons[0]["url"] if addons else None
                if (url is not None) is is_there:
                    return url
                await asyncio.sleep(0.02)


async def serve(scope: AsyncExitStack, port: int, text: str) -> None:
    """Have something listen at a port of every container."""

    async def tell(_request: web.Request) -> web.Response:
        return web.Response(text=text)

    app = web.Application()
    app.router.add_get("/{path:.*}", tell)
    runner = web.AppRunner(app)
    await runner.setup()
    scope.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "0.0.0.0", port).start()


@pytest.fixture
async def site(world: World, traefik: RunningTraefik, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """Have a reconciler provision the container by real parts: database, route files, proxy, and what listens in it."""
    editor_port, app_port = free_port(), free_port()
    # No test has port 6000 of loopback for itself.
    monkeypatch.setitem(ADDON_PORTS, CODE_SERVER, editor_port)
    world.accounts.sign_in._passwords = CountedPasswords()
    world.agents.protocol_version = 7
    world.hosting = Hosting("localhost", "http", traefik.web_port, reserved_ports=RESERVED)
    world.containers._hosting = world.hosting
    world.access = world.access_at(world.hosting, portal_url="http://portal.localhost")
    async with AsyncExitStack() as scope:
        client = await scope.enter_async_context(world.client())
        setting = ProxySetting("localhost", "web", str(client.make_url("/")).rstrip("/"))
        await asyncio.to_thread(traefik.put_file, render_hosts_file(setting))
        proxy = await scope.enter_async_context(Traefik(api_url=traefik.api_url, web_url=traefik.web_url))

        def steps(database: Database) -> Steps:
            ports = Ports(
                database=database,
                driver=world.driver,
                authority=world.authority,
                agents=world.agents,
                routes=LocalRouteDirectory(traefik.directory),
                proxy=proxy,
                clock=world.clock,
            )
            root = world.folder / "root.json"
            return Steps(
                ports, Settings(ADDRESS_BLOCK, "test", 7443, root, setting, world.hosting.browser_host, editor_port)
            )

        world.steps = steps  # type: ignore[method-assign] # the parts that are real here
        offer(world, "4.1.0")
        await serve(scope, editor_port, "the editor")
        await serve(scope, app_port, "the app")
        session = await scope.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        made = Site(await make_place(world, client), traefik, session, editor_port, app_port)
        await scope.enter_async_context(world.reconciler())
        await made.wait_routed()
        yield made
        await asyncio.to_thread((traefik.directory / f"dev-{made.place.vmid}.yml").unlink)


async def test_the_own_host_leads_to_the_editor_while_it_is_enabled(site: Site) -> None:
    """Before the oldest published port; once it is removed to that again, and its own host to nothing."""
    await site.call("POST", "/exposures", {"port": site.app_port, "visibility": "customer"})
    await site.wait_routed()
    assert await site.shown(site.own, "viewer") == "the app"
    await site.call("PATCH", "", {"enableCodeServer": True})
    assert await site.wait_url(is_there=True) == f"http://{site.editor}:{site.traefik.web_port}/"
    for host in (site.own, site.editor):
        assert await site.shown(host, "publisher") == "the editor"
        assert await site.shown(host, "owner") == "the editor"
        for who in ("member", "viewer", "stranger", "operator"):
            assert await site.shown(host, who) is None
    assert await site.shown(f"{site.app_port}-{site.own}", "viewer") == "the app"
    await site.call("DELETE", f"/addons/{CODE_SERVER}")
    await site.wait_routed()
    assert await site.shown(site.own, "viewer") == "the app"
    assert (await site.ask(site.editor))[0] == 404


async def test_who_is_downgraded_is_out_with_the_next_request(site: Site) -> None:
    """Of both hosts; who has enabled it and an owner alike, and the other stays."""
    await site.call("PATCH", "", {"enableCodeServer": True})
    await site.wait_url(is_there=True)
    world, users = site.place.world, site.place.users
    publisher, owner = [await site.come_in(site.editor, who) for who in ("publisher", "owner")]
    assert publisher is not None
    assert owner is not None
    downgrade = "update memberships set role = 'viewer' where user_id = $1 returning 1"
    await world.fetch(downgrade, users["publisher"])
    assert [(await site.ask(site.editor, cookie))[0] for cookie in (publisher, owner)] == [302, 200]
    await world.fetch(downgrade, users["owner"])
    assert (await site.ask(site.editor, owner))[0] == 302
    for who in ("publisher", "owner"):
        for host in (site.own, site.editor):
            assert await site.shown(host, who) is None


async def test_an_agent_is_told_which_pages_may_use_its_editor(site: Site) -> None:
    """The container's own hosts as browsers name them, and again where they are called otherwise by now."""
    await site.call("PATCH", "", {"enableCodeServer": True})
    await site.wait_url(is_there=True)
    port = site.traefik.web_port
    (spec,) = site.place.world.agents.specs.values()
    assert spec.origins == (f"{site.own}:{port}", f"{site.editor}:{port}")
    world = site.place.world
    before = (await world.fetch("select spec_generation from containers"))[0][0]
    await world.fetch("update containers set spec_origins = '{old.example}', wake_at = now() returning 1")
    await world.wait_until("select spec_origins <> '{old.example}' from containers")
    assert (await world.fetch("select spec_generation from containers"))[0][0] == before
