"""`zlh-api serve` as its unit runs it: what systemd is told, and when."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from component.artifacts.conftest import Workshop
from guards.ports import free_port
from real_parts.served_api import PATIENCE_S, make_site, serving
from zlh_api.database.migrate import _MIGRATION_LOCK, migrate

HELD = "select count(*) from pg_locks where locktype = 'advisory' and not granted and pid <> pg_backend_pid()"


class Manager:
    """A service manager's ear."""

    def __init__(self, path: Path) -> None:
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(str(path))
        self._ear.setblocking(False)
        self.heard: list[str] = []

    async def hear(self, word: str, times: int = 1) -> None:
        """Return once a message was heard so often from now on."""
        async with asyncio.timeout(PATIENCE_S):
            while times:
                self.heard.append((await asyncio.get_running_loop().sock_recv(self._ear, 200)).decode())
                times -= self.heard[-1].startswith(word)

    def close(self) -> None:
        """Hear no more."""
        self._ear.close()


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    """Lend an ear."""
    ear = Manager(tmp_path / "notify")
    yield ear
    ear.close()


@asynccontextmanager
async def migration_elsewhere(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Hold what a process holds while it brings the schema up."""
    other = await asyncpg.connect(dsn)
    try:
        async with other.transaction():
            await other.execute("select pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
            yield other
    finally:
        await other.close()


async def wait_held(connection: asyncpg.Connection) -> None:
    """Return once somebody waits for that."""
    async with asyncio.timeout(PATIENCE_S):
        while not await connection.fetchval(HELD):
            await asyncio.sleep(0.02)


async def test_systemd_is_told_of_start_life_and_end(tmp_path: Path, dsn: str, manager: Manager) -> None:
    """READY once it answers, WATCHDOG from its loop after that too, STOPPING at a SIGTERM, and exit code 0."""
    site = await asyncio.to_thread(make_site, tmp_path / "site", dsn)
    async with serving(site, manager.environment) as server:
        await manager.hear("READY=1")
        async with aiohttp.request("GET", f"http://127.0.0.1:{site.port}/api/healthz") as answer:
            assert answer.status == 200
        await manager.hear("WATCHDOG=1", times=3)
        server.terminate()
        await manager.hear("STOPPING=1")
        assert await server.wait() == 0
    assert manager.heard.count("READY=1") == 1


async def test_a_start_that_migrates_asks_for_more_time(tmp_path: Path, dsn: str, manager: Manager) -> None:
    """Another process is at the schema: no READY, one more minute, and the watchdog is fed; then it starts."""
    site = await asyncio.to_thread(make_site, tmp_path / "site", dsn)
    async with AsyncExitStack() as elsewhere:
        other = await elsewhere.enter_async_context(migration_elsewhere(dsn))
        async with serving(site, manager.environment):
            await wait_held(other)
            await manager.hear("EXTEND_TIMEOUT_USEC=60000000")
            await manager.hear("WATCHDOG=1", times=2)
            assert "READY=1" not in manager.heard
            await elsewhere.aclose()
            await manager.hear("READY=1")


async def test_a_migration_is_not_held_to_the_time_of_other_statements(dsn: str) -> None:
    """One that waits or works for longer than any statement may goes on."""
    connection = await asyncpg.connect(dsn, command_timeout=0.2)
    waits = (
        "select clock_timestamp() - query_start > interval '1 s' from pg_stat_activity where wait_event_type = 'Lock'"
    )
    try:
        async with migration_elsewhere(dsn) as other, asyncio.timeout(PATIENCE_S):
            migrating = asyncio.create_task(migrate(connection))
            while not await other.fetchval(waits):
                # The view is one moment's for a whole transaction.
                await other.execute("select pg_stat_clear_snapshot()")
                await asyncio.sleep(0.05)
        assert await migrating == []
    finally:
        await connection.close()


async def test_artifact_server_tells_systemd_too(published: Workshop, manager: Manager) -> None:
    """READY once it listens, then the watchdog from its loop, STOPPING at a SIGTERM."""
    place = ("--dir", str(published.tree), "--keys", str(published.keys))
    program = (sys.executable, "-m", "zlh_api", "artifacts")
    port, environment = free_port(), {**os.environ, **manager.environment}
    server = await asyncio.create_subprocess_exec(
        *program, "serve", *place, "--port", str(port), env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await manager.hear("READY=1")
        async with aiohttp.request("GET", f"http://127.0.0.1:{port}/healthz") as answer:
            assert answer.status == 200
        await manager.hear("WATCHDOG=1", times=2)
        server.terminate()
        await manager.hear("STOPPING=1")
        assert await server.wait() == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
