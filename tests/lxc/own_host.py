"""A part of this machine that belongs to one test: a folder, a bridge with its rules, and the `lxc` driver on them."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import hashlib
import ipaddress
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from uuid import uuid4

from fakes.warrant import FakeWarrant
from guards import remains
from zlh_api.drivers.agent_config import AgentSettings
from zlh_api.drivers.lxc.driver import LxcDriver
from zlh_api.drivers.lxc.host import Host
from zlh_api.drivers.lxc.model import LxcSettings
from zlh_api.drivers.port import GuestPlan
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.resources import Resources
from zlh_common.trees import delete_tree

ROOT = Path(__file__).parents[2]
# The first uid of the container outside of it, as in `root:100000:65536` of /etc/subuid.
SHIFT = 100_000
PORT = 7443


@dataclass
class OwnHost:
    """The driver, its settings, and numbers and addresses that nobody has had."""

    settings: LxcSettings
    driver: LxcDriver

    def __post_init__(self) -> None:
        """Count from the beginning."""
        self._numbers = count(200)
        self._addresses = (str(self.settings.block.network_address + number) for number in count(10))

    def new_plan(self, resources: Resources, *, address: str | None = None) -> GuestPlan:
        """Return a guest that nobody has made yet."""
        owner = OwnerMark(str(uuid4()))
        return GuestPlan(owner, Vmid(next(self._numbers)), "dev", address or next(self._addresses), resources)


@functools.cache
def ensure_template() -> Path:
    """Return the template of this checkout, shifted to the container's uids, with its agent, renewed once a run.

    Containers of other workers of the run stand on it, so whoever comes later leaves it as it is. Other checkouts have
    their own: a run there would change agent and template below containers of this one.
    """
    place = Path(os.environ.get("ZLH_TEST_TEMPLATES", "/var/cache/zlh-test-templates"))
    folder = place / hashlib.sha256(str(ROOT).encode()).hexdigest()[:16]
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    root = folder / "root"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        script, ready = ROOT / "deploy/container/build_template.py", folder / "ready"
        builder, made_by = [sys.executable, str(script)], hashlib.sha256(script.read_bytes()).hexdigest()
        # One that another version has built may lack what this one puts in.
        if not ready.exists() or ready.read_text() != made_by:
            ready.unlink(missing_ok=True)
            remove_half_built(root)
            (folder / "checkout").write_text(str(ROOT))
            remove_orphans(place)
            build = [*builder, str(root), "--python=3.11", "--shift", str(SHIFT)]
            subprocess.run(build, check=True, capture_output=True)
            ready.write_text(made_by)
        run, renewed = os.environ.get("PYTEST_XDIST_TESTRUNUID", ""), folder / "renewed"
        if not run or not renewed.exists() or renewed.read_text() != run:
            renewed.unlink(missing_ok=True)
            renew = [*builder, str(root), "--agent-alone", "--python=3.11", "--shift", str(SHIFT)]
            subprocess.run(renew, check=True, capture_output=True)
            renewed.write_text(run)
    return root


def remove_half_built(root: Path) -> None:
    """Remove what a build has left that was killed, with what it had mounted in it; nothing mounted is looked into."""
    mounted = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in sorted((place for place in mounted if place.is_relative_to(root)), reverse=True):
        subprocess.run(["umount", str(place)], check=True)
    shutil.rmtree(root, ignore_errors=True)


def remove_orphans(place: Path) -> None:
    """Remove the templates of checkouts that are not there any more."""
    for checkout in place.glob("*/checkout"):
        with contextlib.suppress(FileNotFoundError):
            if Path(checkout.read_text()).is_dir():
                continue
            shutil.rmtree(checkout.parent, ignore_errors=True)


def passable_folder() -> Path:
    """Make a folder that the container's users may pass, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="zlh-lxc-"))
    folder.chmod(0o711)
    for above in folder.parents[:-2]:
        above.chmod(above.stat().st_mode | 0o011)
    return folder


def own_settings(root: Path, **changes: object) -> LxcSettings:
    """Return settings whose names nobody else on this machine has."""
    pid = os.getpid()
    settings: dict[str, object] = {
        "root": root,
        "template": changes.get("template") or ensure_template(),
        "bridge": remains.bridges_of(pid)[0],
        "block": ipaddress.IPv4Network(f"10.{64 + pid // 250 % 60}.{pid % 250}.0/24"),
        "artifacts_port": 20_000 + pid % 10_000,
    }
    return LxcSettings(**{**settings, **changes})  # type: ignore[arg-type]


def made_driver(settings: LxcSettings, host: Host | None = None) -> LxcDriver:
    """Return the driver as the API makes it."""
    origins = tuple(f"http://{address}:{port}" for address, port in settings.private_places)
    artifacts = f"http://{settings.gateway}:{settings.artifacts_port}"
    agents = AgentSettings(artifacts, PORT, ("stable",), private_origins=origins)
    return LxcDriver(settings, agents, host)


@asynccontextmanager
async def own_host(**changes: object) -> AsyncIterator[OwnHost]:
    """Lend one; its guests, its network and its folder are gone when the block ends."""
    place = await asyncio.to_thread(passable_folder)
    settings = await asyncio.to_thread(lambda: own_settings(place / "guests", **changes))
    driver = await asyncio.to_thread(made_driver, settings)
    try:
        await driver.prepare()
        yield OwnHost(settings, driver)
    finally:
        await destroy_all(driver)
        await asyncio.to_thread(remove_network, settings)
        await asyncio.to_thread(delete_tree, place)


async def destroy_all(driver: LxcDriver) -> None:
    """Destroy every guest of a driver."""
    for found in await driver.survey():
        if found.owner is not None and found.vmid is not None:
            plan = GuestPlan(found.owner, found.vmid, "dev", None, Resources())
            await driver.ensure_destroyed(plan, FakeWarrant(plan))


def remove_network(settings: LxcSettings) -> None:
    """Take the bridge and the tables away."""
    for command in (
        ("ip", "link", "delete", settings.bridge),
        ("nft", "delete", "table", "bridge", settings.table),
        ("nft", "delete", "table", "inet", settings.table),
    ):
        subprocess.run(command, check=False, capture_output=True)


def resized(plan: GuestPlan, **limits: object) -> GuestPlan:
    """Return the plan with other limits."""
    fields = {name: getattr(plan.resources, name) for name in ("cpu", "memory_mib", "disk_mib", "pids")}
    return replace(plan, resources=Resources(**{**fields, **limits}))
