"""Certificates end to end: Traefik asks a real ACME server, proves itself in a real zone, and is believed by its names.

With nginx in Cloudflare's place in front, and with each of them away.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
import dns.message
import dns.query
import psutil
import pytest
from aiohttp import web

from real_parts.acme_edge import RESOLVER, ZONE, AcmeEdge, running_acme_edge
from real_parts.certificates import PublicCa
from real_parts.nginx import ADDRESS as FRONT
from real_parts.nginx import Nginx, running_nginx
from real_parts.program import Program
from zlh_api.edge.certificate_trouble import ShownCertificate, parse_certificate
from zlh_api.edge.model import ExposedPort, ProxySetting, RouteWish, TlsSetting
from zlh_api.edge.port import NameNotAnswering
from zlh_api.edge.traefik import Traefik
from zlh_api.edge.traefik_file import render_route_file
from zlh_api.edge.traefik_hosts import render_hosts_file
from zlh_api.web.client_address import TRUSTED_PROXIES, client_address, parse_proxies
from zlh_common.names import HostName, OwnerMark, Vmid, render_host

pytestmark = [pytest.mark.real("traefik", "knot", "pebble", "nginx")]
OWNER = OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcmeEdge]:
    """Run all parts; nginx is believed about its clients."""
    with running_acme_edge(tmp_path_factory.mktemp("edge"), trusted=(FRONT,)) as edge:
        yield edge


@dataclass
class Backend:
    """The API as far as names go, and one container, on loopback."""

    edge: AcmeEdge
    runners: list[web.AppRunner] = field(default_factory=list)
    api_url: str = ""
    port: int = 0
    # By which address and host the API was asked for access.
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def start(self) -> None:
        """Serve both."""
        api, container = web.Application(), web.Application()
        # Traefik connects from loopback's first address.
        api[TRUSTED_PROXIES] = parse_proxies(["127.0.0.1", FRONT])
        api.router.add_get("/.zlh/ready", self.ready)
        api.router.add_get("/.zlh/address", self.address)
        api.router.add_get("/.zlh/access", self.access)
        container.router.add_get("/", self.echo)
        self.api_url = f"http://127.0.0.1:{await self._serve(api)}"
        self.port = await self._serve(container)

    async def _serve(self, app: web.Application) -> int:
        runner = web.AppRunner(app)
        await runner.setup()
        self.runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port: int = runner.addresses[0][1]
        return port

    async def ready(self, request: web.Request) -> web.Response:
        """Answer as the API does."""
        return web.json_response({"vmid": int(request.host.split(".")[0].rpartition("-")[2])})

    async def address(self, request: web.Request) -> web.Response:
        """Tell for whom the API takes the client."""
        return web.Response(text=client_address(request))

    async def access(self, request: web.Request) -> web.Response:
        """Let everybody in."""
        self.asked.append((request.headers["X-Forwarded-Host"], request.headers["X-Forwarded-Proto"]))
        return web.Response()

    async def echo(self, request: web.Request) -> web.StreamResponse:
        """Say everything twice."""
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for message in answer:
            await answer.send_str(message.data * 2)
        return answer

    async def publish(self, vmid: int, setting: ProxySetting) -> str:
        """Publish a container with one guarded port; return its host."""
        host = HostName("dev", Vmid(vmid))
        wish = RouteWish(OWNER, host, "127.0.0.1", (ExposedPort(self.port, is_guarded=True),))
        setting = replace(setting, api_url=self.api_url)
        file = render_route_file(wish, setting)
        async with asking(self.edge) as proxy:
            self.edge.traefik.put_file(render_hosts_file(setting))
            self.edge.traefik.put_file(file)
            await proxy.wait_loaded(file)
        return render_host(host, setting.domain)


@contextlib.asynccontextmanager
async def asking(edge: AcmeEdge) -> AsyncIterator[Traefik]:
    """Ask as the reconciler does, with a browser's trust in the ACME server's root alone."""
    traefik = edge.traefik
    async with Traefik(api_url=traefik.api_url, web_url=traefik.secure_url, ca=edge.root) as proxy:
        yield proxy


async def wait_ready(edge: AcmeEdge, host: str, vmid: int) -> None:
    """Wait until the name answers with a certificate that is believed."""
    async with asking(edge) as proxy:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    with contextlib.suppress(NameNotAnswering):
                        return await proxy.check_ready(host, vmid)
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(edge.traefik.program.said[-3000:]) from None


async def find_trouble(edge: AcmeEdge, host: str, vmid: int) -> str:
    """Return what is wrong with a name."""
    async with asking(edge) as proxy:
        with pytest.raises(NameNotAnswering) as caught:
            await proxy.check_ready(host, vmid)
        return caught.value.detail


def shown(edge: AcmeEdge, host: str) -> tuple[ShownCertificate, bytes]:
    """Return what is shown for a name, having checked it by the root."""
    context = ssl.create_default_context(cafile=str(edge.root))
    with (
        socket.create_connection(("127.0.0.1", edge.traefik.secure_port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        der = secured.getpeercert(binary_form=True)
        assert der is not None
        found = parse_certificate(der)
        assert found is not None
        return found, der


@pytest.fixture
async def backend(edge: AcmeEdge) -> AsyncIterator[Backend]:
    """Give the API and a container."""
    backend = Backend(edge)
    await backend.start()
    yield backend
    ports = {runner.addresses[0][1] for runner in backend.runners}
    for runner in backend.runners:
        await runner.cleanup()
    async with asyncio.timeout(20):
        while any(each.laddr.port in ports for each in psutil.Process().net_connections("tcp4")):
            await asyncio.sleep(0.02)


WILDCARD = ProxySetting(ZONE, "websecure", "", TlsSetting(RESOLVER))
EACH_HOST = ProxySetting(f"each.{ZONE}", "websecure", "", TlsSetting(RESOLVER, is_wildcard=False))


async def test_one_wildcard_serves_all_containers(edge: AcmeEdge, backend: Backend) -> None:
    """It is asked for once, by a proof in the zone that is gone afterwards, and the second name is ready at once."""
    host = await backend.publish(101, WILDCARD)
    await wait_ready(edge, host, 101)
    first, der = await asyncio.to_thread(shown, edge, host)
    assert first.names == (f"*.{ZONE}",)
    second = await backend.publish(102, WILDCARD)
    async with asking(edge) as proxy:
        await proxy.check_ready(second, 102)
    assert (await asyncio.to_thread(shown, edge, second))[1] == der
    query = dns.message.make_query(f"_acme-challenge.{ZONE}", "TXT")
    async with asyncio.timeout(PATIENCE_S):
        while (await asyncio.to_thread(dns.query.udp, query, edge.knot.address, port=edge.knot.port, timeout=5)).answer:
            await asyncio.sleep(0.1)


async def test_each_host_may_have_a_certificate_of_its_own(edge: AcmeEdge, backend: Backend) -> None:
    """One for the container's own host and one for that of its port, since a rule names each."""
    host = await backend.publish(201, EACH_HOST)
    for name in (host, f"{backend.port}-{host}"):
        await wait_ready(edge, name, 201)
        assert (await asyncio.to_thread(shown, edge, name))[0].names == (name,)


