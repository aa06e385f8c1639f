"""An installation on one test's own part of the machine: the API as a program, the real proxy, real containers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from fakes.wishes import want_container
from guards.ports import free_port
from lxc.guest import PATIENCE_S
from lxc.own_host import OwnHost
from real_parts.traefik import RunningTraefik, running_traefik
from zlh_api.app.parts import open_parts
from zlh_api.config.load import load_config
from zlh_api.customers.secret import Secret
from zlh_api.database.pool import Database

TOKEN = "zlh_lxc_token_of_the_owner"


@dataclass
class LxcPlatform:
    """What runs, and how people and programs reach it."""

    folder: Path
    dsn: str
    dev: Mapping[str, str]
    api: subprocess.Popen[bytes] | None = None

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Call the API as the operator."""
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
            session.request(method, self.dev["apiUrl"] + path, json=body) as answer,
        ):
            return answer.status, await answer.json() if answer.content_type.endswith("json") else None

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
                [sys.executable, "-m", "zlh_api", "serve", "--config", str(self.folder / "api.toml")],
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
async def running_platform(host: OwnHost, dsn: str, folder: Path) -> AsyncIterator[LxcPlatform]:
    """Run it until the block ends; its containers are the host's."""
    async with AsyncExitStack() as opened:
        # Each takes seconds to start and to stop, and a loop that is held is a fault.
        traefik_run = running_traefik(folder, games=0)
        traefik = await asyncio.to_thread(opened.enter_context, traefik_run)
        port = free_port()
        dev = {
            "apiUrl": f"http://127.0.0.1:{port}",
            "traefikUrl": traefik.web_url,
            "portalUrl": f"http://portal.localhost:{traefik.web_port}/",
        }
        platform = LxcPlatform(folder, dsn, dev)
        await asyncio.to_thread(_write_config, platform, host, traefik, port)
        async with open_parts(await asyncio.to_thread(load_config, folder / "api.toml")) as parts:
            await parts.wishes.accounts.users.ensure_operator(
                email="owner@example.test", password=Secret("correct horse battery"), customer_name="ours",
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


def _write_config(platform: LxcPlatform, host: OwnHost, traefik: RunningTraefik, port: int) -> None:
    folder, lxc = platform.folder, host.settings
    (folder / "root.json").write_text("{}")
    (folder / "api.toml").write_text(
        f"""
driver = "lxc"
listen_port = {port}
portal_url = "{platform.dev["portalUrl"]}"
trusted_proxies = ["127.0.0.1"]
container_domain = "localhost"
container_scheme = "http"
container_port = {traefik.web_port}
keys_dir = "{folder}/keys"
state_dir = "{folder}/state"
[database]
dsn = "{platform.dsn}"
[artifacts]
url = "http://{lxc.gateway}:{lxc.artifacts_port}"
trusted_root = "{folder}/root.json"
[lxc]
root = "{lxc.root}"
template = "{lxc.template}"
bridge = "{lxc.bridge}"
address_block = "{lxc.block}"
[traefik]
directory = "{traefik.directory}"
api_url = "{traefik.api_url}"
web_url = "{traefik.web_url}"
"""
    )
