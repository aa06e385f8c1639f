"""The contract of a driver, held against each of them: what the reconciler may rely on, whatever makes the guests."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from component.drivers.lxc_rig import lxc_rig
from component.drivers.memory_rig import MemoryRig
from component.drivers.process_rig import ProcessRig
from component.drivers.proxmox_rig import ProxmoxRig
from component.drivers.rig import PRIVATE_ORIGIN, Rig
from fakes.proxmox.world import TEMPLATE, open_world
from fakes.warrant import FakeWarrant
from zlh_api.agents.authority import Authority
from zlh_api.containers.model import Guest
from zlh_api.drivers.port import (
    ContainerDriver,
    DiskLarger,
    FoundGuest,
    GuestForeign,
    GuestPlan,
    GuestSeen,
    Identity,
    NetworkOpen,
    SlotBusy,
)
from zlh_api.reconcile.model import LeaseLost
from zlh_common.clock import SystemClock
from zlh_common.names import OwnerMark
from zlh_common.schema.resources import Resources

Act = Callable[[ContainerDriver, GuestPlan, Identity, FakeWarrant], Awaitable[None]]
ACTS: dict[str, Act] = {
    "create": lambda driver, plan, _identity, warrant: driver.ensure_created(plan, warrant),
    "close": lambda driver, plan, _identity, warrant: driver.ensure_closed(plan, warrant),
    "size": lambda driver, plan, _identity, warrant: driver.ensure_sized(plan, warrant),
    "identity": lambda driver, plan, identity, warrant: driver.ensure_identity(plan, identity, warrant),
    "start": lambda driver, plan, _identity, warrant: driver.ensure_started(plan, warrant),
    "stop": lambda driver, plan, _identity, warrant: driver.ensure_stopped(plan, warrant, at_once=True),
    "destroy": lambda driver, plan, _identity, warrant: driver.ensure_destroyed(plan, warrant),
}
TURN_POLL_S = 0.02
BRING_UP = ("create", "close", "size", "identity", "start")


NETWORKED = ("memory", "proxmox", "proxmox-clone", pytest.param("lxc", marks=pytest.mark.real("lxc")))
ALL = (*NETWORKED, "process")
# Whose surveys tell of networks; on a cluster that would take some calls for each guest, which its own look makes.
TELLING = ("memory", pytest.param("lxc", marks=pytest.mark.real("lxc")))


@asynccontextmanager
async def open_rig(name: str, folder: Path) -> AsyncIterator[Rig]:
    """Lend a driver by its name; its guests are gone when the block ends."""
    async with _made_rig(name, folder) as rig:
        await rig.driver.prepare()
        yield rig
        for found in await rig.driver.survey():
            if found.owner is not None and found.vmid is not None:
                plan = replace(rig.plan(), owner=found.owner, vmid=found.vmid)
                await rig.driver.ensure_destroyed(plan, FakeWarrant(plan))


@asynccontextmanager
async def _made_rig(name: str, folder: Path) -> AsyncIterator[Rig]:
    match name:
        case "memory":
            yield MemoryRig()
        case "process":
            yield ProcessRig(folder / "guests")
        case "lxc":
            async with lxc_rig() as rig:
                yield rig
        case _:
            template = {"template": TEMPLATE} if name == "proxmox-clone" else {}
            async with open_world(**template) as world, _closing(ProxmoxRig(world)) as rig:
                yield rig


@asynccontextmanager
async def _closing(rig: ProxmoxRig) -> AsyncIterator[ProxmoxRig]:
    """Close what the driver keeps open."""
    try:
        yield rig
    finally:
        await rig.driver.close()


@pytest.fixture(params=ALL)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    """Each driver in its turn."""
    async with open_rig(request.param, tmp_path) as rig:
        yield rig


@pytest.fixture(params=NETWORKED)
async def networked(request: pytest.FixtureRequest, tmp_path: Path, authority: Authority) -> AsyncIterator[Bench]:
    """A guest that nobody has made yet, of each driver whose guests have a network of their own."""
    async with open_rig(request.param, tmp_path) as rig:
        yield Bench(rig, authority)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs the agents of all tests here."""
    return Authority(tmp_path_factory.mktemp("authority"), SystemClock())


