"""Terminals of one container: made, found again after the agent was away, looked at, and ended.

The agent comes and goes; shells do not. So there are two ways to leave, and they have two names: `detach` (the agent
goes, the shells go on) and `stop_all` (the guest shuts down, the shells end and their history stays). `close` ends one
terminal and takes its history along.

    <state folder>/<id>/ring, exit, shim.log      kept while the terminal is
    <socket folder>/<id>.sock, <id>.run           there while its shim lives

The socket folder is the only register of live shims: whatever listens there and proves to be ours is a terminal.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from zlh_agent.console import leftovers
from zlh_agent.console.errors import ShimLost, TerminalNotFound
from zlh_agent.console.link import CONNECT_TIMEOUT_S, ShimLink, start_shim
from zlh_agent.console.records import remove_history
from zlh_agent.console.ring import DEFAULT_CAPACITY_BYTES, RingInvalid, RingReader
from zlh_agent.console.rules import MAX_MATCHES, find_matches
from zlh_agent.console.shim_config import Config
from zlh_agent.console.shim_wire import Launch
from zlh_agent.console.terminal import AGENT_GOES, CLOSED, Terminal, Viewer
from zlh_common.processes import ProcessIdentity
from zlh_common.schema.status import ProcessStatus
from zlh_common.schema.terminal import MAIN_TERMINAL, MAX_TERMINALS, ConsoleHistory, TerminalLimit
from zlh_common.schema.terminal import Terminal as TerminalRow

log = structlog.get_logger()

_SEARCH_BYTES = 1024 * 1024
_CONNECT_RETRY_S = 0.05


@dataclass(frozen=True, slots=True)
class TerminalLimits:
    """What terminals may take."""

    max_terminals: int = MAX_TERMINALS
    ring_bytes: int = DEFAULT_CAPACITY_BYTES
    # How long a shell and its children may take to end before they are killed.
    end_grace_s: float = 3.0


class TerminalService:
    """All terminals of the container. Call `recover` once before anything else, and `detach` or `stop_all` at last."""

    def __init__(
        self,
        *,
        state_folder: Path,
        socket_folder: Path,
        launch: Callable[[], Launch],
        limits: TerminalLimits | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`launch` says what a shell is, asked anew for each; `on_change` is called when `statuses` may differ."""
        self._state_folder = state_folder
        self._socket_folder = socket_folder
        self._launch = launch
        self._limits = limits or TerminalLimits()
        self._on_change = on_change
        self._terminals: dict[str, Terminal] = {}
        # The clearing up after dead shims, which nobody waits for.
        self._beside: set[asyncio.Task[None]] = set()

    async def recover(self) -> None:
        """Take up every terminal that a former agent has left: attach to live shims, read the records of dead ones."""
        names = await asyncio.to_thread(leftovers.find_terminals, self._state_folder, self._socket_folder)
        async with asyncio.TaskGroup() as group:
            for name, has_socket in names.items():
                group.create_task(self._recover_one(name, has_socket=has_socket))
        self._on_change()

    async def _recover_one(self, name: str, *, has_socket: bool) -> None:
        terminal = self._make(name)
        if has_socket:
            try:
                terminal.adopt(await ShimLink.connect(self._socket_folder, name, terminal))
            except ShimLost as exc:
                log.warning("terminal.shim_missing", terminal=name, reason=exc.detail)
                await self._clear_dead_shim(terminal, child=None)
        if terminal.link is None:
            has_history, last_exit = await asyncio.to_thread(leftovers.take_history, terminal.folder)
            if not has_history:
                return
            terminal.restore(last_exit)
        self._terminals[name] = terminal

    async def _clear_dead_shim(self, terminal: Terminal, child: ProcessIdentity | None) -> None:
        # Nobody starts the next shim of this name meanwhile: its socket would be removed with the old one's.
        async with terminal.starting:
            left = await asyncio.to_thread(leftovers.clear_dead_shim, self._socket_folder, terminal.id, child)
        if left:
            self._run_beside(self._kill_late(left))

    async def _kill_late(self, left: list[ProcessIdentity]) -> None:
        await asyncio.sleep(self._limits.end_grace_s)
        await asyncio.to_thread(leftovers.kill, left)

    def _run_beside(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _on_orphan(self, terminal: Terminal) -> None:
        log.error("terminal.shim_lost", terminal=terminal.id)
        if not terminal.is_closing:
            # Taken now, while the terminal still knows who it was.
            self._run_beside(self._clear_dead_shim(terminal, _child_of(terminal)))

    def _make(self, id_: str) -> Terminal:
        return Terminal(id_, self._state_folder / id_, self._on_change, self._on_orphan)

    def _find(self, id_: str) -> Terminal:
        terminal = self._terminals.get(id_)
        if terminal is None or terminal.is_closing:
            raise TerminalNotFound(id_)
        return terminal

    async def open_terminal(self, cols: int, rows: int) -> str:
        """Start a shell in a window of this size; return the id of its terminal."""
        await self._make_room()
        terminal = self._make(f"t{secrets.token_hex(6)}")
        terminal.size = (cols, rows)
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

    async def attach(self, id_: str, asked: int | None) -> Viewer:
        """Return a viewer of this terminal from the offset `asked` (see `resume_point`); the caller closes it.

        `main` is made by the first who attaches, and gets a new shell where its last one has ended.
        """
        if id_ == MAIN_TERMINAL:
            terminal = self._terminals.get(id_)
            if terminal is None:
                terminal = self._terminals[id_] = self._make(id_)
            await self._ensure_running(terminal)
        return self._find(id_).view(asked)

    async def _ensure_running(self, terminal: Terminal) -> None:
        async with terminal.starting:
            if terminal.is_closing:
                raise TerminalNotFound(terminal.id)
            if terminal.link is None:
                await self._ensure_shim(terminal)
            if terminal.link is not None and terminal.state != "running":
                await terminal.link.spawn(self._launch().sized(*terminal.size))

    async def _ensure_shim(self, terminal: Terminal) -> None:
        await asyncio.to_thread(terminal.folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        config = Config(
            name=terminal.id,
            socket_folder=str(self._socket_folder),
            state_folder=str(terminal.folder),
            capacity=self._limits.ring_bytes,
        )
        await start_shim(config)
        terminal.adopt(await self._connect(terminal))

    async def _connect(self, terminal: Terminal) -> ShimLink:
        """Connect to a shim that was just started, by us or by an agent that died over it."""
        due = asyncio.get_running_loop().time() + CONNECT_TIMEOUT_S
        while True:
            try:
                return await ShimLink.connect(self._socket_folder, terminal.id, terminal)
            except ShimLost:
                if asyncio.get_running_loop().time() >= due:
                    raise
            await asyncio.sleep(_CONNECT_RETRY_S)

    async def close(self, id_: str) -> None:
        """End the shell and its children, and forget its history; return once they are gone."""
        await self._close(self._find(id_))
        log.info("terminal.closed", terminal=id_)

    async def _close(self, terminal: Terminal) -> None:
        terminal.is_closing = True
        async with terminal.starting:
            await self._end_shim(terminal, forget=True)
            terminal.dismiss(CLOSED)
            terminal.close()
            await asyncio.to_thread(remove_history, terminal.folder)
        self._terminals.pop(terminal.id, None)
        self._on_change()

    async def _end_shim(self, terminal: Terminal, *, forget: bool) -> None:
        """Have the shim end everything; where it does not, do it from outside."""
        link = terminal.link
        if link is None:
            return
        child, shim = _child_of(terminal), link.shim
        link.end(forget=forget, grace_s=self._limits.end_grace_s)
        if await link.wait_ended(timeout_s=self._limits.end_grace_s + CONNECT_TIMEOUT_S):
            return
        log.error("terminal.shim_stuck", terminal=terminal.id)
        kin = await asyncio.to_thread(leftovers.find_kin, child)
        await asyncio.to_thread(leftovers.kill, [shim, *kin])
        await asyncio.to_thread(leftovers.remove_socket, self._socket_folder, terminal.id)

    def detach(self) -> None:
        """Let go of everything, for the agent goes; shells and their shims go on. May be called twice."""
        for task in self._beside:
            task.cancel()
        for terminal in self._terminals.values():
            terminal.dismiss(AGENT_GOES)
            terminal.close()

    async def stop_all(self) -> None:
        """End every shell and shim, for the guest shuts down; their history stays."""
        async with asyncio.TaskGroup() as group:
            for terminal in self._terminals.values():
                group.create_task(self._end_shim(terminal, forget=False))
        self.detach()

    def rows(self) -> tuple[TerminalRow, ...]:
        """Return a row for each terminal, `main` first, then by age."""
        return tuple(terminal.row() for terminal in self._sorted())

    def statuses(self) -> tuple[ProcessStatus, ...]:
        """Return what the agent reports of its terminals."""
        return tuple(terminal.status() for terminal in self._sorted())

    def _sorted(self) -> list[Terminal]:
        known = [terminal for terminal in self._terminals.values() if not terminal.is_closing]
        return sorted(known, key=lambda terminal: terminal.id != MAIN_TERMINAL)

    async def history(self, id_: str, *, start: int | None, limit: int, needle: bytes = b"") -> ConsoleHistory:
        """Return up to `limit` bytes from `start` (None: the last ones), and where `needle` is from there on.

        The search without a start is through everything that the ring holds.
        """
        terminal = self._find(id_)
        return await asyncio.to_thread(_read_history, terminal.folder / "ring", id_, start, limit, needle)


def _may_give_up(terminal: Terminal) -> bool:
    is_over = terminal.state in {"exited", "lost"} and not terminal.viewers and not terminal.is_closing
    return is_over and terminal.id != MAIN_TERMINAL


def _child_of(terminal: Terminal) -> ProcessIdentity | None:
    snapshot = terminal.snapshot
    if snapshot is None or snapshot.child_pid is None or snapshot.child_start_ticks is None:
        return None
    return ProcessIdentity(snapshot.child_pid, snapshot.child_start_ticks, snapshot.boot_id)


def _chunks(reader: RingReader, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, bytes) over [start, end); what is lapped meanwhile is left out."""
    at = start
    while at < end:
        data = reader.read(at, min(_SEARCH_BYTES, end - at))
        if data is None:
            at = max(at + 1, reader.oldest())
            continue
        yield at, bytes(data)
        at += len(data)


def _read_history(path: Path, id_: str, start: int | None, limit: int, needle: bytes) -> ConsoleHistory:
    try:
        reader = RingReader(path)
    except (OSError, RingInvalid) as exc:
        raise TerminalNotFound(id_) from exc
    try:
        written = reader.written()
        oldest = max(0, written - reader.capacity)
        first = max(oldest, written - limit) if start is None else min(max(start, oldest), written)
        data = reader.read(first, limit)
        if data is None:
            # Lapped while we looked: the newest stretch is what stands.
            first = max(0, reader.written() - limit)
            data = reader.read(first, limit) or bytearray()
        chunks = _chunks(reader, oldest if start is None else first, written)
        matches = find_matches(chunks, needle) if needle else iter(())
        return ConsoleHistory(
            stream=str(UUID(bytes=reader.stream)),
            start=first,
            end=first + len(data),
            written=written,
            text=data.decode("utf-8", "replace"),
            data=base64.b64encode(data).decode(),
            matches=tuple(at for at, _ in zip(matches, range(MAX_MATCHES), strict=False)),
        )
    finally:
        reader.close()
