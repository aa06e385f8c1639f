"""The `process` driver with real agents."""

from __future__ import annotations

import asyncio
import os
from itertools import count
from pathlib import Path

from component.drivers.rig import PRIVATE_ORIGIN, new_plan
from zlh_api.drivers.agent_config import AgentSettings
from zlh_api.drivers.port import GuestPlan
from zlh_api.drivers.process import ProcessDriver
from zlh_api.marked_processes import end_all, find_marked
from zlh_common.names import CONTAINER_MARK
from zlh_common.trees import delete_tree

PORT = 7443
SETTINGS = AgentSettings("http://127.0.0.1:9", PORT, ("stable",), private_origins=(PRIVATE_ORIGIN,))


class ProcessRig:
    """Folders below `root`, and agents on loopback addresses of this test's own."""

    has_network = False
    limits: frozenset[str] = frozenset()

    def __init__(self, root: Path) -> None:
        self._root = root
        self.driver = ProcessDriver(root=root, settings=SETTINGS)
        net = f"127.{80 + os.getpid() % 100}.{os.getpid() // 100 % 250}"
        self._addresses = (f"{net}.{number}" for number in count(10))

    def plan(self) -> GuestPlan:
        """Return a new guest."""
        return new_plan(next(self._addresses))

    async def put_stranger(self, plan: GuestPlan) -> None:
        """Make a folder with a file of somebody else."""

        def put() -> None:
            folder = self._root / str(plan.vmid)
            folder.mkdir(parents=True)
            (folder / "precious").write_text("mine")

        await asyncio.to_thread(put)

    async def is_stranger_whole(self, plan: GuestPlan) -> bool:
        """Tell whether the file is all that is in the folder."""
        folder = self._root / str(plan.vmid)
        return await asyncio.to_thread(lambda: [entry.name for entry in folder.iterdir()]) == ["precious"]

    async def open_network(self, plan: GuestPlan) -> None:
        """There is none."""

    async def destroy_by_hand(self, plan: GuestPlan) -> None:
        """Kill its processes and delete its folder."""

        def destroy() -> None:
            end_all(find_marked(CONTAINER_MARK, plan.owner), grace_s=0)
            delete_tree(self._root / str(plan.vmid))

        await asyncio.to_thread(destroy)

    async def end_by_itself(self, plan: GuestPlan) -> None:
        """Kill its agent, and nothing that this supervises."""
        agents = await asyncio.to_thread(find_marked, CONTAINER_MARK, plan.owner)
        await asyncio.to_thread(end_all, agents[:1], grace_s=0)

    async def read_agent_config(self, plan: GuestPlan) -> str:
        """Return the file in its folder."""
        return await asyncio.to_thread((self._root / str(plan.vmid) / "root/etc/zlh/agent.toml").read_text)

    async def leftovers(self, plan: GuestPlan) -> list[str]:
        """Return folders with its number, and its processes."""

        def look() -> list[str]:
            entries = list(self._root.iterdir()) if self._root.is_dir() else []
            folders = [str(entry) for entry in entries if entry.name == str(plan.vmid) or plan.owner in entry.name]
            return folders + [f"process {process.pid}" for process in find_marked(CONTAINER_MARK, plan.owner)]

        return await asyncio.to_thread(look)
