"""An API process as far as agents go: real agents of the process driver, links, reconciler, and the change of the CAs.

    rotating_api.py <file>      the file is JSON: where everything is, and where its orders stand

Its orders are those of `faults.provisioning.ordered_api`: `kill 3` ends it right after its third write from now on.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fakes.api_world import HOSTING
from fakes.edge import FakeProxy, FakeRoutes
from fakes.faults import Faults
from faults.provisioning.ordered_api import ends_after, is_due
from zlh_api.agents import key_folder
from zlh_api.agents.authority import Authority
from zlh_api.agents.client import AgentClient
from zlh_api.agents.links import AgentLinks
from zlh_api.agents.pins import RowPins
from zlh_api.agents.superseded import SupersededSockets
from zlh_api.authority import store as authority_store
from zlh_api.authority.service import AuthorityService
from zlh_api.database.pool import Database
from zlh_api.drivers import process
from zlh_api.drivers.agent_config import AgentSettings
from zlh_api.drivers.process import ProcessDriver
from zlh_api.edge.model import ProxySetting
from zlh_api.history.service import HistoryService, Keeping
from zlh_api.reconcile import store
from zlh_api.reconcile.pace import Pace
from zlh_api.reconcile.service import Reconciler
from zlh_api.reconcile.steps import Ports, Settings, Steps
from zlh_common.clock import SystemClock
from zlh_common.logs import configure_logs

PORT = 7443
LEASE_S, TICK_S = 1.5, 0.3
PACE = Pace(lease_s=LEASE_S, margin_s=0.3, drift_s=2.0, patrolled_drift_s=2.0, first_retry_s=0.2, most_retry_s=1.0)
# What is written on the way, by the name by which it is called: on disk, and in the database.
FILES: tuple[tuple[Any, str], ...] = (
    (key_folder, "write_durably"),
    (key_folder, "sync_folder"),
    (process, "write_durably"),
)
ROWS: tuple[tuple[Any, str], ...] = (
    (authority_store, "register"),
    (authority_store, "save_standing"),
    (AuthorityService, "_carry_out"),
    (store, "want_identity"),
    (store, "save_identity"),
    (store, "save_restart_done"),
)


@dataclass(frozen=True)
class Place:
    """Where everything is that outlives a process of the API."""

    dsn: str
    folder: str
    block: str
    # What agents are started with.
    python: str = sys.executable

    @property
    def keys(self) -> Path:
        """The CAs' folder."""
        return Path(self.folder) / "keys"

    def driver(self) -> ProcessDriver:
        """Return the driver of this place's guests."""
        settings = AgentSettings("http://127.0.0.1:9", PORT, ("stable",))
        return ProcessDriver(root=Path(self.folder) / "containers", settings=settings, python=self.python)


@asynccontextmanager
async def running_api(place: Place) -> AsyncIterator[AuthorityService]:
    """Do the work of one process of the API for the length of the block."""
    database, clock = Database(place.dsn), SystemClock()
    authority = await asyncio.to_thread(Authority, place.keys, clock)
    routes = FakeRoutes(Faults())
    async with AgentClient(await asyncio.to_thread(authority.client_context), RowPins(database)) as agents:
        rotation = AuthorityService(database, authority, clock, tick_s=TICK_S, lease_s=LEASE_S)
        rotation.on_context = agents.use
        driver = place.driver()
        ports = Ports(database, driver, authority, agents, routes, FakeProxy(Faults(), routes), clock)
        proxy = ProxySetting("localhost", "web", "http://127.0.0.1:8400")
        settings = Settings(
            place.block, place.folder, PORT, Path(place.folder) / "root.json", proxy, HOSTING.browser_host
        )
        reconciler = Reconciler(database, driver, Steps(ports, settings), PACE)
        links = AgentLinks(database, agents, HistoryService(database, clock, Keeping(entries=10)), agent_port=PORT)
        superseded = SupersededSockets(agents)
        channels: dict[str, Callable[[str], None]] = {
            "container_due": reconciler.wake,
            "link_due": links.wake,
            "authority_changed": rotation.wake,
            "identity_changed": superseded.note,
        }
        await driver.prepare()
        await rotation.start()
        loops = [
            database.listen(channels, on_connect=reconciler.wake),
            reconciler.run(),
            links.run(),
            rotation.run(),
            superseded.run(),
        ]
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            yield rotation
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await driver.close()
            await database.close()


def obey(orders: Path) -> None:
    """Put the orders behind every write, and behind every call to an agent."""
    for place, name in FILES:
        setattr(place, name, ends_after(getattr(place, name), orders))
    for place, name in (*ROWS, (AgentClient, "call")):
        setattr(place, name, _ends_after(getattr(place, name), orders))
    unlink = Path.unlink

    def unlink_last(self: Path, missing_ok: bool = False) -> None:
        was_there = self.exists()
        unlink(self, missing_ok)
        if was_there and "-ca" in self.name and not self.name.startswith(".") and is_due(orders, "kill"):
            os.kill(os.getpid(), signal.SIGKILL)

    Path.unlink = unlink_last  # type: ignore[method-assign]


def _ends_after(call: Callable[..., Awaitable[Any]], orders: Path) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(call)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        answer = await call(*args, **kwargs)
        if await asyncio.to_thread(is_due, orders, "kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return wrapped


async def main() -> None:
    """Work until somebody ends it."""
    file = Path(sys.argv[1])
    configure_logs(level="INFO")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with running_api(Place(**json.loads(file.read_text()))):  # noqa: ASYNC240 - nothing else runs yet
        file.with_suffix(".ready").touch()
        await stop.wait()


def render(place: Place) -> str:
    """Return it for a program."""
    return json.dumps(asdict(place))


if __name__ == "__main__":
    obey(Path(sys.argv[1]).with_suffix(".orders"))
    asyncio.run(main())
