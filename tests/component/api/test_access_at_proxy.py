"""The real API behind the real proxy, with TLS: one browser's way there and back, by HTTP/1.1 and by HTTP/2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from multidict import CIMultiDict

from component.api.access_world import Place, make_place, relative
from component.api.people_world import CountedPasswords
from fakes.api_world import World
from real_parts.traefik import RunningTraefik, running_traefik
from zlh_api.access.service import AccessService
from zlh_api.containers.service import Hosting
from zlh_api.edge.model import ExposedPort, ProxySetting, RouteFile, RouteWish, TlsSetting
from zlh_api.edge.traefik import Traefik
from zlh_api.edge.traefik_file import render_route_file
from zlh_api.edge.traefik_hosts import render_hosts_file
from zlh_common.names import HostName, OwnerMark

pytestmark = [pytest.mark.real("traefik")]
OWNER = OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")


@pytest.fixture(scope="module")
def traefik(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTraefik]:
    """Run one for all tests."""
    with running_traefik(tmp_path_factory.mktemp("traefik"), games=0) as running:
        yield running


@dataclass
class Site:
    """A place whose port is guarded by the real proxy; the container's server says what reached it."""

    place: Place
    traefik: RunningTraefik
    reached: list[CIMultiDict[str]] = field(default_factory=list)

    @property
    def host(self) -> str:
        """The host of the port, without that of the proxy."""
        return f"{self.place.label}.localhost"

    async def curl(self, path: str, *options: str) -> tuple[int, CIMultiDict[str]]:
        """Ask the proxy as a browser of one's own would; return status and headers."""
        child = await asyncio.create_subprocess_exec(
            "curl", "-sk", "-D", "-", "-o", "/dev/null", "--max-time", "20",
            "--resolve", f"{self.host}:{self.traefik.secure_port}:127.0.0.1", *options,
            f"https://{self.host}:{self.traefik.secure_port}{path}", stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await child.communicate()
        first, *lines = said.decode().strip().splitlines()
        pairs = (line.split(": ", 1) for line in lines if ": " in line)
        return int(first.split()[1]), CIMultiDict((name, value.strip()) for name, value in pairs)


@pytest.fixture
async def site(world: World, traefik: RunningTraefik) -> AsyncIterator[Site]:
    """Have a container's server on loopback, its port guarded, and the API beside it."""
    world.accounts.sign_in._passwords = CountedPasswords()
    world.hosting = Hosting("localhost", "https", traefik.secure_port)
    world.access = AccessService(world.database, world.hosting, portal_url="https://portal.localhost")
    async with world.client() as client:
        made = Site(await make_place(world, client), traefik)
        await made.place.publish("private")

        async def tell(request: web.Request) -> web.Response:
            made.reached.append(request.headers.copy())
            return web.Response(text="the container")

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", tell)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        traefik.put_file(render_hosts_file(_setting(client)))
        file = _route(made, client, runner.addresses[0][1])
        traefik.put("dev.yml", file)
        async with Traefik(api_url=traefik.api_url, web_url=traefik.web_url) as proxy:
            await proxy.wait_loaded(_render(made, client, 3000))
        yield made
        (traefik.directory / "dev.yml").unlink()
        await runner.cleanup()


def _render(site: Site, client: TestClient[Request, Application], port: int) -> RouteFile:
    wish = RouteWish(OWNER, HostName("dev", site.place.vmid), "127.0.0.1", (ExposedPort(port, is_guarded=True),))
    return render_route_file(wish, _setting(client))


def _setting(client: TestClient[Request, Application]) -> ProxySetting:
    return ProxySetting("localhost", "websecure", str(client.make_url("/")).rstrip("/"), TlsSetting())


def _route(site: Site, client: TestClient[Request, Application], server_port: int) -> str:
    """Return the file as it is rendered, led to where the server really listens: no test has port 3000 of loopback."""
    return _render(site, client, 3000).text.replace("http://127.0.0.1:3000", f"http://127.0.0.1:{server_port}")


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
async def test_a_browser_comes_in_and_its_cookie_stays_outside(site: Site, version: str) -> None:
    """Cookies that only this host can set; the others are handed on, in however many headers they came."""
    status, headers = await site.curl("/deep?x=1", version, "-H", "Accept: text/html")
    assert status == 302
    put = headers.getall("Set-Cookie")
    assert [part for part in put[0].split("; ") if part in {"Secure", "HttpOnly", "Path=/"}]
    assert "Domain" not in put[0]
    nonce = put[0].partition(";")[0]
    assert nonce.startswith("__Host-zlh_enter=")
    back = await site.place.visitor("publisher").authorize(headers["Location"])
    way = back.headers["Location"]
    assert way.startswith(f"https://{site.host}:{site.traefik.secure_port}/.zlh/enter?code=")
    status, headers = await site.curl(relative(way), version, "-H", f"Cookie: {nonce}")
    assert (status, relative(headers["Location"])) == (302, "/deep?x=1")
    assert headers["Referrer-Policy"] == "no-referrer"
    access = next(line.partition(";")[0] for line in headers.getall("Set-Cookie") if "zlh_access=" in line)
    assert access.startswith("__Host-zlh_access=")

    assert (await site.curl("/", version, "-H", f"Cookie: {access}"))[0] == 200
    several = ["-H", "Cookie: a=1", "-H", f"Cookie: {access}; zlh_access=tossed", "-H", "Cookie: b=2"]
    assert (await site.curl("/", version, *several, "-H", "X-Zlh-User: root"))[0] == 200
    alone, mixed = site.reached
    assert "Cookie" not in alone
    assert "; ".join(mixed.getall("Cookie")) == "a=1; zlh_access=tossed; b=2"
    assert mixed.getall("X-Zlh-User") == [str(site.place.users["publisher"])]
    toss = "; ".join(f"__Host-zlh_access={n:043d}" for n in range(7))
    assert (await site.curl("/", version, "-H", f"Cookie: {access}; {toss}"))[0] == 200
    wished = [headers["Location"] for headers in [(await site.curl("/", version, "-H", "Accept: text/html"))[1]]]
    assert urlsplit(wished[0]).hostname == "portal.localhost"


async def test_a_revoked_browser_is_out_with_its_next_request(site: Site) -> None:
    """Nothing is remembered by the proxy: each request is asked for anew."""
    visitor = site.place.visitor("publisher")
    _, headers = await site.curl("/", "-H", "Accept: text/html")
    nonce = headers["Set-Cookie"].partition(";")[0]
    way = (await visitor.authorize(headers["Location"])).headers["Location"]
    _, headers = await site.curl(relative(way), "-H", f"Cookie: {nonce}")
    access = next(line.partition(";")[0] for line in headers.getall("Set-Cookie") if "zlh_access=" in line)
    assert (await site.curl("/", "-H", f"Cookie: {access}"))[0] == 200
    await site.place.world.fetch("delete from sessions where user_id = $1 returning 1", site.place.users["publisher"])
    assert (await site.curl("/", "-H", f"Cookie: {access}"))[0] == 401
    assert len(site.reached) == 1
