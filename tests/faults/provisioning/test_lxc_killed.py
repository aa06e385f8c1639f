"""The API is killed after every single effect on the host: another process finishes or undoes, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from component.drivers.lxc_rig import LxcRig
from fakes.wishes import want_container, want_deletion
from faults.provisioning.lxc_api import Place, running_api
from lxc.own_host import own_host
from zlh_api.containers import store as containers
from zlh_api.containers.model import Container, Guest, Power
from zlh_api.database.pool import Database
from zlh_api.drivers.port import GuestSeen
from zlh_api.reconcile.steps import plan_guest
from zlh_common.names import OwnerMark
from zlh_common.schema.resources import Resources

pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(600)]
PROGRAM = Path(__file__).with_name("lxc_api.py")
# What the product promises, from the death of one process to the end of the work of another.
PROMISE_S = 60.0
POLL_S = 0.03
MOST_EFFECTS = 60


@dataclass
class World:
    """The database and the host, which outlive every process."""

    place: Place
    database: Database
    rig: LxcRig

    async def add(self) -> OwnerMark:
        """Write the wish for a container."""
        async with self.database.transaction() as connection:
            if await connection.fetchval("select count(*) from customers") == 0:
                await connection.execute("insert into customers (id, name) values ($1, 'one')", uuid4())
            return await want_container(connection, runtimes=())

    async def want_size(self, owner: OwnerMark, wanted: Resources) -> None:
        """Want it larger or smaller."""
        async with self.database.transaction() as connection:
            await containers.update_resources(connection, owner, wanted)

    async def want_off(self, owner: OwnerMark) -> None:
        """Want it stopped."""
        async with self.database.transaction() as connection:
            await containers.update_power(connection, owner, Power.OFF)

    async def want_on(self, owner: OwnerMark) -> None:
        """Want it running."""
        async with self.database.transaction() as connection:
            await containers.update_power(connection, owner, Power.ON)

    async def want_gone(self, owner: OwnerMark) -> None:
        """Want its end."""
        async with self.database.transaction() as connection:
            await want_deletion(connection, owner)

    async def find(self, owner: OwnerMark) -> Container | None:
        """Return its row."""
        async with self.database.connection() as connection:
            return await containers.find_by_owner(connection, owner)

    async def seen(self, owner: OwnerMark) -> GuestSeen | None:
        """Look at it from outside; None once there is no row."""
        container = await self.find(owner)
        return None if container is None else await self.rig.driver.observe(plan_guest(container))

    async def wait(self, is_so: Callable[[], Awaitable[bool]], limit_s: float = PROMISE_S) -> None:
        """Return once it is so."""
        async with asyncio.timeout(limit_s):
            while not await is_so():
                await asyncio.sleep(POLL_S)

    async def run_until_killed(self, kill_after: int, is_done: Callable[[], Awaitable[bool]]) -> str | None:
        """Run a process until it dies after that effect and return which it was, or until all is done."""
        self.place.died_after.unlink(missing_ok=True)
        file = self.place.folder / "place.json"
        file.write_text(self.place.render(kill_after))
        environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[2])}
        child = await asyncio.create_subprocess_exec(sys.executable, str(PROGRAM), str(file), env=environment)
        dead = asyncio.create_task(child.wait())
        try:
            async with asyncio.timeout(PROMISE_S):
                while not dead.done() and not await is_done():
                    await asyncio.sleep(POLL_S)
        finally:
            if not dead.done():
                child.kill()
            code = await dead
        assert code == -signal.SIGKILL
        # A second one finds the work free when the lease has run out; here the clock is helped on.
        async with self.database.transaction() as connection:
            await connection.execute("update containers set lease_until = now() - interval '1 second'")
        return self.place.died_after.read_text() if self.place.died_after.exists() else None

    async def require_nothing_left(self, container: Container) -> None:
        """See that the host has nothing of a guest any more."""
        assert await self.rig.leftovers(plan_guest(container)) == []


@pytest.fixture
async def world(database: Database, dsn: str, tmp_path: Path) -> AsyncIterator[World]:
    """A host and a database of its own."""
    (tmp_path / "root.json").write_text("{}")
    async with own_host() as host:
        rig = await asyncio.to_thread(LxcRig, host)
        yield World(Place(dsn, tmp_path, host.settings), database, rig)


async def is_at_rest(world: World, owner: OwnerMark, state: Guest) -> bool:
    """Tell whether it is so, with its limits and its network, and whoever made it so knows that."""
    container = await world.find(owner)
    is_known = container is not None and container.guest is state
    return is_known and await world.seen(owner) == GuestSeen(state)


async def is_running(world: World, owner: OwnerMark) -> bool:
    """Tell whether it runs, and its start has come to its end."""
    return await is_at_rest(world, owner, Guest.RUNNING)


async def is_stopped(world: World, owner: OwnerMark) -> bool:
    """Tell whether it has stopped."""
    return await is_at_rest(world, owner, Guest.STOPPED)


async def is_gone(world: World, owner: OwnerMark) -> bool:
    """Tell whether nobody knows it any more."""
    return await world.find(owner) is None


async def bring_up(world: World) -> tuple[OwnerMark, Container]:
    """Make a container that runs."""
    owner = await world.add()
    async with running_api(world.place):
        await world.wait(lambda: is_running(world, owner))
    container = await world.find(owner)
    assert container is not None
    return owner, container


async def take_down(world: World, owner: OwnerMark) -> None:
    """Delete it, and see that nothing is left."""
    container = await world.find(owner)
    assert container is not None
    await world.want_gone(owner)
    async with running_api(world.place):
        await world.wait(lambda: is_gone(world, owner))
    await world.require_nothing_left(container)


async def test_killed_after_every_effect_of_create_and_start(world: World) -> None:
    """A second process brings it up; what it is deleted to is nothing."""
    died = []
    for number in range(1, MOST_EFFECTS):
        owner = await world.add()
        what = await world.run_until_killed(number, lambda owner=owner: is_running(world, owner))  # type: ignore[misc]
        # Whatever was left carries our mark, or is not seen at all.
        seen = await world.seen(owner)
        assert seen is not None
        assert seen.state is not Guest.FOREIGN, what
        began = time.monotonic()
        async with running_api(world.place):
            await world.wait(lambda owner=owner: is_running(world, owner))  # type: ignore[misc]
            container = await world.find(owner)
            assert container is not None
            await world.want_gone(owner)
            await world.wait(lambda owner=owner: is_gone(world, owner))  # type: ignore[misc]
        assert time.monotonic() - began < PROMISE_S, what
        await world.require_nothing_left(container)
        if what is None:
            break
        died.append(what)
    words = " ".join(died)
    for step in ("Naming the guest", "nft", "mkfs.xfs", "mount", "keys in", "lxc-start"):
        assert step in words, died


async def test_killed_after_every_effect_of_stop_and_resize(world: World) -> None:
    """A second process stops it, and gives it what it shall have; the guest notices no death of an API."""
    owner, _ = await bring_up(world)
    died: list[str] = []
    for number in range(1, MOST_EFFECTS):
        disk = 10_240 + 64 * number
        await world.want_size(owner, Resources(cpu=1.5, memory_mib=1024 + number, disk_mib=disk, pids=1000))
        what = await world.run_until_killed(number, lambda: is_running(world, owner))
        seen = await world.seen(owner)
        assert seen is not None
        assert seen.state is Guest.RUNNING, what
        async with running_api(world.place):
            await world.wait(lambda: is_running(world, owner))
        if what is None:
            break
        died.append(what)
    assert {"losetup", "xfs_growfs"} <= set(" ".join(died).split()), died
    died.clear()
    for number in range(1, MOST_EFFECTS):
        # Before its systemd is up it hears nothing, and the wish to stop it takes its time.
        await wait_up(world, owner)
        await world.want_off(owner)
        what = await world.run_until_killed(number, lambda: is_stopped(world, owner))
        async with running_api(world.place):
            await world.wait(lambda: is_stopped(world, owner))
            if what is not None:
                died.append(what)
                await world.want_on(owner)
                await world.wait(lambda: is_running(world, owner))
        if what is None:
            break
    assert "lxc-stop" in " ".join(died), died
    await take_down(world, owner)


async def wait_up(world: World, owner: OwnerMark) -> None:
    """Return once the guest's systemd hears."""
    container = await world.find(owner)
    assert container is not None
    inside = ["lxc-attach", "-P", str(world.place.lxc.root), "-n", str(container.vmid), "--"]
    child = await asyncio.create_subprocess_exec(
        *inside, "sh", "-c", "until test -S /run/systemd/private; do sleep 0.05; done", stdin=asyncio.subprocess.DEVNULL
    )
    assert await child.wait() == 0


