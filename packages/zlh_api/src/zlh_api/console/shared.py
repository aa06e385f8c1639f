"""One console of one container, read once and shown to all who look at it through this process.

Invariants:
- The shared upstream is read on only while some viewer stands at its end, or has just taken as much by itself: the
  fastest viewer sets the pace, and an agent that floods is worked for by nobody.
- What is held is at most WINDOW_BYTES, whoever is slow. A viewer holds no output at all.
- Notices (state, exit) come from here alone, so each viewer is told each of them once, at its place in the output.
- What becomes of input is told to the one who has typed it. The upstream is not let go of before that is known, unless
  it takes longer than CONFIRM_S: what somebody has typed who leaves at once is no less typed.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import structlog

from zlh_api.agents.client import AgentUnreachable
from zlh_api.console.input_order import InputOrder
from zlh_api.console.rules import FRAME_COST_BYTES, WINDOW_BYTES, Bounds
from zlh_api.console.upstream import NONSENSE, Ended, Message, Upstream, UpstreamEnded
from zlh_common.errors import ZlhError
from zlh_common.input_pace import InputPace
from zlh_common.schema.console_wire import Announcement, Exit, Gap, Hello, InputDone, Redraw, Resize, State
from zlh_common.terminal_window import TerminalWindow
from zlh_common.websocket_frames import OutputFrame

log = structlog.get_logger()
# While nobody has stood at the end for so long, what is held may be old, and is not shown to a newcomer as the newest.
STALE_S = 0.25
# How long the last viewer's input is waited for once nobody looks any more.
CONFIRM_S = 2.0
Size = tuple[int, int]
# Opens an upstream at the offset that was asked for.
OpenUpstream = Callable[[int | None], AbstractAsyncContextManager[Upstream]]


class Follower(Protocol):
    """What a shared console knows of a viewer."""

    size: Size | None
    may_write: bool

    def is_waiting(self, end: int) -> bool:
        """Tell whether it has been given everything before `end`."""
        ...

    def tell(self, offset: int, notice: State | Exit | Announcement | Ended) -> None:
        """Queue a notice to be given once the output before `offset` was."""
        ...

    def note_input(self, done: InputDone) -> None:
        """So much more of its input was taken or refused."""
        ...

    def wake(self) -> None:
        """There may be something new."""
        ...

    def end(self, ended: Ended) -> None:
        """Nothing more comes, whatever it has not seen yet."""
        ...


class SharedConsole:
    """The window of one console. Its owner runs `run` in a task, and ends that with the last viewer."""

    def __init__(self, open_upstream: OpenUpstream) -> None:
        self.open_upstream = open_upstream
        self.viewers: set[Follower] = set()
        self.is_over = False
        # Set once the agent has greeted, or has refused.
        self.opened: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        # A refusal that nobody waits for any more is no error.
        self.opened.add_done_callback(lambda future: future.cancelled() or future.exception())
        self.state = ""
        self._upstream: Upstream | None = None
        self._pieces: list[OutputFrame | Gap] = []
        self._held_bytes = 0
        self._bounds = Bounds(0, 0, 0, 0)
        self._window: TerminalWindow[Follower] = TerminalWindow()
        self._has_told_size = False
        # All share the one connection, which the agent reads at this pace. They take turns, so that nobody's input
        # waits behind all that somebody else has sent too fast.
        self._turn = asyncio.Lock()
        self._pace = InputPace()
        self._input: InputOrder[Follower] = InputOrder()
        self._confirmed = asyncio.Event()
        self._is_finishing = False
        self._progress = asyncio.Event()
        self._credit = False
        self._paused_at: float | None = None

    async def run(self, asked: int | None) -> None:
        """Read the console from `asked` on until it ends or this is cancelled; viewers are told."""
        ended = Ended(1001, "the API is stopping")
        try:
            async with self.open_upstream(asked) as upstream:
                self._begin(upstream)
                ended = await self._read(upstream)
        except ZlhError as error:
            if not self.opened.done():
                self.opened.set_exception(error)
        finally:
            self._end(ended)

    async def _read(self, upstream: Upstream) -> Ended:
        try:
            while not (self._is_finishing and self._input.is_empty):
                await self._wait_wanted()
                self._accept(await upstream.take())
        except UpstreamEnded as exc:
            if exc.ended is NONSENSE:
                log.warning("console.nonsense")
            return exc.ended
        return Ended(1000, "left")

    def finish(self) -> bool:
        """Nobody looks any more: have `run` end once all input has come to something; False where it has already."""
        self._is_finishing = True
        self._progress.set()
        return not self._input.is_empty

    def _begin(self, upstream: Upstream) -> None:
        hello = upstream.hello
        self._upstream = upstream
        self.state = hello.state
        self._bounds = Bounds(first=hello.start, tail=hello.start, end=hello.start, written=hello.to)
        self.opened.set_result(hello)

    def _end(self, ended: Ended) -> None:
        self.is_over = True
        self._upstream = None
        self._confirmed.set()
        if not self.opened.done():
            self.opened.set_exception(AgentUnreachable("the console was given up"))
        for viewer in self.viewers:
            viewer.tell(self._bounds.end, ended)

    def dismiss(self, ended: Ended) -> None:
        """Let all viewers go at once; whoever comes next gets a fresh upstream."""
        self.is_over = True
        for viewer in self.viewers:
            viewer.end(ended)

    def _accept(self, message: Message) -> None:
        if isinstance(message, InputDone):
            self._settle(message)
            return
        if isinstance(message, OutputFrame | Gap):
            self._hold(message)
            for viewer in self.viewers:
                viewer.wake()
            return
        if isinstance(message, State):
            self.state = message.state
        for viewer in self.viewers:
            viewer.tell(self._bounds.end, message)

    def _settle(self, done: InputDone) -> None:
        for viewer, part in self._input.settle(done):
            viewer.note_input(part)
        self._confirmed.set()

    def _hold(self, piece: OutputFrame | Gap) -> None:
        """Put what came into the window, and let go of the oldest that has no room any more."""
        self._pieces.append(piece)
        self._held_bytes += _cost(piece)
        gone = 0
        while self._held_bytes > WINDOW_BYTES:
            self._held_bytes -= _cost(self._pieces[gone])
            gone += 1
        del self._pieces[:gone]
        end = piece.to if isinstance(piece, Gap) else piece.end
        self._bounds = Bounds(
            first=self._pieces[0].start if self._pieces else end,
            tail=end if isinstance(piece, Gap) else self._bounds.tail,
            end=end,
            written=max(self._bounds.written, end),
        )

    # The pace

    async def _wait_wanted(self) -> None:
        """Wait until somebody has a use for more."""
        loop = asyncio.get_running_loop()
        while not self._is_wanted():
            if self._paused_at is None:
                self._paused_at = loop.time()
            self._progress.clear()
            await self._progress.wait()
        self._paused_at = None
        self._credit = False

    def _is_wanted(self) -> bool:
        return self._credit or self._is_finishing or any(viewer.is_waiting(self._bounds.end) for viewer in self.viewers)

    def note_waiting(self) -> None:
        """Some viewer has everything."""
        self._progress.set()

    def note_own(self) -> None:
        """Some viewer has taken a piece from an upstream of its own; this one keeps up with it, and so stays near."""
        self._credit = True
        self._progress.set()

    @property
    def is_fresh(self) -> bool:
        """Whether the window's end is, as far as we can know, the newest."""
        now = asyncio.get_running_loop().time()
        return not self.is_over and (self._paused_at is None or now - self._paused_at < STALE_S)

    # What viewers take

    @property
    def bounds(self) -> Bounds:
        """The window as of now."""
        return self._bounds

    def piece(self, position: int, end: int) -> OutputFrame | Gap:
        """Return what is held from `position` up to `end` at most, the same object for everybody who stands there.

        The position is in the window, and not at its end.
        """
        last = self._pieces[-1]
        piece = last if last.start <= position else self._pieces[self._find(position)]
        if isinstance(piece, Gap):
            return Gap(start=position, to=piece.to)
        return piece.part(position, min(piece.end, end))

    def _find(self, position: int) -> int:
        return bisect_right(self._pieces, position, key=lambda piece: piece.start) - 1

    # Those who type, and whose window it is

    async def write(self, viewer: Follower, data: bytes) -> None:
        """Type for a viewer, when it is his turn; raise UpstreamEnded."""
        async with self._turn:
            upstream = self._live()
            size = self._window.type(viewer, viewer.size)
            if size is not None:
                await self._tell_size(upstream, size)
            if upstream.hello.confirms:
                await self._wait_room()
                self._input.note_sent(viewer, len(data))
            await upstream.write(data)
            await self._pace.keep(data)

    async def _wait_room(self) -> None:
        while self._input.is_full:
            self._confirmed.clear()
            await self._confirmed.wait()
            self._live()

    async def resize(self, viewer: Follower, size: Size) -> None:
        """The window of a viewer has this size; the first time a full-screen program is made to draw itself for it."""
        async with self._turn:
            upstream = self._live()
            is_first, viewer.size = viewer.size is None, size
            is_drawn = False
            if self._window.resize(viewer, size, may_write=viewer.may_write) is not None:
                # The first size that an agent hears on a connection makes it redraw by itself.
                is_drawn = not self._has_told_size
                await self._tell_size(upstream, size)
            if is_first and not is_drawn:
                await self._say(upstream, Redraw())

    async def _tell_size(self, upstream: Upstream, size: Size) -> None:
        self._has_told_size = True
        await self._say(upstream, Resize(cols=size[0], rows=size[1]))

    async def _say(self, upstream: Upstream, message: Resize | Redraw) -> None:
        await upstream.say(message)
        await self._pace.keep(None)

    def _live(self) -> Upstream:
        if self._upstream is None:
            raise UpstreamEnded(Ended(1001, "the agent has gone"))
        return self._upstream

    def leave(self, viewer: Follower) -> None:
        """Forget a viewer."""
        self.viewers.discard(viewer)
        self._window.leave(viewer)


def _cost(piece: OutputFrame | Gap) -> int:
    return FRAME_COST_BYTES + (piece.size if isinstance(piece, OutputFrame) else 0)
