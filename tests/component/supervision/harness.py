"""Real processes under real shims, kept by services that are agents' lives."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fakes.clock import ScaledClock
from zlh_agent.journal.model import Occurrence
from zlh_agent.shim.host import ShimHost
from zlh_agent.shim.launch import ForkedShims, ShimStarter
from zlh_agent.shim.model import Launch
from zlh_agent.supervision.process import ProcessPlace
from zlh_agent.supervision.service import ProcessService
from zlh_agent.supervision.store import ensure_boot_mark
from zlh_common.schema.process import ProcessReason, WantedProcess
from zlh_common.schema.status import ProcessStatus

PATIENCE_S = 20.0


@dataclass
class Keeper:
    """A place for processes; each `start` is one life of an agent."""

    folder: Path
    clock: ScaledClock = field(default_factory=ScaledClock)
    services: list[ProcessService] = field(default_factory=list)
    launch: Callable[[WantedProcess], Launch] = field(default_factory=lambda: launch)
    starter: ShimStarter = field(default_factory=ForkedShims)
    record: Callable[[Sequence[Occurrence]], None] = lambda _occurrences: None
    on_output: Callable[[str], None] = lambda _name: None
    hold: Callable[[str], ProcessReason | None] = lambda _name: None
    # Else below `folder`.
    state_folder: Path | None = None

    async def start(self, *wanted: WantedProcess) -> ProcessService:
        state = self.state_folder or self.folder / "state"
        host = ShimHost(state, self.folder / "run", self.starter, ring_bytes=1 << 20, end_grace_s=0.5)
        place = ProcessPlace(
            host=host,
            launch=self.launch,
            clock=self.clock,
            boot_mark=await asyncio.to_thread(ensure_boot_mark, self.folder / "run"),
            address="127.0.0.1",
            on_change=lambda: None,
            record=self.record,
            on_output=self._told_output,
            hold=self._find_hold,
        )
        service = ProcessService(place)
        self.services.append(service)
        await service.apply(wanted)
        return service

    def _told_output(self, name: str) -> None:
        # Who wants to hear it may be made after the service.
        self.on_output(name)

    def _find_hold(self, name: str) -> ProcessReason | None:
        return self.hold(name)

    async def clear(self) -> None:
        """End every process, as an agent does that finds none in its spec."""
        for service in self.services:
            await service.detach()
        final = await self.start()
        while final._removing:
            await next(iter(final._removing.values()))
        await final.detach()


def launch(wanted: WantedProcess) -> Launch:
    return Launch(
        argv=wanted.argv, env={"PATH": os.environ["PATH"], **wanted.environment}, cwd=f"/{wanted.folder or ''}"
    )


def shell(command: str, **changes: object) -> WantedProcess:
    """A process that is a line of sh."""
    return WantedProcess(**{"name": "web", "argv": ("/bin/sh", "-c", command), **changes})  # type: ignore[arg-type]


async def wait_status(
    service: ProcessService, is_so: Callable[[ProcessStatus], bool], *, patience_s: float = PATIENCE_S
) -> ProcessStatus:
    """Return the status of the only process once it is so."""
    status = service.statuses()[0]
    try:
        async with asyncio.timeout(patience_s):
            while not is_so(status := service.statuses()[0]):
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"still {status}") from None
    return status