class Bench:
    """One guest of a rig, and what is done to it."""

    def __init__(self, rig: Rig, authority: Authority, slots: dict[str, FakeWarrant] | None = None) -> None:
        self.rig = rig
        self.driver = rig.driver
        self.warrant = FakeWarrant(rig.plan(), slots)
        self._authority = authority

    @property
    def plan(self) -> GuestPlan:
        """The guest with the notes that its driver has made."""
        return self.warrant.plan

    async def act(self, *names: str) -> None:
        """Do these one after the other, each when its turn has come."""
        for name in names:
            while True:
                try:
                    await ACTS[name](self.driver, self.plan, self.identity(self.plan.owner), self.warrant)
                except SlotBusy:
                    await asyncio.sleep(TURN_POLL_S)
                    continue
                break

    def identity(self, owner: OwnerMark) -> Identity:
        """Return keys for a guest."""
        issued = self._authority.issue_agent(owner)
        return Identity(issued.certificate, issued.private_key, self._authority.api_ca, b"{}")

    async def found(self) -> FoundGuest:
        """Return the guest as a survey shows it."""
        return next(found for found in await self.driver.survey() if found.owner == self.plan.owner)

    async def seen(self) -> GuestSeen:
        """Look at the guest."""
        return await self.driver.observe(self.plan)


@pytest.fixture
def bench(rig: Rig, authority: Authority) -> Bench:
    """A guest that nobody has made yet."""
    return Bench(rig, authority)


async def test_a_guest_comes_up_and_goes(bench: Bench) -> None:
    """Each call brings what its name says, and is as good twice as once."""
    assert (await bench.seen()).state is Guest.ABSENT
    await bench.act("create", "create")
    assert (await bench.seen()).state is Guest.STOPPED
    await bench.act("close", "close", "size", "size", "identity", "identity")
    # To put keys in, its disk may have been mounted.
    assert replace(await bench.seen(), is_tidy=True) == GuestSeen(Guest.STOPPED)
    await bench.act("stop")
    assert await bench.seen() == GuestSeen(Guest.STOPPED)
    await bench.act("start", "start")
    assert await bench.seen() == GuestSeen(Guest.RUNNING)
    await bench.act("stop", "stop")
    assert await bench.seen() == GuestSeen(Guest.STOPPED)
    await bench.act("start", "destroy", "destroy")
    assert (await bench.seen()).state is Guest.ABSENT
    assert await bench.rig.leftovers(bench.plan) == []


async def test_agents_are_told_which_private_origins_files_may_come_from(bench: Bench) -> None:
    """Whatever makes the guest: without that, pinned files of a mirror in a private network are refused in it."""
    if isinstance(bench.rig, MemoryRig):
        # Its guests have no files.
        return
    await bench.act(*BRING_UP)
    config = tomllib.loads(await bench.rig.read_agent_config(bench.plan))
    assert config["private_origins"] == [PRIVATE_ORIGIN]


async def test_a_stranger_at_our_number_is_never_touched(bench: Bench) -> None:
    """Neither adopted nor changed, started, stopped or destroyed: a number proves nothing."""
    await bench.rig.put_stranger(bench.plan)
    assert (await bench.seen()).state is Guest.FOREIGN
    for name in ACTS:
        if name in {"close", "size"} and not bench.rig.has_network:
            # There is nothing that it could do to a stranger.
            continue
        with pytest.raises(GuestForeign):
            await bench.act(name)
    assert await bench.rig.is_stranger_whole(bench.plan)


@pytest.mark.parametrize("name", [name for name in ACTS if name not in {"close", "size"}])
async def test_who_has_lost_the_right_does_nothing(bench: Bench, name: str) -> None:
    """A worker that was frozen and wakes late finds out before its next effect."""
    before = {"create": (), "start": BRING_UP[:-1], "stop": BRING_UP, "destroy": ("create",)}.get(name, ("create",))
    await bench.act(*before)
    stood = await bench.seen()
    bench.warrant.is_lost = True
    with pytest.raises(LeaseLost):
        await bench.act(name)
    assert await bench.seen() == stood