async def test_a_name_without_a_certificate_says_so(edge: AcmeEdge, backend: Backend) -> None:
    """The zone refuses what is not in it, and Traefik goes on with the certificate that it made up itself."""
    host = await backend.publish(301, replace(EACH_HOST, domain="elsewhere.test"))
    found = await find_trouble(edge, host, 301)
    assert "TRAEFIK DEFAULT CERT" in found
    assert found.startswith(f"https://{host}/.zlh/ready ")
    (edge.traefik.directory / "dev-301.yml").unlink()


@pytest.fixture
def nginx(edge: AcmeEdge, tmp_path: Path) -> Iterator[tuple[Nginx, PublicCa]]:
    """Put nginx in front, with a certificate as Cloudflare's."""
    ca = PublicCa(tmp_path / "front", "Test Front CA")
    shows = ca.issue(f"*.{ZONE}")
    with running_nginx(tmp_path, shows=shows, upstream_port=edge.traefik.secure_port, upstream_ca=edge.root) as running:
        yield running, ca


async def test_a_client_behind_a_front_is_who_it_is(
    edge: AcmeEdge, backend: Backend, nginx: tuple[Nginx, PublicCa]
) -> None:
    """Whatever it writes into the headers of proxies, through the front and past it, and for which host it says."""
    host = await backend.publish(101, WILDCARD)
    await wait_ready(edge, host, 101)
    front, ca = nginx
    spoken = ("X-Forwarded-For", "X_Forwarded_For", "X-Real-Ip", "Forwarded", "CF-Connecting-IP")
    lies = dict.fromkeys(spoken, "198.51.100.1") | {"X-Forwarded-Host": "dev-999.other.test"}
    for port, trusted, client in (
        (front.port, ca.ca, "127.0.0.6"),
        (edge.traefik.secure_port, edge.root, "127.0.0.7"),
    ):
        context = ssl.create_default_context(cafile=str(trusted))
        url = f"https://127.0.0.1:{port}"
        connector = aiohttp.TCPConnector(local_addr=(client, 0), force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.get(
                f"{url}/.zlh/address", headers={"Host": host, **lies}, ssl=context, server_hostname=host
            ) as answer:
                assert await answer.text() == client
            async with session.ws_connect(
                url, headers={"Host": host, **lies}, ssl=context, server_hostname=host
            ) as channel:
                await channel.send_str("ab")
                assert await channel.receive_str() == "abab"
    assert backend.asked == [(host, "https")] * 2


async def test_a_certificate_is_renewed_and_serves_on_where_that_fails(edge: AcmeEdge, backend: Backend) -> None:
    """What runs out soon is asked for anew; with the ACME server away the one that there is goes on to be shown."""
    host = await backend.publish(101, WILDCARD)
    await wait_ready(edge, host, 101)
    _, first = await asyncio.to_thread(shown, edge, host)
    # It looks for what runs out soon when it starts, and once a day.
    await asyncio.to_thread(restart, edge.traefik.program)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await wait_ready(edge, host, 101)
            _, second = await asyncio.to_thread(shown, edge, host)
            if second != first:
                break
            await asyncio.sleep(0.1)
    # For good: it would know no account any more.
    await asyncio.to_thread(edge.pebble.program.stop)
    await asyncio.to_thread(restart, edge.traefik.program)
    await wait_ready(edge, host, 101)
    assert (await asyncio.to_thread(shown, edge, host))[1] == second


def restart(program: Program) -> None:
    """End a program and start it again."""
    program.stop()
    program.start()
