"""A container becomes ready by HTTPS: the real API, proxy, zone and ACME server, and the step that says why not."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from component.api.people_world import by
from fakes.api_world import ADDRESS_BLOCK, HOSTING, NODE, World
from real_parts.acme_edge import RESOLVER, ZONE, AcmeEdge, running_acme_edge
from zlh_api.database.pool import Database
from zlh_api.edge.local_directory import LocalRouteDirectory
from zlh_api.edge.model import ProxySetting, TlsSetting
from zlh_api.edge.traefik import Traefik
from zlh_api.edge.traefik_hosts import render_hosts_file
from zlh_api.reconcile.pace import Pace
from zlh_api.reconcile.steps import Ports, Settings, Steps

QUICK = Pace(poll_s=0.02, first_retry_s=0.05, most_retry_s=0.2, spread_s=0.05)
ANOTHER = "http: {routers: {another: {rule: 'Host(`another.test`)', entryPoints: [web], service: noop@internal}}}"
pytestmark = [pytest.mark.real("traefik", "knot", "pebble")]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcmeEdge]:
    """Run all parts."""
    with running_acme_edge(tmp_path_factory.mktemp("edge")) as edge:
        yield edge


@pytest.fixture
async def proxy(edge: AcmeEdge) -> AsyncIterator[Traefik]:
    """Ask the proxy as the API does."""
    traefik = edge.traefik
    async with Traefik(api_url=traefik.api_url, web_url=traefik.secure_url, ca=edge.root) as proxy:
        yield proxy


async def use_edge(world: World, edge: AcmeEdge, proxy: Traefik, api_url: str) -> None:
    """Have the steps of this world publish and prove by the real parts."""
    setting = ProxySetting(ZONE, "websecure", api_url, TlsSetting(RESOLVER))
    await asyncio.to_thread(edge.traefik.put_file, render_hosts_file(setting))

    def steps(database: Database) -> Steps:
        ports = Ports(
            database=database,
            driver=world.driver,
            authority=world.authority,
            agents=world.agents,
            routes=LocalRouteDirectory(edge.traefik.directory),
            proxy=proxy,
            clock=world.clock,
        )
        return Steps(
            ports, Settings(ADDRESS_BLOCK, "test", 7443, world.folder / "root.json", setting, HOSTING.browser_host)
        )

    world.steps = steps  # type: ignore[method-assign] # the parts that are real here


@contextlib.asynccontextmanager
async def changing_routes(edge: AcmeEdge) -> AsyncIterator[None]:
    """Change another route again and again: with each one Traefik asks anew, unless it is asking at that moment."""

    async def change() -> None:
        for number in itertools.count():
            text = ANOTHER.replace("another.test", f"another-{number}.test")
            await asyncio.to_thread(edge.traefik.put, "another.yml", text)
            await asyncio.sleep(1)

    changing = asyncio.create_task(change())
    yield
    changing.cancel()
    await asyncio.gather(changing, return_exceptions=True)


async def test_a_container_is_ready_once_its_certificate_is_believed(
    world: World, edge: AcmeEdge, proxy: Traefik
) -> None:
    """While names cannot be proved the step says that the proxy's certificate is made up, and nothing is ready."""
    told = msgspec.structs.replace(world.config(), container_domain=ZONE)
    world.config = lambda: told  # type: ignore[method-assign] # of another domain
    await asyncio.to_thread(edge.knot.program.stop)
    async with world.client() as client:
        await use_edge(world, edge, proxy, str(client.make_url("/")).rstrip("/"))
        async with world.reconciler(pace=QUICK):
            answer = await client.post("/api/containers", json=NODE, headers=by("owner-token"))
            vmid = (await answer.json())["vmid"]
            await world.wait_until("select message like '%TRAEFIK DEFAULT CERT%' from steps where name = 'check-ready'")
            shown = await (await client.get(f"/api/containers/{vmid}/status", headers=by("owner-token"))).json()
            assert shown["lifecycle"] != "ready"
            assert "name_not_answering" in str(shown)
            await asyncio.to_thread(edge.knot.program.start)
            async with changing_routes(edge):
                await world.wait_until("select provisioned_at is not null from containers")
            await proxy.check_ready(f"dev-{vmid}.{ZONE}", vmid)
            assert (await client.delete(f"/api/containers/{vmid}", headers=by("owner-token"))).status == 202
            await world.wait_until("select count(*) = 0 from containers")
    assert sorted(file.name for file in edge.traefik.directory.glob("*.yml")) == ["another.yml", "hosts.yml"]
