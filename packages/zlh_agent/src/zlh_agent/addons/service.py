"""Joins what is installed of addons, the processes that they are, and what is told of both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import structlog

from zlh_agent.addons import code_server
from zlh_agent.addons.last_use import fetch_last_use
from zlh_agent.addons.rules import Renewal, decide_renewal, tell_addon, with_last_use
from zlh_agent.paths import ContainerPaths
from zlh_agent.runtimes.service import RuntimeService
from zlh_agent.shim.model import Launch
from zlh_agent.supervision.service import ProcessService
from zlh_common.addons import HEALTH_PATH
from zlh_common.clock import Clock
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.spec import AgentSpec, WantedRuntime
from zlh_common.schema.status import AddonStatus, InstalledRuntime, ProcessStatus, Step

log = structlog.get_logger()
# How often a report asks anew when an addon was used last, at most. Nothing asks but a report.
LAST_USE_S = 60.0


class AddonService:
    """Knows which process each addon is. `steps_of` and `supervised` are set before it is asked anything."""

    def __init__(self, paths: ContainerPaths, runtimes: RuntimeService, clock: Clock, *, address: str) -> None:
        # What the agent's loop tells of the steps of one name, and what keeps the processes.
        self.steps_of: Callable[[str], Sequence[Step]] = lambda _name: ()
        self.supervised: ProcessService | None = None
        self._paths = paths
        self._runtimes = runtimes
        self._clock = clock
        self._address = address
        self._wanted: dict[str, WantedRuntime] = {}
        # With what each that had failed was tried at once.
        self._tried: dict[str, WantedProcess] = {}
        self._last_use: datetime | None = None
        self._asked_at: float | None = None
        self._asking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Ask nothing any more; may be called twice."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    # Their processes

    def take(self, spec: AgentSpec) -> tuple[WantedProcess, ...]:
        """Take note of the addons that a spec wants, and return the processes of those that are installed.

        Until another version has been switched to, one is the process of the version before it.
        """
        self._wanted = {addon.name: addon for addon in spec.addons if addon.default}
        self._tried = {name: wanted for name, wanted in self._tried.items() if name in self._wanted}
        record = self._runtimes.addons_in_use().get(code_server.NAME)
        if record is None or code_server.NAME not in self._wanted:
            return ()
        return (
            code_server.code_server(
                self._paths.services / code_server.NAME,
                version=record.version,
                attempt=record.attempt,
                address=self._address,
                origins=spec.origins,
            ),
        )

    def launch(self, wanted: WantedProcess, program: Callable[[WantedProcess], Launch]) -> Launch:
        """Return what a process is started as: as `program` says, and an addon with nothing that it would obey."""
        launch = program(wanted)
        if wanted.name != code_server.NAME or code_server.MARK not in wanted.environment:
            return launch
        return launch.replace(env=code_server.clean_environment(launch.env))

    def renew(self) -> None:
        """Bring what runs from another version than it should, or believes other hosts, to what is wanted now.

        To be called whenever a process has changed: it is what runs that is compared, so one that a former agent has
        left undone is done as well, and nothing is done twice.
        """
        if self.supervised is None:
            return
        for status in self.supervised.statuses():
            name = status.name
            wanted = self.supervised.wanted(name)
            if name not in self._wanted or wanted is None:
                continue
            match decide_renewal(
                status.state,
                is_outdated=self.supervised.is_outdated(name),
                was_tried=self._tried.get(name) == wanted,
            ):
                case Renewal.RESTART:
                    log.info("addon.renewed", name=name)
                    self.supervised.restart(name)
                case Renewal.RETRY:
                    self._tried[name] = wanted
                    self.supervised.retry(name)
                case None:
                    pass

    # What is told

    def customers_own(self) -> tuple[ProcessStatus, ...]:
        """Return what is told of processes: those of addons are told as addons."""
        assert self.supervised is not None
        return tuple(status for status in self.supervised.statuses() if status.name not in self._wanted)

    def report(self) -> tuple[AddonStatus, ...]:
        """Return what the status says: those that are wanted, then those of which something is still there."""
        versions: dict[str, list[InstalledRuntime]] = {}
        for entry in self._runtimes.report("addon"):
            versions.setdefault(entry.name, []).append(entry)
        kept = self._processes_by_name()
        names = dict.fromkeys((*self._wanted, *versions))
        told = tuple(self._tell(name, versions.get(name, ()), kept.get(name)) for name in names)
        self._ask_soon(told)
        return told

    def _processes_by_name(self) -> Mapping[str, ProcessStatus]:
        return {} if self.supervised is None else {status.name: status for status in self.supervised.statuses()}

    def _tell(self, name: str, versions: Sequence[InstalledRuntime], process: ProcessStatus | None) -> AddonStatus:
        told = tell_addon(
            name,
            wanted=self._wanted.get(name),
            is_known=name == code_server.NAME,
            versions=versions,
            steps=self.steps_of(name),
            process=process,
        )
        return with_last_use(told, self._last_use) if name == code_server.NAME else told

    def _ask_soon(self, told: Sequence[AddonStatus]) -> None:
        """Have the next report tell when it was used last, where the last answer is old and something runs."""
        now = self._clock.monotonic()
        is_fresh = self._asked_at is not None and now - self._asked_at < LAST_USE_S
        runs = any(addon.name == code_server.NAME and addon.started_at is not None for addon in told)
        if runs and not is_fresh and (self._asking is None or self._asking.done()):
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        now = self._clock.now()
        last_use = await fetch_last_use(self._address, code_server.PORT, HEALTH_PATH, now=now)
        # Its word of before holds: a new process has not been used yet, and knows of nothing before it.
        self._last_use = last_use or self._last_use