@pytest.mark.parametrize("name", ["close", "size"])
async def test_who_has_lost_the_right_closes_and_limits_nothing(networked: Bench, name: str) -> None:
    """As above, for what only some drivers do."""
    await networked.act("create")
    networked.warrant._plan = replace(networked.warrant._plan, resources=Resources(memory_mib=3072))
    stood = await networked.seen()
    networked.warrant.is_lost = True
    with pytest.raises(LeaseLost):
        await networked.act(name)
    assert await networked.seen() == stood


async def test_no_guest_starts_before_its_network_is_closed(networked: Bench) -> None:
    """Whatever order somebody calls in, and whatever was undone meanwhile."""
    bench = networked
    await bench.act("create", "identity")
    assert not (await bench.seen()).is_closed
    with pytest.raises(NetworkOpen):
        await bench.act("start")
    await bench.act("close", "start", "stop")
    await bench.rig.open_network(bench.plan)
    with pytest.raises(NetworkOpen):
        await bench.act("start")
    assert (await bench.seen()).state is Guest.STOPPED


async def test_a_network_that_was_opened_is_seen_and_closed(networked: Bench) -> None:
    """While the guest runs, too."""
    bench = networked
    await bench.act(*BRING_UP)
    await bench.rig.open_network(bench.plan)
    assert await bench.seen() == GuestSeen(Guest.RUNNING, is_closed=False)
    await bench.act("close")
    assert (await bench.seen()).is_closed


@pytest.mark.parametrize("networked", TELLING, indirect=True)
async def test_a_survey_names_an_open_network(networked: Bench) -> None:
    """So that nobody is told that all is well meanwhile, and it is closed by the next patrol."""
    bench = networked
    await bench.act(*BRING_UP)
    assert (await bench.found()).is_closed is True
    await bench.rig.open_network(bench.plan)
    assert (await bench.found()).is_closed is False


@pytest.mark.parametrize("is_running", [False, True])
async def test_limits_follow_the_plan(bench: Bench, is_running: bool) -> None:
    """Growing and, but for the disk, shrinking; seen by a look from outside."""
    await bench.act(*(BRING_UP if is_running else BRING_UP[:-1]))
    for wanted in (Resources(cpu=1.5, memory_mib=3072, disk_mib=12_288, pids=4096), Resources(disk_mib=12_288)):
        bench.warrant._plan = replace(bench.warrant._plan, resources=wanted)
        assert (await bench.seen()).is_sized is (not bench.rig.limits)
        await bench.act("size")
        assert (await bench.seen()).is_sized
    assert (await bench.seen()).state is (Guest.RUNNING if is_running else Guest.STOPPED)


async def test_a_disk_never_gets_smaller(bench: Bench) -> None:
    """Files would be lost. Where disks are limited that is refused, with both figures."""
    await bench.act("create", "close", "size")
    bench.warrant._plan = replace(bench.warrant._plan, resources=Resources(disk_mib=8192))
    if "disk_mib" in bench.rig.limits:
        with pytest.raises(DiskLarger) as refused:
            await bench.act("size")
        assert refused.value.data == {"has_mib": 10_240, "wanted_mib": 8192}
        assert not (await bench.seen()).is_sized


async def test_what_is_enforced_is_what_is_set(bench: Bench) -> None:
    """People are told of those limits alone that a look from outside finds."""
    assert bench.driver.enforced_limits == bench.rig.limits <= set(Resources.__struct_fields__)


async def test_a_survey_finds_ours_and_strangers(bench: Bench) -> None:
    """In one look, without knowing what to look for."""
    await bench.act(*BRING_UP)
    stranger = bench.rig.plan()
    await bench.rig.put_stranger(stranger)
    found = {guest.vmid: guest for guest in await bench.driver.survey()}
    assert found[bench.plan.vmid].owner == bench.plan.owner
    assert found[bench.plan.vmid].state is Guest.RUNNING
    assert found[stranger.vmid].owner != stranger.owner


