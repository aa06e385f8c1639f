"""The API as a program of its own on a real database, with the process driver and a proxy that is away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from guards.ports import free_port
from zlh_api.app.parts import open_parts
from zlh_api.config.load import load_config
from zlh_api.customers.secret import Secret

PATIENCE_S = 120.0
TOKEN = "zlh_served_token_of_the_operator"


@dataclass(frozen=True, slots=True)
class Site:
    """Where one installation keeps what it has, and where it answers."""

    folder: Path
    dsn: str
    port: int

    @property
    def config(self) -> Path:
        """Its configuration, in a folder of its own."""
        return self.folder / "etc/api.toml"

    @property
    def keys(self) -> Path:
        """The keys of the agents."""
        return self.folder / "keys/agents"

    async def fetch(self, path: str) -> Any:
        """Return what the API answers to its operator."""
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
            session.get(f"http://127.0.0.1:{self.port}{path}") as answer,
        ):
            assert answer.status == 200, await answer.text()
            return await answer.json()


def make_site(folder: Path, dsn: str) -> Site:
    """Write the configuration of an installation that nobody has begun."""
    site = Site(folder, dsn, free_port())
    site.config.parent.mkdir(parents=True)
    for name in ("routes", "artifacts"):
        (folder / name).mkdir()
    (folder / "root.json").write_text("{}")
    site.config.write_text(render(site))
    return site


def render(site: Site) -> str:
    """Return the text of the configuration."""
    folder, nobody = site.folder, f"http://127.0.0.1:{free_port()}"
    return f"""
listen_port = {site.port}
portal_url = "http://portal.localhost:{site.port}"
container_domain = "localhost"
container_scheme = "http"
container_port = {site.port}
keys_dir = {json.dumps(str(site.keys))}
state_dir = "{folder}/state"
[database]
dsn = {json.dumps(site.dsn)}
[artifacts]
url = "{nobody}"
trusted_root = "{folder}/root.json"
[process]
root = "{folder}/guests"
[traefik]
directory = "{folder}/routes"
api_url = "{nobody}"
web_url = "{nobody}"
"""


async def make_operator(site: Site) -> None:
    """Have somebody who may see everything, by a token."""
    async with open_parts(await asyncio.to_thread(load_config, site.config)) as parts:
        await parts.wishes.accounts.users.ensure_operator(
            email="owner@example.test", password=Secret("correct horse battery"), customer_name="ours",
            api_token=Secret(TOKEN),
        )  # fmt: skip


@asynccontextmanager
async def serving(
    site: Site, environment: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `zlh-api serve`, which may not answer yet; at the end it is told to stop, and has ended."""
    with (site.folder / "api.log").open("ab") as log:
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "zlh_api", "serve", "--config", str(site.config)),
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(environment or {})},
        )  # fmt: skip
    try:
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.terminate()
        await server.wait()


async def wait_up(site: Site, server: asyncio.subprocess.Process) -> None:
    """Return once it answers."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            assert server.returncode is None, await asyncio.to_thread((site.folder / "api.log").read_text)
            with contextlib.suppress(aiohttp.ClientError):
                await site.fetch("/api/version")
                return
            await asyncio.sleep(0.1)
