"""One API process that provisions, with everything real but the guests: those are files, and each call takes 10 ms.

Two of these share their guests as two API processes share a node: both see what either has done.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from fakes.api_world import World
from fakes.driver import FakeDriver, FakeGuest
from fakes.edge import FakeProxy
from fakes.faults import Faults
from zlh_api.agents.authority import Authority
from zlh_api.database.pool import Database
from zlh_api.drivers.port import GuestPlan, GuestSeen, Identity, Warrant
from zlh_api.edge.local_directory import LocalRouteDirectory
from zlh_api.edge.model import RouteFile
from zlh_api.reconcile.service import Reconciler
from zlh_api.reconcile.steps import Ports, Settings, Steps
from zlh_common.clock import SystemClock
from zlh_common.logs import configure_logs
from zlh_common.names import OwnerMark, Protocol

DRIVER_S = 0.01


class SharedGuests(FakeDriver):
    """Guests that all processes see: a file for each, with what is true of it."""

    def __init__(self, faults: Faults, folder: Path) -> None:
        super().__init__(faults)
        self._folder = folder
        self._before: dict[int, str] = {}

    async def observe(self, plan: GuestPlan) -> GuestSeen:
        """Look whether another process has changed the guest, and tell what stands there."""
        await asyncio.sleep(DRIVER_S)
        self._load(plan)
        return await super().observe(plan)

    async def is_address_free(self, address: str) -> bool:
        """The database knows; nobody else is on this node."""
        await asyncio.sleep(DRIVER_S)
        return True

    async def ensure_created(self, plan: GuestPlan, warrant: Warrant) -> None:
        await super().ensure_created(plan, warrant)
        self._save(plan)

    async def ensure_closed(self, plan: GuestPlan, warrant: Warrant) -> None:
        await super().ensure_closed(plan, warrant)
        self._save(plan)

    async def ensure_started(self, plan: GuestPlan, warrant: Warrant) -> None:
        guest = self.guests[plan.vmid]
        # Its keys were put in by whichever process took that step.
        guest.identity = guest.identity or _NO_IDENTITY
        await super().ensure_started(plan, warrant)
        self._save(plan)

    async def ensure_stopped(self, plan: GuestPlan, warrant: Warrant, *, at_once: bool = False) -> None:
        await super().ensure_stopped(plan, warrant, at_once=at_once)
        self._save(plan)

    async def ensure_destroyed(self, plan: GuestPlan, warrant: Warrant) -> None:
        await super().ensure_destroyed(plan, warrant)
        self._save(plan)

    def _save(self, plan: GuestPlan) -> None:
        guest = self.guests.get(plan.vmid)
        path = self._folder / str(plan.vmid)
        if guest is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(f"{guest.owner} {guest.closed_for or '-'} {int(guest.is_running)}")

    def _load(self, plan: GuestPlan) -> None:
        try:
            owner, closed_for, is_running = (self._folder / str(plan.vmid)).read_text().split()
        except OSError:
            self.guests.pop(plan.vmid, None)
            return
        guest = self.guests.setdefault(plan.vmid, FakeGuest(OwnerMark(owner), plan.address, plan.resources))
        guest.closed_for, guest.is_running = (None if closed_for == "-" else closed_for), is_running == "1"


_NO_IDENTITY = Identity(certificate=b"", private_key=b"", client_ca=b"", trusted_root=b"")


class QuickProxy(FakeProxy):
    """Uses every file at once, whoever has written it."""

    async def wait_loaded(self, file: RouteFile) -> None:
        await asyncio.sleep(DRIVER_S)

    async def wait_unloaded(
        self, routers: tuple[str, ...], game_routers: tuple[tuple[Protocol, str], ...] = ()
    ) -> None:
        await asyncio.sleep(DRIVER_S)

    async def check_ready(self, host: str, vmid: int) -> None:
        await asyncio.sleep(DRIVER_S)


async def main(dsn: str, folder: Path) -> None:
    """Provision until ended."""
    database = Database(dsn)
    world = World(database, dsn, folder, await asyncio.to_thread(Authority, folder / "keys", SystemClock()))
    world.faults.delay_s = DRIVER_S
    driver = SharedGuests(world.faults, folder / "guests")
    driver.on_started, driver.on_stopped = world.agents.note_online, world.agents.note_offline
    routes = LocalRouteDirectory(folder / "routes")
    ports = Ports(
        database=database,
        driver=driver,
        authority=world.authority,
        agents=world.agents,
        routes=routes,
        proxy=QuickProxy(world.faults, world.routes),
        clock=world.clock,
    )
    settings = Settings(
        address_block="127.64.0.0/10",
        installation="bench",
        agent_port=7443,
        trusted_root=folder / "root.json",
        proxy=world.steps(database)._settings.proxy,
        browser_host=world.hosting.browser_host,
    )
    reconciler = Reconciler(database, driver, Steps(ports, settings))
    async with asyncio.TaskGroup() as group:
        group.create_task(reconciler.run())
        group.create_task(database.listen({"container_due": reconciler.wake}, on_connect=reconciler.wake))
        print("ready", flush=True)


if __name__ == "__main__":
    configure_logs(level="ERROR")
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
