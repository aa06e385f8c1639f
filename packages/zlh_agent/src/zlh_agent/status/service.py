"""Puts the report together from what each part knows, and tells whoever watches that it has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

from zlh_agent import __version__
from zlh_agent.spec.service import SpecView
from zlh_agent.watchers import Watchers
from zlh_common.clock import Clock
from zlh_common.names import OwnerMark
from zlh_common.schema.agent_update import AgentSoftware
from zlh_common.schema.game import GameReport
from zlh_common.schema.ports import ListeningPort
from zlh_common.schema.shells import ShellReport
from zlh_common.schema.status import PROTOCOL_VERSION, AddonStatus, AgentStatus, InstalledRuntime, ProcessStatus, Step
from zlh_common.schema.terminal import Terminal


class StatusService:
    """Everything is asked for at the moment of the report, so there is nothing here to go stale."""

    def __init__(self, clock: Clock, *, owner: OwnerMark, boot_id: str) -> None:
        self._clock = clock
        self._owner = owner
        self._boot_id = boot_id
        self._started_at = clock.now()
        self._watchers = Watchers()
        self.is_closing = False
        self.spec: Callable[[], SpecView] = lambda: SpecView(0, 0, (), ())
        self.workspace_steps: Callable[[], tuple[Step, ...]] = tuple
        self.runtimes: Callable[[], tuple[InstalledRuntime, ...]] = tuple
        self.processes: Callable[[], tuple[ProcessStatus, ...]] = tuple
        self.terminals: Callable[[], tuple[Terminal, ...]] = tuple
        self.ports: Callable[[], tuple[ListeningPort, ...]] = tuple
        self.shells: Callable[[], ShellReport | None] = lambda: None

        self.addons: Callable[[], tuple[AddonStatus, ...]] = tuple
        self.game: Callable[[], GameReport | None] = lambda: None
        self.game_steps: Callable[[], tuple[Step, ...]] = tuple
        self.agent: Callable[[], AgentSoftware | None] = lambda: None

    def report(self) -> AgentStatus:
        """Return the whole report as of now."""
        spec = self.spec()
        return AgentStatus(
            protocol_version=PROTOCOL_VERSION,
            agent_version=__version__,
            owner=self._owner,
            boot_id=self._boot_id,
            started_at=self._started_at,
            observed_at=self._clock.now(),
            spec_generation=spec.spec_generation,
            observed_generation=spec.observed_generation,
            steps=(*spec.steps, *self.game_steps(), *self.workspace_steps()),
            processes=self.processes(),
            terminals=self.terminals(),
            ports=self.ports(),
            addons=self.addons(),
            runtimes=self.runtimes(),
            shells=self.shells(),
            game=self.game(),
            agent=self.agent(),
            unknown_fields=spec.unknown_fields,
        )

    def close(self) -> None:
        """End every stream: the agent goes, and nobody should wait for its answers."""
        self.is_closing = True
        self.note_change()

    def note_change(self) -> None:
        """Wake every watcher; changes before it looks are one."""
        self._watchers.wake()

    def watch(self) -> AbstractContextManager[asyncio.Event]:
        """Lend an event that is set on every change from now on; whoever waits on it clears it."""
        return self._watchers.watch()