async def test_killed_after_every_effect_of_delete(world: World) -> None:
    """A second process goes on, and nothing is left: no folder, mount, loop device, interface, pin or group."""
    died = []
    for number in range(1, MOST_EFFECTS):
        owner, container = await bring_up(world)
        await world.want_gone(owner)
        what = await world.run_until_killed(number, lambda owner=owner: is_gone(world, owner))  # type: ignore[misc]
        began = time.monotonic()
        async with running_api(world.place):
            await world.wait(lambda owner=owner: is_gone(world, owner))  # type: ignore[misc]
        assert time.monotonic() - began < PROMISE_S, what
        await world.require_nothing_left(container)
        if what is None:
            break
        died.append(what)
    for step in ("lxc-stop", "umount", "nft", "Deleting the guest's folder"):
        assert step in " ".join(died), died


async def test_a_lease_that_runs_out_by_itself_is_enough(world: World) -> None:
    """With nobody to help the clock on."""
    owner, container = await bring_up(world)
    await world.want_gone(owner)
    file = world.place.folder / "place.json"
    file.write_text(world.place.render(1))
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[2])}
    child = await asyncio.create_subprocess_exec(sys.executable, str(PROGRAM), str(file), env=environment)
    assert await child.wait() == -signal.SIGKILL
    async with running_api(world.place):
        await world.wait(lambda: is_gone(world, owner))
    await world.require_nothing_left(container)
