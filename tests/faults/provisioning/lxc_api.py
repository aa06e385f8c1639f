"""An API process as far as containers go: the real reconciler on a real database with the `lxc` driver.

    lxc_api.py <file>      the file is JSON: where the database and the host's parts are, and after which effect to die

It dies as by the OOM killer, right after the n-th effect on this host, and leaves the effect's name in a file.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from fakes.api_world import HOSTING
from fakes.edge import FakeProxy, FakeRoutes
from fakes.faults import Faults
from lxc.own_host import made_driver
from zlh_api.agents.authority import Authority
from zlh_api.agents.client import AgentClient
from zlh_api.database.pool import Database
from zlh_api.drivers.lxc.host import Arguments, Host, Result
from zlh_api.drivers.lxc.model import LxcSettings
from zlh_api.drivers.port import Right
from zlh_api.edge.model import ProxySetting
from zlh_api.reconcile.service import Reconciler
from zlh_api.reconcile.steps import Ports, Settings, Steps
from zlh_common.clock import SystemClock


@dataclass(frozen=True)
class Place:
    """Where everything is that outlives a process of the API."""

    dsn: str
    folder: Path
    lxc: LxcSettings

    def render(self, kill_after: int) -> str:
        """Return it for a program."""
        fields = {name: str(getattr(self.lxc, name)) for name in ("root", "template", "bridge", "block")}
        own = {"dsn": self.dsn, "folder": str(self.folder), "port": self.lxc.artifacts_port, "kill_after": kill_after}
        return json.dumps({**own, "lxc": fields})

    @staticmethod
    def parse(document: Any) -> Place:
        """Return what a program was given."""
        lxc = document["lxc"]
        settings = LxcSettings(
            Path(lxc["root"]), Path(lxc["template"]), lxc["bridge"], ipaddress.IPv4Network(lxc["block"])
        )
        return Place(document["dsn"], Path(document["folder"]), replace(settings, artifacts_port=document["port"]))

    @property
    def died_after(self) -> Path:
        """Where the dying leave a word."""
        return self.folder / "died-after"


class MortalHost(Host):
    """Counts what is done to this host since it was armed, and ends the process after one of them."""

    def __init__(self, place: Place, kill_after: int) -> None:
        self._place = place
        self._left = kill_after
        self.is_armed = False

    async def act(
        self, right: Right, what: str, function: Callable[[Unpack[Arguments]], Result], *arguments: *Arguments
    ) -> Result:
        """Do it, and perhaps die."""
        done = await super().act(right, what, function, *arguments)
        self._count(what)
        return done

    async def run(self, right: Right, what: str, *command: str, stdin: bytes = b"", timeout_s: float = 60.0) -> str:
        """Do it, and perhaps die."""
        right.check()
        try:
            return await super().run(right, what, *command, stdin=stdin, timeout_s=timeout_s)
        finally:
            # What failed may have had an effect too.
            self._count(f"{what}: {command[0]}")

    def _count(self, what: str) -> None:
        if not self.is_armed:
            return
        self._left -= 1
        if self._left == 0:
            self._place.died_after.write_text(what)
            os.kill(os.getpid(), signal.SIGKILL)


@asynccontextmanager
async def running_api(place: Place, host: MortalHost | None = None) -> AsyncIterator[None]:
    """Do the work of one process of the API for the length of the block."""
    database = Database(place.dsn)
    driver = await asyncio.to_thread(made_driver, place.lxc, host)
    authority = await asyncio.to_thread(Authority, place.folder / "keys", SystemClock())
    context = await asyncio.to_thread(authority.client_context)
    routes = FakeRoutes(Faults())
    await driver.prepare()
    if host is not None:
        host.is_armed = True
    async with AgentClient(context) as agents:
        ports = Ports(
            database=database,
            driver=driver,
            authority=authority,
            agents=agents,
            routes=routes,
            proxy=FakeProxy(Faults(), routes),
            clock=SystemClock(),
        )
        settings = Settings(
            address_block=str(place.lxc.block),
            installation=str(place.lxc.root),
            agent_port=7443,
            trusted_root=place.folder / "root.json",
            proxy=ProxySetting("localhost", "web", "http://127.0.0.1:8400"),
            browser_host=HOSTING.browser_host,
        )
        reconciler = Reconciler(database, driver, Steps(ports, settings))
        tasks = [
            asyncio.create_task(reconciler.run()),
            asyncio.create_task(database.listen({"container_due": reconciler.wake}, on_connect=reconciler.wake)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await database.close()


async def main() -> None:
    """Work until somebody ends it."""
    document = json.loads(Path(sys.argv[1]).read_text())  # noqa: ASYNC240 - nothing else runs yet
    place = Place.parse(document)
    async with running_api(place, MortalHost(place, document["kill_after"])):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
