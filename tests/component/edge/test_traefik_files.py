"""The real Traefik takes every file that we render, and does what it says: guards, certificates, games."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, cast

import aiohttp
import psutil
import pytest
from aiohttp import WSMsgType, web
from multidict import CIMultiDict
from yarl import URL

from fakes.certificates import Certificates
from real_parts.traefik import RunningTraefik, running_traefik
from zlh_api.edge.model import ExposedPort, GamePort, ProxySetting, RouteFile, RouteWish, TlsSetting
from zlh_api.edge.platform_routes import render_platform_files
from zlh_api.edge.port import RouteNotLoaded
from zlh_api.edge.traefik import Traefik
from zlh_api.edge.traefik_file import render_route_file
from zlh_api.edge.traefik_hosts import render_hosts_file
from zlh_common.names import HostName, OwnerMark, Vmid

pytestmark = [pytest.mark.real("traefik")]
OWNER = OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")
DOMAIN = "example.test"
PLAIN = ProxySetting(DOMAIN, "web", "http://127.0.0.1:1")
SECURE = replace(PLAIN, entry_point="websecure", tls=TlsSetting())
SETTINGS = {
    "plain": PLAIN,
    "default": SECURE,
    "each": replace(SECURE, tls=TlsSetting("acme", is_wildcard=False)),
    "wildcard": replace(SECURE, tls=TlsSetting("acme")),
}


@pytest.fixture(scope="module")
def traefik(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTraefik]:
    """Run one for all tests; each has containers of its own."""
    with running_traefik(tmp_path_factory.mktemp("traefik"), games=3) as running:
        yield running


@pytest.fixture
async def proxy(traefik: RunningTraefik) -> AsyncIterator[Traefik]:
    """Ask it as the reconciler does."""
    async with Traefik(api_url=traefik.api_url, web_url=traefik.web_url) as asked:
        yield asked


def wishes(game_ports: tuple[int, ...]) -> Iterator[RouteWish]:
    """Return a container of each shape: guarded or not, with TLS of its own or not, nothing, games."""
    kinds: tuple[Literal["http", "https"], ...] = ("http", "https")
    shapes = [
        tuple(ExposedPort(3000 + n, is_guarded=guarded, kind=kind) for n, (guarded, kind) in enumerate(ports))
        for count in range(3)
        for ports in itertools.product(itertools.product((False, True), kinds), repeat=count)
    ]
    tcp, udp, _ = game_ports
    for vmid, exposed in enumerate(shapes, 200):
        yield RouteWish(OWNER, HostName("dev", Vmid(vmid)), "127.77.0.9", exposed)
    games = (GamePort("tcp", tcp, 25565), GamePort("udp", udp, 19132))
    yield RouteWish(OWNER, HostName("game", Vmid(300)), "127.77.0.10", (), games)
    yield RouteWish(OWNER, HostName("game", Vmid(999_999_999)), "fd00::10", (ExposedPort(65535, is_guarded=True),))


async def test_every_file_is_taken_and_each_router_is_enabled(traefik: RunningTraefik, proxy: Traefik) -> None:
    """Whatever is published, with and without certificates: nothing is disabled, and one bad file would block all."""
    files: list[RouteFile] = []
    for name, setting in SETTINGS.items():
        files = [render_route_file(wish, setting) for wish in wishes(traefik.game_ports)]
        files += render_platform_files(f"http://portal.{name}.test", setting)
        for file in files:
            traefik.put(file.name, file.text)
        for file in files:
            await proxy.wait_loaded(file)
        listed = {
            protocol: await asyncio.to_thread(traefik.list_routers, protocol) for protocol in ("http", "tcp", "udp")
        }
        assert set(listed["http"]) == {router for file in files for router, _ in file.routers}
        assert {(protocol, router) for protocol in ("tcp", "udp") for router in listed[protocol]} == {
            (protocol, router) for file in files for protocol, router, _ in file.game_routers
        }
        routers = [router for found in listed.values() for router in found.values()]
        assert {(router["status"], str(router.get("error"))) for router in routers} == {("enabled", "None")}
    for file in files:
        (traefik.directory / file.name).unlink()
    for file in files:
        await proxy.wait_unloaded(
            tuple(name for name, _ in file.routers), tuple((protocol, name) for protocol, name, _ in file.game_routers)
        )


async def test_a_game_port_outside_the_pool_is_told(
    traefik: RunningTraefik, proxy: Traefik, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The static file does not declare it, so no player would get through."""
    monkeypatch.setattr("zlh_api.edge.traefik.LOAD_TIMEOUT_S", 1.0)
    wish = RouteWish(OWNER, HostName("game", Vmid(310)), "127.77.0.10", (), (GamePort("tcp", 1, 25565),))
    file = render_route_file(wish, PLAIN)
    traefik.put_file(render_hosts_file(PLAIN))
    traefik.put_file(file)
    with pytest.raises(RouteNotLoaded, match="game-310-tcp-1"):
        await proxy.wait_loaded(file)
    (traefik.directory / file.name).unlink()


