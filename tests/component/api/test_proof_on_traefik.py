"""The proof against the real Traefik: a file that a hand removes, an API that lies, a proxy that dies, an old key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from component.api.test_proof import faults, history, looking
from component.api.test_reconciler import add
from fakes import api_world
from fakes.api_world import WAIT_S, World
from guards.ports import free_port
from real_parts.certificates import PublicCa
from zlh_api.dev.traefik import TraefikProcess, TraefikSettings
from zlh_api.edge import traefik as edge
from zlh_api.edge.local_directory import LocalRouteDirectory
from zlh_api.edge.model import ProxySetting
from zlh_api.edge.port import ProxyAway
from zlh_api.edge.public_name import PublicName
from zlh_api.edge.traefik_hosts import render_hosts_file
from zlh_api.proof import rules

FILE = "dev-101.yml"
HOST = "dev-101.localhost"


@dataclass
class Backend:
    """What stands where the API should, and answers for it: the truth, or another container's number."""

    url: str = ""
    told: int = 101
    asked: list[str] = field(default_factory=list)

    async def ready(self, request: web.Request) -> web.Response:
        """Answer for the public name."""
        self.asked.append(request.host)
        return web.json_response({"vmid": self.told})


@dataclass
class Edge:
    """A world whose proxy and directory are real."""

    world: World
    backend: Backend
    process: TraefikProcess
    folder: Path
    proxy: edge.Traefik

    async def wait_listed(self, *, is_listed: bool) -> None:
        """Return once Traefik lists the container's router, or does not."""
        async with asyncio.timeout(WAIT_S):
            while (("http", "dev-101") in (await self.proxy.fetch_seen()).routers) is not is_listed:
                await asyncio.sleep(0.02)


@pytest.fixture
async def place(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Edge]:
    """Bring up a container behind a real Traefik."""
    for name in ("WHOLE_EVERY", "DOUBTFUL_EVERY", "BROKEN_EVERY"):
        monkeypatch.setattr(rules, name, timedelta(0))
    settings = TraefikSettings(tmp_path / "traefik", tmp_path / "dynamic", free_port(), free_port())
    process = TraefikProcess(settings, tmp_path / "run")
    async with _serving() as backend:
        monkeypatch.setattr(api_world, "PROXY", ProxySetting("localhost", "web", backend.url))
        await process.start()
        try:
            async with edge.Traefik(api_url=settings.api_url, web_url=settings.web_url) as proxy:
                monkeypatch.setattr(world, "routes", LocalRouteDirectory(settings.dynamic_dir))
                await world.routes.publish(render_hosts_file(api_world.PROXY))
                monkeypatch.setattr(world, "proxy", proxy)
                owner = await add(world)
                async with world.reconciler():
                    await world.wait_settled(owner)
                yield Edge(world, backend, process, settings.dynamic_dir, proxy)
        finally:
            await process.stop()


@asynccontextmanager
async def _serving() -> AsyncIterator[Backend]:
    backend = Backend()
    app = web.Application()
    app.router.add_get("/.zlh/ready", backend.ready)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        backend.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield backend
    finally:
        await runner.cleanup()


async def test_what_breaks_behind_our_back_is_told_or_put_right(place: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The patrol is off all the while, and the reconciler would not look by itself for minutes."""
    world = place.world
    async with looking(world) as prober:
        await prober.look()
        assert place.backend.asked[-1] == HOST
        place.backend.told = 999
        await prober.look()
        await prober.look()
        assert await faults(world) == {101: ["name_not_answering"]}
        place.backend.told = 101
        await prober.look()
        assert await faults(world) == {101: []}
        assert await history(world) == [("name.broken", "name"), ("name.mended", "name")]
        (place.folder / FILE).unlink()
        await place.wait_listed(is_listed=False)
        async with world.reconciler():
            await prober.look()
            await place.wait_listed(is_listed=True)
            await world.wait_until("select route_confirmed not like '% edited' from containers")
        await prober.look()
        assert (await history(world))[2:] == [("route.edited", "route")]
        # One router to a page: the list is the same, however it is cut.
        whole = (await place.proxy.fetch_seen()).routers
        monkeypatch.setattr(edge, "PER_PAGE", 1)
        assert (await place.proxy.fetch_seen()).routers == whole
        assert len(whole) >= 2
        await place.process.stop()
        with pytest.raises(ProxyAway):
            await place.proxy.fetch_seen()
        for _ in range(3):
            await prober.look()
    assert await faults(world) == {101: []}
    report = await world.proofs.fetch_edge()
    assert [outage.code for outage in report.outages] == ["proxy_away", "names_silent"]


async def test_a_file_that_the_proxy_refuses_is_named_with_its_reason(place: Edge) -> None:
    """A router that is listed is not yet one that is used."""
    text = (place.folder / FILE).read_text()
    (place.folder / "edited").write_text(text.replace('"zlh-home",\n', '"nowhere",\n', 1))
    (place.folder / "edited").rename(place.folder / FILE)
    async with asyncio.timeout(WAIT_S):
        while (await place.proxy.fetch_seen()).routers["http", "dev-101"].status == "enabled":
            await asyncio.sleep(0.02)
    async with looking(place.world) as prober:
        await prober.look()
        await prober.look()
        # Its name still leads to us: what is ours below it is a router of the platform's.
        assert await faults(place.world) == {101: ["route_not_loaded"]}
    (row,) = await place.world.fetch("select links from proofs")
    (route,) = [link for link in row["links"] if link["link"] == "route"]
    assert "nowhere" in route["message"]


async def test_what_is_shown_for_a_name_is_seen_also_where_it_is_too_old(tmp_path: Path) -> None:
    """Nobody else would tell when it ended; where nothing speaks TLS, nothing is seen."""
    pair = PublicCa(tmp_path, name="An old CA").issue(HOST, "*.localhost", ends=timedelta(days=-1))
    server = await asyncio.start_server(_hang_up, "127.0.0.1", 0, ssl=pair.server_context())
    plain = await asyncio.start_server(_hang_up, "127.0.0.1", 0)
    async with server, plain:
        port, other = (each.sockets[0].getsockname()[1] for each in (server, plain))
        shown = await PublicName(web_url=f"https://127.0.0.1:{port}").fetch_certificate(HOST)
        assert shown is not None
        assert (shown.names, shown.issuer) == ((HOST, "*.localhost"), "An old CA")
        assert timedelta(hours=23) < datetime.now(UTC) - shown.not_after < timedelta(hours=25)
        assert await PublicName(web_url=f"https://127.0.0.1:{other}").fetch_certificate(HOST) is None
        assert await PublicName(web_url=f"http://127.0.0.1:{port}").fetch_certificate(HOST) is None
    assert await PublicName(web_url=f"https://127.0.0.1:{port}").fetch_certificate(HOST) is None


def _hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
