"""What is installed, and the one way of installing more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from zlh_agent.journal.model import Occurrence
from zlh_agent.paths import ContainerPaths
from zlh_agent.runtimes.current import CURRENT
from zlh_agent.runtimes.installer import InstallFailed, Progress, run_install
from zlh_agent.runtimes.model import InstallOrder
from zlh_agent.runtimes.store import Installed, RuntimeStore
from zlh_common.runtime_choice import this_platform
from zlh_common.schema.spec import WantedRuntime
from zlh_common.schema.status import InstalledRuntime

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class InstallSource:
    """Where runtimes come from, and what their catalog is believed by."""

    # Servers of the same signed tree, asked in this order.
    artifacts_urls: tuple[str, ...]
    trusted_root: Path
    channels: tuple[str, ...]


class RuntimeService:
    """Knows what is installed; one install of a thing at a time, across restarts too."""

    def __init__(self, paths: ContainerPaths, source: InstallSource) -> None:
        # Called when what is installed has changed, before the install counts as done.
        self.on_installed: Callable[[], Awaitable[None]] = _nothing
        # Told what has happened to which runtime.
        self.note: Callable[[Occurrence], Awaitable[None]] = _note_nothing
        self._told_failures: dict[str, tuple[str, str]] = {}
        self._paths = paths
        self._source = source
        self._store = RuntimeStore(paths.runtimes)
        self._installed: list[Installed] = []

    async def load(self) -> None:
        """Sweep what killed installs have left, and read what is installed."""
        await asyncio.to_thread(self._store.sweep)
        await self._reload()

    def report(self) -> tuple[InstalledRuntime, ...]:
        """Return what the status says."""
        return tuple(entry.record.report(default=entry.is_current) for entry in self._installed)

    def versions_in_use(self) -> set[tuple[str, str]]:
        """Return (name, version) of every install that `current` leads to."""
        return {(entry.record.name, entry.record.version) for entry in self._installed if entry.is_current}

    def find(self, name: str, version: str) -> InstalledRuntime | None:
        """Return one install, or None."""
        return next((entry for entry in self.report() if (entry.name, entry.version) == (name, version)), None)

    def path_entries(self) -> list[Path]:
        """Return the folders that belong in front of PATH, through the `current` links."""
        return [
            entry.folder.parent / CURRENT / folder
            for entry in self._installed
            if entry.is_current
            for folder in entry.record.bin
        ]

    def variables(self) -> dict[str, str]:
        """Return the variables of the runtimes in use (GOROOT, JAVA_HOME …), through the `current` links."""
        return {
            name: value.replace("{root}", str(entry.folder.parent / CURRENT))
            for entry in self._installed
            if entry.is_current
            for name, value in entry.record.environment.items()
        }

    async def install(self, wanted: WantedRuntime, *, on_progress: Callable[[Progress], None]) -> None:
        """Install one version and make it current; raise InstallFailed."""
        log.info("runtime.install_started", name=wanted.name, version=wanted.version)
        try:
            await run_install(self._order(wanted), on_progress=on_progress)
        except InstallFailed as error:
            log.warning("runtime.install_failed", name=wanted.name, version=wanted.version, code=error.reason_code)
            await self._note_failure(wanted, error)
            raise
        await self._reload()
        await self.on_installed()
        log.info("runtime.installed", name=wanted.name, version=wanted.version)
        self._told_failures.pop(wanted.name, None)
        text = f"{wanted.name} {wanted.version} was installed."
        await self.note(Occurrence("runtime.installed", wanted.name, text, {"version": wanted.version}))

    async def _note_failure(self, wanted: WantedRuntime, error: InstallFailed) -> None:
        """Tell of a failure once, and again only when it is another one: it is tried for as long as it is wanted."""
        failure = (wanted.version, error.reason_code)
        if self._told_failures.get(wanted.name) == failure:
            return
        self._told_failures[wanted.name] = failure
        facts = {"version": wanted.version, "code": error.reason_code}
        text = f"{wanted.name} {wanted.version} could not be installed: {error.detail}"
        await self.note(Occurrence("runtime.install_failed", wanted.name, text, facts))

    async def _reload(self) -> None:
        self._installed = await asyncio.to_thread(self._store.load)

    def _order(self, wanted: WantedRuntime) -> InstallOrder:
        state = self._paths.state
        return InstallOrder(
            artifacts_urls=self._source.artifacts_urls,
            trusted_root=str(self._source.trusted_root),
            metadata_dir=str(state / "catalog"),
            channels=self._source.channels,
            name=wanted.name,
            version=wanted.version,
            platform=this_platform(),
            runtimes_dir=str(self._paths.runtimes),
            downloads_dir=str(state / "downloads"),
            locks_dir=str(state / "locks"),
        )


async def _note_nothing(_occurrence: Occurrence) -> None:
    """Nobody writes down what happens."""


async def _nothing() -> None:
    """Nobody has to hear of installs."""
