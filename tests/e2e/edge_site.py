"""An installation as it stands in production, on one machine: every part of the edge is real but two DNS providers.

browser ─ nginx (in Cloudflare's place) ─ Traefik ─ containers of the process driver
          pebble and knot: certificates by DNS-01      API ─ sshd (route files), knot, Cloudflare*, Technitium*
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from e2e.stack import WAIT_S, Stack
from fakes.cloudflare import FakeCloudflare
from fakes.sshd import Sshd
from fakes.technitium import FakeTechnitium
from guards.ports import free_port
from real_parts.acme_edge import RESOLVER, ZONE, AcmeEdge, running_acme_edge
from real_parts.certificates import PublicCa
from real_parts.nginx import ADDRESS, Nginx, running_nginx
from zlh_api.app.parts import open_parts
from zlh_api.config.load import load_config
from zlh_api.customers.secret import Secret
from zlh_api.database.embedded.server import EmbeddedPostgres

EMAIL, PASSWORD, TOKEN = "owner@example.test", "correct horse battery", "zlh_site_token_of_the_owner"
# Where public names lead, as Cloudflare is told.
PUBLIC_ADDRESS = "192.0.2.1"


class Loopback(AbstractResolver):
    """Every name is this machine; which one was meant stands in SNI and Host."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        """Return 127.0.0.1."""
        result = ResolveResult(hostname=host, host="127.0.0.1", port=port, family=2, proto=0, flags=0)
        return [result]

    async def close(self) -> None:
        """See AbstractResolver."""


@dataclass
class Site:
    """What runs, and how people reach it."""

    folder: Path
    edge: AcmeEdge
    front: Nginx
    sshd: Sshd
    ca: Path
    cloudflare: FakeCloudflare
    technitium: FakeTechnitium
    api_url: str
    api: subprocess.Popen[bytes] | None = None

    @property
    def portal_url(self) -> str:
        """Where browsers find the portal."""
        return f"https://portal.{ZONE}:{self.front.port}"

    def url(self, label: str, path: str = "/") -> str:
        """Return where a container host opens."""
        return f"https://{label}.{ZONE}:{self.front.port}{path}"

    def start_api(self) -> None:
        """Start the API."""
        with (self.folder / "api.log").open("ab") as log:
            self.api = subprocess.Popen(
                [sys.executable, "-m", "zlh_api", "serve", "--config", str(self.folder / "api.toml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ},
            )

    def stop_api(self) -> None:
        """End it, kindly."""
        if self.api is not None:
            self.api.terminate()
            self.api.wait(WAIT_S)
            self.api = None

    @asynccontextmanager
    async def visitor(self, **headers: str) -> AsyncIterator[aiohttp.ClientSession]:
        """Lend a client that trusts what browsers trust here, and takes every name to the front."""
        context = ssl.create_default_context(cafile=str(self.ca))
        connector = aiohttp.TCPConnector(ssl=context, resolver=Loopback(), force_close=True)
        async with aiohttp.ClientSession(
            connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            yield session

    async def call(self, method: str, path: str, body: object = None, *, token: str = TOKEN) -> tuple[int, Any]:
        """Call the API through the front, as a program of a customer does."""
        async with (
            self.visitor(Authorization=f"Bearer {token}") as session,
            session.request(method, self.portal_url + path, json=body) as answer,
        ):
            return answer.status, await answer.json() if answer.content_type.endswith("json") else None

    async def wait(self, vmid: int, field: str, wanted: object) -> dict[str, Any]:
        """Return the status of a container once a field of it is so."""
        report: dict[str, Any] = {}
        try:
            async with asyncio.timeout(WAIT_S):
                while report.get(field) != wanted:
                    await asyncio.sleep(0.1)
                    _, report = await self.call("GET", f"/api/containers/{vmid}/status")
        except TimeoutError:
            raise AssertionError(f"{field} never became {wanted}: {json.dumps(report, indent=1)}") from None
        return report

    async def wait_steps(self, vmid: int, wanted: dict[str, str]) -> None:
        """Return once each of these steps of a container is in that state."""
        steps: dict[str, str] = {}
        try:
            async with asyncio.timeout(WAIT_S):
                while not wanted.items() <= steps.items():
                    await asyncio.sleep(0.1)
                    _, report = await self.call("GET", f"/api/containers/{vmid}/status")
                    steps = {step["name"]: step["state"] for step in report["steps"]}
        except TimeoutError:
            raise AssertionError(f"the steps never became {wanted}: {steps}") from None

    async def wait_gone(self, vmid: int) -> None:
        """Return once the API knows a container no more."""
        async with asyncio.timeout(WAIT_S):
            while (await self.call("GET", f"/api/containers/{vmid}"))[0] != 404:
                await asyncio.sleep(0.05)

    async def clear(self) -> None:
        """Delete every container."""
        _, listed = await self.call("GET", "/api/containers")
        for each in listed["items"]:
            await self.call("DELETE", f"/api/containers/{each['vmid']}")
        for each in listed["items"]:
            await self.wait_gone(each["vmid"])

    async def records(self) -> dict[str, set[tuple[str, str]]]:
        """Return the names of container hosts that each provider has, with what they lead to."""
        office = {(each["name"], each["rData"]["ipAddress"]) for each in self.technitium.records if each["type"] == "A"}
        public = {(each["name"], each["content"]) for each in self.cloudflare.records.values()}
        return {"public": public, "office": office}


@asynccontextmanager
async def running_site(stack: Stack, folder: Path) -> AsyncIterator[Site]:
    """Run all of it; catalog and artifact server are those of the running platform."""
    async with AsyncExitStack() as opened:
        # The parts take seconds to start, and a loop that is held is a fault.
        edge = await asyncio.to_thread(opened.enter_context, running_acme_edge(folder, trusted=(f"{ADDRESS}/32",)))
        ca = PublicCa(folder / "ca")
        front = await asyncio.to_thread(
            opened.enter_context,
            running_nginx(
                folder,
                shows=ca.issue(f"*.{ZONE}"),
                upstream_port=edge.traefik.secure_port,
                upstream_ca=edge.root,
            ),
        )
        sshd = Sshd(folder / "sshd")
        await asyncio.to_thread(sshd.start)
        opened.callback(sshd.stop)
        cloudflare, technitium = FakeCloudflare(ZONE), FakeTechnitium(ZONE)
        servers = [await opened.enter_async_context(each.serve()) for each in (cloudflare, technitium)]
        await asyncio.to_thread(folder.chmod, 0o711)
        postgres = EmbeddedPostgres(folder / "postgres")
        opened.push_async_callback(postgres.stop)
        dsn = (await postgres.ensure_started()).dsn
        port = free_port()
        site = Site(folder, edge, front, sshd, ca.ca, cloudflare, technitium, f"http://127.0.0.1:{port}")
        urls = [str(server.make_url("/")).rstrip("/") for server in servers]
        await asyncio.to_thread(_write_config, site, stack, dsn, port, urls)
        await asyncio.to_thread(site.start_api)
        opened.callback(site.stop_api)
        await _wait_up(site)
        async with open_parts(await asyncio.to_thread(load_config, folder / "api.toml")) as parts:
            await parts.wishes.accounts.users.ensure_operator(
                email=EMAIL, password=Secret(PASSWORD), customer_name="ours", api_token=Secret(TOKEN)
            )
        await _wait_certified(site)
        yield site
        await site.clear()


async def _wait_up(site: Site) -> None:
    assert site.api is not None
    async with asyncio.timeout(WAIT_S), aiohttp.ClientSession() as session:
        while True:
            assert site.api.poll() is None, (await asyncio.to_thread((site.folder / "api.log").read_text))[-3000:]
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{site.api_url}/api/version") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)


async def _wait_certified(site: Site) -> None:
    """Return once the portal opens by its name: its certificate comes with the first route that asks for one."""
    async with asyncio.timeout(WAIT_S):
        while (await site.call("GET", "/api/version"))[0] != 200:
            await asyncio.sleep(0.2)


def _write_config(site: Site, stack: Stack, dsn: str, port: int, urls: list[str]) -> None:
    """Write the file of the API as a person would."""
    folder, knot = site.folder, site.edge.knot
    theirs = tomllib.loads((stack.home / "api.toml").read_text())["artifacts"]
    secrets = {"knot": knot.secret, "cloudflare": site.cloudflare.token, "technitium": site.technitium.token}
    for name, secret in secrets.items():
        (folder / f"{name}.secret").write_text(secret)
        (folder / f"{name}.secret").chmod(0o600)
    server = f"{knot.address}:{knot.port}"
    (folder / "api.toml").write_text(
        f"""
