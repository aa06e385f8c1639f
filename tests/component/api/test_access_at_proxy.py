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
from component.api.people_world import CountedPasswords, browser
from fakes.api_world import World
from real_parts.traefik import RunningTraefik, running_traefik
from zlh_api.containers.service import Hosting
from zlh_api.edge.model import ExposedPort, ProxySetting, RouteFile, RouteWish, TlsSetting
from zlh_api.edge.traefik import Traefik
from zlh_api.edge.traefik_file import render_route_file
from zlh_api.edge.traefik_hosts import render_hosts_file
from zlh_common.names import HostName, OwnerMark

pytestmark = [pytest.mark.real("traefik")]
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
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
    # Whether the container's server answers as the proxy does where nobody listens.
    is_gone: bool = False

    @property
    def origin(self) -> str:
        """Of the pages of the port."""
        return f"https://{self.host}:{self.traefik.secure_port}"

    @property
    def own_host(self) -> str:
        """The host of the container, which leads to its oldest port."""
        return f"dev-{self.place.vmid}.localhost"

    @property
    def host(self) -> str:
        """The host of the port, without that of the proxy."""
        return f"{self.place.label}.localhost"

    async def curl(self, path: str, *options: str, host: str | None = None) -> tuple[int, CIMultiDict[str]]:
        """Ask the proxy as a browser of one's own would; return status and headers."""
        host = host or self.host
        child = await asyncio.create_subprocess_exec(
            "curl", "-sk", "-D", "-", "-o", "/dev/null", "--max-time", "20",
            "--resolve", f"{host}:{self.traefik.secure_port}:127.0.0.1", *options,
            f"https://{host}:{self.traefik.secure_port}{path}", stdout=asyncio.subprocess.PIPE,
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
    world.access = world.access_at(world.hosting, portal_url="https://portal.localhost")
    async with world.client() as client:
        made = Site(await make_place(world, client), traefik)
        await made.place.publish("private")

        async def tell(request: web.Request) -> web.Response:
            made.reached.append(request.headers.copy())
            return web.Response(text="the container", status=502 if made.is_gone else 200)

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
    assert not [name for name in alone if name.startswith("X-Zlh-") and name != "X-Zlh-User"]
    assert "; ".join(mixed.getall("Cookie")) == "a=1; zlh_access=tossed; b=2"
    assert mixed.getall("X-Zlh-User") == [str(site.place.users["publisher"])]
    toss = "; ".join(f"__Host-zlh_access={n:043d}" for n in range(7))
    assert (await site.curl("/", version, "-H", f"Cookie: {access}; {toss}"))[0] == 200
    wished = [headers["Location"] for headers in [(await site.curl("/", version, "-H", "Accept: text/html"))[1]]]
    assert urlsplit(wished[0]).hostname == "portal.localhost"


async def _sign_in(site: Site) -> str:
    """Return the cookie of a browser that came in."""
    _, headers = await site.curl("/", "-H", "Accept: text/html")
    nonce = headers["Set-Cookie"].partition(";")[0]
    way = (await site.place.visitor("publisher").authorize(headers["Location"])).headers["Location"]
    _, headers = await site.curl(relative(way), "-H", f"Cookie: {nonce}")
    return next(line.partition(";")[0] for line in headers.getall("Set-Cookie") if "zlh_access=" in line)


async def test_a_websocket_is_known_whoever_opens_it(site: Site) -> None:
    """Programs and old browsers send no Sec-Fetch-Mode: each is refused before it is one, and needs an origin."""
    upgrade = ["--http1.1"]
    for line in ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"):
        upgrade += ["-H", line]
    assert (await site.curl("/", *upgrade, "-H", "Accept: text/html"))[0] == 401
    known = [*upgrade, "-H", f"Cookie: {await _sign_in(site)}"]
    assert (await site.curl("/", *known))[0] == 403
    for origin, status in ((site.origin, 200), (f"https://dev-999.localhost:{site.traefik.secure_port}", 403)):
        assert (await site.curl("/", *known, "-H", f"Origin: {origin}"))[0] == status
    assert len(site.reached) == 1


async def test_the_page_for_a_silent_port_is_for_who_may_open_it(site: Site) -> None:
    """Others learn neither the port nor whether the container runs, by asking for the page itself."""
    await site.place.run()
    known = ["-H", f"Cookie: {await _sign_in(site)}"]
    for options in ([], ["-H", "X-Zlh-User: somebody"], ["-H", "X_Zlh_User: somebody"], known):
        for host in (site.host, site.own_host):
            assert (await site.curl("/.zlh/silent", *options, host=host))[0] == 404
    site.is_gone = True
    page = await site.place.client.get("/.zlh/silent", headers={"Host": site.host, "X-Zlh-User": "the guard's"})
    assert "Nothing listens on port 3000" in await page.text()
    status, headers = await site.curl("/", *known)
    assert (status, headers["Content-Length"]) == (502, page.headers["Content-Length"])
    assert site.reached[-1]["X-Zlh-User"] == str(site.place.users["publisher"])


async def test_a_revoked_browser_is_out_with_its_next_request(site: Site) -> None:
    """Nothing is remembered by the proxy: each request is asked for anew."""
    access = await _sign_in(site)
    assert (await site.curl("/", "-H", f"Cookie: {access}"))[0] == 200
    await site.place.world.fetch("delete from sessions where user_id = $1 returning 1", site.place.users["publisher"])
    assert (await site.curl("/", "-H", f"Cookie: {access}"))[0] == 401
    assert len(site.reached) == 1


async def test_a_route_that_is_behind_opens_no_port_by_the_right_to_another(site: Site) -> None:
    """The container's own host leads to its oldest port. Once that is taken back, the next one is meant.

    Whatever the proxy still does: who may open that one, or everybody, is not let in to what the old route leads to.
    """
    place = site.place
    headers = browser(place.sessions["publisher"])
    path = f"/api/containers/{place.vmid}/exposures"
    wish = {"port": 8080, "visibility": "public"}
    assert (await place.client.post(path, json=wish, headers=headers)).status == 201
    assert (await site.curl("/", host=site.own_host))[0] == 401
    (private, _) = (await (await place.client.get(path, headers=headers)).json())["items"]
    assert (await place.client.delete(f"{path}/{private['id']}", headers=headers)).status == 204
    for claimed in ([], ["-H", "X-Zlh-Port: 8080"], ["-H", "X_Zlh_Port: 8080"], ["-H", "Connection: X-Zlh-Port"]):
        assert (await site.curl("/", *claimed, host=site.own_host))[0] == 404
    assert (await site.curl("/"))[0] == 404
    for each in (wish | {"visibility": "customer"}, wish):
        assert (await place.client.post(path, json=each, headers=headers)).status == 201
        assert (await site.curl("/", "-H", "Accept: text/html", host=site.own_host))[0] == 404
    assert not site.reached


async def test_a_name_that_leads_nowhere_says_so_to_readers(site: Site) -> None:
    """To a browser with our page, to a program with our problem, and a port that is published is not covered by it."""
    page = await site.place.client.get("/.zlh/nowhere", headers={"Host": site.host, "Accept": "text/html"})
    assert page.status == 404
    assert "nothing is published at this address" in await page.text()
    for host in ("3001-dev-101.localhost", "dev-999.localhost", "DEV-999.localhost."):
        status, headers = await site.curl("/any/way?x=1", "-H", "Accept: text/html", host=host)
        assert (status, headers["Content-Length"]) == (404, page.headers["Content-Length"]), host
        assert headers["X-Frame-Options"] == "DENY"
        status, headers = await site.curl("/", host=host)
        assert (status, headers["Content-Type"]) == (404, "application/problem+json"), host
        assert (await site.curl("/", "-X", "POST", host=host))[0] == 404, host
    # What is no name of a container's is none of ours.
    status, headers = await site.curl("/", "-H", "Accept: text/html", host="www.localhost")
    assert (status, headers["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert (await site.curl("/", "-H", f"Cookie: {await _sign_in(site)}"))[0] == 200
