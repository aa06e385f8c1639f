"""The shim: the one small process that owns a terminal, and outlives the agent that started it.

    agent ── Unix socket ──┐
    agent (newer) ─────────┤  shim ── PTY ── child (shell, server) ── whatever it starts
                           │   └── ring file (history), exit record, run record

It drains the PTY into the ring as fast as the kernel gives, and rings a doorbell; whoever is attached reads the ring by
itself. So nothing here waits for an agent, and nothing is kept for one: a slow or dead agent never slows the child.
It is the parent of every orphan below it, so a stop ends what has forked twice and left its session too.

It will not: interpret output, decide on restarts (the agent orders them), or hold anything in argv or environment that
`ps` may not show (its configuration comes through standard input, a launch through the socket).

Started as `python -I -S -c …` with the bundle's folder; everything is imported before the first line of work, so that
replacing the bundle under a running shim does no harm. `_socket` and `_signal` are the C modules behind their
namesakes, which cost 2 MB and 10 ms more.
"""

from __future__ import annotations

import _socket
import errno
import os
import select
import time

from zlh_agent.shim import shim_wire as wire
from zlh_agent.shim.child import Child, SpawnFailed, spawn_child
from zlh_agent.shim.config import Config
from zlh_agent.shim.files import remove, replace, sync
from zlh_agent.shim.log import note
from zlh_agent.shim.loop import Loop
from zlh_agent.shim.memory import OutOfMemoryKills
from zlh_agent.shim.model import EXITED, IDLE, RUNNING, Launch, Rung, Snapshot, SpawnResult
from zlh_agent.shim.peers import MAX_PEERS, Peer, Peers
from zlh_agent.shim.ring import BLOCK_BYTES, RingWriter
from zlh_agent.shim.stopping import Ladder, count_descendants
from zlh_common.processes import ProcessIdentity, read_boot_id, read_row

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Sequence
else:
    import _signal

# The kernel gives at most this much of a terminal at once; less means that it has no more for now.
PTY_READ_BYTES = 4095
# After a child has ended, its terminal holds a few KiB at most; a surviving grandchild could go on for ever.
MAX_REST_BYTES = 1024 * 1024
# So long after an end its record is brought to the disk: what is started again at once need not wait for that.
SYNC_AFTER_S = 1.0
# How a child is ended of which nobody said how: as a shell whose terminal is hung up.
HANG_UP = (Rung(signal=_signal.SIGHUP, grace_ms=5000),)


class _Exit:
    """How the last child ended; one of code and signal is None."""

    __slots__ = ("at_ns", "code", "out_of_memory", "signal")

    def __init__(self, code: int | None, signal: int | None, *, out_of_memory: bool) -> None:
        self.code = code
        self.signal = signal
        self.out_of_memory = out_of_memory
        self.at_ns = time.time_ns()


