"""Keeps what every kind of shell finds in step with what is installed, proves it, and tells people at open terminals.

In a real container that is links, files below /etc and systemd's defaults. Elsewhere (`places` is None) the home folder
stands in for them (`workspace`), and this only tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from zlh_agent.journal.model import Occurrence
from zlh_agent.runtimes.store import Installed
from zlh_agent.shells.bin_folders import read_in_use
from zlh_agent.shells.command_rules import choose_commands
from zlh_agent.shells.links import ensure_links
from zlh_agent.shells.model import SystemPlaces, Trouble, Wanted
from zlh_agent.shells.notice_rules import find_notices
from zlh_agent.shells.probe_rules import Question, check_of_troubles
from zlh_agent.shells.system_file_rules import session_variables
from zlh_agent.shells.system_files import NEEDED_FILES, ensure_shell_files
from zlh_agent.shells.systemd import Manager
from zlh_agent.shells.variable_rules import choose_variables
from zlh_common.clock import Clock
from zlh_common.schema.console_wire import Announcement
from zlh_common.schema.shells import ShellCheck, ShellReport

log = structlog.get_logger()
# A start of the agent comes with the start of much else. Changes that follow on each other are looked at once.
FIRST_LOOK_S, PAUSE_S = 10.0, 1.0


@dataclass(frozen=True, slots=True)
class ShellTools:
    """What the service asks of others."""

    in_use: Callable[[], Sequence[Installed]]
    # Tells what has happened, and everybody at a terminal.
    note: Callable[[Occurrence], Awaitable[None]]
    announce: Callable[[Announcement], None]
    # Looks at every kind of shell; None where that cannot be done here.
    probe: Callable[[Question], Awaitable[list[ShellCheck]]] | None
    on_report: Callable[[], None] = lambda: None


class ShellService:
    """One refresh at a time. `run` looks at the shells after each change, and once after the start."""

    def __init__(
        self, places: SystemPlaces | None, *, runtimes: Path, manager: Manager, tools: ShellTools, clock: Clock
    ) -> None:
        self._places = places
        self._runtimes = str(runtimes)
        self._manager = manager
        self._tools = tools
        self._clock = clock
        self._lock = asyncio.Lock()
        # None until the first refresh: what holds at the start of the agent is nobody's news.
        self._wanted: Wanted | None = None
        self._former_commands: set[str] = set()
        self._former_variables: dict[str, str] = {}
        self._troubles: list[Trouble] = []
        self._told: frozenset[Trouble] = frozenset()
        self._report: ShellReport | None = None
        self._is_due = asyncio.Event()
        self._is_in_force = False

    def report(self) -> ShellReport | None:
        """Return what the last look has found; None until there was one."""
        return self._report

    def system_variables(self) -> dict[str, str] | None:
        """Return what whoever starts a shell or a program gives it; None where the system does not lead to runtimes."""
        if not self._is_in_force:
            return None
        return session_variables(self._wanted.variables if self._wanted is not None else {})

    async def refresh(self) -> None:
        """Bring links and files up to what is installed; what does not work is told, and stops nobody."""
        async with self._lock:
            wanted, troubles = await asyncio.to_thread(self._choose)
            if self._places is not None:
                troubles += await self._apply(self._places, wanted)
            before, self._wanted, self._troubles = self._wanted, wanted, troubles
            if before is not None:
                self._remember(before, wanted)
                for notice in find_notices(before, wanted, is_linked=self._is_in_force):
                    self._tools.announce(notice)
            await self._tell()
        self._is_due.set()

    async def run(self) -> None:
        """Look at the shells after the start and after each change; run until cancelled."""
        if self._tools.probe is None or self._places is None:
            return
        await asyncio.sleep(FIRST_LOOK_S)
        while True:
            await self._is_due.wait()
            while self._is_due.is_set():
                self._is_due.clear()
                await asyncio.sleep(PAUSE_S)
            await self._look(self._tools.probe)

    async def _look(self, probe: Callable[[Question], Awaitable[list[ShellCheck]]]) -> None:
        # What was changed before this moment is in it.
        begun, wanted, troubles = self._clock.now(), self._wanted or Wanted(), self._troubles
        question = Question(wanted, frozenset(self._former_commands), dict(self._former_variables))
        checks = [*check_of_troubles(troubles), *await probe(question)]
        if wanted is not (self._wanted or wanted):
            # It was about something that is not so any more, and the next look is due.
            return
        self._report = ShellReport(checked_at=begun, checks=tuple(checks))
        for check in checks:
            if not check.ok:
                differing = [difference.what for difference in check.differences]
                log.warning("shells.differ", mode=check.mode, problem=check.problem, what=differing)
        self._tools.on_report()

    def _choose(self) -> tuple[Wanted, list[Trouble]]:
        runtimes = read_in_use(self._tools.in_use())
        commands, of_commands = choose_commands(runtimes)
        variables, of_variables = choose_variables(runtimes)
        versions = {runtime.name: runtime.version for runtime in runtimes}
        return Wanted(commands, variables, versions), [*of_commands, *of_variables]

    async def _apply(self, places: SystemPlaces, wanted: Wanted) -> list[Trouble]:
        of_links = await asyncio.to_thread(self._link, places, wanted)
        of_files = await asyncio.to_thread(ensure_shell_files, places, wanted.variables)
        of_manager = await asyncio.to_thread(self._manager.ensure, places, wanted.variables)
        # Where not even these can be made, an earlier way of finding runtimes has to go on.
        needed = {str(places.links), *(str(places.etc / name) for name in NEEDED_FILES)}
        missing = {trouble.subject for trouble in [*of_links, *of_files] if trouble.kind == "shells.not_written"}
        self._is_in_force = not missing & needed
        return [*of_links, *of_files, *of_manager]

    def _link(self, places: SystemPlaces, wanted: Wanted) -> list[Trouble]:
        try:
            done = ensure_links(places.links, wanted.commands, runtimes=self._runtimes)
        except OSError as exc:
            text = f"The commands in {places.links} could not be linked: {exc.strerror or exc}."
            return [Trouble("shells.not_written", str(places.links), text)]
        if not done.is_empty:
            log.info("shells.linked", made=len(done.make), changed=len(done.change), removed=len(done.remove))
        return [
            Trouble(
                "shells.command_foreign",
                name,
                f"{places.links / name} is not ours and was left alone, so {name} leads there. "
                f"Remove it, and {wanted.commands[name]} takes its place.",
            )
            for name in done.foreign
        ]

    def _remember(self, before: Wanted, wanted: Wanted) -> None:
        """Keep what should be gone, so that a look finds where it is not."""
        self._former_commands = (self._former_commands | before.commands.keys()) - wanted.commands.keys()
        former = {**self._former_variables, **before.variables}
        self._former_variables = {name: former[name] for name in former if name not in wanted.variables}

    async def _tell(self) -> None:
        """Tell of each trouble once, for as long as it lasts."""
        for trouble in self._troubles:
            if trouble not in self._told:
                log.warning(trouble.kind, subject=trouble.subject, reason=trouble.message)
                await self._tools.note(Occurrence(trouble.kind, trouble.subject[:64], trouble.message, {}))
        self._told = frozenset(self._troubles)
