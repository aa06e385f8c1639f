"""Two real API processes on one PostgreSQL, behind one Traefik, with real agents."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil

from component.api.conftest import TEMPLATE, Postgres
from fakes.wishes import want_container, want_deletion
from guards import leaks
from guards.ports import free_port
from zlh_api.agents.authority import Authority
from zlh_api.containers import store as containers
from zlh_api.containers.model import Power
from zlh_api.database.pool import Database
from zlh_api.dev.traefik import TraefikProcess, TraefikSettings
from zlh_api.edge.platform_routes import FILE_NAMES
from zlh_api.marked_processes import end_all, find_marked
from zlh_api.suspensions.service import SuspensionService
from zlh_common.clock import SystemClock
from zlh_common.names import CONTAINER_MARK, OwnerMark
from zlh_common.schema.resources import Resources

PROGRAM = Path(__file__).with_name("ordered_api.py")
LEASE_S = 2.0
# What the platform promises after a kill -9.
FINISHED_S = 60.0
START_S = 60.0

CONFIG = """
listen_port = {port}
portal_url = "http://portal.localhost:{port}"
container_domain = "localhost"
container_scheme = "http"
keys_dir = "{home}/keys"
state_dir = "{home}/state{number}"
driver = "process"
agent_port = {agent_port}
[reconciler]
lease_s = {lease_s}
drift_s = 5
[database]
dsn = "{dsn}"
[artifacts]
url = "http://127.0.0.1:9"
trusted_root = "{home}/root.json"
[process]
root = "{home}/containers"
address_block = "127.{net}.0.0/24"
[traefik]
directory = "{home}/routes"
api_url = "{traefik_api}"
web_url = "{traefik_web}"
backend_url = "http://127.0.0.1:{backend_port}"
"""


class Api:
    """One API process; its number says which of the two."""

    def __init__(self, config: Path, orders: Path, log: Path, port: int) -> None:
        self.port = port
        self._config = config
        self.orders = orders
        self._log = log
        self._program: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._program is not None
        return self._program.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._program is not None and self._program.poll() is None

    @property
    def is_frozen(self) -> bool:
        """Whether it stands still."""
        return self.is_running and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED

    async def start(self) -> None:
        """Start it, and return once it serves."""
        ready = Path(f"{self._config}.ready")
        self._program = await asyncio.to_thread(self._launch, ready)
        async with asyncio.timeout(START_S):
            while not await asyncio.to_thread(ready.exists):
                assert self.is_running, await asyncio.to_thread(self._log.read_text)
                await asyncio.sleep(0.02)

    def _launch(self, ready: Path) -> subprocess.Popen[bytes]:
        ready.unlink(missing_ok=True)
        with self._log.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, str(PROGRAM), str(self._config), str(self.orders)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def freeze(self) -> None:
        """Let it stand still, and return once it does."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    async def order(self, text: str) -> None:
        """Say what it must do to itself, and when."""
        await asyncio.to_thread(self.orders.write_text, text)

    async def stop(self) -> None:
        """End it in order; kill it where it has died in disorder or is frozen."""
        if self._program is not None:
            if self.is_running:
                self.thaw()
                self._program.send_signal(signal.SIGTERM)
            await asyncio.to_thread(self._program.wait, 30)


