"""The agent's end of a shim: connecting to it, giving it orders, and hearing it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
from collections.abc import Sequence
from contextvars import Context
from pathlib import Path
from typing import Protocol

from zlh_agent.shim import shim_wire as wire
from zlh_agent.shim.errors import LaunchFailed, ShimLost
from zlh_agent.shim.model import Launch, Rung, Snapshot, SpawnResult
from zlh_common.processes import ProcessIdentity
from zlh_common.request_ids import current_request_id

CONNECT_TIMEOUT_S = 5.0
LADDER_VERSION = 2
SPAWN_TIMEOUT_S = 10.0
# As much new output at once means that more is coming: the doorbell is left alone for a moment, so that the next look
# finds a frame worth sending to every viewer. Output below this is always looked at at once.
FLOOD_BYTES = 4096
FLOOD_PAUSE_S = 0.001

_CREDENTIALS = struct.Struct("3i")
_RECEIVE_BYTES = 64 * 1024


class ShimListener(Protocol):
    """Who is told what a shim says; called in the event loop, and may not block it."""

    def on_output(self) -> int:
        """The ring may have grown; returns by how many bytes."""
        ...

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Something about the shim or its child has changed."""
        ...

    def on_lost(self) -> None:
        """The connection has ended; nothing more comes. Not called after `ShimLink.close`."""
        ...


