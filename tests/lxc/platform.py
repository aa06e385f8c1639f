"""An installation on one test's own part of the machine: the API as a program, the real proxy, real containers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from fakes.wishes import want_container
from guards.ports import free_port
from lxc.guest import PATIENCE_S
from lxc.own_host import OwnHost
from real_parts.certificates import PublicCa
from real_parts.traefik import RunningTraefik, running_traefik
from zlh_api.app.parts import open_parts
from zlh_api.config.load import load_config
from zlh_api.customers.secret import Secret
from zlh_api.database.pool import Database

CHECKOUT = (sys.executable, "-m", "zlh_api")
EMAIL, PASSWORD, TOKEN = "owner@example.test", "correct horse battery", "zlh_lxc_token_of_the_owner"


@dataclass
class LxcPlatform:
    """What runs, and how people and programs reach it."""

    folder: Path
    dsn: str
    dev: Mapping[str, str]
    proxy_pid: int
    # Where the containers of the host are.
    root: Path
    # What `zlh-api` is: this checkout's, unless another is meant.
    program: Sequence[str] = CHECKOUT
    api: subprocess.Popen[bytes] | None = None

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Call the API as the operator."""
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
            session.request(method, self.dev["apiUrl"] + path, json=body) as answer,
        ):
            return answer.status, await answer.json() if answer.content_type.endswith("json") else None

    async def read_file(self, vmid: int, path: str) -> str:
        """Return the text of a file of a container as the API gives it, nothing where there is none."""
        url = f"{self.dev['apiUrl']}/api/containers/{vmid}/files/content"
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
            session.get(url, params={"path": path}) as answer,
        ):
            assert answer.status in {200, 404}, await answer.text()
            return await answer.text() if answer.status == 200 else ""

    async def create_ready(self) -> dict[str, Any]:
        """Make a container without runtimes, which no server of artifacts has to be there for, and wait for it."""
        database = Database(self.dsn)
        try:
            async with database.transaction() as connection:
                await want_container(connection, runtimes=())
        finally:
            await database.close()
        report: dict[str, Any] = {}
        async with asyncio.timeout(PATIENCE_S):
            while not report.get("ready"):
                await asyncio.sleep(0.1)
                _, listed = await self.call("GET", "/api/containers")
                report = listed["items"][0]
        return report

    async def wait_gone(self, vmid: int) -> None:
        """Return once the API knows a container no more."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.call("GET", f"/api/containers/{vmid}"))[0] != 404:
                await asyncio.sleep(0.1)

    def start(self) -> None:
        """Start the API."""
        with (self.folder / "api.log").open("ab") as log:
            self.api = subprocess.Popen(
                [*self.program, "serve", "--config", str(self.folder / "api.toml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ},
            )

    def stop(self) -> None:
        """End it, kindly."""
        if self.api is not None:
            self.api.terminate()
            self.api.wait(PATIENCE_S)


@asynccontextmanager
async def running_platform(
    host: OwnHost,
    dsn: str,
    folder: Path,
    *,
    zone: str | None = None,
    trusted_root: Path | None = None,
    has_games: bool = False,
    program: Sequence[str] = CHECKOUT,
    more: str = "",
) -> AsyncIterator[LxcPlatform]:
    """Run it until the block ends; its containers are the host's.

    With a zone its names lie there and are served by HTTPS, by a certificate of `ca` in the folder. Runtimes can be had
    with the root that their catalog is signed by. With games the proxy has one port of each protocol for them. `more`
    is the end of the configuration's file.
    """
    async with AsyncExitStack() as opened:
        # Each takes seconds to start and to stop, and a loop that is held is a fault.
        traefik_run = running_traefik(folder, games=int(has_games))
        traefik = await asyncio.to_thread(opened.enter_context, traefik_run)
        port = free_port()
        dev = {"apiUrl": f"http://127.0.0.1:{port}", **_public_side(traefik, zone)}
        platform = LxcPlatform(
            folder, dsn, dev, proxy_pid=traefik.program.pid, root=host.settings.root, program=program
        )
        if zone is not None:
            await asyncio.to_thread(_certify, traefik, folder, zone)
        write = partial(_write_config, platform, host, traefik, port, zone=zone, trusted_root=trusted_root)
        await asyncio.to_thread(write)
        with (folder / "api.toml").open("a") as config:
            config.write(more)
        async with open_parts(await asyncio.to_thread(load_config, folder / "api.toml")) as parts:
            await parts.wishes.accounts.users.ensure_operator(
                email=EMAIL, password=Secret(PASSWORD), customer_name="ours",
                api_token=Secret(TOKEN),
            )  # fmt: skip
        await asyncio.to_thread(platform.start)
        opened.push_async_callback(asyncio.to_thread, platform.stop)
        await _wait_up(platform)
        yield platform


async def _wait_up(platform: LxcPlatform) -> None:
    assert platform.api is not None
    async with asyncio.timeout(PATIENCE_S):
        while True:
            assert platform.api.poll() is None, await asyncio.to_thread(_said, platform)
            with contextlib.suppress(aiohttp.ClientError):
                if (await platform.call("GET", "/api/version"))[0] == 200:
                    return
            await asyncio.sleep(0.1)


def _said(platform: LxcPlatform) -> str:
    return (platform.folder / "api.log").read_text()[-3000:]


def _public_side(traefik: RunningTraefik, zone: str | None) -> dict[str, str]:
    if zone is None:
        portal = f"http://portal.localhost:{traefik.web_port}/"
        return {"traefikUrl": traefik.web_url, "portalUrl": portal}
    return {"traefikUrl": traefik.secure_url, "portalUrl": f"https://portal.{zone}:{traefik.secure_port}/"}


def _certify(traefik: RunningTraefik, folder: Path, zone: str) -> None:
    """Have the proxy show one certificate for every name of the zone, as where a wildcard was bought."""
    pair = PublicCa(folder / "ca").issue(f"*.{zone}")
    shown = {"certFile": str(pair.certificate), "keyFile": str(pair.key)}
    traefik.put("certificate.yml", json.dumps({"tls": {"stores": {"default": {"defaultCertificate": shown}}}}))


def _pool(traefik: RunningTraefik) -> str:
    pool = "".join(f'tcp = "{port}-{port}"\nudp = "{port}-{port}"\n' for port in traefik.game_ports)
    return f"[traefik.games]\n{pool}" if pool else ""


def _write_config(
    platform: LxcPlatform,
    host: OwnHost,
    traefik: RunningTraefik,
    port: int,
    *,
    zone: str | None,
    trusted_root: Path | None,
) -> None:
    folder, lxc = platform.folder, host.settings
    if trusted_root is None:
        trusted_root = folder / "root.json"
        trusted_root.write_text("{}")
    scheme, web_port, entry = ("http", traefik.web_port, "web")
    if zone is not None:
        scheme, web_port, entry = ("https", traefik.secure_port, "websecure")
    tls = "" if zone is None else f'[traefik.tls]\nca = "{folder}/ca/ca.pem"'
    (folder / "api.toml").write_text(
        f"""
driver = "lxc"
listen_port = {port}
portal_url = "{platform.dev["portalUrl"]}"
trusted_proxies = ["127.0.0.1"]
container_domain = "{zone or "localhost"}"
container_scheme = "{scheme}"
container_port = {web_port}
keys_dir = "{folder}/keys"
state_dir = "{folder}/state"
[database]
dsn = "{platform.dsn}"
[artifacts]
url = "http://{lxc.gateway}:{lxc.artifacts_port}"
trusted_root = "{trusted_root}"
{_pool(traefik)}
[lxc]
root = "{lxc.root}"
template = "{lxc.template}"
bridge = "{lxc.bridge}"
address_block = "{lxc.block}"
[traefik]
directory = "{traefik.directory}"
entry_point = "{entry}"
api_url = "{traefik.api_url}"
web_url = "{platform.dev["traefikUrl"]}"
{tls}
"""
    )
