"""An API process as far as guests of Proxmox go: the real reconciler and driver on a real database.

    python -m faults.provisioning.proxmox_api <settings.json>

Agents come online with their guests, and the proxy uses every file at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from component.drivers.proxmox_rig import make_driver
from fakes.agents import FakeAgents
from fakes.api_world import HOSTING
from fakes.edge import FakeProxy, FakeRoutes
from fakes.faults import Faults
from fakes.proxmox.world import POLLING, surroundings
from zlh_api.agents.authority import Authority
from zlh_api.database.pool import Database
from zlh_api.drivers.proxmox.client import Access
from zlh_api.drivers.proxmox.driver import ProxmoxSettings
from zlh_api.drivers.proxmox.guest_files import ShellAccess
from zlh_api.drivers.proxmox.making import Recipe
from zlh_api.edge.model import ProxySetting
from zlh_api.reconcile.pace import Pace
from zlh_api.reconcile.service import Reconciler
from zlh_api.reconcile.steps import Ports, Settings, Steps
from zlh_common.clock import SystemClock
from zlh_common.names import OwnerMark

FAST = Pace(
    lease_s=3.0, margin_s=0.5, poll_s=0.05, drift_s=0.5, first_retry_s=0.05, most_retry_s=0.5, break_s=0.2, turn_s=0.2
)
AGENTS_POLL_S = 0.05


def parse_settings(document: dict[str, Any]) -> ProxmoxSettings:
    """Return the driver's settings as a test has written them down."""
    folder = Path(document["folder"])
    return ProxmoxSettings(
        access=Access(
            document["url"],
            document["token_id"],
            folder / "token",
            ca=folder / "pve.crt",
            change_timeout_s=2.0,
            look_timeout_s=2.0,
        ),
        shell=ShellAccess(
            user="zlh",
            key=folder / "ssh.key",
            known_hosts=folder / "known_hosts",
            port=document["ssh_port"],
            hosts=document["hosts"],
            mount_root=folder / "mounts",
        ),
        recipe=Recipe(document["template"], "local-lvm", pool="zlh"),
        surroundings=surroundings(),
        polling=POLLING,
        switches_good_for_s=0.0,
    )


@asynccontextmanager
async def open_api(document: dict[str, Any]) -> AsyncIterator[None]:
    """Reconcile for the length of the block."""
    folder, database = Path(document["folder"]), Database(document["dsn"])
    driver = make_driver(parse_settings(document))
    await driver.prepare()
    faults = Faults()
    agents, routes = FakeAgents(faults, database), FakeRoutes(faults)
    ports = Ports(
        database=database,
        driver=driver,
        authority=await asyncio.to_thread(Authority, folder / "authority", SystemClock()),
        agents=agents,
        routes=routes,
        proxy=FakeProxy(faults, routes),
        clock=SystemClock(),
    )
    settings = Settings(
        address_block="10.20.1.0/24",
        installation="test",
        agent_port=7443,
        trusted_root=folder / "root.json",
        proxy=ProxySetting("localhost", "web", "http://127.0.0.1:8400"),
        browser_host=HOSTING.browser_host,
    )
    reconciler = Reconciler(database, driver, Steps(ports, settings), FAST)
    tasks = [
        asyncio.create_task(reconciler.run()),
        asyncio.create_task(database.listen({"container_due": reconciler.wake}, on_connect=reconciler.wake)),
        asyncio.create_task(_follow_guests(database, agents)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await driver.close()
        await database.close()


async def _follow_guests(database: Database, agents: FakeAgents) -> None:
    """Let every agent be heard while its guest runs, and not otherwise."""
    while True:
        async with database.connection() as connection:
            rows = await connection.fetch(
                "select owner, guest = 'running' as runs from containers "
                "where (guest = 'running') <> (connection = 'online')"
            )
        for row in rows:
            owner = OwnerMark(str(row["owner"]))
            await (agents.note_online(owner) if row["runs"] else agents.note_offline(owner))
        await asyncio.sleep(AGENTS_POLL_S)


async def _serve(document: dict[str, Any]) -> None:
    async with open_api(document):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(Path(sys.argv[1]).read_text())))
