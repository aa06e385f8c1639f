"""The `lxc` driver with real containers, on a bridge and a block of this test's own."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from component.drivers.rig import PRIVATE_ORIGIN, new_plan
from lxc.own_host import OwnHost, own_host
from zlh_api.containers.model import Guest
from zlh_api.drivers.lxc.control_groups import find_control_groups
from zlh_api.drivers.lxc.storage import find_mounts
from zlh_api.drivers.port import GuestPlan
from zlh_common.trees import delete_tree


@asynccontextmanager
async def lxc_rig(**changes: object) -> AsyncIterator[LxcRig]:
    """Lend a rig; nothing of it is left when the block ends."""
    origin = urlsplit(PRIVATE_ORIGIN)
    async with own_host(private_places=((origin.hostname, origin.port),), **changes) as host:
        yield await asyncio.to_thread(LxcRig, host)


class LxcRig:
    """Containers below `root`."""

    has_network = True

    def __init__(self, host: OwnHost) -> None:
        self.settings = host.settings
        self.driver = host.driver
        self.limits = self.driver.enforced_limits
        self.groups = find_control_groups()
        self._addresses = (str(self.settings.block.network_address + number) for number in count(10))

    def plan(self) -> GuestPlan:
        """Return a new guest."""
        return new_plan(next(self._addresses))

    def folder(self, plan: GuestPlan) -> Path:
        """Return where it is."""
        return self.settings.root / str(plan.vmid)

    async def put_stranger(self, plan: GuestPlan) -> None:
        """Make a folder with a file of somebody else."""

        def put() -> None:
            self.folder(plan).mkdir(parents=True)
            (self.folder(plan) / "precious").write_text("mine")

        await asyncio.to_thread(put)

    async def is_stranger_whole(self, plan: GuestPlan) -> bool:
        """Tell whether the file is all that is in the folder."""
        return await asyncio.to_thread(lambda: [entry.name for entry in self.folder(plan).iterdir()]) == ["precious"]

    async def open_network(self, plan: GuestPlan) -> None:
        """Empty the host's rules, as somebody does who thinks them his own."""
        await asyncio.to_thread(subprocess.run, ["nft", "flush", "table", "bridge", self.settings.table], check=True)

    async def destroy_by_hand(self, plan: GuestPlan) -> None:
        """Stop it by LXC's own means, and delete its folder."""

        def destroy() -> None:
            stop = ["lxc-stop", "-P", str(self.settings.root), "-n", str(plan.vmid), "--kill"]
            subprocess.run(stop, check=True, capture_output=True)
            for place, _source in find_mounts(self.folder(plan)):
                subprocess.run(["umount", str(place)], check=True)
            delete_tree(self.folder(plan))

        await asyncio.to_thread(destroy)

    async def end_by_itself(self, plan: GuestPlan) -> None:
        """Stop it past the driver, which so takes nothing down."""
        stop = ["lxc-stop", "-P", str(self.settings.root), "-n", str(plan.vmid), "--kill"]
        await asyncio.to_thread(subprocess.run, stop, check=True, capture_output=True)
        # Its watcher ends a moment after it.
        async with asyncio.timeout(10):
            while (seen := await self.driver.observe(plan)).state is Guest.RUNNING:
                await asyncio.sleep(0.02)
        assert not seen.is_tidy

    async def read_agent_config(self, plan: GuestPlan) -> str:
        """Return the file as root of the container sees it."""
        attach = ["lxc-attach", "-P", str(self.settings.root), "-n", str(plan.vmid), "--clear-env", "--"]
        return await asyncio.to_thread(
            subprocess.check_output, [*attach, "cat", "/etc/zlh/agent.toml"], text=True, timeout=60
        )

    async def leftovers(self, plan: GuestPlan) -> list[str]:
        """Return folders, mounts, loop devices, rules, interfaces and control groups of a guest."""
        return await asyncio.to_thread(self._find_leftovers, plan)

    def _find_leftovers(self, plan: GuestPlan) -> list[str]:
        root, veth = self.settings.root, self.settings.veth(plan.vmid)
        found = [str(entry) for entry in root.iterdir() if entry.name == str(plan.vmid) or plan.owner in entry.name]
        found += [f"mount {place}" for place, _ in find_mounts(self.folder(plan))]
        loops = subprocess.run(["losetup", "-a"], check=True, capture_output=True, text=True).stdout
        found += [f"loop {line}" for line in loops.splitlines() if f"{root}/{plan.vmid}/" in line or plan.owner in line]
        rules = subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True).stdout
        found += [f"rule {line.strip()}" for line in rules.splitlines() if f'"{veth}"' in line]
        found += [f"interface {veth}"] if Path("/sys/class/net", veth).exists() else []
        return found + ([f"control groups of {plan.owner}"] if self.groups.exist(plan.owner) else [])
