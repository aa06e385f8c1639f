"""A real PostgreSQL for the tests of the API, and everything around it that need not be real."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import asyncpg
import psutil
import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from fakes.api_world import World
from guards import leaks, memory
from zlh_api.agents.authority import Authority
from zlh_api.database.embedded.runner import find_bindir
from zlh_api.database.migrate import migrate
from zlh_api.database.pool import Database
from zlh_common.clock import SystemClock

TEMPLATE = "zlh_template"
# A server that was killed reads its journal before it answers, on a machine that may have much else to do.
PATIENCE_S = 110
AS_NOBODY = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups")
# Nothing in here outlives the machine, so nothing has to reach the disk; what is committed outlives the server.
SETTINGS = "-c listen_addresses='' -c fsync=off -c full_page_writes=off"


@dataclass
class Postgres:
    """One server in a folder of its own, reached through a socket in that folder."""

    programs: Path
    folder: Path
    _as_user: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        # The server refuses to run as root.
        self._as_user = AS_NOBODY if os.geteuid() == 0 else ()

    def make(self) -> None:
        """Make the cluster."""
        if self._as_user:
            shutil.chown(self.folder, "nobody", "nogroup")
        self._run("initdb", "-D", str(self._data), "-U", "zlh", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")

    def start(self) -> None:
        """Start the server; it answers when this returns."""
        log, options = str(self.folder / "log"), f"{SETTINGS} -k {self.folder}"
        self._run("pg_ctl", "start", "-w", "-t", str(PATIENCE_S), "-D", str(self._data), "-l", log, "-o", options)

    def stop(self) -> None:
        """Stop the server, cutting every connection."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self._data))

    def kill(self) -> None:
        """Let the server end as by the OOM killer; return once its workers have noticed and all are reaped."""
        postmaster = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        everyone = [postmaster, *postmaster.children()]
        postmaster.kill()
        _, left = psutil.wait_procs(everyone, timeout=20)
        assert not left

    def dsn(self, database: str) -> str:
        """Return how one database is reached."""
        return f"postgresql://zlh@/{database}?host={self.folder}"

    async def execute(self, sql: str) -> None:
        """Run a statement that belongs to no database."""
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def make_template(self) -> None:
        """Make the migrated database that each test gets a copy of."""
        await self.execute(f"create database {TEMPLATE}")
        connection = await asyncpg.connect(self.dsn(TEMPLATE))
        try:
            await migrate(connection)
        finally:
            await connection.close()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._as_user, str(self.programs / program), *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # A server that inherits a pipe would keep its reader waiting for ever.
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            timeout=PATIENCE_S + 10,
        )
        assert done.returncode == 0, f"{program} ended with {done.returncode}: {self._last_words()}"

    def _last_words(self) -> str:
        log = self.folder / "log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else "it has no log"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for the whole run, with a migrated template."""
    temp = Path(tempfile.gettempdir())
    folder = memory.make_server_folder(temp) or Path(tempfile.mkdtemp(prefix="zlh-pg-"))
    leaks.long_lived.add(str(folder))
    server = Postgres(find_bindir(), folder)
    try:
        server.make()
        server.start()
        try:
            asyncio.run(server.make_template())
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
async def dsn(postgres: Postgres) -> AsyncIterator[str]:
    """A fresh, migrated database."""
    name = f"t{uuid4().hex}"
    # Its files, copied whole, hold what the first connection would have to find out again.
    await postgres.execute(f"create database {name} template {TEMPLATE} strategy file_copy")
    yield postgres.dsn(name)
    await postgres.execute(f"drop database {name} with (force)")


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """A pool on the fresh database."""
    opened = Database(dsn)
    yield opened
    await opened.close()


@pytest.fixture
async def world(database: Database, dsn: str, tmp_path: Path) -> AsyncIterator[World]:
    """Everything an API process has, with a fake driver, fake agents and a fake proxy."""
    authority = await asyncio.to_thread(Authority, tmp_path / "keys", SystemClock())
    made = World(database, dsn, tmp_path, authority)
    await made.add_people()
    yield made
    await made.close()


@pytest.fixture
async def client(world: World) -> AsyncIterator[TestClient[Request, Application]]:
    """A client of a served API."""
    async with world.client() as made:
        yield made
