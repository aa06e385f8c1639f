"""A real Prometheus with the deployment's own files: it scrapes a served API, and judges every alert."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import aiohttp
import pytest
import yaml

from component.api.test_monitoring import Client, lived, scrape
from fakes.api_world import WAIT_S, World
from guards.ports import free_port
from real_parts.program import Program

pytestmark = pytest.mark.real("prometheus")
FOLDER = Path(__file__).parents[3] / "deploy/monitoring"


class Prometheus:
    """One that runs, with a session to ask it."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session

    async def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer."""
        async with self._session.get(f"{self._url}/api/v1/{path}", params=parameters) as response:
            told = await response.json()
        assert told["status"] == "success", told
        return told["data"]

    async def ask(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return what an expression comes to now."""
        found = await self.get("query", query=expression)
        return [(each["metric"], float(each["value"][1])) for each in found["result"]]

    async def wait(self, expression: str) -> None:
        """Return once an expression yields something."""
        async with asyncio.timeout(WAIT_S):
            while not await self.ask(expression):
                await asyncio.sleep(0.1)


@asynccontextmanager
async def watching(client: Client, folder: Path, *, token: str) -> AsyncIterator[Prometheus]:
    """Run it on the deployment's files; only place, pace and token are the test's."""
    port = free_port()
    await asyncio.to_thread(write_files, folder, target=f"127.0.0.1:{client.port}", token=token)
    argv = (
        "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    program = Program(argv, folder / "log", lambda: is_ready(url))
    await asyncio.to_thread(program.start)
    try:
        async with aiohttp.ClientSession() as session:
            yield Prometheus(url, session)
    finally:
        await asyncio.to_thread(program.stop)


def is_ready(url: str) -> bool:
    """Tell whether it answers."""
    with contextlib.suppress(URLError, ConnectionError):
        return bool(urllib.request.urlopen(f"{url}/-/ready", timeout=5).status == 200)
    return False


def write_files(folder: Path, *, target: str, token: str) -> None:
    """Write configuration, rules and token."""
    folder.mkdir()
    shutil.copy(FOLDER / "zlh-rules.yml", folder)
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "5s", "evaluation_interval": "1s"}
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [target]}]
    job["scrape_timeout"] = "5s"
    job["authorization"]["credentials_file"] = str(folder / "token")
    (folder / "token").write_text(f"{token}\n")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))


async def test_prometheus_takes_every_figure_and_judges_every_alert(world: World, tmp_path: Path) -> None:
    """The token opens the door, no rule fails, and what is wrong begins to be told."""
    folder = tmp_path / "prometheus"
    async with lived(world) as client, watching(client, folder, token=world.people.operator) as prometheus:
        await prometheus.wait('up{job="zlh-api"} == 1')
        await prometheus.wait('ALERTS{alertname="ZlhSystemAway",alertstate="pending"}')
        assert set(await wait_judged(prometheus)) == {("ok", "")}
        await prometheus.wait("sum(zlh_containers) == 2")


async def wait_judged(prometheus: Prometheus) -> list[tuple[str, str]]:
    """Return how each rule fares and its last error, once every one was judged."""
    async with asyncio.timeout(WAIT_S):
        while True:
            groups = (await prometheus.get("rules"))["groups"]
            found = [(rule["health"], rule.get("lastError", "")) for group in groups for rule in group["rules"]]
            if "unknown" not in dict(found):
                return found
            await asyncio.sleep(0.1)


async def test_who_is_no_operator_is_a_target_that_is_down(world: World, tmp_path: Path) -> None:
    """Which is what the first alert tells."""
    folder = tmp_path / "prometheus"
    async with world.client() as client, watching(client, folder, token=world.people.owner) as prometheus:
        await prometheus.wait('ALERTS{alertname="ZlhApiDown",alertstate="pending"}')
        assert await prometheus.ask('{__name__=~"zlh_.*"}') == []


async def test_the_text_is_as_prometheus_would_have_it(world: World) -> None:
    """Names and units as its own tool wants them, but for figures that had theirs before."""
    async with lived(world) as client:
        await scrape(client)
        text = await scrape(client)
    done = await asyncio.to_thread(
        subprocess.run, ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("zlh_edge_")] == []
