"""Agents that say what they must not on a console: each viewer is let go with a reason, and nothing piles up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import chain, count, repeat
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosedError

from zlh_api.agents.client import AgentAddress, AgentClient, AgentNonsense
from zlh_api.console.rules import FRAME_COST_BYTES, WINDOW_BYTES
from zlh_api.console.service import ConsoleService
from zlh_api.console.shared import SharedConsole
from zlh_api.console.upstream import BURST_S, MESSAGES_PER_S, NONSENSE
from zlh_common.names import OwnerMark
from zlh_common.schema.console_wire import (
    LIVE_ONLY,
    MAX_OFFSET,
    Gap,
    Hello,
    InputDone,
    State,
    render_message,
    render_output,
)
from zlh_common.websocket_frames import OutputFrame

AGENT = AgentAddress(OwnerMark(str(uuid4())), "127.0.0.1", 1)
PATH = "/terminals/main"
HELLO = render_message(Hello(stream="s", start=10, to=10, state="running"))


class _Connection:
    """Says what it was given, and then that it has closed."""

    close_code: int | None = 1006
    close_reason = ""

    def __init__(self, frames: Iterable[bytes | str]) -> None:
        self._frames: Iterator[bytes | str] = iter(frames)
        self.taken = 0
        self.transport = SimpleNamespace(abort=lambda: None)

    async def recv(self) -> bytes | str:
        """Return the next frame."""
        for frame in self._frames:
            self.taken += 1
            return frame
        raise ConnectionClosedError(None, None)


class Strangers(AgentClient):
    """Each console that is opened says the same."""

    def __init__(self, *frames: bytes | str, then: Iterable[bytes | str] = ()) -> None:
        self._frames = chain(frames, then)
        self.opened: list[_Connection] = []

    @asynccontextmanager
    async def open_socket(
        self,
        agent: AgentAddress,
        path: str,
        *,
        query: dict[str, str] | None = None,
        subprotocol: str | None = None,
        has_heartbeat: bool = False,
    ) -> AsyncIterator[Any]:
        """Open one."""
        self.opened.append(_Connection(self._frames))
        yield self.opened[-1]


@pytest.mark.parametrize(
    "greeting",
    [
        b"binary",
        "{",
        render_message(State(state="running")),
        render_message(Hello(stream="s", start=2, to=1, state="running")),
        render_message(Hello(stream="s", start=0, to=MAX_OFFSET + 1, state="running")),
        render_message(Hello(stream="s" * 100, start=0, to=0, state="running")),
        render_message(Hello(stream="s", start=0, to=0, state="r" * 5000)),
    ],
)
async def test_console_that_does_not_greet_is_nonsense_before_the_upgrade(greeting: bytes | str) -> None:
    """A problem with a code; nothing stays open."""
    async with ConsoleService(Strangers(greeting)) as consoles:
        with pytest.raises(AgentNonsense):
            async with consoles.attach(AGENT, PATH, None):
                pass
        assert not consoles._consoles


@pytest.mark.parametrize(
    "frame",
    [
        render_output(9, b"back"),
        render_output(14, b"twice"),
        render_output(16, b"a jump"),
        b"short",
        b"12345678",
        render_output(MAX_OFFSET, b"beyond"),
        HELLO,
        "no message",
        render_message(Gap(start=14, to=20)),
        render_message(Gap(start=15, to=15)),
        render_message(Gap(start=15, to=14)),
        render_message(State(state="x" * 100)),
        render_message(InputDone(taken=1, refused=0)),
        render_message(InputDone(taken=-1, refused=1)),
        '{"type":"state","state":"' + " " * 5000 + '"}',
    ],
)
async def test_what_does_not_run_on_ends_the_upstream(frame: bytes | str) -> None:
    """What came before is shown, then the viewer is let go."""
    async with (
        ConsoleService(Strangers(HELLO, render_output(10, b"right"), frame)) as consoles,
        consoles.attach(AGENT, PATH, None) as viewer,
        asyncio.timeout(5),
    ):
        shown = [item async for item in viewer]
        assert [bytes(item.output) for item in shown if isinstance(item, OutputFrame)] == [b"right"]
        assert viewer.ended == NONSENSE


async def test_gap_that_repeats_the_hello_is_told_once() -> None:
    """An agent tells it; we had told it already."""
    gap = Gap(start=3, to=10)
    async with (
        ConsoleService(Strangers(HELLO, render_message(gap), render_output(10, b"x"))) as consoles,
        consoles.attach(AGENT, PATH, 3) as viewer,
        asyncio.timeout(5),
    ):
        first, second, *_ = [item async for item in viewer]
        assert first == gap
        assert isinstance(second, OutputFrame)


@pytest.mark.parametrize(
    "flood",
    [
        (render_output(at, b"x" * 131072) for at in count(10, 131072)),
        (render_output(at, b"x") for at in count(10)),
        repeat(render_message(State(state="again"))),
    ],
    ids=["output", "single bytes", "notices"],
)
async def test_flood_is_not_read_for_a_viewer_that_does_not_read(flood: Iterable[bytes | str]) -> None:
    """One message further than the viewer is, whatever the messages are."""
    agents = Strangers(HELLO, then=flood)
    async with ConsoleService(agents) as consoles, consoles.attach(AGENT, PATH, None) as viewer, asyncio.timeout(20):
        for _ in range(5000):
            await viewer.__anext__()
        shared = next(iter(consoles._consoles.values())).shared
        await asyncio.sleep(0.05)
        assert agents.opened[0].taken <= 5003
        assert _held(shared) <= WINDOW_BYTES
        assert len(shared._pieces) <= WINDOW_BYTES // FRAME_COST_BYTES
        assert len(agents.opened) == 1


@pytest.mark.parametrize("asked", [None, LIVE_ONLY])
async def test_single_bytes_are_read_at_a_bounded_pace(asked: int | None) -> None:
    """However fast a viewer takes them, also one that stands far ahead of what has come."""
    hello = render_message(Hello(stream="s", start=10, to=MAX_OFFSET, state="running"))
    agents = Strangers(hello, then=(render_output(at, b"x") for at in count(10)))
    async with ConsoleService(agents) as consoles, consoles.attach(AGENT, PATH, asked) as viewer:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                async for _ in viewer:
                    await asyncio.sleep(0)
        assert agents.opened[0].taken <= (loop.time() - began + 2 * BURST_S) * MESSAGES_PER_S


def _held(shared: SharedConsole) -> int:
    return sum(piece.size for piece in shared._pieces if isinstance(piece, OutputFrame))
