"""API processes are killed after every change that they make at Proxmox; the next one finishes it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from fakes.api_world import World
from fakes.proxmox.world import ARCHIVE, TEMPLATE, ProxmoxWorld, open_world
from fakes.wishes import want_container, want_deletion
from faults.provisioning.proxmox_api import open_api
from zlh_api.containers import store as containers
from zlh_api.containers.model import Power
from zlh_common.names import OwnerMark
from zlh_common.schema.resources import Resources

# What a crash may cost at most; a few seconds are usual.
WITHIN_S = 60
STRANGER = 555
TESTS = Path(__file__).parents[2]
LARGER = Resources(cpu=3.0, memory_mib=4096, disk_mib=20_480)
CREATING = 13
HELD_SLOTS = "select 1 from driver_slots join good_claims using (owner, fence)"
pytestmark = pytest.mark.timeout(600)


class Site:
    """A cluster, a database, and API processes that come and go."""

    def __init__(self, cluster: ProxmoxWorld, world: World) -> None:
        self.proxmox, self.cluster, self.world = cluster, cluster.cluster, world
        self.cluster.add_stranger(STRANGER, node="pve2")
        self.document = {
            "folder": str(cluster.folder),
            "dsn": world.dsn,
            "url": cluster.api.url,
            "token_id": cluster.api.token_id,
            "ssh_port": cluster.shells.port,
            "hosts": cluster.shells.hosts,
            "template": cluster.template,
        }

    async def prepare(self) -> None:
        """Write what the processes read."""
        settings = self.proxmox.folder / "api.json"
        await asyncio.to_thread(settings.write_text, json.dumps(self.document))
        await asyncio.to_thread((self.proxmox.folder / "root.json").write_text, "{}")

    @asynccontextmanager
    async def process(self, *, killed_after: int | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run an API process, which Proxmox kills after so many changes, before the last one is answered."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "faults.provisioning.proxmox_api",
            str(self.proxmox.folder / "api.json"),
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            stdout=asyncio.subprocess.DEVNULL,
        )
        if killed_after is not None:
            killer = self.proxmox.killer
            killer.victim, killer.left = child.pid, killed_after
        try:
            yield child
        finally:
            self.proxmox.killer.victim = None
            if child.returncode is None:
                child.kill()
            await child.wait()
            # A lease that nobody holds any more runs out by itself; here it has.
            await self.world.fetch("update containers set lease_until = now() - interval '1 second' returning 1")

    async def add(self, name: str = "mine") -> OwnerMark:
        """Write one new container."""
        async with self.world.database.transaction() as connection:
            return await want_container(connection, name=name)

    async def wish(self, owner: OwnerMark, act: str) -> None:
        """Write what the customer asks for."""
        async with self.world.database.transaction() as connection:
            match act:
                case "stop" | "start":
                    await containers.update_power(connection, owner, Power.OFF if act == "stop" else Power.ON)
                case "resize":
                    await containers.update_resources(connection, owner, LARGER)
                case "delete":
                    await want_deletion(connection, owner)
                case _:
                    return

    async def is_reached(self, owner: OwnerMark, act: str) -> bool:
        """Tell whether the wish is fulfilled, as the database and the cluster tell it."""
        rows = await self.world.fetch("select * from containers where owner = $1", UUID(owner))
        if act == "delete":
            return not rows
        guest = self.cluster.guests.get(rows[0]["vmid"])
        if guest is None or not self.cluster.is_quiet():
            return False
        is_settled = rows[0]["attempts"] == 0 and rows[0]["lease_holder"] is None
        match act:
            case "create" | "start":
                return guest.is_running and rows[0]["provisioned_at"] is not None and is_settled
            case "stop":
                return not guest.is_running and is_settled
            case _:
                return guest.config["memory"] == 4096 and "size=20G" in guest.config["rootfs"] and is_settled

    async def wait_reached(self, owner: OwnerMark, act: str) -> float:
        """Wait for it and return how long it took."""
        began = time.monotonic()
        async with asyncio.timeout(WITHIN_S):
            while not await self.is_reached(owner, act):
                await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def check_clean(self) -> None:
        """See that there is a guest for each row and nothing besides, and that nobody was hurt."""
        rows = await self.world.fetch("select vmid from containers")
        kept = {STRANGER} | ({TEMPLATE} if isinstance(self.proxmox.template, int) else set())
        assert set(self.cluster.guests) - kept == {row["vmid"] for row in rows}
        assert self.cluster.is_quiet()
        stranger = self.cluster.guests[STRANGER]
        assert not stranger.touched
        assert stranger.config["hostname"] == "precious"
        assert await asyncio.to_thread(lambda: list(self.proxmox.shells.mount_root.glob("*/rootfs"))) == []
        # The slot of a dead claim is anybody's; what counts is that nobody holds one.
        assert await self.world.fetch(HELD_SLOTS) == []
        if not rows:
            assert await self.world.fetch("select 1 from steps") == []


@asynccontextmanager
async def open_site(world: World, template: int | str) -> AsyncIterator[Site]:
    """Lend a site."""
    async with open_world(template=template) as cluster:
        site = Site(cluster, world)
        await site.prepare()
        yield site


@pytest.fixture(params=[ARCHIVE, TEMPLATE], ids=["create", "clone"])
async def site(request: pytest.FixtureRequest, world: World) -> AsyncIterator[Site]:
    """One with an archive that guests are made of, one with a template."""
    async with open_site(world, request.param) as site:
        yield site


async def bring_about(site: Site, owner: OwnerMark, act: str) -> None:
    """Fulfil a wish in this process, undisturbed."""
    await site.wish(owner, act)
    async with open_api(site.document):
        await site.wait_reached(owner, act)


async def kill_after_each_change(site: Site, act: str, before: tuple[str, ...]) -> list[str]:
    """Kill a process after the first change, another after the second, until one has none left to be killed after.

    Return after what each was killed. Another process brings each to its end.
    """
    killer = site.proxmox.killer
    for number in range(1, 40):
        owner = await site.add()
        for earlier in before:
            await bring_about(site, owner, earlier)
        await site.wish(owner, act)
        async with site.process(killed_after=number) as child:
            reached = asyncio.create_task(site.wait_reached(owner, act))
            died = asyncio.create_task(child.wait())
            await asyncio.wait({reached, died}, return_when=asyncio.FIRST_COMPLETED)
            is_through = not died.done()
            if is_through:
                await reached
            for task in (reached, died):
                task.cancel()
            await asyncio.gather(reached, died, return_exceptions=True)
        if not is_through:
            async with open_api(site.document):
                await site.wait_reached(owner, act)
        await site.check_clean()
        if act != "delete":
            await bring_about(site, owner, "delete")
            await site.check_clean()
        if is_through:
            return killer.killed_after
    pytest.fail("there was no end of changes")


async def test_killed_after_any_change_of_a_making_and_finished_by_another(site: Site) -> None:
    """Before the answer reaches it: whatever it had done is found, and nothing is done twice or left."""
    killed = await kill_after_each_change(site, "create", ())
    assert len(killed) >= CREATING, killed


@pytest.mark.parametrize(
    ("act", "before", "least"),
    [
        ("stop", ("create",), 1),
        ("start", ("create", "stop"), 1),
        ("resize", ("create",), 2),
        ("delete", ("create",), 2),
    ],
)
async def test_killed_after_any_change_of_a_guest_and_finished_by_another(
    world: World, act: str, before: tuple[str, ...], least: int
) -> None:
    """The same of what follows, which is alike for guests that were made and cloned."""
    async with open_site(world, ARCHIVE) as site:
        killed = await kill_after_each_change(site, act, before)
        assert len(killed) >= least, killed


async def test_killed_with_every_fifth_change_until_all_is_done(site: Site) -> None:
    """One process after the other dies, and yet they come to the end, and back.

    Fewer would not do: keys need a mount that is taken back, a new one, the writing, and its end, within one life.
    """
    owner = await site.add()
    for act in ("create", "resize", "stop", "start", "delete"):
        await site.wish(owner, act)
        for _process in range(40):
            async with site.process(killed_after=5) as child:
                reached = asyncio.create_task(site.wait_reached(owner, act))
                died = asyncio.create_task(child.wait())
                await asyncio.wait({reached, died}, return_when=asyncio.FIRST_COMPLETED)
                is_done = reached.done()
                for task in (reached, died):
                    task.cancel()
                await asyncio.gather(reached, died, return_exceptions=True)
            if is_done:
                break
        else:
            pytest.fail(f"{act} was not reached")
    await site.check_clean()


async def test_wishes_are_withdrawn_in_the_middle(site: Site) -> None:
    """A container that is deleted while its making was cut off goes without a trace."""
    for number in range(1, 5):
        owner = await site.add()
        async with site.process(killed_after=number) as child:
            await asyncio.wait_for(child.wait(), WITHIN_S)
        await site.wish(owner, "delete")
        async with open_api(site.document):
            await site.wait_reached(owner, "delete")
        await site.check_clean()


async def test_eight_containers_from_two_processes_one_of_which_dies(site: Site) -> None:
    """On three nodes, or of one template: each is made once, and all go again."""
    owners = [await site.add(f"number {number}") for number in range(8)]
    async with site.process(), site.process(killed_after=20) as child:
        for owner in owners:
            await site.wait_reached(owner, "create")
        for owner in owners:
            await site.wish(owner, "delete")
        for owner in owners:
            await site.wait_reached(owner, "delete")
        await asyncio.wait_for(child.wait(), WITHIN_S)
    assert max(site.cluster.most_making.values()) == 1
    await site.check_clean()