driver = "process"
listen_port = {port}
portal_url = "{site.portal_url}"
trusted_proxies = ["127.0.0.1"]
container_domain = "{ZONE}"
container_scheme = "https"
container_port = {site.front.port}
keys_dir = "{folder}/keys"
state_dir = "{folder}/state"
[database]
dsn = "{dsn}"
[artifacts]
url = "{theirs["url"]}"
trusted_root = "{theirs["trusted_root"]}"
[process]
root = "{folder}/containers"
[traefik]
directory = "{site.edge.traefik.directory}"
entry_point = "websecure"
api_url = "{site.edge.traefik.api_url}"
web_url = "https://127.0.0.1:{site.front.port}"
[traefik.sftp]
host = "127.0.0.1"
port = {site.sshd.port}
user = "{site.sshd.user}"
key = "{site.sshd.folder}/key"
known_hosts = "{site.sshd.folder}/known_hosts"
[traefik.tls]
resolver = "{RESOLVER}"
ca = "{site.ca}"
[[dns]]
kind = "rfc2136"
name = "inside"
zone = "{ZONE}"
target = ["127.0.0.1"]
ask = ["{server}"]
server = "{knot.address}"
port = {knot.port}
key_name = "{knot.key_name}"
key = "{folder}/knot.secret"
[[dns]]
kind = "cloudflare"
name = "public"
zone = "{ZONE}"
target = ["{PUBLIC_ADDRESS}"]
token = "{folder}/cloudflare.secret"
url = "{urls[0]}/client/v4"
[[dns]]
kind = "technitium"
name = "office"
zone = "{ZONE}"
target = ["10.0.0.1"]
token = "{folder}/technitium.secret"
url = "{urls[1]}"
"""
    )