@dataclass
class World:
    """A container that tells what reached it, and an API that says who may pass."""

    proxy: Traefik
    traefik: RunningTraefik
    wish: RouteWish
    setting: ProxySetting
    runners: list[web.AppRunner] = field(default_factory=list)
    # What the API was asked with, and what reached the container.
    asked: list[CIMultiDict[str]] = field(default_factory=list)
    reached: list[CIMultiDict[str]] = field(default_factory=list)

    async def serve(self, app: web.Application, context: ssl.SSLContext | None = None) -> int:
        """Serve it on a free port of loopback."""
        runner = web.AppRunner(app)
        await runner.setup()
        self.runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        port: int = runner.addresses[0][1]
        return port

    async def publish(self) -> None:
        """Put the file there and wait until it is used."""
        for file in (render_hosts_file(self.setting), render_route_file(self.wish, self.setting)):
            self.traefik.put_file(file)
            await self.proxy.wait_loaded(file)

    async def access(self, request: web.Request) -> web.Response:
        """Let a certain cookie pass, and take it out of the request."""
        self.asked.append(request.headers.copy())
        if "zlh_access=good" not in request.headers.get("Cookie", ""):
            return web.Response(status=401, text="sign in", headers={"X-Zlh-User": "nobody"})
        return web.Response(headers={"Cookie": "theirs=1", "X-Zlh-User": "user-7"})

    async def echo(self, request: web.Request) -> web.StreamResponse:
        """Tell what came; a WebSocket says everything twice."""
        self.reached.append(request.headers.copy())
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(text="the container")
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for message in answer:
            if message.type is WSMsgType.TEXT:
                await answer.send_str(message.data * 2)
        return answer


@pytest.fixture(scope="module")
def server_context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """Return the context of a container's own server, whose certificate nobody can check."""
    folder = tmp_path_factory.mktemp("certificate")
    Certificates(folder / "ca").write_agent(folder, OWNER)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "agent.crt", folder / "agent.key")
    return context


@pytest.fixture(params=["http", "https"])
async def world(
    request: pytest.FixtureRequest, traefik: RunningTraefik, proxy: Traefik, server_context: ssl.SSLContext
) -> AsyncIterator[World]:
    """Give a container with one guarded port and an open one, behind the proxy."""
    host = HostName("dev", Vmid(101))
    world = World(proxy, traefik, RouteWish(OWNER, host, "127.0.0.1"), PLAIN)
    container = web.Application()
    container.router.add_get("/{path:.*}", world.echo)
    api = web.Application()
    api.router.add_get("/.zlh/access", world.access)
    api.router.add_get("/.zlh/{path:.*}", answer_as_platform)
    kind = request.param
    context = server_context if kind == "https" else None
    guarded, opened = await world.serve(container, context), await world.serve(container, context)
    world.wish = replace(
        world.wish, exposed=(ExposedPort(guarded, is_guarded=True, kind=kind), ExposedPort(opened, kind=kind))
    )
    world.setting = replace(PLAIN, api_url=f"http://127.0.0.1:{await world.serve(api)}")
    await world.publish()
    yield world
    for name in ("dev-101.yml", "hosts.yml"):
        (traefik.directory / name).unlink()
    ports = {runner.addresses[0][1] for runner in world.runners}
    for runner in world.runners:
        await runner.cleanup()
    # The proxy takes part in the farewell of TLS, for which the loop must go on.
    async with asyncio.timeout(20):
        while any(each.laddr.port in ports for each in psutil.Process().net_connections("tcp4")):
            await asyncio.sleep(0.02)


async def answer_as_platform(_request: web.Request) -> web.Response:
    """Be the platform's own pages."""
    return web.Response(text="the platform")


async def test_a_guarded_port_lets_nobody_through_unasked(world: World) -> None:
    """By its own host, the container's, and a WebSocket; the answer is the API's, and `/.zlh/` needs nobody."""
    port = world.wish.exposed[0].port
    async with aiohttp.ClientSession() as client:
        for host in (f"dev-101.{DOMAIN}", f"{port}-dev-101.{DOMAIN}"):
            async with client.get(f"{world.traefik.web_url}/", headers={"Host": host}) as answer:
                assert (answer.status, await answer.text()) == (401, "sign in")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(world.traefik.web_url, headers={"Host": host})
            assert refused.value.status == 401
            async with client.get(f"{world.traefik.web_url}/.zlh/x", headers={"Host": host}) as answer:
                assert await answer.text() == "the platform"
                assert answer.headers["X-Frame-Options"] == "DENY"
    assert not world.reached


