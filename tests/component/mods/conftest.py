"""Modrinth on loopback, its file host, and the client of one process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fakes.clock import FakeClock
from fakes.modrinth import FakeFileHost, FakeModrinth
from zlh_api.circuit import Circuit
from zlh_api.mods.modrinth import Modrinth, ModrinthSetting

USER_AGENT = "zlh/0.1.0 (operator@example.net)"


@pytest.fixture
async def file_host() -> AsyncIterator[FakeFileHost]:
    """Return where files lie."""
    host = FakeFileHost()
    server = await host.start()
    yield host
    await server.close()


@pytest.fixture
def modrinth(file_host: FakeFileHost, clock: FakeClock) -> FakeModrinth:
    """Return what Modrinth knows."""
    return FakeModrinth(file_host, now=clock.monotonic)


@pytest.fixture
async def client(modrinth: FakeModrinth, file_host: FakeFileHost, clock: FakeClock) -> AsyncIterator[Modrinth]:
    """Return the client."""
    server = modrinth.serve()
    await server.start_server()
    setting = ModrinthSetting(f"http://{server.host}:{server.port}/v2", (file_host.url,), USER_AGENT)
    client = Modrinth(setting, Circuit("modrinth", clock=clock), clock)
    yield client
    await client.close()
    await server.close()
