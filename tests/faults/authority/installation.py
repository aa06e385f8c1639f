"""Two API processes that may be killed, containers with real agents, and somebody who asks these without a pause."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from fakes.wishes import want_container
from faults.authority.rotating_api import LEASE_S, PORT, TICK_S, Place, render
from zlh_api.agents.authority import Authority
from zlh_api.agents.client import AgentAddress, AgentClient
from zlh_api.agents.pins import RowPins
from zlh_api.authority.desk import AuthorityDesk
from zlh_api.authority.rules import Move
from zlh_api.authority.service import AuthorityService
from zlh_api.containers import store as containers
from zlh_api.containers.model import Power
from zlh_api.database.pool import Database
from zlh_api.marked_processes import end_all, find_marked
from zlh_common.clock import SystemClock
from zlh_common.names import CONTAINER_MARK, OwnerMark

PROGRAM = Path(__file__).with_name("rotating_api.py")
PATIENCE_S = 90.0
SETTLED = """
select a.issuing = a.oldest and a.oldest >= $1
    and (select max(number) from authority_generations) = a.oldest
    and not exists (select from containers where guest = 'running'
        and (identity_trusts_from < a.oldest or identity_generation < a.oldest or identity_wanted <> '{}'))
from authority a
"""


class Api:
    """One API process; it can be killed and started again."""

    def __init__(self, place: Place, name: str) -> None:
        self._file = Path(place.folder) / f"{name}.json"
        self._file.write_text(render(place))
        self._log = self._file.with_suffix(".log")
        self._program: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._program is not None and self._program.poll() is None

    async def start(self, order: str | None = None) -> None:
        """Start it, and return once it works."""
        orders, ready = self._file.with_suffix(".orders"), self._file.with_suffix(".ready")
        await asyncio.to_thread(ready.unlink, missing_ok=True)
        await asyncio.to_thread(orders.unlink, missing_ok=True)
        self._program = await asyncio.to_thread(self._launch)
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread(ready.exists):
                assert self.is_running, await asyncio.to_thread(self._log.read_text)
                await asyncio.sleep(0.02)
        if order is not None:
            await self.order(order)

    async def order(self, order: str) -> None:
        """Say what it must do to itself, and when."""
        await asyncio.to_thread(self._file.with_suffix(".orders").write_text, order)

    def _launch(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with self._log.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, str(PROGRAM), str(self._file)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment,
            )

    async def stop(self) -> None:
        """End it in order, where it has not ended by itself."""
        if self._program is not None:
            if self.is_running:
                self._program.send_signal(signal.SIGTERM)
            await asyncio.to_thread(self._program.wait, 30)


class Follower(AuthorityService):
    """Goes by what others decide."""

    async def _carry_out(self, _move: Move) -> bool:
        return False


class Installation:
    """Where all of it is."""

    def __init__(self, place: Place, database: Database) -> None:
        self.place = place
        self.database = database
        self.desk = AuthorityDesk(database)
        self.apis = [Api(place, f"api{number}") for number in range(2)]
        self.asked = 0
        self.missed: list[str] = []

    async def create(self, *, power: Power = Power.ON) -> OwnerMark:
        """Write the wish for a container without any runtime."""
        async with self.database.transaction() as connection:
            customer = uuid4()
            await connection.execute("insert into customers values ($1, $2)", customer, str(customer))
            owner = await want_container(connection, customer, runtimes=())
            if power is Power.OFF:
                await containers.update_power(connection, owner, power)
            return owner

    async def switch(self, owner: OwnerMark, power: Power) -> None:
        """Write that it shall run, or not."""
        async with self.database.transaction() as connection:
            await containers.update_power(connection, owner, power)

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """Return rows."""
        async with self.database.connection() as connection:
            rows: list[Any] = await connection.fetch(sql, *values)
            return rows

    async def wait_until(self, sql: str, *values: Any) -> None:
        """Return once a query yields true."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not (rows := await self.fetch(sql, *values)) or not rows[0][0]:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            told = [
                await self.fetch("select * from authority"),
                await self.fetch("select number from authority_generations"),
                await self.fetch("select * from authority_holders"),
                await self.fetch(
                    "select vmid, guest, connection, lease_until - now(), wake_at - now(), identity_generation, "
                    "identity_trusts_from, identity_trusts_to, cardinality(identity_wanted), agent_faults, "
                    "provisioned_at, attempts, spec_generation, agent_status::text "
                    "from containers"
                ),
                await self.fetch("select name, state, code, message from steps order by owner, position"),
            ]
            raise AssertionError(f"{sql} did not come true: {told}") from None

    async def wait_online(self, owner: OwnerMark) -> None:
        """Return once its agent is heard."""
        await self.wait_until(
            "select guest = 'running' and connection = 'online' and provisioned_at is not null and lease_until is null "
            "from containers where owner = $1",
            UUID(owner),
        )

    async def grow_old(self) -> None:
        """Let the CAs have come to their time."""
        await self.fetch(
            "update authority_generations set made_at = now() - interval '9 years', "
            "expires_at = now() + interval '1 year' returning 1"
        )

    async def address(self, owner: OwnerMark) -> AgentAddress:
        """Return where an agent is."""
        rows = await self.fetch("select host(address) as address from containers where owner = $1", UUID(owner))
        return AgentAddress(owner, rows[0]["address"], PORT)

    @asynccontextmanager
    async def asking(self, owners: Sequence[OwnerMark]) -> AsyncIterator[Authority]:
        """Ask agents without a pause for the length of the block, as a third API process that decides nothing.

        Each is asked anew, by a handshake, and once more by what is open already.
        """
        authority = await asyncio.to_thread(Authority, self.place.keys, SystemClock())
        contexts: list[ssl.SSLContext] = [await asyncio.to_thread(authority.client_context)]
        service = Follower(self.database, authority, SystemClock(), tick_s=TICK_S, lease_s=LEASE_S)
        pins = RowPins(self.database)
        async with AgentClient(contexts[-1], pins) as kept:

            def use(context: ssl.SSLContext) -> None:
                contexts.append(context)
                kept.use(context)

            service.on_context = use
            await service.start()
            tasks = [
                asyncio.create_task(service.run()),
                asyncio.create_task(self.database.listen({"authority_changed": service.wake}, on_connect=service.wake)),
                *[asyncio.create_task(self._ask(contexts, pins, kept, await self.address(owner))) for owner in owners],
            ]
            try:
                yield authority
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, contexts: list[ssl.SSLContext], pins: RowPins, kept: AgentClient, agent: AgentAddress) -> None:
        while True:
            async with AgentClient(contexts[-1], pins) as fresh:
                for how, client in (("anew", fresh), ("again", kept)):
                    self.asked += 1
                    try:
                        await client.call(agent, "GET", "/healthz")
                    except Exception as error:  # noqa: BLE001 - whatever it is, the agent was not reached
                        self.missed.append(f"{how}: {type(error).__name__} {error}")


@asynccontextmanager
async def open_installation(dsn: str, folder: Path, *, python: str = sys.executable) -> AsyncIterator[Installation]:
    """Make it, with agents of this interpreter and without an API process; nothing runs when the block ends."""
    (folder / "root.json").write_text("{}")
    net = 90 + os.getpid() % 100
    place = Place(dsn, str(folder), f"127.{net}.{os.getpid() // 100 % 250}.0/24", python)
    database = Database(dsn, max_connections=6)
    made = Installation(place, database)
    try:
        yield made
    finally:
        for api in made.apis:
            await api.stop()
        for row in await made.fetch("select owner from containers"):
            await asyncio.to_thread(
                lambda mark: end_all(find_marked(CONTAINER_MARK, mark), grace_s=1), str(row["owner"])
            )
        await database.close()
