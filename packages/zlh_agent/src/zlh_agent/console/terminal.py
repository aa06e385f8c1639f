"""One terminal as the agent sees it: the link to its shim, its history, and those who look at it.

A viewer is a cursor into the ring file. The ring is everybody's queue: bounded, on disk, written whether anybody reads
or not. What is full for one viewer is a lap, and the answer to it is a gap; nobody is waited for and nothing is kept in
memory for anybody. Viewers that stand at the same offset, as all do that keep up, get the very same frame.

    starting → running ⇄ exited          what the shim says of its child
                  └────→ lost            the shim itself is gone
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from zlh_agent.console import shim_wire as wire
from zlh_agent.console.errors import TerminalNotFound
from zlh_agent.console.link import ShimLink
from zlh_agent.console.records import ExitRecord
from zlh_agent.console.ring import RingInvalid, RingReader
from zlh_agent.console.rules import Notice, Output, Skip, TerminalState, Wait, next_move
from zlh_common.schema.console_wire import (
    OFFSET_BYTES,
    Exit,
    Gap,
    Hello,
    ServerMessage,
    State,
    resume_point,
)
from zlh_common.schema.status import ProcessStatus
from zlh_common.schema.terminal import Terminal as TerminalRow

# Frames that viewers at the same offset share; each has at most MAX_OUTPUT_BYTES.
_SHARED_FRAMES = 4
# A viewer is told of this many changes at most while it reads nothing; older ones are of no use to it any more.
_MAX_NOTICES = 32


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more comes; why, as a WebSocket close code and reason."""

    code: int
    reason: str


EXITED = Ended(1000, "exited")
CLOSED = Ended(1000, "closed")
LOST = Ended(1011, "shim_lost")
AGENT_GOES = Ended(1001, "agent_stopping")


def signal_name(number: int | None) -> str | None:
    """Return `SIGKILL` for 9; a number without a name stays one."""
    if number is None:
        return None
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"SIG{number}"


def moment(nanoseconds: int | None) -> datetime | None:
    """Return a wall-clock time of a shim."""
    return None if nanoseconds is None else datetime.fromtimestamp(nanoseconds / 1e9, UTC)


class Viewer:
    """One client's place in a terminal's output: iterate it for what to send, in order.

    Yields frames (bytes) and messages; ends after `ended` is set. The one who iterates sets the pace: this holds no
    output, so a viewer that is not iterated costs nothing and misses what the ring has lost by the time it goes on.
    """

    def __init__(self, terminal: Terminal, hello: Hello, gap: Gap | None) -> None:
        self.hello = hello
        self.ended: Ended | None = None
        self._terminal = terminal
        self._position = hello.start
        self._notices: deque[tuple[int, ServerMessage | Ended]] = deque(maxlen=_MAX_NOTICES)
        self._first_gap = gap
        self._has_sized = False
        self._woken = asyncio.Event()

    def __aiter__(self) -> Viewer:
        return self

    async def __anext__(self) -> bytearray | ServerMessage:
        if self._first_gap is not None:
            gap, self._first_gap = self._first_gap, None
            return gap
        while self.ended is None:
            item = self._next()
            if item is not None:
                return item
            if self.ended is None:
                await self._woken.wait()
        raise StopAsyncIteration

    def _next(self) -> bytearray | ServerMessage | None:
        """Return what is due, or None where there is nothing (then `_woken` says when to look again)."""
        self._woken.clear()
        notice_at = self._notices[0][0] if self._notices else None
        oldest, written = self._terminal.bounds()
        match next_move(position=self._position, oldest=oldest, written=written, notice_at=notice_at):
            case Skip(start, to):
                self._position = to
                return Gap(start=start, to=to)
            case Output(start, limit):
                frame = self._terminal.frame(start, limit)
                if frame is not None:
                    self._position += len(frame) - OFFSET_BYTES
                    return frame
                self._on_unreadable()
            case Notice():
                _, notice = self._notices.popleft()
                if not isinstance(notice, Ended):
                    return notice
                self.ended = notice
            case Wait():
                pass
        return None

    def _on_unreadable(self) -> None:
        """It was lapped between the look and the read, and the next look will say so; or the ring is broken."""
        self._terminal.refresh()
        oldest, _ = self._terminal.bounds()
        if self._position < oldest:
            self._woken.set()
        else:
            self.ended = LOST

    def tell(self, offset: int, *notices: ServerMessage | Ended) -> None:
        """Queue notices to be given once the output before `offset` was."""
        self._notices.extend((offset, notice) for notice in notices)
        self._woken.set()

    def wake(self) -> None:
        """There may be something new."""
        self._woken.set()

    async def write(self, data: bytes) -> None:
        """Type `data`; waits while the program does not read."""
        await self._terminal.write(data)

    def resize(self, cols: int, rows: int) -> None:
        """Set the terminal's size; the first time it is applied anew, so that a full-screen program draws itself."""
        self._terminal.resize(cols, rows, redraw=not self._has_sized)
        self._has_sized = True

    def end(self, ended: Ended) -> None:
        """Nothing more comes from here, whatever it has not seen yet."""
        self.ended = self.ended or ended
        self._woken.set()

    def close(self) -> None:
        """Leave; may be called twice. Whoever iterates is let go."""
        self._terminal.forget(self)
        self.end(CLOSED)


