"""What a container may use, held against those who want all of it: the host and its neighbours do not notice."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from lxc.guest import Guest, running_guest
from lxc.own_host import OwnHost, resized
from zlh_api.drivers.lxc.control_groups import find_control_groups
from zlh_api.drivers.lxc.limits import MIB
from zlh_api.drivers.lxc.model import GuestFolder, group_of
from zlh_api.drivers.port import DiskLarger
from zlh_common.schema.resources import Resources

pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(240)]
PYTHON = "/usr/bin/python3"
MEMORY_BOMB = "held = []\nwhile True: held.append(b'x' * (8 << 20))"
FORK_BOMB = """
import os, time
made = 0
try:
    while made < 2000:
        if os.fork() == 0: time.sleep(60); os._exit(0)
        made += 1
except OSError: pass
print(made)
os.killpg(0, 9) if os.getpgid(0) == os.getpid() else None
"""
FILL = """
import os, sys
done = 0
with open("/home/dev/filler", "ab", 0) as file:
    try:
        while done < int(sys.argv[1]): done += file.write(b"x" * (1 << 20))
        os.fsync(file.fileno())
    except OSError as e: print(e.errno)
print(done >> 20)
"""
BURN = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        until = time.monotonic() + 3
        while time.monotonic() < until: pass
        os._exit(0)
began = os.times()
for _ in range(4): os.wait()
now = os.times()
print((now.children_user + now.children_system) / (now.elapsed - began.elapsed))
"""
SMALL = Resources(cpu=0.5, memory_mib=256, disk_mib=512, pids=150)


@dataclass
class Neighbours:
    """One that wants everything, and one that is content."""

    host: OwnHost
    greedy: Guest
    content: Guest

    async def require_content(self) -> None:
        """See that the neighbour answers at once."""
        async with asyncio.timeout(2):
            await self.content.status()


@pytest.fixture
async def neighbours(host: OwnHost) -> AsyncIterator[Neighbours]:
    """Both of them up."""
    async with AsyncExitStack() as stack:
        greedy = await stack.enter_async_context(running_guest(host, resources=SMALL))
        content = await stack.enter_async_context(running_guest(host))
        for guest in (greedy, content):
            await guest.wait_online()
        yield Neighbours(host, greedy, content)


async def test_who_wants_all_memory_gets_what_is_his(neighbours: Neighbours) -> None:
    """The kernel ends a process of his, and nobody else's."""
    with pytest.raises(AssertionError):
        await neighbours.greedy.inside(PYTHON, "-c", MEMORY_BOMB)
    await neighbours.require_content()
    used = await neighbours.greedy.inside(
        "sh",
        "-c",
        "cat /sys/fs/cgroup/memory/memory.max_usage_in_bytes /sys/fs/cgroup/memory.peak 2>/dev/null",
        check=False,
    )
    assert 200 * MIB < int(used.split()[0]) <= 256 * MIB


async def test_who_wants_all_processes_gets_what_is_his(neighbours: Neighbours) -> None:
    """Forks fail at the limit; the neighbour's do not."""
    made = await neighbours.greedy.inside("setsid", "--wait", PYTHON, "-u", "-c", FORK_BOMB, check=False)
    assert 50 < int(made) < 150
    await neighbours.require_content()
    await neighbours.content.inside("true")


async def test_who_wants_the_whole_disk_gets_what_is_his(neighbours: Neighbours) -> None:
    """The disk is full for him alone; it grows under him while he writes, and never shrinks."""
    host, greedy = neighbours.host, neighbours.greedy
    no_room, written = (await greedy.inside(PYTHON, "-c", FILL, str(1 << 30))).split()
    assert (no_room, 300 < int(written) < 512) == ("28", True)
    image = GuestFolder(greedy.folder).image
    assert image.stat().st_blocks * 512 <= 520 * MIB
    await neighbours.content.inside(PYTHON, "-c", FILL, str(100 * MIB))
    larger = resized(greedy.plan, disk_mib=1024)
    assert not (await host.driver.observe(larger)).is_sized
    await host.driver.ensure_sized(larger, greedy.warrant)
    assert (await host.driver.observe(larger)).is_sized
    no_room, more = (await greedy.inside(PYTHON, "-c", FILL, str(1 << 30))).split()
    assert (no_room, 400 < int(more) < 600) == ("28", True)
    with pytest.raises(DiskLarger):
        await host.driver.ensure_sized(greedy.plan, greedy.warrant)


async def test_who_wants_all_processors_gets_what_is_his(neighbours: Neighbours) -> None:
    """Half a core is half a core for any number of processes, and more at once when it is given."""
    async with asyncio.timeout(50):
        # A host that has no half a core to give just now holds nobody back.
        while not await asyncio.to_thread(count_held_back, neighbours.greedy):
            assert 0 < float(await neighbours.greedy.inside(PYTHON, "-c", BURN)) < 0.65
    await neighbours.require_content()
    faster = resized(neighbours.greedy.plan, cpu=64.0)
    await neighbours.host.driver.ensure_sized(faster, neighbours.greedy.warrant)
    held_back = await asyncio.to_thread(count_held_back, neighbours.greedy)
    await neighbours.greedy.inside(PYTHON, "-c", BURN)
    assert await asyncio.to_thread(count_held_back, neighbours.greedy) == held_back


def count_held_back(guest: Guest) -> int:
    """Return how often the kernel has made a container wait for its next share of time."""
    groups = find_control_groups()
    top = dict(groups.legacy).get("cpu") or groups.unified
    assert top is not None
    rows = (top / group_of(guest.owner) / "cpu.stat").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("nr_throttled"))


async def test_limits_live_on_over_a_start(neighbours: Neighbours) -> None:
    """What was set while it ran holds for its next life."""
    host, greedy = neighbours.host, neighbours.greedy
    larger = resized(greedy.plan, memory_mib=512, pids=200)
    await host.driver.ensure_sized(larger, greedy.warrant)
    await host.driver.ensure_stopped(larger, greedy.warrant, at_once=True)
    await host.driver.ensure_started(larger, greedy.warrant)
    await greedy.wait_online()
    seen = await greedy.inside("sh", "-c", "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max", check=False)
    assert re.findall(r"\d+", seen)[0] == "200"
    assert (await host.driver.observe(larger)).is_sized
