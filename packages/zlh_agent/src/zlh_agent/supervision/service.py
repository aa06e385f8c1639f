"""All supervised processes of the container: one loop for each, made and unmade as the spec says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from zlh_agent.console.console import Console
from zlh_agent.console.history import NO_HISTORY, read_history
from zlh_agent.console.viewer import CLOSED, Viewer
from zlh_agent.metrics.model import Target
from zlh_agent.shim.host import HISTORY_LOOK_S
from zlh_agent.shim.ring import RingInvalid
from zlh_agent.supervision.errors import ProcessNotFound
from zlh_agent.supervision.model import GiveUpAsked, KillAsked, Phase, RestartAsked, RetryAsked
from zlh_agent.supervision.process import ProcessPlace, SupervisedProcess
from zlh_agent.supervision.runs import Runs
from zlh_common.processes import ProcessIdentity
from zlh_common.schema.process import NothingToRetry, ProcessNotRunning, ProcessSwitchedOff, WantedProcess
from zlh_common.schema.status import ProcessStatus
from zlh_common.schema.terminal import ConsoleHistory

log = structlog.get_logger()


@dataclass(slots=True)
class _Kept:
    process: SupervisedProcess
    loop: asyncio.Task[None]


class ProcessService:
    """`apply` what is wanted, once after the start and whenever it changes; `detach` when the agent goes."""

    def __init__(self, place: ProcessPlace) -> None:
        self._place = place
        # What was said last, in the order of the spec.
        self._wanted: dict[str, WantedProcess] = {}
        self._kept: dict[str, _Kept] = {}
        self._removing: dict[str, asyncio.Task[None]] = {}

    async def apply(self, wanted: Sequence[WantedProcess]) -> None:
        """Keep these processes and no others: what is not wanted any more is stopped, and its history removed.

        A name that is wanted again waits until nothing of its former holder is left, and holds up no other meanwhile.
        """
        self._wanted = {one.name: one for one in wanted}
        for name in await self._place.host.find():
            if name not in self._wanted and name not in self._kept and name not in self._removing:
                # Left by a former agent, and not in the spec any more.
                await self._keep(WantedProcess(name=name, argv=("true",), power="off"))
        for name in [name for name in self._kept if name not in self._wanted]:
            self._remove(name)
        async with asyncio.TaskGroup() as group:
            for one in wanted:
                if one.name not in self._removing:
                    group.create_task(self._ensure(one))
        self._place.on_change()

    async def _ensure(self, wanted: WantedProcess) -> None:
        kept = self._kept.get(wanted.name)
        if kept is None:
            await self._keep(wanted)
        elif kept.process.wanted != wanted:
            kept.process.change(wanted)

    async def _keep(self, wanted: WantedProcess) -> None:
        process = SupervisedProcess(wanted, self._place)
        try:
            await process.recover()
        except BaseException:
            # Called off, as the agent goes: what it has connected to goes on.
            process.leave()
            raise
        self._kept[wanted.name] = _Kept(process, asyncio.create_task(process.run()))

    def _remove(self, name: str) -> None:
        self._removing[name] = asyncio.create_task(self._remove_when_down(name, self._kept.pop(name)))

    async def _remove_when_down(self, name: str, kept: _Kept) -> None:
        try:
            await self._end(name, kept)
            if name in self._wanted:
                await self._keep(self._wanted[name])
        finally:
            del self._removing[name]
        # It may have been wanted otherwise meanwhile, or not any more.
        if name in self._wanted:
            await self._ensure(self._wanted[name])
        elif name in self._kept:
            self._remove(name)
        self._place.on_change()

    async def _end(self, name: str, kept: _Kept) -> None:
        await kept.process.stop_for_good()
        kept.loop.cancel()
        await asyncio.gather(kept.loop, return_exceptions=True)
        kept.process.console.dismiss(CLOSED)
        kept.process.leave()
        await self._place.host.forget(name)
        log.info("process.removed", process=name)

    async def forget_old_for_ever(self) -> None:
        """Remove the histories that nobody needs any more; run until cancelled."""
        while True:
            for kept in list(self._kept.values()):
                await kept.process.forget_old()
            await asyncio.sleep(HISTORY_LOOK_S)

    async def wait_down(self, name: str) -> None:
        """Return once a process that was switched off is down; at once where there is no such process."""
        kept = self._kept.get(name)
        if kept is not None:
            await kept.process.wait_down()

    def is_coming_up(self, name: str) -> bool:
        """Tell whether a process is being started: it is past all waiting, and neither ready nor late."""
        kept = self._kept.get(name)
        return kept is not None and kept.process.is_coming_up()

    async def wait_settled(self, name: str) -> None:
        """Return once a process is not being started; at once where there is no such process."""
        kept = self._kept.get(name)
        if kept is not None:
            await kept.process.wait_settled()

    def look_again(self, name: str) -> None:
        """Ask anew whether a process may start, where its start waits for that."""
        kept = self._kept.get(name)
        if kept is not None:
            kept.process.look_again()

    # What people ask

    def restart(self, name: str) -> None:
        """Stop it in order and start it again; raise ProcessNotFound or ProcessSwitchedOff."""
        self._switched_on(name).tell(RestartAsked())

    def kill(self, name: str) -> None:
        """End it now; raise ProcessNotFound or ProcessNotRunning."""
        process = self._find(name)
        if process.state.child is None:
            raise ProcessNotRunning(name)
        process.tell(KillAsked())

    def retry(self, name: str) -> None:
        """Start it now instead of later; raise ProcessNotFound, ProcessSwitchedOff or NothingToRetry."""
        process = self._switched_on(name)
        if process.state.phase not in {Phase.BACKOFF, Phase.ERROR, Phase.STOPPED}:
            raise NothingToRetry(name)
        process.tell(RetryAsked())

    def give_up(self, name: str) -> None:
        """Do not try again; raise ProcessNotFound or NothingToRetry."""
        process = self._find(name)
        if process.state.phase is not Phase.BACKOFF:
            raise NothingToRetry(name)
        process.tell(GiveUpAsked())

    def view(self, name: str, asked: int | None, *, may_write: bool) -> Viewer:
        """Return a viewer of its console from the offset `asked`; the caller closes it."""
        return self._find(name).view(asked, may_write=may_write)

    async def history(self, name: str, *, start: int | None, limit: int, needle: bytes = b"") -> ConsoleHistory:
        """Return a stretch of its output, whether it runs or not; see `read_history`. Raises ProcessNotFound."""
        path = self._find(name).console.folder / "ring"
        try:
            return await asyncio.to_thread(read_history, path, start, limit, needle)
        except (FileNotFoundError, RingInvalid):
            # Not run yet, or at this moment for the first time.
            return NO_HISTORY

    def statuses(self) -> tuple[ProcessStatus, ...]:
        """Return what the agent reports of its processes, in the order of the spec."""
        return tuple(self._kept[name].process.status() for name in self._wanted if name in self._kept)

    def wanted(self, name: str) -> WantedProcess | None:
        """Return what was said last of a process, or None."""
        return self._wanted.get(name)

    def is_outdated(self, name: str) -> bool:
        """Tell whether a process was last started from another command than is wanted now, whether it runs or not."""
        kept = self._kept.get(name)
        return kept is not None and kept.process.is_outdated()

    def console_of(self, name: str) -> Console | None:
        """Return what is seen of a process, to read its output; None where there is no such process."""
        kept = self._kept.get(name)
        return None if kept is None else kept.process.console

    def runs_of(self, name: str) -> Runs:
        """Return where the output of its newest runs begins."""
        kept = self._kept.get(name)
        return Runs() if kept is None else kept.process.runs

    def is_ready(self, name: str) -> bool:
        """Tell whether a process runs and has answered its probe."""
        kept = self._kept.get(name)
        return kept is not None and kept.process.state.is_ready

    async def type_into(self, name: str, data: bytes) -> bool:
        """Type into its console on nobody's behalf; return whether it was taken."""
        kept = self._kept.get(name)
        return kept is not None and await kept.process.console.type(data)

    def targets(self) -> list[Target]:
        """Return what metrics are read of."""
        found = (kept.process.target() for kept in self._kept.values())
        return [target for target in found if target is not None]

    def shims(self) -> list[ProcessIdentity]:
        """Return the shims that are held, whether a program runs in them or not."""
        return [shim for kept in self._kept.values() if (shim := kept.process.shim) is not None]

    def names(self) -> list[str]:
        """Return every process, running or not."""
        return list(self._kept)

    def _find(self, name: str) -> SupervisedProcess:
        kept = self._kept.get(name)
        if kept is None:
            raise ProcessNotFound(name)
        return kept.process

    def _switched_on(self, name: str) -> SupervisedProcess:
        process = self._find(name)
        if process.wanted.power == "off":
            raise ProcessSwitchedOff(name)
        return process

    async def detach(self) -> None:
        """Let go of everything, for the agent goes; processes and their shims go on. May be called twice."""
        loops = [kept.loop for kept in self._kept.values()] + list(self._removing.values())
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        self._place.host.close()
        for kept in self._kept.values():
            kept.process.leave()
