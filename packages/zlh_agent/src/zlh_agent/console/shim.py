"""The shim: the one small process that owns a terminal, and outlives the agent that started it.

    agent ── Unix socket ──┐
    agent (newer) ─────────┤  shim ── PTY ── child (shell, server)
                           │   └── ring file (history), exit record, run record

It drains the PTY into the ring as fast as the kernel gives, and rings a doorbell; whoever is attached reads the ring by
itself. So nothing here waits for an agent, and nothing is kept for one: a slow or dead agent never slows the child.

It will not: interpret output, decide on restarts (the agent orders them), or hold anything in argv or environment that
`ps` may not show (its configuration comes through standard input, a launch through the socket).

Started as `python -I -S -c …` with the bundle's folder; everything is imported before the first line of work, so that
replacing the bundle under a running shim does no harm. `_socket` and `_signal` are the C modules behind their
namesakes, which cost 2 MB and 10 ms more.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import select
import struct
import termios
import time

from zlh_agent.console import shim_wire as wire
from zlh_agent.console.ring import BLOCK_BYTES, RingWriter
from zlh_agent.console.shim_child import Child, SpawnFailed, spawn_child
from zlh_agent.console.shim_config import Config
from zlh_agent.console.shim_files import note, remove, replace
from zlh_common.processes import (
    ProcessIdentity,
    is_alive,
    read_boot_id,
    read_row,
    read_rows,
    select_kin,
    send_signal,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
else:
    import _signal

# An agent, the one that replaces it, and somebody who looks; more would be a mistake.
MAX_PEERS = 4
# The kernel gives at most this much of a terminal at once; less means that it has no more for now.
PTY_READ_BYTES = 4095
# What a peer may leave unread of what it has asked for, before it is cut off. Doorbells never add up to this.
MAX_UNREAD_BYTES = 256 * 1024
# After a child has ended, its terminal holds a few KiB at most; a surviving grandchild could go on for ever.
MAX_REST_BYTES = 1024 * 1024
# How often kin that are being stopped are looked at, and how often SIGKILL is tried before giving up (D state).
STOP_LOOK_MS = 20
KILL_ROUNDS = 100
TERMINATED_GRACE_MS = 5000

_NOTHING_UNREAD = bytes(4)
_CREDENTIALS = struct.Struct("3i")


class Peer:
    """One attached agent."""

    __slots__ = ("accepted", "feed", "has_news", "out", "reported", "sock")

    def __init__(self, sock: _socket.socket) -> None:
        self.sock = sock
        self.feed = wire.FrameFeed()
        self.out = bytearray()
        # Input bytes of this peer that the child's terminal has taken, and how many of them it was told about.
        self.accepted = 0
        self.reported = 0
        self.has_news = False

    def has_unread(self) -> bool:
        """Tell whether the other side has yet to read something: it will look at the ring after that anyway."""
        return fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, _NOTHING_UNREAD) != _NOTHING_UNREAD


class Shim:
    """One terminal: a loop over descriptors, with a timer only while something is being stopped."""

    def __init__(self, config: Config, ring: RingWriter, listener: _socket.socket, folder: int) -> None:
        self._config = config
        self._ring = ring
        self._listener = listener
        self._folder = folder
        self._boot_id = read_boot_id()
        row = read_row(os.getpid())
        self._identity = ProcessIdentity(os.getpid(), row.start_ticks if row else 0, self._boot_id)
        self._poller = select.poll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._peers: dict[int, Peer] = {}
        self._block = memoryview(bytearray(BLOCK_BYTES))
        self._child: Child | None = None
        # Input that the terminal has not taken yet, oldest first.
        self._input: list[tuple[Peer, bytes]] = []
        self._started_at_ns: int | None = None
        self._exit: tuple[int | None, int | None, int] | None = None
        # The session of a child that has ended, and who is left of it.
        self._last_session = 0
        self._leftovers: list[ProcessIdentity] = []
        # While something is being stopped: who, until when, and how often SIGKILL was tried.
        self._doomed: list[ProcessIdentity] = []
        self._kill_at: float | None = None
        self._kills = 0
        self._is_ending = False
        self._forgets = False
        self._is_over = False

    def serve(self) -> None:
        """Work until an agent says END or the system says SIGTERM; then leave only what shall be left."""
        self._watch(self._listener.fileno(), select.POLLIN, self._on_connect)
        wake, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        _signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGTERM, lambda *_: None)
        self._watch(wake, select.POLLIN, lambda _events: self._on_terminated(wake))
        self._write_run_record()
        while not self._is_over:
            for fd, events in self._poller.poll(None if self._kill_at is None else STOP_LOOK_MS):
                handler = self._handlers.get(fd)
                if handler is not None:
                    handler(events)
            self._ring_doorbells()
            self._press_on()
        self._leave()

    def _watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        self._handlers[fd] = handler
        self._poller.register(fd, events)

    def _unwatch(self, fd: int) -> None:
        if self._handlers.pop(fd, None) is not None:
            self._poller.unregister(fd)

    # The child and its terminal

    def _spawn(self, launch: wire.Launch) -> None:
        if self._child is not None or self._is_ending:
            raise SpawnFailed(errno.EBUSY, "running")
        child = spawn_child(launch, self._boot_id)
        # It tells of a former child; should this shim be killed, nobody may take it for the end of this one.
        remove(f"{self._config.state_folder}/exit")
        self._child = child
        self._started_at_ns = time.time_ns()
        self._exit = None
        self._leftovers = []
        self._watch(child.master, select.POLLIN, self._on_terminal)
        self._watch(child.pidfd, select.POLLIN, lambda _events: self._on_child_end())
        self._write_run_record()

    def _on_terminal(self, events: int) -> None:
        if events & select.POLLOUT:
            self._write_input()
        if events & ~select.POLLOUT:
            self._drain()

    def _drain(self) -> int:
        """Move up to one block from the terminal to the ring; return how much it was."""
        child = self._child
        if child is None:
            return 0
        filled = 0
        try:
            while filled < BLOCK_BYTES:
                count = os.readv(child.master, [self._block[filled:]])
                filled += count
                if count < PTY_READ_BYTES:
                    break
        except BlockingIOError:
            pass
        except OSError:
            # The terminal was hung up under us (vhangup); the pidfd tells when the child has gone.
            self._poller.modify(child.master, 0)
        if filled:
            self._record(self._block[:filled])
        return filled

    def _record(self, data: memoryview) -> None:
        try:
            self._ring.append(data)
        except OSError as exc:
            # A full or broken disk costs history, never the process: the child goes on, unrecorded.
            note(f"output not recorded: {exc}")
        for peer in self._peers.values():
            peer.has_news = True

    def _write_input(self) -> None:
        child = self._child
        if child is None:
            return
        try:
            while self._input:
                peer, data = self._input[0]
                count = os.write(child.master, data)
                peer.accepted += count
                if count == len(data):
                    del self._input[0]
                else:
                    self._input[0] = (peer, data[count:])
        except BlockingIOError:
            pass
        except OSError:
            self._drop_input()
        wanted = select.POLLIN | select.POLLOUT if self._input else select.POLLIN
        self._poller.modify(child.master, wanted)

    def _drop_input(self) -> None:
        for peer, data in self._input:
            peer.accepted += len(data)
        self._input.clear()

    def _on_child_end(self) -> None:
        child = self._child
        ended = child.peek_exit() if child is not None else None
        if child is None or ended is None:
            return
        # What it wrote before it ended is in the terminal by now: the kernel flushes before it says EAGAIN.
        rest = 0
        while rest < MAX_REST_BYTES and (count := self._drain()):
            rest += count
        self._exit = (*ended, time.time_ns())
        self._write_exit_record()
        self._drop_input()
        self._last_session = child.identity.pid
        # Before it is reaped: until then the number of its session cannot be anybody else's.
        self._leftovers = self._find_kin()
        self._unwatch(child.master)
        self._unwatch(child.pidfd)
        child.release()
        self._child = None
        self._tell(wire.render_snapshot(wire.STATE, self._snapshot()))
        # After the others know, since a slow disk takes its time; it only matters if the machine dies now.
        self._sync_exit_record()
        self._write_run_record()

    # Stopping

    def _find_kin(self) -> list[ProcessIdentity]:
        rows = read_rows()
        if self._child is not None:
            kin = select_kin(rows, self._child.identity.pid)
        elif self._leftovers:
            kin = select_kin(rows, self._last_session, self._leftovers)
        else:
            kin = []
        return [ProcessIdentity(row.pid, row.start_ticks, self._boot_id) for row in kin]

    def _freeze_kin(self) -> list[ProcessIdentity]:
        """Stop the child and its kin, so that none of them forks unseen, and return them all."""
        frozen: dict[ProcessIdentity, None] = {}
        while fresh := [identity for identity in self._find_kin() if identity not in frozen]:
            for identity in fresh:
                frozen[identity] = None
                send_signal(identity, _signal.SIGSTOP)
        return list(frozen)

    def _stop(self, number: int, grace_ms: int) -> None:
        """Signal the child and its kin, and set the time at which the rest is killed."""
        self._doomed = self._freeze_kin()
        for identity in self._doomed:
            send_signal(identity, number)
            # One that is stopped, by us or by Ctrl-Z, would keep the signal for later.
            send_signal(identity, _signal.SIGCONT)
        due = time.monotonic() + grace_ms / 1000
        self._kill_at = due if self._kill_at is None else min(due, self._kill_at)
        self._kills = 0

    def _press_on(self) -> None:
        """Finish stopping once everybody has gone; kill who is left when the time is up."""
        if self._kill_at is None:
            return
        left = [identity for identity in self._doomed if is_alive(identity)]
        if self._child is None and not left:
            left = self._find_kin()
        if (self._child is None and not left) or self._kills >= KILL_ROUNDS:
            self._kill_at = None
            self._leftovers = []
            self._is_over = self._is_ending
        elif time.monotonic() >= self._kill_at:
            self._doomed = list({*left, *self._find_kin()})
            self._kills += 1
            for identity in self._doomed:
                send_signal(identity, _signal.SIGKILL)

    def _on_terminated(self, wake: int) -> None:
        os.read(wake, 64)
        self._end(grace_ms=TERMINATED_GRACE_MS, forget=False)

    def _end(self, *, grace_ms: int, forget: bool) -> None:
        self._is_ending = True
        self._forgets = self._forgets or forget
        self._stop(_signal.SIGHUP, grace_ms)

    def _leave(self) -> None:
        """Bring the history to the disk, take the records away, and close; connections end after that."""
        remove(f"{self._config.name}.sock", self._folder)
        if self._forgets:
            for name in ("ring", "exit", "shim.log"):
                remove(f"{self._config.state_folder}/{name}")
        self._ring.close()
        remove(f"{self._config.name}.run", self._folder)

    # Agents

    def _on_connect(self, _events: int) -> None:
        try:
            fd, _ = self._listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - what socket.accept calls
        except OSError:
            return
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
        sock.setblocking(False)
        _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size))
        if uid != os.geteuid() or len(self._peers) >= MAX_PEERS:
            sock.close()
            return
        peer = Peer(sock)
        self._peers[fd] = peer
        self._watch(fd, select.POLLIN, lambda events: self._on_peer(peer, events))
        self._send(peer, wire.render_snapshot(wire.HELLO, self._snapshot()))

    def _on_peer(self, peer: Peer, events: int) -> None:
        if events & select.POLLOUT:
            self._flush(peer)
        if not events & ~select.POLLOUT:
            return
        try:
            data = peer.sock.recv(BLOCK_BYTES)
            frames = peer.feed.feed(data)
            for kind, body in frames:
                self._obey(peer, kind, body)
        except BlockingIOError:
            return
        except (OSError, wire.WireError):
            data = b""
        if not data:
            self._drop(peer)

    def _drop(self, peer: Peer) -> None:
        fd = peer.sock.fileno()
        if self._peers.pop(fd, None) is not None:
            self._unwatch(fd)
            peer.sock.close()

    def _obey(self, peer: Peer, kind: int, body: bytes) -> None:
        child = self._child
        if kind == wire.INPUT:
            self._take_input(peer, body)
        elif kind == wire.RESIZE:
            cols, rows, redraw = wire.parse_resize(body)
            if child is not None:
                child.resize(cols, rows, redraw=redraw)
        elif kind == wire.SIGNAL:
            number = wire.parse_signal(body)
            if child is not None:
                child.send_signal(number)
        elif kind == wire.STOP:
            self._stop(*wire.parse_stop(body))
        elif kind == wire.SPAWN:
            self._answer_spawn(peer, body)
        elif kind == wire.END:
            forget, grace_ms = wire.parse_end(body)
            self._end(grace_ms=grace_ms, forget=forget)

    def _answer_spawn(self, peer: Peer, body: bytes) -> None:
        serial, launch = wire.parse_spawn(body)
        try:
            self._spawn(launch)
        except SpawnFailed as exc:
            self._send(peer, wire.render_spawned(wire.SpawnResult(serial=serial, errno=exc.errno, step=exc.step)))
            return
        self._tell(wire.render_snapshot(wire.STATE, self._snapshot()))
        self._send(peer, wire.render_spawned(wire.SpawnResult(serial=serial)))

    def _take_input(self, peer: Peer, data: bytes) -> None:
        if self._child is None:
            peer.accepted += len(data)
            return
        if sum(len(waiting) for _, waiting in self._input) + len(data) > MAX_PEERS * wire.INPUT_WINDOW_BYTES:
            raise wire.WireError("more input than the window allows")
        self._input.append((peer, data))
        self._write_input()

    def _tell(self, frame: bytes) -> None:
        for peer in list(self._peers.values()):
            self._send(peer, frame)

    def _send(self, peer: Peer, frame: bytes) -> None:
        peer.out += frame
        if len(peer.out) > MAX_UNREAD_BYTES:
            self._drop(peer)
        else:
            self._flush(peer)

    def _flush(self, peer: Peer) -> None:
        try:
            while peer.out:
                del peer.out[: peer.sock.send(peer.out)]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(peer)
            return
        if peer.sock.fileno() in self._handlers:
            self._poller.modify(peer.sock.fileno(), select.POLLIN | select.POLLOUT if peer.out else select.POLLIN)

    def _ring_doorbells(self) -> None:
        """Tell each agent about new output, unless it has yet to read what it was told before."""
        for peer in list(self._peers.values()):
            owed = peer.accepted - peer.reported
            if owed < wire.ACCEPT_STEP_BYTES and (not peer.has_news or peer.out or peer.has_unread()):
                continue
            peer.has_news = False
            peer.reported = peer.accepted
            self._send(peer, wire.render_progress(self._ring.written, peer.accepted))

    # Records

    def _snapshot(self) -> wire.Snapshot:
        child, ended = self._child, self._exit
        state = wire.RUNNING if child is not None else wire.IDLE if ended is None else wire.EXITED
        return wire.Snapshot(
            shim_pid=self._identity.pid,
            shim_start_ticks=self._identity.start_ticks,
            boot_id=self._boot_id,
            stream=_render_uuid(self._ring.stream),
            written=self._ring.written,
            state=state,
            child_pid=child.identity.pid if child is not None else None,
            child_start_ticks=child.identity.start_ticks if child is not None else None,
            started_at_ns=self._started_at_ns,
            exit_code=ended[0] if ended else None,
            exit_signal=ended[1] if ended else None,
            exited_at_ns=ended[2] if ended else None,
        )

    def _write_run_record(self) -> None:
        """Say who runs here, for an agent that finds this shim dead and must not signal a stranger."""
        child = self._child.identity if self._child is not None else None
        replace(
            f"{self._config.name}.run",
            f'{{"bootId":"{self._boot_id}","shim":{_render_identity(self._identity)},"child":{_render_identity(child)}}}\n',
            self._folder,
        )

    def _write_exit_record(self) -> None:
        code, number, at_ns = self._exit or (None, None, 0)
        values = {"code": code, "signal": number, "startedAtNs": self._started_at_ns, "exitedAtNs": at_ns}
        body = ",".join(f'"{key}":{"null" if value is None else value}' for key, value in values.items())
        replace(f"{self._config.state_folder}/exit", f'{{{body},"written":{self._ring.written}}}\n')

    def _sync_exit_record(self) -> None:
        for path in (f"{self._config.state_folder}/exit", self._config.state_folder):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as exc:
                note(f"{path} not synced: {exc}")
                continue
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def _render_uuid(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _render_identity(identity: ProcessIdentity | None) -> str:
    if identity is None:
        return "null"
    return f'{{"pid":{identity.pid},"startTicks":{identity.start_ticks}}}'
