"""The real Traefik: starts from our static file, loads what is put into the folder, and says why it cannot start."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from guards.ports import free_port
from zlh_api.dev.child import ChildFailed
from zlh_api.dev.traefik import TraefikProcess, TraefikSettings, find_traefik
from zlh_api.listening import PortInUse
from zlh_api.web.client_address import TRUSTED_PROXIES, client_address, parse_proxies


@pytest.fixture
def settings(tmp_path: Path) -> TraefikSettings:
    """Give settings with free ports."""
    return TraefikSettings(tmp_path / "traefik", tmp_path / "dynamic", free_port(), free_port())


@pytest.fixture
async def traefik(settings: TraefikSettings, tmp_path: Path) -> AsyncIterator[TraefikProcess]:
    """Run Traefik for one test."""
    process = TraefikProcess(settings, tmp_path / "run")
    await process.start()
    yield process
    await process.stop()


async def test_route_put_into_the_folder_is_served_at_once(traefik: TraefikProcess, settings: TraefikSettings) -> None:
    """Seen in the API and answered by the backend well within the two seconds of Traefik's default."""

    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    backend = runner.addresses[0][1]
    took_s = []
    async with aiohttp.ClientSession() as client, asyncio.timeout(60):
        for number in range(4):
            began = time.monotonic()
            temporary = settings.dynamic_dir / ".dev.yml.tmp"
            temporary.write_text(
                f"http:\n  routers:\n    dev: {{rule: 'Host(`dev-10{number}.localhost`)', entryPoints: [web], "
                "service: dev}\n"
                f"  services:\n    dev: {{loadBalancer: {{servers: [{{url: 'http://127.0.0.1:{backend}'}}]}}}}\n"
            )
            temporary.rename(settings.dynamic_dir / "dev.yml")
            while True:
                async with client.get(settings.web_url, headers={"Host": f"dev-10{number}.localhost"}) as answer:
                    if answer.status == 200:
                        assert await answer.text() == "hello"
                        break
                await asyncio.sleep(0.02)
            took_s.append(time.monotonic() - began)
        # Each that follows on another one would wait for the rest of Traefik's two seconds; that a single one is slow
        # may be the machine's fault.
        assert min(took_s[1:]) < 1.5, took_s
        async with client.get(f"{settings.api_url}/api/rawdata") as answer:
            assert (await answer.json())["routers"]["dev@file"]["status"] == "enabled"
    await runner.cleanup()


async def test_a_client_is_who_the_proxy_has_seen(traefik: TraefikProcess, settings: TraefikSettings) -> None:
    """Whatever the client writes into the headers that proxies speak in; and nobody else is believed."""

    async def tell(request: web.Request) -> web.Response:
        return web.Response(text=client_address(request))

    app = web.Application()
    app[TRUSTED_PROXIES] = parse_proxies(["127.0.0.1"])
    app.router.add_get("/", tell)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    backend = f"http://127.0.0.1:{runner.addresses[0][1]}"
    (settings.dynamic_dir / "dev.yml").write_text(
        "http:\n  routers:\n    dev: {rule: 'Host(`dev-100.localhost`)', entryPoints: [web], service: dev}\n"
        f"  services:\n    dev: {{loadBalancer: {{servers: [{{url: '{backend}'}}]}}}}\n"
    )
    spoken = ("X-Forwarded-For", "X_Forwarded_For", "X-Real-Ip", "Forwarded", "CF-Connecting-IP")
    lies = dict.fromkeys(spoken, "198.51.100.1")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))) as client:
        async with asyncio.timeout(10):
            while True:
                async with client.get(settings.web_url, headers={"Host": "dev-100.localhost", **lies}) as answer:
                    if answer.status == 200:
                        assert await answer.text() == "127.0.0.2"
                        break
                await asyncio.sleep(0.02)
        async with client.get(backend, headers=lies) as answer:
            assert await answer.text() == "127.0.0.2"
    await runner.cleanup()


async def test_api_is_not_on_the_public_entry_point(traefik: TraefikProcess, settings: TraefikSettings) -> None:
    """What customers reach shows neither routes nor ping."""
    async with aiohttp.ClientSession() as client:
        for path in ("/api/rawdata", "/ping", "/dashboard/"):
            async with client.get(f"{settings.web_url}{path}") as answer:
                assert answer.status == 404


async def test_traefik_that_dies_is_started_again(traefik: TraefikProcess) -> None:
    """With the same routes, since they are files."""
    supervised = asyncio.create_task(traefik.supervise())
    assert traefik.child.pid is not None
    os.kill(traefik.child.pid, signal.SIGKILL)
    async with asyncio.timeout(15):
        while traefik.child.restarts == 0 or not await traefik.is_ready():
            await asyncio.sleep(0.05)
    await traefik.stop()
    await supervised
    assert not await traefik.is_ready()


@pytest.mark.parametrize("taken", ["web", "api"])
async def test_port_in_use_names_the_setting(settings: TraefikSettings, tmp_path: Path, taken: str) -> None:
    """Before anything is started; each port has its own setting."""
    port = settings.web_port if taken == "web" else settings.api_port
    setting = settings.web_port_setting if taken == "web" else settings.api_port_setting
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(PortInUse, match=f"Port {port} on 127.0.0.1 .*{setting}"):
            await TraefikProcess(settings, tmp_path / "run").start()


async def test_traefik_that_refuses_its_file_is_told_with_its_words(settings: TraefikSettings, tmp_path: Path) -> None:
    """The message holds what Traefik said; nothing is left running."""
    fake = tmp_path / "fake"
    fake.write_text("#!/bin/sh\necho 'bad field somewhere'; exit 1\n")
    fake.chmod(0o755)
    process = TraefikProcess(settings, tmp_path / "run", binary=fake)
    with pytest.raises(ChildFailed, match="bad field somewhere"):
        await process.start()
    assert process.child.pid is None


def test_binary_of_the_wheel_is_found() -> None:
    """Beside the Python that runs us."""
    assert find_traefik().name == "traefik"
