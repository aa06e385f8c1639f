"""Terminals of one container: made, found again after the agent was away, looked at, and ended.

The agent comes and goes; shells do not: `detach` lets go of them (the agent goes; the shells go on, and end with
their guest). `close` ends one terminal and takes its history along.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from zlh_agent.console.history import read_history
from zlh_agent.console.viewer import CLOSED, Viewer
from zlh_agent.metrics.model import Target
from zlh_agent.shim.errors import ShimLost
from zlh_agent.shim.host import DEFAULT_HISTORY_S, HISTORY_LOOK_S, ShimHost, child_of
from zlh_agent.shim.model import Launch
from zlh_agent.shim.ring import RingInvalid
from zlh_agent.terminals.errors import TerminalNotFound
from zlh_agent.terminals.terminal import Terminal
from zlh_common.processes import ProcessIdentity
from zlh_common.schema.console_wire import Announcement
from zlh_common.schema.terminal import MAIN_TERMINAL, MAX_TERMINALS, ConsoleHistory, TerminalLimit
from zlh_common.schema.terminal import Terminal as TerminalRow

log = structlog.get_logger()
# How often idle terminals are looked for.
IDLE_LOOK_S = 60.0


@dataclass(frozen=True, slots=True)
class TerminalLimits:
    """What terminals may take."""

    max_terminals: int = MAX_TERMINALS
    # How long a shell and its children may take to end before they are killed.
    end_grace_s: float = 3.0
    # A terminal other than `main` at which nobody has looked for so long is closed.
    idle_s: float = 24 * 3600
    # One whose shell has ended and printed nothing for so long is closed, `main` too.
    history_s: float = DEFAULT_HISTORY_S


class TerminalService:
    """All terminals of the container. Call `recover` once before anything else, and `detach` at last."""

    def __init__(
        self,
        host: ShimHost,
        *,
        launch: Callable[[], Launch],
        limits: TerminalLimits | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`launch` says what a shell is, asked anew for each; `on_change` is called when `rows` may differ."""
        self._host = host
        self._launch = launch
        self._limits = limits or TerminalLimits()
        self._on_change = on_change
        self._terminals: dict[str, Terminal] = {}

    async def recover(self) -> None:
        """Take up every terminal that a former agent has left: attach to live shims, read the records of dead ones."""
        async with asyncio.TaskGroup() as group:
            for name, has_socket in (await self._host.find()).items():
                group.create_task(self._recover_one(name, has_socket=has_socket))
        self._on_change()

    async def _recover_one(self, name: str, *, has_socket: bool) -> None:
        terminal = self._make(name)
        if has_socket:
            try:
                terminal.adopt(await self._host.connect(name, terminal))
            except ShimLost as exc:
                log.warning("terminal.shim_missing", terminal=name, reason=exc.detail)
        if terminal.link is None:
            has_history, last_exit = await self._host.take_history(name)
            clearing = self._clear_dead_shim(terminal, child=None)
            if not has_history:
                await clearing
                return
            self._host.run_beside(clearing)
            terminal.restore(last_exit)
        self._terminals[name] = terminal

    async def _clear_dead_shim(self, terminal: Terminal, child: ProcessIdentity | None) -> None:
        # Nobody starts the next shim of this name meanwhile: its socket would be removed with the old one's.
        async with terminal.starting:
            await self._host.clear_dead(terminal.id, child)

    def _on_orphan(self, terminal: Terminal) -> None:
        log.error("terminal.shim_lost", terminal=terminal.id)
        if not terminal.is_closing:
            # Taken now, while the terminal still knows who it was.
            self._host.run_beside(self._clear_dead_shim(terminal, child_of(terminal.snapshot)))

    def _make(self, id_: str) -> Terminal:
        return Terminal(id_, self._host.folder(id_), self._on_change, self._on_orphan)

    def _find(self, id_: str) -> Terminal:
        terminal = self._terminals.get(id_)
        if terminal is None or terminal.is_closing:
            raise TerminalNotFound(id_)
        return terminal

    async def open_terminal(self, cols: int, rows: int) -> str:
        """Start a shell in a window of this size; return the id of its terminal."""
        await self._make_room()
        terminal = self._make(f"t{secrets.token_hex(6)}")
        terminal.console.size = (cols, rows)
        self._terminals[terminal.id] = terminal
        try:
            await self._ensure_running(terminal)
        except BaseException:
            # A start that failed or was called off leaves nothing behind, not even a shim that came up meanwhile.
            await asyncio.shield(self._close(terminal))
            raise
        log.info("terminal.opened", terminal=terminal.id)
        return terminal.id

    async def _make_room(self) -> None:
        """Give up the oldest ended terminals that nobody looks at, or raise TerminalLimit."""
        while len(self._terminals) >= self._limits.max_terminals:
            idle = next((terminal for terminal in self._terminals.values() if _may_give_up(terminal)), None)
            if idle is None:
                raise TerminalLimit(limit=self._limits.max_terminals)
            await self._close(idle)

    async def attach(self, id_: str, asked: int | None, *, may_write: bool = True) -> Viewer:
        """Return a viewer of this terminal from the offset `asked` (see `resume_point`); the caller closes it.

        `main` is made by the first who attaches, and gets a new shell where its last one has ended.
        """
        if id_ == MAIN_TERMINAL:
            terminal = self._terminals.get(id_)
            if terminal is None:
                terminal = self._terminals[id_] = self._make(id_)
            await self._ensure_running(terminal)
        return self._find(id_).view(asked, may_write=may_write)

    async def _ensure_running(self, terminal: Terminal) -> None:
        async with terminal.starting:
            if terminal.is_closing:
                raise TerminalNotFound(terminal.id)
            if terminal.link is None:
                terminal.adopt(await self._host.start(terminal.id, terminal))
            if terminal.link is not None and terminal.state != "running":
                cols, rows = terminal.console.size
                await terminal.link.spawn(self._launch().replace(cols=cols, rows=rows))

    async def expire_for_ever(self) -> None:
        """Close what nobody has looked at for too long; run until cancelled."""
        while True:
            await asyncio.sleep(min(IDLE_LOOK_S, self._limits.idle_s))
            now = asyncio.get_running_loop().time()
            for terminal in list(self._terminals.values()):
                if terminal.console.viewers or terminal.id == MAIN_TERMINAL:
                    terminal.idle_since = now
                elif now - terminal.idle_since >= self._limits.idle_s and not terminal.is_closing:
                    log.info("terminal.expired", terminal=terminal.id)
                    await self._close(terminal)

    async def forget_old_for_ever(self) -> None:
        """Close what has ended so long ago that nobody needs its history any more; run until cancelled."""
        while True:
            await self.forget_old()
            await asyncio.sleep(HISTORY_LOOK_S)

    async def forget_old(self) -> None:
        """Close what has ended longer ago than histories are kept; never one that runs or is looked at."""
        for terminal in list(self._terminals.values()):
            is_old = await self._host.is_old(terminal.id, self._limits.history_s)
            if is_old and _is_over(terminal):
                log.info("terminal.history_expired", terminal=terminal.id)
                await self._close(terminal)

    async def close(self, id_: str) -> None:
        """End the shell and its children, and forget its history; return once they are gone."""
        await self._close(self._find(id_))
        log.info("terminal.closed", terminal=id_)

    async def _close(self, terminal: Terminal) -> None:
        terminal.is_closing = True
        async with terminal.starting:
            if terminal.link is not None:
                await self._host.end(terminal.id, terminal.link, forget=True, grace_s=self._limits.end_grace_s)
            terminal.console.dismiss(CLOSED)
            terminal.close()
            await self._host.forget(terminal.id)
        self._terminals.pop(terminal.id, None)
        self._on_change()

    def announce(self, notice: Announcement) -> None:
        """Tell everybody who looks at a terminal that runs; its shell and its history know nothing of it."""
        for terminal in self._terminals.values():
            if terminal.state == "running":
                terminal.console.tell(None, notice)

    def detach(self) -> None:
        """Let go of everything, for the agent goes; shells and their shims go on. May be called twice."""
        self._host.close()
        for terminal in self._terminals.values():
            terminal.leave()

    def rows(self) -> tuple[TerminalRow, ...]:
        """Return a row for each terminal, `main` first, then by age."""
        return tuple(terminal.row() for terminal in self._sorted())

    def targets(self) -> list[Target]:
        """Return what metrics are read of."""
        found = (terminal.target() for terminal in self._sorted())
        return [target for target in found if target is not None]

    def shims(self) -> list[ProcessIdentity]:
        """Return the shims that are held, whether a shell runs in them or not."""
        return [terminal.link.shim for terminal in self._terminals.values() if terminal.link is not None]

    def names(self) -> list[str]:
        """Return every terminal, running or not."""
        return list(self._terminals)

    def _sorted(self) -> list[Terminal]:
        known = [terminal for terminal in self._terminals.values() if not terminal.is_closing]
        return sorted(known, key=lambda terminal: terminal.id != MAIN_TERMINAL)

    async def history(self, id_: str, *, start: int | None, limit: int, needle: bytes = b"") -> ConsoleHistory:
        """Return a stretch of its output and where `needle` is in it; see `read_history`. Raises TerminalNotFound."""
        path = self._find(id_).console.folder / "ring"
        try:
            return await asyncio.to_thread(read_history, path, start, limit, needle)
        except (FileNotFoundError, RingInvalid) as exc:
            raise TerminalNotFound(id_) from exc


def _may_give_up(terminal: Terminal) -> bool:
    return _is_over(terminal) and terminal.id != MAIN_TERMINAL


def _is_over(terminal: Terminal) -> bool:
    return terminal.state in {"exited", "lost"} and not terminal.console.viewers and not terminal.is_closing
