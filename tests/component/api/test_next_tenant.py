"""An address that is given again: whoever knew the name of the last tenant never reaches the next one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import web

from fakes import api_world
from fakes.api_world import World
from fakes.wishes import want_container, want_deletion
from real_parts.traefik import RunningTraefik, running_traefik
from zlh_api.edge.local_directory import LocalRouteDirectory
from zlh_api.edge.model import ProxySetting
from zlh_api.edge.traefik import Traefik
from zlh_api.edge.traefik_hosts import render_hosts_file
from zlh_api.exposures import store as exposures
from zlh_api.reconcile import steps
from zlh_common.names import OwnerMark

pytestmark = [pytest.mark.real("traefik")]
PORT = 3000
# One address and no other, so that the next tenant waits for it.
BLOCK, ADDRESS = "127.77.200.0/31", "127.77.200.1"
PROBE_S = 0.01


@pytest.fixture(scope="module")
def traefik(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTraefik]:
    """Run one."""
    with running_traefik(tmp_path_factory.mktemp("traefik"), games=0) as running:
        yield running


class Tenants:
    """A server in each guest that runs, at the guest's address; it says whose it is."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._agents = world.agents
        self._runners: dict[OwnerMark, web.AppRunner] = {}

    async def start(self, owner: OwnerMark) -> None:
        """Serve as soon as the guest runs."""

        async def tell(_request: web.Request) -> web.Response:
            return web.Response(text=owner)

        app = web.Application()
        app.router.add_get("/", tell)
        runner = self._runners[owner] = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, ADDRESS, PORT).start()
        await self._agents.note_online(owner)

    async def stop(self, owner: OwnerMark) -> None:
        """End with the guest."""
        if runner := self._runners.pop(owner, None):
            await runner.cleanup()
        await self._agents.note_offline(owner)

    async def stop_all(self) -> None:
        """End what is left."""
        for owner in list(self._runners):
            await self.stop(owner)


async def add(world: World) -> tuple[OwnerMark, int]:
    """Want a container with a public port."""
    async with world.database.transaction() as connection:
        owner = await want_container(connection)
        await exposures.insert_exposure(
            connection, exposure_id=uuid4(), owner=owner, port=PORT, visibility="public", expires_at=None
        )
        return owner, await connection.fetchval("select vmid from containers where owner = $1", UUID(owner))


async def test_a_probe_never_reaches_the_next_tenant_of_an_address(
    world: World, traefik: RunningTraefik, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every ten milliseconds through the real proxy, though the address does not even rest between the two."""
    monkeypatch.setattr(steps, "REST_S", 0.0)
    monkeypatch.setattr(api_world, "ADDRESS_BLOCK", BLOCK)
    tenants = Tenants(world)
    world.driver.on_started, world.driver.on_stopped = tenants.start, tenants.stop
    said: Counter[str] = Counter()
    async with world.client() as client, Traefik(api_url=traefik.api_url, web_url=traefik.web_url) as proxy:
        api_url = str(client.make_url("/")).rstrip("/")
        setting = ProxySetting("localhost", "web", api_url)
        monkeypatch.setattr(api_world, "PROXY", setting)
        await asyncio.to_thread(traefik.put_file, render_hosts_file(setting))
        world.routes = LocalRouteDirectory(traefik.directory)  # type: ignore[assignment]
        world.proxy = proxy  # type: ignore[assignment]
        async with world.reconciler(), aiohttp.ClientSession() as browser:

            async def ask(vmid: int) -> str:
                headers = {"Host": f"{PORT}-dev-{vmid}.localhost"}
                async with browser.get(traefik.web_url, headers=headers) as answer:
                    return await answer.text() if answer.status == 200 else str(answer.status)

            async def probe(vmid: int) -> None:
                while True:
                    said[await ask(vmid)] += 1
                    await asyncio.sleep(PROBE_S)

            first, first_vmid = await add(world)
            await world.wait_settled(first)
            probing = asyncio.create_task(probe(first_vmid))
            async with asyncio.timeout(60):
                while said[first] < 10:
                    await asyncio.sleep(PROBE_S)
                async with world.database.transaction() as connection:
                    await want_deletion(connection, first)
                following, vmid = await add(world)
                while await ask(vmid) != following:
                    await asyncio.sleep(PROBE_S)
                reached = sum(said.values())
                # The next tenant has the address of the last one, and is reached by its own name alone.
                while sum(said.values()) < reached + 50:
                    await asyncio.sleep(PROBE_S)
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)
            async with world.database.transaction() as connection:
                await want_deletion(connection, following)
            await world.wait_forgotten()
    await tenants.stop_all()
    assert said[first] >= 10
    assert said[following] == 0, said
    assert said["404"] >= 50, said
