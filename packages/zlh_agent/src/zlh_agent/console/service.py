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
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from zlh_agent.console.errors import ShimLost, TerminalLimit, TerminalNotFound
from zlh_agent.console.identity import ProcessIdentity, is_alive, read_rows, select_kin, send_signal
from zlh_agent.console.link import CONNECT_TIMEOUT_S, ShimLink, start_shim
from zlh_agent.console.records import read_exit_record, read_run_record, remove_history
from zlh_agent.console.ring import DEFAULT_CAPACITY_BYTES, RingInvalid, RingReader
from zlh_agent.console.rules import MAX_MATCHES, TERMINAL_ID, find_matches
from zlh_agent.console.shim import Config
from zlh_agent.console.shim_wire import Launch
from zlh_agent.console.terminal import AGENT_GOES, CLOSED, Terminal, Viewer
from zlh_common.schema.status import ProcessStatus
from zlh_common.schema.terminal import MAIN_TERMINAL, ConsoleHistory
from zlh_common.schema.terminal import Terminal as TerminalRow

log = structlog.get_logger()

_SEARCH_BYTES = 1024 * 1024
_CONNECT_RETRY_S = 0.05


@dataclass(frozen=True, slots=True)
class TerminalLimits:
    """What terminals may take."""

    max_terminals: int = 32
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
        # SIGKILL that is due for what a dead shim has left, so that it can be called off.
        self._due_kills: set[asyncio.TimerHandle] = set()

    async def recover(self) -> None:
        """Take up every terminal that a former agent has left: attach to live shims, read the records of dead ones."""
        for folder in (self._state_folder, self._socket_folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        sockets = {path.stem for path in self._socket_folder.iterdir() if path.suffix in {".sock", ".run"}}
        histories = {path.name for path in self._state_folder.iterdir() if path.is_dir()}
        names = [name for name in sorted(sockets | histories) if TERMINAL_ID.fullmatch(name)]
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(self._recover_one(name, has_socket=name in sockets))
        self._on_change()

    async def _recover_one(self, name: str, *, has_socket: bool) -> None:
        terminal = self._make(name)
        if has_socket:
            try:
                terminal.adopt(await ShimLink.connect(self._socket_folder, name, terminal))
            except ShimLost as exc:
                log.warning("terminal.shim_missing", terminal=name, reason=exc.detail)
                self._clear_dead_shim(name)
        if terminal.link is None:
            if not (terminal.folder / "ring").exists():
                remove_history(terminal.folder)
                return
            terminal.restore(read_exit_record(terminal.folder / "exit"))
        self._terminals[name] = terminal

    def _clear_dead_shim(self, name: str) -> None:
        """End what a dead shim has left running, and remove its socket; one that still lives is left to be."""
        run = read_run_record(self._socket_folder / f"{name}.run")
        if run is not None and is_alive(run.shim_identity()):
            return
        child = run.child_identity() if run is not None else None
        if child is not None:
            self._end_orphans(child)
        for suffix in (".sock", ".run"):
            (self._socket_folder / f"{name}{suffix}").unlink(missing_ok=True)

    def _end_orphans(self, child: ProcessIdentity) -> None:
        """Ask a child without a shim to end, with its kin, and kill who is left when the grace is over."""
        if not is_alive(child):
            return
        kin = [ProcessIdentity(row.pid, row.start_ticks, child.boot_id) for row in select_kin(read_rows(), child.pid)]
        for identity in kin:
            send_signal(identity, signal.SIGHUP)
            send_signal(identity, signal.SIGCONT)

        def kill() -> None:
            self._due_kills.discard(timer)
            for identity in kin:
                send_signal(identity, signal.SIGKILL)

        timer = asyncio.get_running_loop().call_later(self._limits.end_grace_s, kill)
        self._due_kills.add(timer)

    def _on_orphan(self, terminal: Terminal) -> None:
        log.error("terminal.shim_lost", terminal=terminal.id)
        if not terminal.is_closing:
            self._clear_dead_shim(terminal.id)

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
        terminal.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        kin = select_kin(await asyncio.to_thread(read_rows), child.pid) if child is not None and is_alive(child) else []
        for identity in (shim, *(ProcessIdentity(row.pid, row.start_ticks, shim.boot_id) for row in kin)):
            send_signal(identity, signal.SIGKILL)
        for suffix in (".sock", ".run"):
            (self._socket_folder / f"{terminal.id}{suffix}").unlink(missing_ok=True)

    def detach(self) -> None:
        """Let go of everything, for the agent goes; shells and their shims go on. May be called twice."""
        for timer in self._due_kills:
            timer.cancel()
        self._due_kills.clear()
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
