"""The console of one terminal or process: its output on disk, those who look at it, and who may type and size it.

Viewers that stand at the same offset, as all do that keep up, get the very same frame. The window belongs to whoever
typed last: others see it in that size, and one that may only look never changes it.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from uuid import UUID

from zlh_agent.console.rules import REDRAW_S, RESIZE_BURST_S, RESIZES_PER_S
from zlh_agent.console.viewer import Ended, Viewer
from zlh_agent.shim.link import ShimLink
from zlh_agent.shim.ring import RingInvalid, RingReader
from zlh_common.pace import pay
from zlh_common.schema.console_wire import Gap, Hello, ServerMessage, State, resume_point
from zlh_common.terminal_window import TerminalWindow
from zlh_common.websocket_frames import ROOM_BYTES, OutputFrame, seal

DEFAULT_SIZE = (80, 24)
# Frames that viewers at the same offset share; each has at most MAX_OUTPUT_BYTES.
_SHARED_FRAMES = 4


class Console:
    """Everything that is seen of one name. Its owner connects the shim and says which state is shown."""

    def __init__(self, folder: Path, *, state: str) -> None:
        self.folder = folder
        self.state = state
        self._link: ShimLink | None = None
        self._takes_input = False
        self._reader: RingReader | None = None
        self._written = 0
        self._viewers: set[Viewer] = set()
        self._window: TerminalWindow[Viewer] = TerminalWindow(DEFAULT_SIZE)
        # Sizes that come faster than programs follow: the last one is sent when its time has come.
        self._sizes_paid_until = 0.0
        self._next_size: asyncio.TimerHandle | None = None
        self._wants_redraw = False
        # None where a former agent may have set another.
        self._sent_size: tuple[int, int] | None = None
        self._frames: dict[tuple[int, int], OutputFrame] = {}

    # What its owner says

    def connect(self, link: ShimLink) -> None:
        """Take a fresh connection to the shim: its ring is the history from now on."""
        self._link = link
        self._sent_size = None
        self.open_history()
        self.look()

    def disconnect(self) -> None:
        """The shim is gone; its history stays."""
        self._link = None
        self.refresh()

    def show(self, state: str, offset: int | None = None, *notices: ServerMessage | Ended) -> None:
        """Tell everybody of a new state, once the output before `offset` was shown; nothing where it is not new."""
        if state == self.state:
            return
        self.state = state
        self.tell(offset, State(state=state), *notices)

    def tell(self, offset: int | None, *notices: ServerMessage | Ended) -> None:
        """Tell everybody something, once the output before `offset` (None: all so far) was shown."""
        at = self._written if offset is None else offset
        for viewer in self._viewers:
            viewer.tell(at, *notices)

    def allow_input(self, *, allowed: bool) -> None:
        """Say whether somebody is there to type for; what is typed else is refused."""
        self._takes_input = allowed

    def look(self) -> int:
        """Look how far the ring has grown, and wake whoever waits for it; returns by how much."""
        before = self._written
        self.refresh()
        if self._written != before:
            for viewer in self._viewers:
                viewer.wake()
        return self._written - before

    def dismiss(self, ended: Ended) -> None:
        """Let all viewers go at once; a client that comes back says where it was."""
        for viewer in self._viewers:
            viewer.end(ended)

    def close(self) -> None:
        """Let go of the history; may be called twice."""
        self._link = None
        if self._next_size is not None:
            self._next_size.cancel()
            self._next_size = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # Its history

    def open_history(self) -> None:
        """Read the ring that lies in the folder now, if there is one."""
        if self._reader is not None:
            self._reader.close()
        self._frames.clear()
        try:
            self._reader = RingReader(self.folder / "ring")
        except (OSError, RingInvalid):
            self._reader = None
            self._written = 0
        self.refresh()

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

    def frame(self, start: int, limit: int) -> OutputFrame | None:
        """Return one console frame from `start`, the same object for everybody; None where the start is gone."""
        frame = self._frames.get((start, limit))
        if frame is None and self._reader is not None:
            with contextlib.suppress(RingInvalid, OSError):
                buffer = self._reader.read(start, limit, header_bytes=ROOM_BYTES)
                frame = seal(buffer, start) if buffer is not None else None
            if frame is not None:
                self._share(start, limit, frame)
        return frame

    def read(self, start: int, limit: int) -> bytes:
        """Return up to `limit` bytes of the output from `start`; nothing where that is gone or not there yet."""
        frame = self._reader.read(start, limit) if self._reader is not None else None
        return bytes(frame or b"")

    def _share(self, start: int, limit: int, frame: OutputFrame) -> None:
        if len(self._viewers) > 1:
            self._frames[start, limit] = frame
            if len(self._frames) > _SHARED_FRAMES:
                del self._frames[next(iter(self._frames))]

    # Those who look

    def view(self, asked: int | None, *, may_write: bool = True) -> Viewer:
        """Add a viewer that goes on at `asked`; the caller closes it."""
        self.refresh()
        oldest, written = self.bounds()
        start, how = resume_point(asked, oldest=oldest, written=written)
        gap = Gap(start=asked, to=start) if how == "gap" and asked is not None else None
        hello = Hello(stream=self.stream(), start=start, to=written, state=self.state)
        viewer = Viewer(self, hello, gap, may_write=may_write)
        self._viewers.add(viewer)
        return viewer

    def forget(self, viewer: Viewer) -> None:
        """Drop a viewer; the last one takes the shared frames along."""
        self._viewers.discard(viewer)
        self._window.leave(viewer)
        if len(self._viewers) < 2:
            self._frames.clear()

    @property
    def viewers(self) -> int:
        """How many look at it now."""
        return len(self._viewers)

    async def write(self, viewer: Viewer, data: bytes) -> bool:
        """Type for this viewer; waits while the program does not read. The window is his from now on.

        Return whether it was taken, as a whole; what nothing is there to take is not.
        """
        if self._window.type(viewer, viewer.size) is not None:
            self._apply_size(redraw=False)
        if self._next_size is not None:
            # A size that was told before this was typed is there before it.
            await asyncio.sleep(self._next_size.when() - asyncio.get_running_loop().time())
        return self._link is not None and self._takes_input and await self._link.write(data)

    async def type(self, data: bytes) -> bool:
        """Type on behalf of nobody who looks, so the window stays as it is; return whether it was taken."""
        return self._link is not None and self._takes_input and await self._link.write(data)

    def resize(self, viewer: Viewer, *, redraw: bool) -> None:
        """Take the size of a viewer whose window this is; for others the program at most draws itself anew."""
        size = self._window.resize(viewer, viewer.size, may_write=viewer.may_write) if viewer.size is not None else None
        if size is not None or redraw:
            self._apply_size(redraw=redraw)

    def redraw(self) -> None:
        """Have a full-screen program draw itself anew, in the size that it has."""
        self._apply_size(redraw=True)

    @property
    def size(self) -> tuple[int, int]:
        """The size of the terminal, for this program and for the next."""
        return self._window.size or DEFAULT_SIZE

    @size.setter
    def size(self, size: tuple[int, int]) -> None:
        self._window.size = size

    def _apply_size(self, *, redraw: bool) -> None:
        """Give the terminal the size of its window, at the pace that programs can follow."""
        self._wants_redraw = self._wants_redraw or redraw
        if self._next_size is not None:
            return
        loop = asyncio.get_running_loop()
        self._sizes_paid_until = pay(self._sizes_paid_until, 1 / RESIZES_PER_S, burst_s=RESIZE_BURST_S, now=loop.time())
        if self._sizes_paid_until <= loop.time():
            self._send_size()
        else:
            self._next_size = loop.call_at(self._sizes_paid_until, self._send_size)

    def _send_size(self) -> None:
        self._next_size = None
        if self._link is None:
            self._wants_redraw = False
            return
        cols, rows = self.size
        if self._wants_redraw and self._sent_size in {None, self.size}:
            # ncurses draws itself anew for another size only, and has to see it before it is what it was.
            self._sent_size = (cols, rows - 1 if rows > 1 else rows + 1)
            self._next_size = asyncio.get_running_loop().call_later(REDRAW_S, self._send_size)
        else:
            self._sent_size = self.size
        self._wants_redraw = False
        self._link.resize(*self._sent_size)