class Shim:
    """One terminal: a loop over descriptors, with a timer only while something is being stopped."""

    def __init__(self, config: Config, ring: RingWriter, listener: _socket.socket, folder: int) -> None:
        self._config = config
        self._ring = ring
        self._folder = folder
        self._boot_id = read_boot_id()
        row = read_row(os.getpid())
        self._identity = ProcessIdentity(os.getpid(), row.start_ticks if row else 0, self._boot_id)
        self._loop = Loop()
        self._peers = Peers(self._loop, listener, greet=self._greet, obey=self._obey)
        self._block = memoryview(bytearray(BLOCK_BYTES))
        self._child: Child | None = None
        # Input that the terminal has not taken yet, oldest first; without a peer it is of a ladder.
        self._input: list[tuple[Peer | None, bytes]] = []
        self._started_at_ns: int | None = None
        self._start_offset: int | None = None
        self._exit: _Exit | None = None
        # How many processes of former children still run.
        self._left = 0
        self._memory = OutOfMemoryKills()
        self._memory_kills: int | None = None
        self._ladder = Ladder(self._boot_id, lambda text: self._type(None, text))
        self._own_ladder: Sequence[Rung] = HANG_UP
        self._is_ending = False
        self._forgets = False
        self._is_over = False
        self._sync_at: float | None = None
        self._is_recording = True

    def serve(self) -> None:
        """Work until an agent says END or the system says SIGTERM; then leave nobody behind."""
        self._loop.watch_signals({_signal.SIGTERM: self._on_terminated, _signal.SIGCHLD: self._reap})
        self._write_run_record()
        while not self._is_over:
            self._loop.turn(self._timeout_ms())
            self._peers.ring_doorbells(self._ring.written)
            if self._ladder.press_on(has_child=self._child is not None):
                self._on_stopped()
            if self._sync_at is not None and time.monotonic() >= self._sync_at:
                self._sync()
        self._leave()

    def _timeout_ms(self) -> int | None:
        """Return how long the loop may wait at most; nothing is periodic while a child simply runs."""
        timeout_ms = self._ladder.timeout_ms(has_child=self._child is not None)
        if self._sync_at is None:
            return timeout_ms
        sync_ms = max(0, int((self._sync_at - time.monotonic()) * 1000) + 1)
        return sync_ms if timeout_ms is None else min(timeout_ms, sync_ms)

    def _sync(self) -> None:
        """Bring the record of the last end to the disk, should the machine die."""
        self._sync_at = None
        if self._exit is not None:
            sync(f"{self._config.state_folder}/exit", self._config.state_folder)

    # The child and its terminal

    def _spawn(self, launch: Launch) -> None:
        if self._child is not None or self._is_ending or self._ladder.is_under_way():
            raise SpawnFailed(errno.EBUSY, "running")
        memory_kills = self._memory.read()
        child = spawn_child(launch, self._boot_id)
        # It tells of a former child; should this shim be killed, nobody may take it for the end of this one.
        remove(f"{self._config.state_folder}/exit")
        self._child = child
        self._own_ladder = launch.ladder or HANG_UP
        self._started_at_ns = time.time_ns()
        self._start_offset = self._ring.written
        self._memory_kills = memory_kills
        self._exit = None
        self._loop.watch(child.master, select.POLLIN, self._on_terminal)
        self._loop.watch(child.pidfd, select.POLLIN, lambda _events: self._on_child_end())
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
            self._loop.change(child.master, 0)
        if filled:
            self._record(self._block[:filled])
        return filled

    def _record(self, data: memoryview) -> None:
        try:
            self._ring.append(data)
        except OSError as exc:
            # A full or broken disk costs history, never the process: the child goes on, unrecorded.
            if self._is_recording:
                note("output.not_recorded", level="ERROR", error=str(exc))
            self._is_recording = False
        else:
            self._is_recording = True
        self._peers.note_output()

    def _type(self, peer: Peer | None, data: bytes) -> None:
        """Queue input for the child; without one it is gone."""
        if self._child is None:
            _accept(peer, len(data))
            return
        self._input.append((peer, data))
        self._write_input()

    def _write_input(self) -> None:
        child = self._child
        if child is None:
            return
        try:
            while self._input:
                peer, data = self._input[0]
                count = os.write(child.master, data)
                _accept(peer, count)
                if count == len(data):
                    del self._input[0]
                else:
                    self._input[0] = (peer, data[count:])
        except BlockingIOError:
            pass
        except OSError:
            self._drop_input()
        self._loop.change(child.master, select.POLLIN | select.POLLOUT if self._input else select.POLLIN)

    def _drop_input(self) -> None:
        for peer, data in self._input:
            _accept(peer, len(data))
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
        self._exit = _Exit(*ended, out_of_memory=ended[1] == _signal.SIGKILL and self._ran_out_of_memory())
        self._write_exit_record()
        self._drop_input()
        self._loop.unwatch(child.master)
        self._loop.unwatch(child.pidfd)
        child.release()
        self._child = None
        self._left = count_descendants(self._boot_id)
        self._tell_state()
        note("child.ended", pid=child.identity.pid, code=ended[0], signal=ended[1])
        self._sync_at = time.monotonic() + SYNC_AFTER_S
        self._write_run_record()

    def _ran_out_of_memory(self) -> bool:
        """Tell whether the kernel, and not a ladder, has killed something of ours since the child began."""
        if self._ladder.is_under_way() or self._memory_kills is None:
            return False
        kills = self._memory.read()
        return kills is not None and kills > self._memory_kills

    def _reap(self) -> None:
        """Let orphans that have ended go, who became our children; the child itself is told of by its pidfd."""
        while (pid := _find_ended()) is not None:
            if self._child is not None and pid == self._child.identity.pid:
                self._on_child_end()
            else:
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
        if self._child is None and self._left and not self._ladder.is_under_way():
            left = count_descendants(self._boot_id)
            if left != self._left:
                self._left = left
                self._tell_state()

    # Stopping

    def _stop(self, peer: Peer, rungs: Sequence[Rung]) -> None:
        note("child.stopping", rungs=len(rungs), request_id=peer.request_id or None)
        # What was there when this was ordered may have gone by itself: then the next word is that nobody is left, and
        # a child may be started at once.
        self._reap()
        if self._child is not None or count_descendants(self._boot_id):
            self._ladder.begin(rungs)
        self._tell_state()

    def _on_stopped(self) -> None:
        """Nobody is left, or the kernel holds somebody; either way no more can be done."""
        if self._child is None:
            self._left = count_descendants(self._boot_id)
        self._is_over = self._is_ending
        self._tell_state()

    def _on_terminated(self) -> None:
        self._end(self._own_ladder, forget=False)

    def _end(self, rungs: Sequence[Rung], *, forget: bool) -> None:
        self._is_ending = True
        self._forgets = self._forgets or forget
        self._ladder.begin(rungs)

    def _leave(self) -> None:
        """Bring the history to the disk, take the records away, and close; connections end after that."""
        remove(f"{self._config.name}.sock", self._folder)
        if self._sync_at is not None and not self._forgets:
            self._sync()
        if self._forgets:
            for name in ("ring", "exit", "shim.log"):
                remove(f"{self._config.state_folder}/{name}")
        self._ring.close()
        remove(f"{self._config.name}.run", self._folder)

    # Agents

    def _greet(self) -> bytes:
        return wire.render_snapshot(wire.HELLO, self._snapshot())

    def _tell_state(self) -> None:
        self._peers.tell(wire.render_snapshot(wire.STATE, self._snapshot()))

    def _obey(self, peer: Peer, kind: int, body: bytes) -> None:
        child = self._child
        if kind == wire.INPUT:
            self._take_input(peer, body)
        elif kind == wire.RESIZE:
            cols, rows, redraw = wire.parse_resize(body)
            if child is not None:
                child.resize(cols, rows, redraw=redraw)
        elif kind == wire.REQUEST:
            peer.request_id = wire.parse_request(body)[:64]
        elif kind == wire.LADDER:
            self._stop(peer, wire.parse_ladder(body))
        elif kind == wire.STOP:
            number, grace_ms = wire.parse_stop(body)
            self._stop(peer, (Rung(signal=number, grace_ms=grace_ms),))
        elif kind == wire.SPAWN:
            self._answer_spawn(peer, body)
        elif kind == wire.END:
            forget, grace_ms = wire.parse_end(body)
            note("shim.ending", request_id=peer.request_id or None)
            self._end((Rung(signal=_signal.SIGHUP, grace_ms=grace_ms),), forget=forget)

    def _answer_spawn(self, peer: Peer, body: bytes) -> None:
        serial, launch = wire.parse_spawn(body)
        request_id = peer.request_id or None
        try:
            self._spawn(launch)
        except SpawnFailed as exc:
            note("child.not_started", level="ERROR", step=exc.step, error=os.strerror(exc.errno), request_id=request_id)
            self._peers.send(peer, wire.render_spawned(SpawnResult(serial=serial, errno=exc.errno, step=exc.step)))
            return
        self._tell_state()
        self._peers.send(peer, wire.render_spawned(SpawnResult(serial=serial)))
        note("child.started", pid=self._child.identity.pid if self._child is not None else None, request_id=request_id)

    def _take_input(self, peer: Peer, data: bytes) -> None:
        if sum(len(waiting) for _, waiting in self._input) + len(data) > MAX_PEERS * wire.INPUT_WINDOW_BYTES:
            raise wire.WireError("more input than the window allows")
        self._type(peer, data)

    # Records

    def _snapshot(self) -> Snapshot:
        child, ended = self._child, self._exit
        return Snapshot(
            shim_pid=self._identity.pid,
            shim_start_ticks=self._identity.start_ticks,
            boot_id=self._boot_id,
            stream=_render_uuid(self._ring.stream),
            written=self._ring.written,
            state=RUNNING if child is not None else IDLE if ended is None else EXITED,
            child_pid=child.identity.pid if child is not None else None,
            child_start_ticks=child.identity.start_ticks if child is not None else None,
            started_at_ns=self._started_at_ns,
            exit_code=ended.code if ended else None,
            exit_signal=ended.signal if ended else None,
            exited_at_ns=ended.at_ns if ended else None,
            left=self._left if child is None else 0,
            out_of_memory=ended.out_of_memory if ended else False,
            start_offset=self._start_offset,
            kill_at_ns=self._ladder.kill_at_ns(),
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
        ended = self._exit
        if ended is None:
            return
        values = {
            "code": ended.code,
            "signal": ended.signal,
            "startedAtNs": self._started_at_ns,
            "exitedAtNs": ended.at_ns,
            "written": self._ring.written,
        }
        body = ",".join(f'"{key}":{"null" if value is None else value}' for key, value in values.items())
        memory = "true" if ended.out_of_memory else "false"
        replace(f"{self._config.state_folder}/exit", f'{{{body},"outOfMemory":{memory}}}\n')


def _accept(peer: Peer | None, count: int) -> None:
    if peer is not None:
        peer.accepted += count


def _find_ended() -> int | None:
    """Return the pid of a child that has ended, leaving it to be reaped."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid


def _render_uuid(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _render_identity(identity: ProcessIdentity | None) -> str:
    if identity is None:
        return "null"
    return f'{{"pid":{identity.pid},"startTicks":{identity.start_ticks}}}'
