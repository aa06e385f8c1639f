"""One client's place in a console: a cursor into the ring, which is everybody's queue.

The ring is bounded, on disk, and written whether anybody reads or not. What is full for one viewer is a lap, and the
answer to it is a gap; nobody is waited for and nothing is kept in memory for anybody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import msgspec

from zlh_agent.console.rules import Notice, Output, Skip, Wait, next_move
from zlh_common.schema.console_wire import Gap, Hello, InputDone, ServerMessage
from zlh_common.websocket_frames import OutputFrame

# A viewer is told of this many changes at most while it reads nothing; older ones are of no use to it any more.
_MAX_NOTICES = 32
# Input that is taken and input that is refused take turns only as often as the program starts and ends.
_MAX_DONE = 64


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more comes; why, as a WebSocket close code and reason."""

    code: int
    reason: str


EXITED = Ended(1000, "exited")
CLOSED = Ended(1000, "closed")
LOST = Ended(1011, "shim_lost")
AGENT_GOES = Ended(1001, "agent_stopping")
READ_ONLY = Ended(1008, "read_only")
# It was not read what had become of its input, for so long that it cannot be told any more.
INPUT_UNTOLD = Ended(1001, "input_untold")


class ViewedConsole(Protocol):
    """What a viewer needs of the console that it looks at."""

    def refresh(self) -> None:
        """Look at the ring's newest commit."""
        ...

    def bounds(self) -> tuple[int, int]:
        """Return the absolute offsets [oldest, written) as of the last look."""
        ...

    def frame(self, start: int, limit: int) -> OutputFrame | None:
        """Return one console frame from `start`; None where the start is gone."""
        ...

    async def write(self, viewer: Viewer, data: bytes) -> bool:
        """Type for this viewer; waits while the program does not read. Return whether it was taken."""
        ...

    def resize(self, viewer: Viewer, *, redraw: bool) -> None:
        """This viewer's window has a size now, or another one."""
        ...

    def redraw(self) -> None:
        """Have a full-screen program draw itself anew."""
        ...

    def forget(self, viewer: Viewer) -> None:
        """This viewer has gone."""
        ...


class Viewer:
    """Iterate it for what to send, in order: frames and messages; it ends after `ended` is set.

    The one who iterates sets the pace: this holds no output, so a viewer that is not iterated costs nothing and misses
    what the ring has lost by the time it goes on.
    """

    def __init__(self, console: ViewedConsole, hello: Hello, gap: Gap | None, *, may_write: bool) -> None:
        self.hello = hello
        self.may_write = may_write
        self.ended: Ended | None = None
        # The size of its window, once it has said so.
        self.size: tuple[int, int] | None = None
        self._console = console
        self._position = hello.start
        self._notices: deque[tuple[int, ServerMessage | Ended]] = deque(maxlen=_MAX_NOTICES)
        self._first_gap = gap
        self._woken = asyncio.Event()
        # What has become of its input and is not told yet; it goes ahead of all output, as the input did. From one to
        # the next only one of the two numbers grows, so that whoever sends the input of several people knows whose it
        # was.
        self._done: deque[tuple[bool, InputDone]] = deque()
        self._last_done = InputDone(taken=0, refused=0)

    def confirm_input(self) -> None:
        """Tell it from now on what becomes of its input; to be called before its `hello` is sent."""
        self.hello = msgspec.structs.replace(self.hello, confirms=True)

    def __aiter__(self) -> Viewer:
        return self

    async def __anext__(self) -> OutputFrame | ServerMessage:
        if self._first_gap is not None:
            gap, self._first_gap = self._first_gap, None
            return gap
        while self._done or self.ended is None:
            item = self._done.popleft()[1] if self._done else self._next()
            if item is not None:
                return item
            if self.ended is None:
                await self._woken.wait()
        raise StopAsyncIteration

    def _next(self) -> OutputFrame | ServerMessage | None:
        """Return what is due, or None where there is nothing (then `_woken` says when to look again)."""
        self._woken.clear()
        notice_at = self._notices[0][0] if self._notices else None
        oldest, written = self._console.bounds()
        match next_move(position=self._position, oldest=oldest, written=written, notice_at=notice_at):
            case Skip(start, to):
                self._position = to
                return Gap(start=start, to=to)
            case Output(start, limit):
                frame = self._console.frame(start, limit)
                if frame is not None:
                    self._position = frame.end
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
        self._console.refresh()
        oldest, _ = self._console.bounds()
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
        """Type `data`; waits while the program does not read. One that may only look is shown the door."""
        if not self.may_write:
            self.end(READ_ONLY)
            return
        self._note_done(len(data), is_taken=await self._console.write(self, data))

    def _note_done(self, size: int, *, is_taken: bool) -> None:
        if not self.hello.confirms or self.ended is not None:
            return
        before = self._last_done
        done = InputDone(
            taken=before.taken + (size if is_taken else 0), refused=before.refused + (0 if is_taken else size)
        )
        if self._done and self._done[-1][0] == is_taken:
            self._done.pop()
        self._done.append((is_taken, done))
        self._last_done = done
        if len(self._done) > _MAX_DONE:
            self.end(INPUT_UNTOLD)
        self._woken.set()

    def resize(self, cols: int, rows: int) -> None:
        """Tell the size of its window; the first time a full-screen program is made to draw itself."""
        is_first = self.size is None
        self.size = (cols, rows)
        self._console.resize(self, redraw=is_first)

    def redraw(self) -> None:
        """Have a full-screen program draw itself anew, in the size that the terminal has."""
        self._console.redraw()

    def end(self, ended: Ended) -> None:
        """Nothing more comes from here, whatever it has not seen yet."""
        self.ended = self.ended or ended
        self._woken.set()

    def close(self) -> None:
        """Leave; may be called twice. Whoever iterates is let go."""
        self._console.forget(self)
        self.end(CLOSED)
