"""One client's place in a shared console: a cursor into its window, or on the way to it with an upstream of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack

import msgspec

from zlh_api.agents.client import AgentUnreachable
from zlh_api.console.rules import (
    Held,
    Join,
    Lost,
    Notice,
    Own,
    Part,
    Place,
    Wait,
    first_gap,
    next_move,
    place_in_window,
)
from zlh_api.console.shared import SharedConsole, Size
from zlh_api.console.upstream import Ended, Message, Upstream, UpstreamEnded
from zlh_common.errors import ZlhError
from zlh_common.schema.console_wire import Announcement, Exit, Gap, Hello, InputDone, ServerMessage, State
from zlh_common.websocket_frames import OutputFrame

# A viewer is told of this many changes at most while it reads nothing; older ones are of no use to it any more.
_MAX_NOTICES = 32
READ_ONLY = Ended(1008, "read_only")
BEGAN_ANEW = Ended(1001, "history_began_anew")


class ConsoleViewer:
    """Iterate it for what to send, in order; it ends after `ended` is set. Call `begin` before, and `close` at last.

    The one who iterates sets the pace, and nothing is opened or read for one that is not iterated.
    """

    hello: Hello

    def __init__(self, shared: SharedConsole, *, may_write: bool, confirms: bool = False) -> None:
        self.may_write = may_write
        self._confirms = confirms
        # What has become of its input, and what of that it was told.
        self._done = self._told_done = InputDone(taken=0, refused=0)
        self.size: Size | None = None
        self.ended: Ended | None = None
        self._shared = shared
        self._place = Place(0)
        self._first_gap: Gap | None = None
        self._notices: deque[tuple[int, State | Exit | Announcement | Ended]] = deque(maxlen=_MAX_NOTICES)
        self._woken = asyncio.Event()
        self._own: Upstream | None = None
        self._own_scope = AsyncExitStack()
        self._own_ended = BEGAN_ANEW
        self._taking: asyncio.Task[Message] | None = None
        # Of a frame of its own, what lies behind the next notice or the window's end.
        self._rest: OutputFrame | None = None

    async def begin(self, asked: int | None, *, is_first: bool) -> None:
        """Find where it goes on, and set `hello`; raise what the agent refuses with.

        The first viewer is the one for whom the shared upstream was opened, at `asked`.
        """
        hello = await asyncio.shield(self._shared.opened)
        if is_first:
            self._enter(hello, asked)
            return
        bounds = self._shared.bounds
        start = place_in_window(asked, bounds) if self._shared.is_fresh else None
        if start is not None:
            state = self._shared.state
            self._enter(msgspec.structs.replace(hello, start=start, to=bounds.written, state=state), asked)
            return
        own = await self._open_own(asked)
        if own.hello.stream != hello.stream:
            self._shared.dismiss(BEGAN_ANEW)
            raise AgentUnreachable("the history of this console has begun anew; open it again")
        self._enter(own.hello, asked)
        self._place = Place(own.hello.start, is_apart=True)

    def _enter(self, hello: Hello, asked: int | None) -> None:
        self.hello = msgspec.structs.replace(hello, confirms=self._confirms and hello.confirms)
        self._place = Place(hello.start)
        self._first_gap = first_gap(asked, hello)

    def __aiter__(self) -> ConsoleViewer:
        return self

    async def __anext__(self) -> OutputFrame | ServerMessage:
        if self._first_gap is not None:
            gap, self._first_gap = self._first_gap, None
            return gap
        while True:
            self._woken.clear()
            if self._told_done != self._done:
                # Ahead of all output, as the input itself was; and whatever else has ended.
                self._told_done = self._done
                return self._done
            if self.ended is not None:
                raise StopAsyncIteration
            item = await self._next()
            if item is not None:
                return item

    async def _next(self) -> OutputFrame | ServerMessage | None:
        """Return what is due; None after a wait or a step on the way, to look again."""
        notice_at = self._notices[0][0] if self._notices else None
        match next_move(self._place, self._shared.bounds, notice_at=notice_at):
            case Held(position, end):
                return self._moved(self._shared.piece(position, end))
            case Own(end):
                return await self._take_own(end)
            case Notice():
                return self._take_notice()
            case Wait():
                self._shared.note_waiting()
                await self._woken.wait()
            case Part():
                return await self._part()
            case Join():
                await self._close_own()
                self._place = Place(self._place.position)
            case Lost():
                self.end(self._own_ended)
        return None

    def _moved(self, piece: OutputFrame | Gap) -> OutputFrame | Gap:
        position = piece.to if isinstance(piece, Gap) else piece.end
        place = self._place
        self._place = Place(position, place.is_apart, place.has_fallen_out, place.is_own_over)
        return piece

    def _take_notice(self) -> State | Exit | Announcement | None:
        _, notice = self._notices.popleft()
        if not isinstance(notice, Ended):
            return notice
        self.end(notice)
        return None

    # On its way to the window

    async def _part(self) -> Gap | None:
        """Go on from an upstream of its own; return what the agent has lost meanwhile."""
        position = self._place.position
        try:
            own = await self._open_own(position)
        except ZlhError as error:
            self.end(Ended(1001, error.code))
            return None
        if own.hello.stream != self.hello.stream or own.hello.start < position:
            self.end(BEGAN_ANEW)
            return None
        self._place = Place(own.hello.start, is_apart=True, has_fallen_out=True)
        return Gap(start=position, to=own.hello.start) if own.hello.start > position else None

    async def _open_own(self, asked: int | None) -> Upstream:
        self._own = await self._own_scope.enter_async_context(self._shared.open_upstream(asked))
        return self._own

    async def _take_own(self, end: int) -> OutputFrame | Gap | None:
        """Return what its own upstream has, up to `end`; None after a wait."""
        piece = self._rest or await self._received()
        self._rest = None
        if isinstance(piece, OutputFrame) and piece.end > end:
            self._rest = piece.part(end, piece.end)
            piece = piece.part(piece.start, end)
        return self._moved(piece) if piece is not None else None

    async def _received(self) -> OutputFrame | Gap | None:
        assert self._own is not None
        if self._taking is None:
            self._taking = asyncio.create_task(self._own.take())
            self._taking.add_done_callback(lambda _: self._woken.set())
        if not self._taking.done():
            await self._woken.wait()
            return None
        taking, self._taking = self._taking, None
        try:
            piece = taking.result()
        except UpstreamEnded as exc:
            self._own_ended = exc.ended
            self._place = Place(self._place.position, is_apart=True, is_own_over=True)
            return None
        self._shared.note_own()
        # What has happened is told by the shared upstream alone.
        return piece if isinstance(piece, OutputFrame | Gap) else None

    async def _close_own(self) -> None:
        taking, self._taking, self._own, self._rest = self._taking, None, None, None
        try:
            if taking is not None:
                taking.cancel()
                await asyncio.wait({taking})
                # Seen, whatever it was.
                _ = taking.cancelled() or taking.exception()
        finally:
            await self._own_scope.aclose()

    # What the shared console says

    def is_waiting(self, end: int) -> bool:
        """See Follower."""
        has_due = bool(self._notices) and self._notices[0][0] <= self._place.position
        return self._place.position >= end and not has_due and self.ended is None

    def tell(self, offset: int, notice: State | Exit | Announcement | Ended) -> None:
        """See Follower."""
        self._notices.append((offset, notice))
        self._woken.set()

    def note_input(self, done: InputDone) -> None:
        """See Follower."""
        if self.hello.confirms:
            taken, refused = self._done.taken + done.taken, self._done.refused + done.refused
            self._done = InputDone(taken=taken, refused=refused)
            self._woken.set()

    def wake(self) -> None:
        """See Follower."""
        self._woken.set()

    # What the client says

    async def write(self, data: bytes) -> None:
        """Type; one that may only look is shown the door. Raise UpstreamEnded."""
        if self.may_write:
            await self._shared.write(self, data)
        else:
            self.end(READ_ONLY)

    async def resize(self, cols: int, rows: int) -> None:
        """Tell the size of its window; raise UpstreamEnded."""
        await self._shared.resize(self, (cols, rows))

    def end(self, ended: Ended) -> None:
        """Nothing more comes, whatever it has not seen yet."""
        self.ended = self.ended or ended
        self._woken.set()

    async def close(self) -> None:
        """Leave; whoever iterates must have stopped."""
        self._shared.leave(self)
        await self._close_own()