@pytest.mark.parametrize("spell", [str, str.upper, "{}.".format, "{}:8443".format, "{}.:8443".format])
async def test_the_platforms_paths_are_ours_at_every_host_in_every_spelling(
    world: World, spell: Callable[[str], str]
) -> None:
    """Whatever name the proxy takes for a container's, open or guarded: `/.zlh/` below it never reaches it."""
    guarded, opened = (f"{exposed.port}-" for exposed in world.wish.exposed)
    async with aiohttp.ClientSession() as client:
        for prefix in ("", guarded, opened):
            headers = {"Host": spell(f"{prefix}dev-101.{DOMAIN}"), "Cookie": "zlh_access=good"}
            async with client.get(f"{world.traefik.web_url}/", headers=headers) as answer:
                assert await answer.text() == "the container"
            for path in ("/.zlh/", "/.zlh/x/y?z", "/%2ezlh/x", "/x/%2e%2e/.zlh/y"):
                async with client.get(URL(f"{world.traefik.web_url}{path}", encoded=True), headers=headers) as answer:
                    assert (path, await answer.text()) == (path, "the platform")
    assert len(world.reached) == 3


async def test_who_may_see_it_reaches_it_without_what_proves_it(world: World) -> None:
    """The container sees neither our cookie nor what a client claims to be; we see nothing of the container's."""
    lies = {"X-Zlh-User": "admin", "X_Zlh_User": "admin", "X-Zlh-Other": "x", "Authorization": "Bearer theirs"}
    headers = {"Host": f"dev-101.{DOMAIN}", "Cookie": "zlh_access=good; theirs=1", **lies}
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{world.traefik.web_url}/page?q=1", headers=headers) as answer:
            assert await answer.text() == "the container"
            assert "X-Frame-Options" not in answer.headers
        async with client.ws_connect(world.traefik.web_url, headers=headers) as channel:
            await channel.send_str("ab")
            assert await channel.receive_str() == "abab"
    assert [(reached["Cookie"], reached["X-Zlh-User"]) for reached in world.reached] == [("theirs=1", "user-7")] * 2
    for reached in world.reached:
        assert not {"x_zlh_user", "x-zlh-other"} & {name.lower() for name in reached}
        assert reached["Authorization"] == "Bearer theirs"
    assert [asked["X-Forwarded-Uri"] for asked in world.asked] == ["/page?q=1", "/"]
    for asked in world.asked:
        assert asked["X-Forwarded-Host"] == f"dev-101.{DOMAIN}"
        assert "Authorization" not in asked


async def test_an_open_port_asks_nobody_and_nobody_claims_to_be_known(world: World) -> None:
    """Neither does a client's own word pass for ours there."""
    host = f"{world.wish.exposed[1].port}-dev-101.{DOMAIN}"
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{world.traefik.web_url}/", headers={"Host": host, "X-Zlh-User": "admin"}) as answer,
    ):
        assert await answer.text() == "the container"
    assert not world.asked
    assert "X-Zlh-User" not in world.reached[0]


async def test_an_api_that_does_not_answer_lets_nobody_through(world: World) -> None:
    """A guard that cannot be asked refuses."""
    world.setting = replace(world.setting, api_url="http://127.0.0.1:1")
    await world.publish()
    headers = {"Host": f"dev-101.{DOMAIN}", "Cookie": "zlh_access=good"}
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{world.traefik.web_url}/", headers=headers) as answer,
    ):
        assert answer.status >= 500
    assert not world.reached


class Doubled(asyncio.DatagramProtocol):
    """Says every packet twice."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer."""
        self.transport.sendto(data * 2, addr)


async def test_players_reach_a_game_by_tcp_and_udp(traefik: RunningTraefik, proxy: Traefik) -> None:
    """Through the pool of entry points; a server that speaks first is heard, and the route goes as it came."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello ")
        writer.write(await reader.readexactly(2) * 2)
        await writer.drain()
        writer.close()

    tcp = await asyncio.start_server(greet, "127.0.0.1", 0)
    udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(Doubled, ("127.0.0.1", 0))
    pool = traefik.game_ports[2]
    games = (
        GamePort("tcp", pool, tcp.sockets[0].getsockname()[1]),
        GamePort("udp", pool, udp.get_extra_info("sockname")[1]),
    )
    file = render_route_file(RouteWish(OWNER, HostName("game", Vmid(320)), "127.0.0.1", (), games), PLAIN)
    traefik.put_file(render_hosts_file(PLAIN))
    traefik.put_file(file)
    await proxy.wait_loaded(file)
    reader, writer = await asyncio.open_connection("127.0.0.1", pool)
    assert await asyncio.wait_for(reader.readexactly(6), 10) == b"hello "
    writer.write(b"ab")
    assert await asyncio.wait_for(reader.read(), 10) == b"abab"
    writer.close()
    assert await asyncio.to_thread(_ask_by_udp, pool) == b"abab"
    (traefik.directory / file.name).unlink()
    await proxy.wait_unloaded((), tuple((protocol, name) for protocol, name, _ in file.game_routers))
    udp.close()
    tcp.close()
    await tcp.wait_closed()


def _ask_by_udp(port: int) -> bytes:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.connect(("127.0.0.1", port))
        # A packet may be lost.
        for _ in range(10):
            client.send(b"ab")
            with contextlib.suppress(OSError):
                return client.recv(16)
    return b""
