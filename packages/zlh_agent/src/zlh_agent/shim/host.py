"""All shims of one kind: started, found again after the agent was away, ended, and cleared up after.

    <state folder>/<name>/ring, exit, shim.log      kept while somebody wants the history
    <socket folder>/<name>.sock, <name>.run         there while the shim lives

The socket folder is the only register of live shims: whatever listens there and proves to be ours is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Coroutine
from pathlib import Path

import structlog

from zlh_agent.shim import leftovers, spare
from zlh_agent.shim.config import Config
from zlh_agent.shim.errors import LaunchFailed, ShimLost
from zlh_agent.shim.launch import ShimStarter
from zlh_agent.shim.link import CONNECT_TIMEOUT_S, ShimLink, ShimListener
from zlh_agent.shim.model import Snapshot
from zlh_agent.shim.records import ExitRecord, remove_history
from zlh_agent.shim.ring import DEFAULT_CAPACITY_BYTES, file_bytes
from zlh_common.processes import ProcessIdentity

log = structlog.get_logger()
_CONNECT_RETRY_S = 0.05
_START_TRIES = 5
# How long one that was killed may take to go; then the kernel holds it.
GONE_TIMEOUT_S = 5.0
DYING_TIMEOUT_S = 2.0
_LOOK_S = 0.02
# How long the history of what does not run is kept, and how often old ones are looked for.
DEFAULT_HISTORY_S = 30 * 86_400.0
HISTORY_LOOK_S = 3600.0


class ShimHost:
    """Where the shims of one kind live. `close` leaves them all running."""

    def __init__(
        self,
        state_folder: Path,
        socket_folder: Path,
        starter: ShimStarter,
        *,
        ring_bytes: int = DEFAULT_CAPACITY_BYTES,
        end_grace_s: float = 3.0,
        has_spare: bool = False,
    ) -> None:
        """With a spare there is room for one more history, also on a disk that is full."""
        self._state_folder = state_folder
        self._socket_folder = socket_folder
        self._starter = starter
        self._ring_bytes = ring_bytes
        # How long what a dead shim has left may take to end before it is killed.
        self._end_grace_s = end_grace_s
        self._has_spare = has_spare
        # The clearing up after dead shims, which nobody waits for.
        self._beside: set[asyncio.Task[None]] = set()

    def folder(self, name: str) -> Path:
        """Return where the history of this name lies."""
        return self._state_folder / name

    async def find(self) -> dict[str, bool]:
        """Return all names that a former agent has left, and whether each has a socket."""
        found = await asyncio.to_thread(leftovers.find_names, self._state_folder, self._socket_folder)
        if self._has_spare:
            await asyncio.to_thread(spare.ensure_spare, self._state_folder, file_bytes(self._ring_bytes))
        return found

    async def connect(self, name: str, listener: ShimListener) -> ShimLink:
        """Connect to a shim that runs already; raise ShimLost where there is none."""
        return await ShimLink.connect(self._socket_folder, name, listener)

    async def start(self, name: str, listener: ShimListener) -> ShimLink:
        """Start a shim and connect to it; raise LaunchFailed or ShimLost."""
        try:
            await asyncio.to_thread(self.folder(name).mkdir, mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise LaunchFailed(step="folder of the history", reason=exc.strerror or str(exc)) from exc
        config = Config(
            name=name,
            socket_folder=str(self._socket_folder),
            state_folder=str(self.folder(name)),
            capacity=self._ring_bytes,
            is_unit=self._starter.makes_units,
        )
        try:
            return await self._start(config, name, listener)
        except LaunchFailed as error:
            ring, is_full = self.folder(name) / "ring", os.strerror(errno.ENOSPC) in error.detail
            if not (is_full and self._has_spare) or not await asyncio.to_thread(
                spare.take_spare, self._state_folder, ring
            ):
                raise
        return await self._start(config, name, listener)

    async def _start(self, config: Config, name: str, listener: ShimListener) -> ShimLink:
        # One that is there already was started by an agent that died over it, or is about to go: then it is done again.
        for _ in range(_START_TRIES - 1):
            await self._starter.start(config)
            with contextlib.suppress(ShimLost):
                return await self._connect_fresh(name, listener)
        await self._starter.start(config)
        return await self._connect_fresh(name, listener)

    async def _connect_fresh(self, name: str, listener: ShimListener) -> ShimLink:
        """Connect to a shim that was just started, which may take its time to listen."""
        due = asyncio.get_running_loop().time() + CONNECT_TIMEOUT_S / _START_TRIES
        while True:
            try:
                return await self.connect(name, listener)
            except ShimLost:
                if asyncio.get_running_loop().time() >= due:
                    raise
            await asyncio.sleep(_CONNECT_RETRY_S)

    async def end(self, name: str, link: ShimLink, *, forget: bool, grace_s: float) -> None:
        """Have a shim end its child, everything of it, and itself; where it does not, do it from outside."""
        child = child_of(link.snapshot)
        link.end(forget=forget and not self._has_spare, grace_s=grace_s)
        if not await link.wait_ended(timeout_s=grace_s + CONNECT_TIMEOUT_S):
            log.error("shim.stuck", name=name)
            await self.kill(name, link.shim, child)
        if forget and self._has_spare:
            await asyncio.to_thread(spare.put_back, self._state_folder, self.folder(name) / "ring")
            await self.forget_output(name)

    async def kill(self, name: str, shim: ProcessIdentity, child: ProcessIdentity | None) -> None:
        """Kill a shim that does not answer, with everything of its child."""
        await asyncio.to_thread(leftovers.kill_stuck, shim, child)
        await asyncio.to_thread(leftovers.remove_socket, self._socket_folder, name)

    async def clear_dead(self, name: str, child: ProcessIdentity | None) -> None:
        """Remove what a dead shim has left, its child first: asked to end, and killed where it does not.

        Nobody may start a shim of this name meanwhile: two children would run at once. The record goes last, so that
        an agent which follows on one that died over this ends the child all the same.
        """
        if child is None:
            await self._wait_dead(name)
        left = await asyncio.to_thread(leftovers.hang_up, self._socket_folder, name, child)
        kill_at = asyncio.get_running_loop().time() + self._end_grace_s
        while left := await asyncio.to_thread(leftovers.find_living, left):
            now = asyncio.get_running_loop().time()
            if now >= kill_at + GONE_TIMEOUT_S:
                log.error("shim.leftovers_stay", name=name, pids=[identity.pid for identity in left])
                break
            if now >= kill_at:
                await asyncio.to_thread(leftovers.kill, left)
            await asyncio.sleep(_LOOK_S)
        await asyncio.to_thread(leftovers.remove_dead_socket, self._socket_folder, name)

    async def _wait_dead(self, name: str) -> None:
        """Wait for a shim that does not answer since it is just dying: its record is believed only after its death."""
        due = asyncio.get_running_loop().time() + DYING_TIMEOUT_S
        while await asyncio.to_thread(leftovers.is_held, self._socket_folder, name):
            if asyncio.get_running_loop().time() >= due:
                return
            await asyncio.sleep(_LOOK_S)

    def run_beside(self, work: Coroutine[None, None, None]) -> None:
        """Do something that nobody waits for; `close` calls it off."""
        task = asyncio.get_running_loop().create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def take_history(self, name: str) -> tuple[bool, ExitRecord | None]:
        """Return whether there is a history, and how the last child ended; a folder without one is removed."""
        return await asyncio.to_thread(leftovers.take_history, self.folder(name))

    async def is_old(self, name: str, age_s: float) -> bool:
        """Tell whether nothing was printed into the history of this name for so long."""
        return await asyncio.to_thread(leftovers.is_old, self.folder(name), age_s)

    async def forget_output(self, name: str) -> None:
        """Remove the history of a name that has no shim now, and leave what else is in its folder."""
        with contextlib.suppress(OSError):
            await asyncio.to_thread(leftovers.remove_output, self.folder(name))

    async def forget(self, name: str) -> None:
        """Remove the history of a name whose shim has ended."""
        await asyncio.to_thread(remove_history, self.folder(name))

    def close(self) -> None:
        """Call off what runs beside; may be called twice."""
        for task in self._beside:
            task.cancel()


def child_of(snapshot: Snapshot | None) -> ProcessIdentity | None:
    """Return the child that a shim says it holds."""
    if snapshot is None or snapshot.child_pid is None or snapshot.child_start_ticks is None:
        return None
    return ProcessIdentity(snapshot.child_pid, snapshot.child_start_ticks, snapshot.boot_id)
