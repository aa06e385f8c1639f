"""The driver itself: what the port asks, out of folders, storage, network, control groups and LXC's own programs.

Nothing of a guest is remembered here: whose it is stands in its folder, whether it runs in its control groups, whether
it is closed in the host's tables. So any process of ours finds a guest as the last one left it, and guests outlive all.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import structlog
from msgspec import structs

from zlh_api.containers.model import Guest
from zlh_api.drivers.agent_config import AgentSettings, place_in_guest, render_agent_files
from zlh_api.drivers.lxc.control_groups import ControlGroups, find_control_groups
from zlh_api.drivers.lxc.guest_folders import GuestFolders, hold, read_mark, write_config, write_mark
from zlh_api.drivers.lxc.host import Host, OwnRight
from zlh_api.drivers.lxc.identity import put_files
from zlh_api.drivers.lxc.limits import order_changes, wanted_files
from zlh_api.drivers.lxc.lxc_config import find_addresses, has_limits, render_config
from zlh_api.drivers.lxc.model import GuestFolder, GuestMark, LxcSettings, mac_of
from zlh_api.drivers.lxc.network import Network
from zlh_api.drivers.lxc.network_rules import Pin, render_network_up
from zlh_api.drivers.lxc.readiness import check_host, choose_apparmor
from zlh_api.drivers.lxc.storage import Storage, find_mounts
from zlh_api.drivers.nameless_folders import hold_if_free
from zlh_api.drivers.port import (
    ORDERLY_STOP_S,
    FoundGuest,
    GuestFailed,
    GuestForeign,
    GuestPlan,
    GuestSeen,
    Identity,
    NetworkOpen,
    NodeSeen,
    Right,
    Warrant,
)
from zlh_api.drivers.this_machine import look_at_machine
from zlh_common.durable_files import write_durably
from zlh_common.names import OwnerMark
from zlh_common.schema.resources import Resources

log = structlog.get_logger()
START_TIMEOUT_S = 60.0
ASK_AGAIN_S = 2
KILL_TIMEOUT_S = 20.0
END_POLL_S = 0.02
# Where LXC keeps containers that others make by hand.
OTHERS = Path("/var/lib/lxc")


class LxcDriver:
    """Guests as LXC containers below `settings.root`."""

    def __init__(self, settings: LxcSettings, agent: AgentSettings, host: Host | None = None) -> None:
        self._settings = settings
        self._agent = agent
        self._host = host or Host()
        self._folders = GuestFolders(settings.root, settings.first_id)
        self._storage = Storage(settings, self._host)
        self._network = Network(settings, self._host)
        self._groups: ControlGroups = find_control_groups()
        self._apparmor = choose_apparmor(settings)

    @property
    def enforced_limits(self) -> frozenset[str]:
        """The fields of Resources that this host holds a guest to."""
        disk = frozenset({"disk_mib"}) if self._storage.has_limit else frozenset[str]()
        return self._groups.controllers.enforced | disk

    # ── the host ──

    @property
    def survey_tells_drift(self) -> bool:
        """Not all of it: limits are looked at guest by guest."""
        return False

    async def close(self) -> None:
        """Keep nothing open."""

    async def prepare(self) -> None:
        """Check the host, close the network, and sweep what a crash has left; raise HostUnready."""
        right = OwnRight()
        await asyncio.to_thread(check_host, self._settings, self._groups)
        async with hold(self._settings.root):
            await self._host.act(right, "Writing the network's gate", self._write_network_up)
            await self._network.ensure_bridge(right)
            await self._network.ensure_tables(right, await asyncio.to_thread(self._all_pins))
        if self.enforced_limits != frozenset({"cpu", "memory_mib", "disk_mib", "pids"}):
            log.warning("lxc.limits_missing", enforced=sorted(self.enforced_limits))
        for owner, place in await asyncio.to_thread(self._folders.leftovers):
            with hold_if_free(place) as is_free:
                # One that is held is being made right now, by another process of ours.
                if is_free:
                    await self._sweep(right, owner, place)
        await self._unmount_stopped(right)
        await self._unpin_strangers(right)

    async def list_nodes(self, usual: Resources) -> list[NodeSeen]:
        """Return this host."""
        return [await asyncio.to_thread(look_at_machine, self._settings.root, usual)]

    async def survey(self) -> list[FoundGuest]:
        """Return everything below the root, and other containers of LXC that hold addresses of our block."""
        found = await asyncio.to_thread(self._survey)
        # Afterwards, so that the pin of each of them was there if it is ever to be.
        is_closed = await self._network.look_for_all()
        return await asyncio.to_thread(lambda: [self._judge(guest, is_closed) for guest in found])

    async def is_address_free(self, address: str) -> bool:
        """Tell whether neither this host nor any container nor any pin has it."""
        if address in {self._settings.gateway, str(self._settings.block.broadcast_address)}:
            return False
        listing = await self._network.look()
        pinned = {pin.address for pin in listing.pins} if listing else set[str]()
        held = {held for guest in await asyncio.to_thread(self._survey) for held in guest.addresses}
        return address not in pinned | held

    async def ensure_all_stopped(self) -> None:
        """Stop every guest of ours, each in its own order."""
        marks = await asyncio.to_thread(self._folders.marks)
        async with asyncio.TaskGroup() as group:
            for mark in marks:
                if await asyncio.to_thread(self._groups.is_alive, mark.owner):
                    group.create_task(self._stop(OwnRight(), mark, at_once=False))

    # ── looking ──

    async def observe(self, plan: GuestPlan) -> GuestSeen:
        """Return what stands at this number."""
        state, mark = await asyncio.to_thread(self._look, plan)
        if mark is None or state not in {Guest.RUNNING, Guest.STOPPED}:
            return GuestSeen(state)
        pin = self._pin(mark, plan.address)
        trouble = await self._network.find_trouble(pin, is_running=state is Guest.RUNNING)
        is_running = state is Guest.RUNNING
        is_sized = await asyncio.to_thread(self._is_sized, mark, plan.resources, is_running)
        is_tidy = is_running or await asyncio.to_thread(self._is_tidy, mark)
        return GuestSeen(state, is_closed=trouble is None, is_sized=is_sized, is_tidy=is_tidy)

    # ── one guest ──

    async def ensure_created(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Make the guest's folder and disk under no name, then give it its own."""
        state, _mark = await asyncio.to_thread(self._look, plan)
        self._refuse_foreign(plan, state)
        if state in {Guest.RUNNING, Guest.STOPPED}:
            return
        assert plan.address is not None
        await self._clear(warrant, plan)
        mark = GuestMark(
            owner=plan.owner, vmid=plan.vmid, kind=plan.kind, address=plan.address,
            template=str(self._settings.template),
        )  # fmt: skip
        folder = await self._host.act(warrant, "Making the guest's folder", self._folders.begin, mark)
        async with hold(folder.path):
            mark = await self._storage.make(warrant, folder, mark, plan.resources.disk_mib)
            # It names the folder as it will be.
            text = self._render_config(mark, plan.resources)
            await self._host.act(warrant, "Writing the guest's config", write_config, folder, text)
            await self._host.act(warrant, "Naming the guest's folder", self._folders.finish, folder, plan.vmid)

    async def ensure_closed(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Pin the guest to its addresses and read all rules back; where they are not ours, it is stopped."""
        mark = await self._own(plan)
        if plan.address is not None and plan.address != mark.address:
            mark = structs.replace(mark, address=plan.address)
            await self._host.act(warrant, "Marking the guest", write_mark, self._folders.at(plan.vmid), mark)
        pin = self._pin(mark)
        trouble: str | None
        async with hold(self._settings.root):
            try:
                await self._network.pin(warrant, pin, self._all_pins)
                is_running = await asyncio.to_thread(self._groups.is_alive, plan.owner)
                trouble = await self._network.find_trouble(pin, is_running=is_running)
            except GuestFailed as error:
                trouble = error.detail
        if trouble is not None:
            await self._stop(warrant, mark, at_once=True)
            raise NetworkOpen(vmid=plan.vmid, reason=trouble)

    async def ensure_sized(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Give the guest its limits, where it runs at once, and for its next start."""
        mark = await self._own(plan)
        folder = self._folders.at(plan.vmid)
        if not await asyncio.to_thread(self._storage.is_sized, folder, mark, plan.resources.disk_mib):
            async with hold(folder.path):
                mark = await self._storage.resize(warrant, folder, mark, plan.resources.disk_mib)
        await self._write_config(warrant, mark, plan.resources)
        if not await asyncio.to_thread(self._groups.is_alive, plan.owner):
            return
        wanted = wanted_files(plan.resources, self._groups.controllers)
        seen = await asyncio.to_thread(self._groups.read, plan.owner, wanted)
        for file in order_changes(wanted, seen):
            what = f"Setting {file.name} of the guest to {file.value}"
            await self._host.act(warrant, what, self._groups.write, plan.owner, file)

    async def ensure_identity(self, plan: GuestPlan, identity: Identity, warrant: Warrant) -> None:
        """Put the agent's configuration and keys in, past whatever its customer has made of the place."""
        mark = await self._own(plan)
        place = place_in_guest(plan.vmid, plan.owner, bind_address="0.0.0.0")  # noqa: S104 - the guest's own
        files = render_agent_files(self._agent, place, identity)
        async with hold(self._folders.at(plan.vmid).path):
            root = await self._storage.mount(warrant, self._folders.at(plan.vmid), mark)
            await self._host.act(warrant, "Putting the agent's keys in", self._put_files, root, "etc/zlh", files, 0o600)
            if self._settings.nameservers:
                lines = "".join(f"nameserver {address}\n" for address in self._settings.nameservers)
                resolver = {"resolv.conf": lines.encode()}
                await self._host.act(warrant, "Naming name servers", self._put_files, root, "etc", resolver, 0o644)

    async def ensure_started(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Start the guest, beside us and not below us; raise NetworkOpen, GuestFailed."""
        mark = await self._own(plan)
        if await asyncio.to_thread(self._groups.is_alive, plan.owner):
            return
        trouble = await self._network.find_trouble(self._pin(mark, plan.address), is_running=False)
        if trouble is not None:
            raise NetworkOpen(vmid=plan.vmid, reason=trouble)
        folder = self._folders.at(plan.vmid)
        async with hold(folder.path):
            await self._write_config(warrant, mark, plan.resources)
            await self._storage.mount(warrant, folder, mark)
            await self._clear_runtime(warrant, mark)
            await self._start(warrant, folder)

    async def ensure_stopped(self, plan: GuestPlan, warrant: Warrant, *, at_once: bool = False) -> None:
        """Stop the guest: as a machine is switched off, or as its plug is pulled."""
        state, mark = await asyncio.to_thread(self._look, plan)
        self._refuse_foreign(plan, state)
        if mark is not None:
            await self._stop(warrant, mark, at_once=at_once)

    async def ensure_destroyed(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Stop the guest and delete all of it: its name first, since what has none is no guest."""
        state, mark = await asyncio.to_thread(self._look, plan)
        self._refuse_foreign(plan, state)
        if mark is not None:
            await self._stop(warrant, mark, at_once=True)
            await self._host.act(warrant, "Deleting the guest", self._folders.bury, plan.vmid, plan.owner)
        await self._clear(warrant, plan)

    async def _stop(self, right: Right, mark: GuestMark, *, at_once: bool) -> None:
        folder = self._folders.at(mark.vmid)
        if await asyncio.to_thread(self._groups.is_alive, mark.owner):
            if not at_once:
                await self._ask_to_stop(right, mark)
            # What it says of a container that is just ending, or that has no watcher any more, is no matter.
            with suppress(GuestFailed):
                await self._host.run(right, "Stopping", "lxc-stop", *self._named(folder), "--kill")
            await self._end(right, mark.owner)
        async with hold(folder.path):
            if not await asyncio.to_thread(self._groups.is_alive, mark.owner):
                await self._storage.unmount(right, folder.path)
                await self._clear_runtime(right, mark)

    async def _ask_to_stop(self, right: Right, mark: GuestMark) -> None:
        """Ask until it has stopped or its time is up: a systemd that is not up yet hears nothing."""
        log.info("guest.stopping", vmid=mark.vmid, deadline_s=ORDERLY_STOP_S)
        ask = ("lxc-stop", *self._named(self._folders.at(mark.vmid)), "--nokill", f"--timeout={ASK_AGAIN_S}")
        deadline = time.monotonic() + ORDERLY_STOP_S
        while await asyncio.to_thread(self._groups.is_alive, mark.owner) and time.monotonic() < deadline:
            with suppress(GuestFailed):
                await self._host.run(right, "Stopping", *ask)
                return

    async def _end(self, right: Right, owner: OwnerMark) -> None:
        """Wait until nothing of a guest is left, and see to it where something stays."""
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                return await self._wait_ended(owner)
        await self._host.act(right, "Killing the guest", self._groups.kill, owner)
        try:
            async with asyncio.timeout(KILL_TIMEOUT_S):
                await self._wait_ended(owner)
        except TimeoutError as exc:
            raise GuestFailed(what="Stopping the guest", reason="processes of it do not end") from exc

    async def _wait_ended(self, owner: OwnerMark) -> None:
        while await asyncio.to_thread(self._groups.is_alive, owner):
            await asyncio.sleep(END_POLL_S)

    async def _start(self, right: Right, folder: GuestFolder) -> None:
        await self._host.act(right, "Beginning the guest's log", _begin_log, folder.log)
        try:
            await self._host.run(
                right, "Starting the guest", "lxc-start", *self._named(folder), "--logfile", str(folder.log),
                # Warnings come with each restart from inside, which a customer can go on with for ever.
                "--logpriority", "ERROR", timeout_s=START_TIMEOUT_S,
            )  # fmt: skip
        except GuestFailed as error:
            said = await asyncio.to_thread(_read_tail, folder.log)
            raise GuestFailed(what="Starting the guest", reason="LXC refuses it", output=said) from error

    def _named(self, folder: GuestFolder) -> tuple[str, ...]:
        return ("-P", str(folder.path.parent), "-n", folder.path.name)

    async def _clear_runtime(self, right: Right, mark: GuestMark) -> None:
        """Remove what the end of a guest or of its watcher may have left, so that it can start."""
        if await asyncio.to_thread(self._groups.exist, mark.owner):
            await self._host.act(right, "Removing the guest's control groups", self._groups.remove, mark.owner)
        await self._network.remove_interface(right, self._settings.veth(mark.vmid))

    async def _clear(self, right: Right, plan: GuestPlan) -> None:
        """Remove what is left of a guest that has no folder, or none any more."""
        if await asyncio.to_thread(self._groups.is_alive, plan.owner):
            # Started by somebody who had lost the right to, or in a folder that a hand took away.
            await self._end(right, plan.owner)
        if await asyncio.to_thread(self._groups.exist, plan.owner):
            await self._host.act(right, "Removing the guest's control groups", self._groups.remove, plan.owner)
        async with hold(self._settings.root):
            await self._network.unpin(right, self._settings.veth(plan.vmid))
        for _owner, place in await asyncio.to_thread(self._folders.leftovers, plan.owner):
            await self._storage.delete(right, place)
        # Mounts of a folder that a hand has deleted.
        await self._storage.unmount(right, self._folders.at(plan.vmid).path)

    async def _sweep(self, right: Right, owner: OwnerMark, place: Path) -> None:
        try:
            if await asyncio.to_thread(self._groups.is_alive, owner):
                await self._end(right, owner)
            await self._storage.delete(right, place)
        except GuestFailed as error:
            log.warning("guest.leftover_stays", where=str(place), reason=error.detail)

    async def _unmount_stopped(self, right: Right) -> None:
        for mark in await asyncio.to_thread(self._folders.marks):
            folder = self._folders.at(mark.vmid)
            with hold_if_free(folder.path) as is_free:
                if is_free and not await asyncio.to_thread(self._groups.is_alive, mark.owner):
                    with suppress(GuestFailed):
                        await self._storage.unmount(right, folder.path)

    async def _unpin_strangers(self, right: Right) -> None:
        """Forget pins that belong to no guest, so that none of a later one is thought to clash."""
        async with hold(self._settings.root):
            known = {pin.interface for pin in await asyncio.to_thread(self._all_pins)}
            listing = await self._network.look()
            for interface in sorted({pin.interface for pin in listing.pins} - known if listing else ()):
                await self._network.unpin(right, interface)

    async def _write_config(self, right: Right, mark: GuestMark, resources: Resources) -> None:
        text, folder = self._render_config(mark, resources), self._folders.at(mark.vmid)
        if await asyncio.to_thread(_read_bytes, folder.config) != text:
            await self._host.act(right, "Writing the guest's config", write_config, folder, text)

    async def _own(self, plan: GuestPlan) -> GuestMark:
        """Return the mark of a guest that is there and ours; raise GuestForeign, GuestFailed."""
        state, mark = await asyncio.to_thread(self._look, plan)
        self._refuse_foreign(plan, state)
        if mark is None:
            raise GuestFailed(what="The call", reason="there is no such guest")
        return mark

    def _look(self, plan: GuestPlan) -> tuple[Guest, GuestMark | None]:
        folder = self._folders.at(plan.vmid)
        mark = read_mark(folder)
        if mark is None and folder.path.exists():
            return Guest.FOREIGN, None
        if mark is None:
            is_left = self._folders.leftovers(plan.owner) or self._groups.is_alive(plan.owner)
            return (Guest.HALF_MADE if is_left else Guest.ABSENT), None
        if mark.owner != plan.owner:
            return Guest.FOREIGN, None
        return (Guest.RUNNING if self._groups.is_alive(mark.owner) else Guest.STOPPED), mark

    def _refuse_foreign(self, plan: GuestPlan, state: Guest) -> None:
        if state is Guest.FOREIGN:
            raise GuestForeign(vmid=plan.vmid, where=str(self._folders.at(plan.vmid).path))

    def _is_sized(self, mark: GuestMark, resources: Resources, is_running: bool) -> bool:
        folder, here = self._folders.at(mark.vmid), self._groups.controllers
        config = (_read_bytes(folder.config) or b"").decode("utf-8", "replace")
        if not self._storage.is_sized(folder, mark, resources.disk_mib) or not has_limits(config, resources, here):
            return False
        wanted = wanted_files(resources, here)
        return not is_running or not order_changes(wanted, self._groups.read(mark.owner, wanted))

    def _is_tidy(self, mark: GuestMark) -> bool:
        """Tell whether nothing is mounted for a guest that does not run, which would keep its disk in use."""
        return not find_mounts(self._folders.at(mark.vmid).path)

    def _render_config(self, mark: GuestMark, resources: Resources) -> bytes:
        return render_config(
            self._settings,
            self._folders.at(mark.vmid),
            mark,
            resources,
            here=self._groups.controllers,
            apparmor=self._apparmor,
            network_up=str(self._network_up),
        ).encode()

    @property
    def _network_up(self) -> Path:
        return self._settings.root / ".network-up"

    def _write_network_up(self) -> None:
        write_durably(self._network_up, render_network_up(self._settings).encode(), mode=0o700)

    def _put_files(self, root: Path, folder: str, files: dict[str, bytes], mode: int) -> None:
        put_files(root, folder, files, owner_id=self._settings.first_id, mode=mode)

    def _pin(self, mark: GuestMark, address: str | None = None) -> Pin:
        return Pin(self._settings.veth(mark.vmid), mac_of(mark.owner), address or mark.address)

    def _all_pins(self) -> Iterable[Pin]:
        return [self._pin(mark) for mark in self._folders.marks()]

    def _survey(self) -> list[FoundGuest]:
        found = []
        for vmid in self._folders.numbers():
            folder = self._folders.at(vmid)
            mark = read_mark(folder)
            if mark is None or mark.vmid != vmid:
                found.append(FoundGuest(vmid, None, Guest.FOREIGN, where=str(folder.path)))
                continue
            state = Guest.RUNNING if self._groups.is_alive(mark.owner) else Guest.STOPPED
            found.append(FoundGuest(vmid, mark.owner, state, str(folder.path), (mark.address,)))
        found += [FoundGuest(None, owner, Guest.HALF_MADE, str(place)) for owner, place in self._folders.leftovers()]
        return found + list(self._survey_others())

    def _judge(self, guest: FoundGuest, is_closed: Callable[[Pin], bool]) -> FoundGuest:
        """Return a guest of a survey with whether its network is closed, which matters while it runs."""
        if guest.state is not Guest.RUNNING or guest.owner is None or guest.vmid is None:
            return guest
        pin = Pin(self._settings.veth(guest.vmid), mac_of(guest.owner), guest.addresses[0])
        return dataclasses.replace(guest, is_closed=is_closed(pin))

    def _survey_others(self) -> Iterable[FoundGuest]:
        """Yield containers that somebody made by hand with addresses of our block."""
        for config in sorted(OTHERS.glob("*/config")) if OTHERS.is_dir() else ():
            addresses = find_addresses((_read_bytes(config) or b"").decode("utf-8", "replace"))
            ours = tuple(address for address in addresses if self._is_of_block(address))
            if ours:
                yield FoundGuest(None, None, Guest.FOREIGN, str(config.parent), ours)

    def _is_of_block(self, address: str) -> bool:
        try:
            return ipaddress.IPv4Address(address) in self._settings.block
        except ValueError:
            return False


def _begin_log(path: Path) -> None:
    path.unlink(missing_ok=True)


def _read_tail(path: Path) -> str:
    return (_read_bytes(path) or b"it has written no log")[-2000:].decode("utf-8", "replace")


def _read_bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