class ShimLink:
    """One connection to a live shim. Owned by whoever connected it: ends with `close`, which leaves the shim alone."""

    def __init__(
        self, name: str, sock: socket.socket, snapshot: Snapshot, feed: wire.FrameFeed, listener: ShimListener
    ) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._feed = feed
        self._listener = listener
        self._out = bytearray()
        self._serial = 0
        # On whose behalf the shim was last told to work.
        self._request_id = ""
        self._spawns: dict[int, asyncio.Future[SpawnResult]] = {}
        self._sent = 0
        self._accepted = 0
        # Set whenever there may be room for more input, or something of `_out` has left.
        self._has_room = asyncio.Event()
        # Bytes that have ever been put into `_out`.
        self._queued = 0
        self._pause: asyncio.TimerHandle | None = None
        self._ended = self._loop.create_future()
        # The newest word of the shim about itself and its child.
        self.snapshot = snapshot
        self._listen()

    @classmethod
    async def connect(cls, folder: Path, name: str, listener: ShimListener) -> ShimLink:
        """Connect to the shim `name` and hear its first word; raise ShimLost where none is there that is ours."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        feed = wire.FrameFeed()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await _dial(sock, folder, name)
                snapshot = await _receive_first(sock, feed)
            _check_peer(sock, snapshot, name)
        except (OSError, TimeoutError, wire.WireError) as exc:
            sock.close()
            raise ShimLost(name, reason=f"does not answer: {str(exc) or type(exc).__name__}") from exc
        except BaseException:
            sock.close()
            raise
        return cls(name, sock, snapshot, feed, listener)

    @property
    def shim(self) -> ProcessIdentity:
        """The shim's process, for when it has to be ended from outside."""
        return ProcessIdentity(self.snapshot.shim_pid, self.snapshot.shim_start_ticks, self.snapshot.boot_id)

    @property
    def is_open(self) -> bool:
        """Tell whether the shim still hears us."""
        return not self._ended.done()

    async def spawn(self, launch: Launch) -> None:
        """Have the shim start a child; return once it runs, or raise LaunchFailed or ShimLost."""
        self._serial += 1
        serial = self._serial
        future: asyncio.Future[SpawnResult] = self._loop.create_future()
        self._spawns[serial] = future
        try:
            self._order(wire.render_spawn(serial, launch))
            async with asyncio.timeout(SPAWN_TIMEOUT_S):
                result = await future
        except TimeoutError as exc:
            raise ShimLost(self._name, reason=f"did not start a program within {SPAWN_TIMEOUT_S:.0f} s") from exc
        except wire.WireError as exc:
            raise LaunchFailed(step="environment", reason=str(exc)) from exc
        finally:
            self._spawns.pop(serial, None)
        if result.errno:
            raise LaunchFailed(step=_name_step(result.step, launch), reason=os.strerror(result.errno))

    async def write(self, data: bytes) -> bool:
        """Give the child input; waits while the child does not take what came before.

        Return whether the shim has all of it, and so gives it to the child whatever becomes of us; else it has none.
        """
        while self.is_open and self._sent - self._accepted + len(data) > wire.INPUT_WINDOW_BYTES:
            await self._wait_moved()
        if not self.is_open:
            return False
        self._sent += len(data)
        self._send(wire.render_frame(wire.INPUT, data))
        end = self._queued
        while self.is_open and self._left < end:
            await self._wait_moved()
        return self._left >= end

    @property
    def _left(self) -> int:
        """How many bytes have ever left `_out` for the shim."""
        return self._queued - len(self._out)

    async def _wait_moved(self) -> None:
        self._has_room.clear()
        await self._has_room.wait()

    def resize(self, cols: int, rows: int) -> None:
        """Set the size of the child's terminal."""
        self._send(wire.render_resize(cols, rows))

    def stop(self, rungs: Sequence[Rung]) -> None:
        """Have everybody there end rung by rung, and by SIGKILL after the last; one under way that ends sooner goes on.

        A shim of the first version knows one signal and its grace: it gets the last of the rungs.
        """
        if self.snapshot.version >= LADDER_VERSION:
            self._order(wire.render_frame(wire.LADDER, wire.render_ladder(rungs)))
        elif rungs and rungs[-1].signal:
            self._order(wire.render_stop(rungs[-1].signal, rungs[-1].grace_ms))
        else:
            self._order(wire.render_stop(signal.SIGKILL, 0))

    def end(self, *, forget: bool, grace_s: float) -> None:
        """Have the shim end the child, its kin and itself; `forget` takes the history too."""
        self._order(wire.render_end(forget=forget, grace_ms=int(grace_s * 1000)))

    async def wait_ended(self, *, timeout_s: float) -> bool:
        """Wait until the shim has closed the connection; False where it has not in time."""
        done, _ = await asyncio.wait([self._ended], timeout=timeout_s)
        return bool(done)

    def close(self) -> None:
        """Leave the shim to itself; may be called twice."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
        if self._pause is not None:
            self._pause.cancel()
        if not self._ended.done():
            self._ended.set_result(None)
        self._has_room.set()
        for future in self._spawns.values():
            if not future.done():
                future.set_exception(ShimLost(self._name, reason="has ended"))

    def _lose(self) -> None:
        if self.is_open:
            self.close()
            self._listener.on_lost()

    def _order(self, frame: bytes) -> None:
        """Send what the shim shall do, and on whose behalf, for its log."""
        request_id = current_request_id() or ""
        if request_id != self._request_id:
            self._request_id = request_id
            self._send(wire.render_request(request_id))
        self._send(frame)

    def _send(self, frame: bytes) -> None:
        if not self.is_open:
            return
        was_empty = not self._out
        self._out += frame
        self._queued += len(frame)
        if was_empty:
            self._on_writable()

    def _on_writable(self) -> None:
        try:
            while self._out:
                del self._out[: self._sock.send(self._out)]
        except BlockingIOError:
            self._loop.add_writer(self._sock, self._on_writable)
        except OSError:
            # The reader meets the end as well, after it has read what was said before. Nothing more leaves.
            self._loop.remove_writer(self._sock)
        else:
            self._loop.remove_writer(self._sock)
        self._has_room.set()

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(_RECEIVE_BYTES)
            for kind, body in self._feed.feed(data):
                self._hear(kind, body)
        except BlockingIOError:
            return
        except (OSError, wire.WireError):
            data = b""
        # Whatever was said: a shim keeps silent about new output while something of it is unread.
        if self._listener.on_output() >= FLOOD_BYTES and data and self.is_open:
            self._loop.remove_reader(self._sock)
            self._pause = self._loop.call_later(FLOOD_PAUSE_S, self._resume)
        if not data:
            self._lose()

    def _resume(self) -> None:
        self._pause = None
        self._listen()

    def _listen(self) -> None:
        # In a context of its own: what a shim says is on behalf of no request, whoever connected to it.
        Context().run(self._loop.add_reader, self._sock, self._on_readable)

    def _hear(self, kind: int, body: bytes) -> None:
        if kind == wire.PROGRESS:
            _, self._accepted = wire.parse_progress(body)
            self._has_room.set()
        elif kind in {wire.STATE, wire.HELLO}:
            self.snapshot = wire.parse_snapshot(body)
            self._listener.on_snapshot(self.snapshot)
        elif kind == wire.SPAWNED:
            result = wire.parse_spawned(body)
            future = self._spawns.get(result.serial)
            if future is not None and not future.done():
                future.set_result(result)


def _name_step(step: str, launch: Launch) -> str:
    """Return what failed in words: a step of `spawn_child`, and what it was about."""
    subjects = {"program": launch.argv[0], "interpreter": f"of {launch.argv[0]}", "folder": launch.cwd}
    subject = subjects.get(step)
    return step if subject is None else f"{step} {subject}"


async def _dial(sock: socket.socket, folder: Path, name: str) -> None:
    """Connect through a descriptor of the folder, since a socket's path has at most 107 bytes."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        await asyncio.get_running_loop().sock_connect(sock, f"/proc/self/fd/{fd}/{name}.sock")
    finally:
        os.close(fd)


async def _receive_first(sock: socket.socket, feed: wire.FrameFeed) -> Snapshot:
    while True:
        data = await asyncio.get_running_loop().sock_recv(sock, _RECEIVE_BYTES)
        if not data:
            raise wire.WireError("closed before its first word")
        frames = feed.feed(data)
        if frames and frames[0][0] != wire.HELLO:
            raise wire.WireError("did not begin with its first word")
        # Doorbells that came along are not needed: whoever connects looks at the ring anyway.
        snapshots = [wire.parse_snapshot(body) for kind, body in frames if kind in {wire.HELLO, wire.STATE}]
        if snapshots:
            return snapshots[-1]


def _check_peer(sock: socket.socket, snapshot: Snapshot, name: str) -> None:
    """Refuse a socket that another user listens on, or that a process listens on which says it is another."""
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if uid != os.geteuid() or pid != snapshot.shim_pid:
        raise ShimLost(name, reason="is not the one that it says it is")