async def test_a_survey_that_is_said_to_tell_drift_tells_it(rig: Rig, authority: Authority) -> None:
    """Where it does not, guests are looked at one by one, so it must not claim to."""
    bench = Bench(rig, authority)
    await bench.act(*BRING_UP)
    found = await bench.found()
    tells = rig.driver.survey_tells_drift
    assert found.is_closed is True or not tells
    assert found.resources == bench.plan.resources or not (tells and rig.limits)
    assert found.addresses in {(), (bench.plan.address,)}
    if rig.has_network:
        await rig.open_network(bench.plan)
        assert (await bench.found()).is_closed is False or not tells
    bench.warrant._plan = replace(bench.warrant._plan, resources=Resources(cpu=1.5, disk_mib=12_288))
    await bench.act("size")
    assert (await bench.found()).resources in {None, bench.plan.resources}


async def test_a_guest_that_was_taken_away_by_hand_can_be_made_anew(bench: Bench) -> None:
    """And nothing that is remembered of the first stands in the way of the second."""
    await bench.act(*BRING_UP)
    await bench.rig.destroy_by_hand(bench.plan)
    assert (await bench.seen()).state is Guest.ABSENT
    await bench.act("stop", "destroy", *BRING_UP)
    assert await bench.seen() == GuestSeen(Guest.RUNNING)


async def test_a_guest_that_ended_by_itself_is_stopped_to_its_end(bench: Bench) -> None:
    """What it leaves is seen and taken down, so that off is off."""
    await bench.act(*BRING_UP)
    await bench.rig.end_by_itself(bench.plan)
    assert (await bench.seen()).state is Guest.STOPPED
    await bench.act("stop")
    assert await bench.seen() == GuestSeen(Guest.STOPPED)


async def test_an_address_that_a_guest_has_is_not_free(bench: Bench) -> None:
    """Even if our books have forgotten it."""
    plan = bench.plan
    assert plan.address is not None
    assert await bench.driver.is_address_free(plan.address)
    await bench.act(*BRING_UP)
    assert not await bench.driver.is_address_free(plan.address)


@pytest.mark.parametrize("name", [*BRING_UP, "stop", "destroy"])
async def test_an_act_that_is_cut_at_any_effect_is_finished_by_the_next_try(bench: Bench, name: str) -> None:
    """The warrant ends before each effect in turn, as a worker that dies there leaves things."""
    before = BRING_UP if name in {"stop", "destroy"} else BRING_UP[: BRING_UP.index(name)]
    for effects in range(40):
        await bench.act(*before)
        bench.warrant.effects_left = effects
        with suppress(LeaseLost):
            await bench.act(name)
        is_whole = not bench.warrant.is_lost
        bench.warrant.is_lost, bench.warrant.effects_left = False, None
        await bench.act(name)
        state = (await bench.seen()).state
        assert state is {"start": Guest.RUNNING, "destroy": Guest.ABSENT}.get(name, Guest.STOPPED)
        await bench.act("destroy")
        assert await bench.rig.leftovers(bench.plan) == []
        if is_whole:
            return
        bench.warrant = FakeWarrant(bench.rig.plan())
    pytest.fail("it never came to its end")


async def test_two_guests_at_once_do_not_mind_each_other(rig: Rig, authority: Authority) -> None:
    """Made, started and taken away beside each other."""
    slots: dict[str, FakeWarrant] = {}
    benches = [Bench(rig, authority, slots) for _ in range(3)]
    await asyncio.gather(*(bench.act(*BRING_UP) for bench in benches))
    await benches[0].act("destroy")
    states = [(await bench.seen()).state for bench in benches]
    assert states == [Guest.ABSENT, Guest.RUNNING, Guest.RUNNING]
    await asyncio.gather(*(bench.act("destroy") for bench in benches))
    assert [await rig.leftovers(bench.plan) for bench in benches] == [[], [], []]


async def test_the_machines_that_guests_are_on_are_told(bench: Bench) -> None:
    """Each has a name of its own, and a guest that is there is on one of them that is online."""
    await bench.act("create")
    nodes = await bench.driver.list_nodes(Resources(cpu=0.1, memory_mib=128, disk_mib=512))
    assert len({node.name for node in nodes}) == len(nodes) > 0
    holding = [node for node in nodes if node.vmids is None or bench.warrant.plan.vmid in node.vmids]
    assert [node.is_online for node in holding] == [True]