class TwoApis:
    """The installation."""

    def __init__(self, postgres: Postgres, home: Path, dsn: str) -> None:
        self.postgres = postgres
        self.home = home
        self.database = Database(dsn, max_connections=2)
        ports = [free_port() for _ in range(6)]
        self.balancer_port = ports[5]
        settings = TraefikSettings(home / "traefik", home / "routes", ports[0], ports[1])
        self.traefik = TraefikProcess(settings, home / "run")
        (home / "root.json").write_text("{}")
        (home / "routes").mkdir()
        # Two that make the keys at the same moment would not be two that share them.
        Authority(home / "keys", SystemClock())
        self.apis = []
        for number in range(2):
            config = home / f"api{number}.toml"
            config.write_text(
                CONFIG.format(
                    port=ports[2 + number],
                    backend_port=self.balancer_port,
                    agent_port=ports[4],
                    home=home,
                    number=number,
                    lease_s=LEASE_S,
                    dsn=dsn,
                    net=90 + os.getpid() % 100,
                    traefik_api=settings.api_url,
                    traefik_web=settings.web_url,
                )
            )
            self.apis.append(Api(config, home / f"orders{number}", home / f"api{number}.log", ports[2 + number]))

    async def balance(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection of the proxy to a process that is well, as a load balancer does."""
        port = next((api.port for api in self.apis if api.is_running and not api.is_frozen), self.apis[0].port)
        try:
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_carry(reader, back_writer))
                    group.create_task(_carry(back_reader, writer))
            finally:
                back_writer.close()
        except* OSError:
            pass
        finally:
            writer.close()

    async def create(self) -> OwnerMark:
        """Write the wish for a container without any runtime."""
        async with self.database.transaction() as connection:
            customer = uuid4()
            await connection.execute("insert into customers values ($1, $2)", customer, str(customer))
            return await want_container(connection, customer, runtimes=())

    async def switch(self, owner: OwnerMark, power: Power) -> None:
        """Write that it shall run, or not."""
        async with self.database.transaction() as connection:
            await containers.update_power(connection, owner, power)

    async def suspend(self, owner: OwnerMark) -> None:
        """Hold its customer back."""
        await SuspensionService(self.database).suspend(await self._customer_of(owner), "by chance")

    async def resume(self, owner: OwnerMark) -> None:
        """Let its customer go on."""
        await SuspensionService(self.database).resume(await self._customer_of(owner))

    async def _customer_of(self, owner: OwnerMark) -> UUID:
        rows = await self.fetch("select customer_id from containers where owner = $1", UUID(owner))
        found: UUID = rows[0]["customer_id"]
        return found

    async def resize(self, owner: OwnerMark) -> None:
        """Write that it shall have less memory."""
        async with self.database.transaction() as connection:
            await containers.update_resources(connection, owner, Resources(cpu=1.0, memory_mib=1024, pids=1024))

    async def delete(self, owner: OwnerMark) -> None:
        """Write that it must go."""
        async with self.database.transaction() as connection:
            await want_deletion(connection, owner)

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """Return rows."""
        async with self.database.connection() as connection:
            rows: list[Any] = await connection.fetch(sql, *values)
            return rows

    async def wait_until(self, sql: str, *values: Any) -> None:
        """Return once a query yields true; fails where that takes longer than the platform promises."""
        try:
            async with asyncio.timeout(FINISHED_S):
                while not (rows := await self.fetch(sql, *values)) or not rows[0][0]:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            steps = await self.fetch("select name, state, code, message from steps order by position")
            rows = await self.fetch("select guest, power, connection, attempts, lease_until - now() from containers")
            raise AssertionError(f"{sql} did not come true: {rows} {steps}") from None

    async def wait_ready(self, owner: OwnerMark) -> None:
        """Return once it is proved, and as it is wanted."""
        await self.wait_until(
            "select provisioned_at is not null and guest = 'running' and connection = 'online' and attempts = 0 "
            "and lease_until is null and wake_at > now() from containers where owner = $1",
            UUID(owner),
        )

    async def wait_off(self, owner: OwnerMark) -> None:
        """Return once it does not run, and nobody is at it."""
        await self.wait_until(
            "select guest = 'stopped' and lease_until is null and attempts = 0 from containers where owner = $1",
            UUID(owner),
        )

    async def wait_gone(self, owner: OwnerMark) -> None:
        """Return once the row is gone."""
        await self.wait_until("select count(*) = 0 from containers where owner = $1", UUID(owner))

    def traces(self, owner: OwnerMark) -> list[str]:
        """Return what there is of a container on this machine: processes, and folders and routes of anybody."""
        names = [path.name for folder in ("containers", "routes") for path in (self.home / folder).glob("*")]
        return [name for name in names if name not in FILE_NAMES and not name.startswith(".writing")] + [
            f"{process.pid}: {_line(process.pid)}" for process in find_marked(CONTAINER_MARK, owner)
        ]


def _line(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        return f"{' '.join(process.cmdline())} since {time.time() - process.create_time():.2f} s"
    except psutil.Error:
        return "gone by now"


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@asynccontextmanager
async def open_apis(postgres: Postgres) -> AsyncIterator[TwoApis]:
    """Run the installation; nothing of it is left when the block ends."""
    name = f"t{uuid4().hex}"
    await postgres.execute(f"create database {name} template {TEMPLATE}")
    home = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="two-"))
    leaks.long_lived.add(str(home))
    apis = await asyncio.to_thread(TwoApis, postgres, home, postgres.dsn(name))
    balancer = await asyncio.start_server(apis.balance, "127.0.0.1", apis.balancer_port)
    try:
        await apis.traefik.start()
        for api in apis.apis:
            await api.start()
        yield apis
    finally:
        for api in apis.apis:
            await api.stop()
        await apis.traefik.stop()
        balancer.close()
        await balancer.wait_closed()
        for owner in [row["owner"] for row in await apis.fetch("select owner from containers")]:
            await asyncio.to_thread(lambda mark: end_all(find_marked(CONTAINER_MARK, mark), grace_s=1), str(owner))
        await apis.database.close()
        await postgres.execute(f"drop database {name} with (force)")
        await asyncio.to_thread(shutil.rmtree, home)