class Terminal:
    """One terminal, for the service that owns it; hears its shim as a `ShimListener`."""

    def __init__(
        self, id_: str, folder: Path, on_change: Callable[[], None], on_orphan: Callable[[Terminal], None]
    ) -> None:
        self.id = id_
        self.folder = folder
        self.state: TerminalState = "starting"
        self.link: ShimLink | None = None
        self.snapshot: wire.Snapshot | None = None
        self.last_exit: ExitRecord | None = None
        self.is_closing = False
        self.size = (80, 24)
        # Held while a shim or a shell of this terminal is being started.
        self.starting = asyncio.Lock()
        self._on_change = on_change
        self._on_orphan = on_orphan
        self._reader: RingReader | None = None
        self._written = 0
        self._viewers: set[Viewer] = set()
        self._frames: dict[tuple[int, int], bytearray] = {}

    # What its shim says

    def adopt(self, link: ShimLink) -> None:
        """Take a fresh connection to its shim, and believe what that says."""
        self.link = link
        self._open_history()
        self.on_snapshot(link.snapshot)
        self.on_output()

    def on_output(self) -> int:
        """Look how far the ring has grown, and wake whoever waits for it; returns by how much."""
        before = self._written
        self.refresh()
        if self._written != before:
            for viewer in self._viewers:
                viewer.wake()
        return self._written - before

    def on_snapshot(self, snapshot: wire.Snapshot) -> None:
        """Take what the shim says of itself and its child, and tell those who look."""
        before, self.snapshot = self.snapshot, snapshot
        if snapshot.state == wire.RUNNING:
            self._enter("running", snapshot.written)
        elif snapshot.state == wire.EXITED and snapshot.exited_at_ns is not None:
            self.last_exit = ExitRecord(
                code=snapshot.exit_code,
                signal=snapshot.exit_signal,
                started_at_ns=snapshot.started_at_ns,
                exited_at_ns=snapshot.exited_at_ns,
                written=snapshot.written,
            )
            if before is None or before.exited_at_ns != snapshot.exited_at_ns:
                self._enter("exited", snapshot.written, self.exit_message(), EXITED)

    def on_lost(self) -> None:
        """The shim is gone: after its child's end that was in order, before it the terminal is lost."""
        self.link = None
        self.refresh()
        if self.state != "exited":
            self._enter("lost", self._written, LOST)
            self._on_orphan(self)
        else:
            self._on_change()

    def _enter(self, state: TerminalState, offset: int, *notices: ServerMessage | Ended) -> None:
        if self.state != state:
            self.state = state
            for viewer in self._viewers:
                viewer.tell(offset, State(state=state), *notices)
        self._on_change()

    # Its history

    def restore(self, last_exit: ExitRecord | None) -> None:
        """Stand for a terminal whose shim has gone: its history can be read, its end is known or not."""
        self.last_exit = last_exit
        self.state = "exited" if last_exit is not None else "lost"
        self._open_history()
        self.refresh()

    def _open_history(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._frames.clear()
        try:
            self._reader = RingReader(self.folder / "ring")
        except (OSError, RingInvalid):
            self._reader = None

    def refresh(self) -> None:
        """Look at the ring's newest commit."""
        if self._reader is not None:
            with contextlib.suppress(RingInvalid, OSError):
                self._written = self._reader.written()

    def bounds(self) -> tuple[int, int]:
        """Return the absolute offsets [oldest, written) as of the last look."""
        capacity = self._reader.capacity if self._reader is not None else 0
        return max(0, self._written - capacity), self._written

    def stream(self) -> str:
        """Return the id of this history; a new one means that offsets have begun anew."""
        return str(UUID(bytes=self._reader.stream if self._reader is not None else bytes(16)))

    def frame(self, start: int, limit: int) -> bytearray | None:
        """Return one console frame from `start`, the same object for everybody; None where the start is gone.

        Nobody may change it.
        """
        frame = self._frames.get((start, limit))
        if frame is None and self._reader is not None:
            with contextlib.suppress(RingInvalid, OSError):
                frame = self._reader.read(start, limit, header_bytes=OFFSET_BYTES)
            if frame is not None:
                frame[:OFFSET_BYTES] = start.to_bytes(OFFSET_BYTES, "big")
                self._share(start, limit, frame)
        return frame

    def _share(self, start: int, limit: int, frame: bytearray) -> None:
        if len(self._viewers) > 1:
            self._frames[start, limit] = frame
            if len(self._frames) > _SHARED_FRAMES:
                del self._frames[next(iter(self._frames))]

    # Those who look

    def view(self, asked: int | None) -> Viewer:
        """Add a viewer that goes on at `asked`; the caller closes it."""
        self.refresh()
        oldest, written = self.bounds()
        start, how = resume_point(asked, oldest=oldest, written=written)
        gap = Gap(start=asked, to=start) if how == "gap" and asked is not None else None
        hello = Hello(stream=self.stream(), start=start, to=written, state=self.state)
        viewer = Viewer(self, hello, gap)
        self._viewers.add(viewer)
        if self.state == "exited":
            viewer.tell(written, self.exit_message(), EXITED)
        elif self.state == "lost":
            viewer.tell(written, LOST)
        return viewer

    def forget(self, viewer: Viewer) -> None:
        """Drop a viewer; the last one takes the shared frames along."""
        self._viewers.discard(viewer)
        if len(self._viewers) < 2:
            self._frames.clear()

    @property
    def viewers(self) -> int:
        """How many look at it now."""
        return len(self._viewers)

    def dismiss(self, ended: Ended) -> None:
        """Let all viewers go at once; a client that comes back says where it was."""
        for viewer in self._viewers:
            viewer.end(ended)

    async def write(self, data: bytes) -> None:
        """Give the shell input; what is typed where none runs is dropped."""
        if self.link is not None and self.state == "running":
            await self.link.write(data)

    def resize(self, cols: int, rows: int, *, redraw: bool) -> None:
        """Set the size, for this shell and for the next."""
        self.size = (cols, rows)
        if self.link is not None:
            self.link.resize(cols, rows, redraw=redraw)

    # What it looks like from outside

    def exit_message(self) -> Exit:
        """How the last shell ended."""
        ended = self.last_exit
        if ended is None:
            raise TerminalNotFound(self.id)
        return Exit(code=ended.code, signal=signal_name(ended.signal))

    def row(self) -> TerminalRow:
        """The row of `GET /terminals`."""
        return TerminalRow(id=self.id, state=self.state, started_at=self._started_at())

    def status(self) -> ProcessStatus:
        """The row in the agent's status."""
        ended = self.last_exit if self.state == "exited" else None
        return ProcessStatus(
            name=self.id,
            state=self.state,
            pid=self.snapshot.child_pid if self.snapshot is not None and self.state == "running" else None,
            started_at=self._started_at(),
            exit_code=ended.code if ended else None,
            signal=signal_name(ended.signal) if ended else None,
            ready=self.state == "running",
        )

    def _started_at(self) -> datetime | None:
        if self.snapshot is not None:
            return moment(self.snapshot.started_at_ns)
        return moment(self.last_exit.started_at_ns) if self.last_exit is not None else None

    def close(self) -> None:
        """Let go of the link and the history, leaving the shim alone; may be called twice."""
        if self.link is not None:
            self.link.close()
            self.link = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None
