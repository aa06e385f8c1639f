"""The `process` driver: a guest is a folder, and an agent that runs as our own user on a loopback address of its own.

It isolates nothing and says so; it exists so that the whole platform runs on a laptop without root. A guest is known
by the mark in its `guest.json`. Its processes are known by `ZLH_CONTAINER=<owner>` in their environment, which the
agent hands on to its shims and terminals, so that what was started just before a crash is found as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import structlog

from zlh_api.containers.model import Guest
from zlh_api.drivers.agent_config import AgentPlace, AgentSettings, render_agent_files
from zlh_api.drivers.nameless_folders import find_nameless, hold_if_free, make_beginning, make_grave
from zlh_api.drivers.port import (
    ORDERLY_STOP_S,
    FoundGuest,
    GuestFailed,
    GuestForeign,
    GuestPlan,
    GuestSeen,
    Identity,
    NodeSeen,
    Warrant,
)
from zlh_api.drivers.this_machine import look_at_machine
from zlh_api.marked_processes import SharedLook, ask_all, end_all, find_alive, find_marked, find_marks, is_marked
from zlh_common.durable_files import write_durably
from zlh_common.names import CONTAINER_MARK, OwnerMark, Vmid
from zlh_common.processes import ProcessIdentity, is_alive, read_identity
from zlh_common.schema.resources import Resources
from zlh_common.trees import delete_tree

log = structlog.get_logger()
# A warrant's `check`: called in the thread that acts, directly before each effect, since a thread cannot be cancelled.
Check = Callable[[], None]

STOP_GRACE_S = 5.0
STOP_POLL_S = 0.05
START_TIMEOUT_S = 15.0
START_POLL_S = 0.02
# A program that is being exchanged for another has neither words nor environment for a moment, so one look may miss it.
LOOKS_THAT_MISS = 5
# Starts its arguments as the leader of a session that has no parent to wait for it.
_DETACH = "import os, sys; os.fork() and os._exit(0); os.setsid(); os.execv(sys.argv[1], sys.argv[1:])"


@dataclass(frozen=True, slots=True)
class _Folders:
    base: Path

    @property
    def root(self) -> Path:
        return self.base / "root"

    @property
    def config(self) -> Path:
        return self.root / "etc/zlh"

    @property
    def runtime(self) -> Path:
        return self.root / "run/zlh"

    @property
    def log(self) -> Path:
        return self.root / "var/log/zlh-agent.log"


class ProcessDriver:
    """Guests as folders below `root`."""

    # There is no network rule and no limit that could drift.
    survey_tells_drift = True

    def __init__(self, *, root: Path, settings: AgentSettings, python: str = sys.executable) -> None:
        """`python` is the interpreter, with the agent's packages, that agents are started with."""
        self._root = root
        self._python = python
        self._settings = settings
        self._look = SharedLook(CONTAINER_MARK)
        # The agents that were seen last, so that a look at one that runs on is a look at one process.
        self._agents: dict[OwnerMark, ProcessIdentity] = {}

    @property
    def enforced_limits(self) -> frozenset[str]:
        """None: an ordinary user cannot limit what his processes use together."""
        return frozenset()

    async def close(self) -> None:
        """Keep nothing open."""

    async def prepare(self) -> None:
        """Delete what a crash has left of half-made and half-deleted folders."""
        await asyncio.to_thread(self._sweep)

    async def observe(self, plan: GuestPlan) -> GuestSeen:
        """Return what stands at this VMID; there is no network to close and no limit to set, and the portal says so."""
        state = await asyncio.to_thread(self._observe, plan.owner, plan.vmid)
        if state not in {None, Guest.ABSENT}:
            assert state is not None
            return GuestSeen(state)
        marks = await self._look.find_marks()
        if state is Guest.ABSENT:
            return GuestSeen(await asyncio.to_thread(self._find_remains, plan.owner, marks))
        state = await asyncio.to_thread(self._find_agent, plan.owner, marks)
        # Without its agent what it has supervised goes on.
        return GuestSeen(state, is_tidy=state is Guest.RUNNING or not marks.get(plan.owner))

    async def list_nodes(self, usual: Resources) -> list[NodeSeen]:
        """Return this machine."""
        return [await asyncio.to_thread(look_at_machine, self._root, usual)]

    async def survey(self) -> list[FoundGuest]:
        """Return every folder at a number, and whatever else lies among them."""
        return await asyncio.to_thread(self._survey)

    async def is_address_free(self, address: str) -> bool:
        """Tell whether nobody listens at the agent's port of this address."""
        return await asyncio.to_thread(_may_bind, address, self._settings.port)

    async def ensure_created(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Make the folder, marked from its first moment on; what an earlier one has left goes first."""
        if (await self.observe(plan)).state is Guest.HALF_MADE:
            await self.ensure_destroyed(plan, warrant)
        await asyncio.to_thread(self._create, plan, warrant.check)

    async def ensure_closed(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Do nothing: a guest of this driver is a process of ours, and has our network (ADR 5)."""

    async def ensure_sized(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Do nothing: an ordinary user cannot limit what his processes use together."""

    async def ensure_identity(self, plan: GuestPlan, identity: Identity, warrant: Warrant) -> None:
        """Write the agent's configuration and keys, readable for its user alone."""
        await asyncio.to_thread(self._put_identity, plan, identity, warrant.check)

    async def ensure_started(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Start the agent, detached from us, and return when it listens; raise GuestFailed where it ends first."""
        if (await self.observe(plan)).state is Guest.RUNNING:
            return
        assert plan.address is not None
        await asyncio.to_thread(self._spawn, plan, warrant.check)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._wait_listening(plan, plan.address)
        except TimeoutError as exc:
            raise GuestFailed(
                what="Starting the agent", reason=f"it does not listen after {START_TIMEOUT_S:.0f} s"
            ) from exc

    async def _wait_listening(self, plan: GuestPlan, address: str) -> None:
        """Return when the agent listens; raise GuestFailed where it has ended."""
        missed = 0
        while not await asyncio.to_thread(_listens, address, self._settings.port):
            missed = 0 if (await self.observe(plan)).state is Guest.RUNNING else missed + 1
            if missed == LOOKS_THAT_MISS:
                told = await asyncio.to_thread(self._log_tail, plan.vmid)
                raise GuestFailed(what="Starting the agent", reason=f"it ended: {told}")
            await asyncio.sleep(START_POLL_S)

    async def ensure_stopped(self, plan: GuestPlan, warrant: Warrant, *, at_once: bool = False) -> None:
        """End the agent, its shims, its terminals and what was started in them."""
        await self._stop(plan.owner, plan.vmid, at_once=at_once, check=warrant.check)

    async def _stop(self, owner: OwnerMark, vmid: Vmid, *, at_once: bool, check: Check) -> None:
        await asyncio.to_thread(self._refuse_foreign, owner, vmid)
        if not at_once:
            await _end_in_order(owner, check)
        left = await asyncio.to_thread(_end_marked, owner, check)
        if left:
            raise GuestFailed(what="Stopping the guest", reason=f"processes {left} do not end")
        await asyncio.to_thread(_empty, self._folders(vmid).runtime, check)

    async def ensure_destroyed(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Stop the guest and delete its folder, and whatever of it has none."""
        await self.ensure_stopped(plan, warrant, at_once=True)
        self._agents.pop(plan.owner, None)
        await asyncio.to_thread(self._delete, plan, warrant.check)

    async def ensure_all_stopped(self) -> None:
        """Stop every guest that is marked as ours."""
        marks = await asyncio.to_thread(self._all_marks)
        async with asyncio.TaskGroup() as group:
            for owner, vmid in marks:
                group.create_task(self._stop(owner, vmid, at_once=False, check=_always))

    def _folders(self, vmid: Vmid) -> _Folders:
        return _Folders(self._root / str(vmid))

    def _read_mark(self, vmid: Vmid) -> OwnerMark | None:
        try:
            document: Any = msgspec.json.decode((self._folders(vmid).base / "guest.json").read_bytes())
            return OwnerMark(document["owner"])
        except (OSError, msgspec.DecodeError, KeyError, TypeError):
            return None

    def _observe(self, owner: OwnerMark, vmid: Vmid) -> Guest | None:
        """Return what stands there, None where all processes must be looked at to tell."""
        if not self._folders(vmid).base.exists():
            return Guest.ABSENT
        if self._read_mark(vmid) != owner:
            return Guest.FOREIGN
        agent = self._agents.get(owner)
        is_there = agent is not None and is_marked(agent.pid, CONTAINER_MARK, owner) and is_alive(agent)
        return Guest.RUNNING if is_there else None

    def _find_agent(self, owner: OwnerMark, marks: Mapping[str, list[int]]) -> Guest:
        """Tell whether an agent is among the marked processes, and keep which one."""
        self._agents.pop(owner, None)
        for pid in marks.get(owner, []):
            # What runs under this number now was perhaps started since.
            identity = read_identity(pid)
            if identity is not None and is_marked(pid, CONTAINER_MARK, owner) and _is_agent(pid):
                self._agents[owner] = identity
                return Guest.RUNNING
        return Guest.STOPPED

    def _find_remains(self, owner: OwnerMark, marks: Mapping[str, list[int]]) -> Guest:
        """Tell whether anything is left of a guest that has no folder: processes, or a folder without its name."""
        is_left = marks.get(owner) or find_nameless(self._root, owner)
        return Guest.HALF_MADE if is_left else Guest.ABSENT

    def _refuse_foreign(self, owner: OwnerMark, vmid: Vmid) -> None:
        base = self._folders(vmid).base
        if base.exists() and self._read_mark(vmid) != owner:
            raise GuestForeign(vmid=vmid, where=str(base))

    def _create(self, plan: GuestPlan, check: Check) -> None:
        self._refuse_foreign(plan.owner, plan.vmid)
        folders = self._folders(plan.vmid)
        if folders.base.exists():
            return
        check()
        try:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            staging = make_beginning(self._root, plan.owner)
            # Against another process of ours that starts now and sweeps.
            with hold_if_free(staging):
                try:
                    _fill(staging, plan)
                    check()
                    staging.rename(folders.base)
                except BaseException:
                    with contextlib.suppress(OSError):
                        delete_tree(staging)
                    raise
        except OSError as exc:
            raise GuestFailed(what="Making the guest's folder", reason=str(exc)) from exc

    def _put_identity(self, plan: GuestPlan, identity: Identity, check: Check) -> None:
        self._refuse_foreign(plan.owner, plan.vmid)
        folders, address = self._folders(plan.vmid), plan.address
        assert address is not None
        place = AgentPlace(
            vmid=plan.vmid,
            owner=plan.owner,
            root=folders.root,
            bind_address=address,
            terminal_environment={"HOST": address, CONTAINER_MARK: plan.owner},
        )
        try:
            for name, content in render_agent_files(self._settings, place, identity).items():
                check()
                # A folder that a hand takes away now must not come back without its mark, as a stranger's.
                write_durably(folders.config / name, content, is_folder_there=True)
        except OSError as exc:
            raise GuestFailed(what="Putting the agent's keys in", reason=str(exc)) from exc

    def _spawn(self, plan: GuestPlan, check: Check) -> None:
        self._refuse_foreign(plan.owner, plan.vmid)
        folders = self._folders(plan.vmid)
        agent = [self._python, "-m", "zlh_agent", "--config", str(folders.config / "agent.toml")]
        environment = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL") if key in os.environ}
        try:
            with folders.log.open("ab") as output:
                check()
                subprocess.run(
                    [sys.executable, "-I", "-S", "-c", _DETACH, *agent],
                    env={**environment, CONTAINER_MARK: plan.owner},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    check=True,
                    timeout=START_TIMEOUT_S,
                )
        except (OSError, subprocess.SubprocessError) as exc:
            raise GuestFailed(what="Starting the agent", reason=str(exc)) from exc

    def _log_tail(self, vmid: Vmid) -> str:
        try:
            return self._folders(vmid).log.read_bytes()[-600:].decode("utf-8", "replace").strip()
        except OSError:
            return "it has written no log"

    def _delete(self, plan: GuestPlan, check: Check) -> None:
        base = self._folders(plan.vmid).base
        try:
            # The name goes first; what a crash leaves of the tree is found by its owner.
            if base.exists():
                check()
                base.rename(make_grave(self._root, plan.owner))
            for _owner, place in find_nameless(self._root, plan.owner):
                check()
                delete_tree(place)
        except OSError as exc:
            raise GuestFailed(what="Deleting the guest's folder", reason=str(exc)) from exc

    def _sweep(self) -> None:
        for entry in self._root.glob(".*-*") if self._root.is_dir() else ():
            with hold_if_free(entry) as is_free:
                try:
                    # One that is held is being made right now, by another process of ours.
                    if is_free:
                        delete_tree(entry)
                except OSError as exc:
                    log.warning("guest.leftover_stays", reason=str(exc))

    def _all_marks(self) -> list[tuple[OwnerMark, Vmid]]:
        return [(mark, vmid) for vmid in self._all_vmids() if (mark := self._read_mark(vmid)) is not None]

    def _all_vmids(self) -> list[Vmid]:
        if not self._root.is_dir():
            return []
        return [Vmid(int(entry.name)) for entry in self._root.iterdir() if _is_number(entry.name)]

    def _strangers(self) -> list[Path]:
        """What lies beside the guests, but for what is half-made or half-deleted."""
        if not self._root.is_dir():
            return []
        entries = (entry for entry in self._root.iterdir() if not entry.name.startswith("."))
        return [entry for entry in entries if not _is_number(entry.name)]

    def _survey(self) -> list[FoundGuest]:
        marks = find_marks(CONTAINER_MARK)
        running = {mark for mark, processes in marks.items() if any(map(_is_agent, processes))}
        found = []
        for vmid in self._all_vmids():
            owner = self._read_mark(vmid)
            state = Guest.FOREIGN if owner is None else Guest.RUNNING if owner in running else Guest.STOPPED
            found.append(FoundGuest(vmid, owner, state, where=str(self._folders(vmid).base), is_closed=True))
        found += [FoundGuest(None, None, Guest.FOREIGN, where=str(path)) for path in self._strangers()]
        found += [FoundGuest(None, owner, Guest.HALF_MADE, str(path)) for owner, path in find_nameless(self._root)]
        return found + self._survey_homeless(marks, {guest.owner for guest in found})

    def _survey_homeless(
        self, marks: Mapping[str, list[int]], housed: AbstractSet[OwnerMark | None]
    ) -> list[FoundGuest]:
        """Return agents that run and whose folder a hand has taken away; those of other installations are not ours."""
        place = os.fsencode(self._root) + b"/"
        found = []
        for mark in sorted(marks.keys() - housed):
            agents = [pid for pid in marks[mark] if any(word.startswith(place) for word in _read_argv(pid))]
            if agents:
                where = f"process {agents[0]} of {self._root}"
                found.append(FoundGuest(None, OwnerMark(mark), Guest.HALF_MADE, where))
        return found


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and not name.startswith("0")


def _is_agent(pid: int) -> bool:
    """Tell an agent from the shims and shells that carry the same mark."""
    argv = _read_argv(pid)
    return b"zlh_agent" in argv and b"--config" in argv


def _is_shim(pid: int) -> bool:
    return any(word.startswith(b"zlh-shim:") for word in _read_argv(pid))


def _read_argv(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _always() -> None:
    """Allow every effect: who stops the whole host asks nobody."""


def _fill(staging: Path, plan: GuestPlan) -> None:
    """Make what a guest's folder holds; the mark is inside before the folder has its name, so none is nobody's."""
    mark = {"owner": plan.owner, "vmid": plan.vmid, "kind": plan.kind}
    (staging / "guest.json").write_bytes(msgspec.json.encode(mark))
    for folder in ("etc/zlh", "var/lib/zlh", "var/log", "run/zlh", "opt/zlh/runtimes", "home/dev/workspace"):
        (staging / "root" / folder).mkdir(parents=True, mode=0o700)


async def _end_in_order(owner: OwnerMark, check: Check) -> None:
    """End the agent, which would start again what ends, then its shims: each takes its program down as that wants."""
    for is_meant, patience_s in ((_is_agent, STOP_GRACE_S), (_is_shim, ORDERLY_STOP_S)):
        asked = await asyncio.to_thread(_ask_marked, owner, is_meant, check)
        # No thread waits: there are a few for all of the API, sign-ins included, and a program may take its time.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while asked := await asyncio.to_thread(find_alive, asked):
                    await asyncio.sleep(STOP_POLL_S)


def _ask_marked(owner: OwnerMark, is_meant: Callable[[int], bool], check: Check) -> list[ProcessIdentity]:
    meant = [process for process in find_marked(CONTAINER_MARK, owner) if is_meant(process.pid)]
    check()
    return ask_all(meant)


def _empty(folder: Path, check: Check) -> None:
    """Empty the runtime folder, as each start of a real container does."""
    if not folder.parent.is_dir():
        return
    check()
    try:
        delete_tree(folder)
        folder.mkdir(mode=0o700)
    except OSError as exc:
        raise GuestFailed(what="Emptying the guest's runtime folder", reason=str(exc)) from exc


def _end_marked(owner: OwnerMark, check: Check) -> list[int]:
    """End every process with this mark, agent first; return the pids of what is left."""
    left = []
    # What a dying process starts in its last moment is caught by looking again.
    for _round in range(3):
        marked = find_marked(CONTAINER_MARK, owner)
        if not marked:
            return []
        check()
        marked.sort(key=lambda process: not _is_agent(process.pid))
        left = end_all(marked, grace_s=STOP_GRACE_S)
    return [process.pid for process in left]


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def _may_bind(address: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError as exc:
            if exc.errno in {errno.EADDRINUSE, errno.EADDRNOTAVAIL}:
                return False
            raise
    return True
