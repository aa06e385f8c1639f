"""One console, one upstream: real shells behind the agent's own console and TLS, seen through the API's fan-out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import web

from component.console.harness import PATIENCE_S, Bench, eventually
from fakes.certificates import Certificates
from guards.leaks import is_gone
from zlh_agent.console.console import Console
from zlh_agent.console.seats import Seats
from zlh_agent.terminals.routes import routes
from zlh_agent.terminals.service import TerminalService
from zlh_agent.web.server import build_application
from zlh_api.agents.client import AgentAddress, AgentClient, AgentRefused
from zlh_api.console.rules import WINDOW_BYTES
from zlh_api.console.service import ConsoleLimits, ConsoleService
from zlh_api.console.viewer import READ_ONLY, ConsoleViewer
from zlh_common.names import OwnerMark
from zlh_common.schema.console_wire import Announcement, Exit, Gap, InputDone, ServerMessage, State
from zlh_common.schema.terminal import ViewerLimit
from zlh_common.websocket_frames import OutputFrame

MAIN = "/terminals/main"
RING_BYTES = 8 << 20


@dataclass
class Screen:
    """What one viewer was given; offsets run on, but for gaps that are announced."""

    viewer: ConsoleViewer
    data: bytearray = field(default_factory=bytearray)
    messages: list[ServerMessage] = field(default_factory=list)
    position: int = -1

    async def take(self) -> None:
        """Take one item."""
        item = await self.viewer.__anext__()
        if isinstance(item, OutputFrame):
            assert item.start == (self.viewer.hello.start if self.position < 0 else self.position)
            self.position = item.end
            self.data += item.output
            return
        self.messages.append(item)
        if isinstance(item, Gap):
            assert self.position in {-1, item.start}
            self.position = item.to

    async def until(self, text: bytes) -> bytes:
        """Read until `text` was shown; return everything up to there."""
        searched = 0
        async with asyncio.timeout(PATIENCE_S):
            while (at := self.data.find(text, searched)) < 0:
                searched = max(0, len(self.data) - len(text) + 1)
                await self.take()
        return bytes(self.data[: at + len(text)])

    def done(self) -> InputDone:
        """What it was told last of its input."""
        return [message for message in self.messages if isinstance(message, InputDone)][-1]

    async def until_done(self, total: int) -> None:
        """Read until it knows what has become of so much of its input."""
        async with asyncio.timeout(PATIENCE_S):
            while not any(isinstance(message, InputDone) and message.total >= total for message in self.messages):
                await self.take()

    async def to_end(self) -> None:
        """Read to the end."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while True:
                    await self.take()
            except StopAsyncIteration:
                return


@dataclass
class Place:
    """A console behind TLS, and the API's side of it."""

    terminals: TerminalService
    client: AgentClient
    agent: AgentAddress
    runner: web.AppRunner
    scope: AsyncExitStack
    consoles: ConsoleService
    opened: list[str] = field(default_factory=list)

    async def look(self, asked: int | None = None, *, may_write: bool = True, confirms: bool = False) -> Screen:
        """Attach a viewer; it stays until the test ends."""
        attached = self.consoles.attach(self.agent, MAIN, asked, may_write=may_write, confirms=confirms)
        return Screen(await self.scope.enter_async_context(attached))

    async def settled(self, screen: Screen) -> None:
        """Return once nothing has come for a while."""
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.4):
                    await screen.take()

    @property
    def console(self) -> Console:
        """The console of `main` at the agent."""
        return self.terminals._terminals["main"].console


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A terminal `main` at an agent, and the API."""
    certificates = await asyncio.to_thread(Certificates, tmp_path / "authority")
    owner = OwnerMark(str(uuid4()))
    await asyncio.to_thread(certificates.write_agent, tmp_path / "agent", owner)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "agent/agent.crt", tmp_path / "agent/agent.key")
    context.load_verify_locations(tmp_path / "agent/api-ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    bench = Bench(tmp_path / "bench")
    terminals = await bench.start(ring_bytes=RING_BYTES)
    runner = web.AppRunner(build_application(routes(terminals, Seats())), shutdown_timeout=1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    agent = AgentAddress(owner, "127.0.0.1", runner.addresses[0][1])
    async with (
        AgentClient(await asyncio.to_thread(certificates.api)) as client,
        ConsoleService(client) as consoles,
        AsyncExitStack() as scope,
    ):
        made = Place(terminals, client, agent, runner, scope, consoles)
        made.opened = _count_opens(client)
        yield made
    assert not consoles._consoles
    assert not consoles._tasks
    await eventually(lambda: not terminals._terminals or not made.console.viewers)
    terminals.detach()
    await runner.cleanup()
    left = bench.shims()
    for pid in left:
        os.kill(pid, signal.SIGTERM)
    await eventually(lambda: all(map(is_gone, left)))


def _count_opens(client: AgentClient) -> list[str]:
    """Return a list that grows with each socket that is opened."""
    opened: list[str] = []
    open_socket = client.open_socket

    def counted(agent: AgentAddress, path: str, **options: object) -> object:
        opened.append(path)
        return open_socket(agent, path, **options)  # type: ignore[arg-type]

    client.open_socket = counted  # type: ignore[method-assign,assignment]
    return opened


async def test_ten_viewers_of_one_console_have_one_upstream(place: Place) -> None:
    """Attached at once; each sees every byte once, and the very same frames."""
    screens = await asyncio.gather(*(place.look() for _ in range(10)))
    await screens[3].viewer.write(b"seq 1 100000; echo en''d\n")
    shown = await asyncio.gather(*(screen.until(b"end\r\n") for screen in screens))
    assert place.opened == [MAIN]
    assert place.console.viewers == 1
    numbers = b"".join(b"%d\r\n" % number for number in range(1, 100001))
    for data, screen in zip(shown, screens, strict=True):
        assert numbers in data
        assert not screen.messages
    assert {screen.viewer.hello.stream for screen in screens} == {place.console.stream()}


async def test_late_joiner_gets_the_whole_history_and_then_the_shared_upstream(place: Place) -> None:
    """From 0 by an upstream of its own, which is closed once it has reached the window."""
    first = await place.look()
    await first.viewer.write(b"seq 1 200000; echo en''d\n")
    shown = await first.until(b"end\r\n")
    assert first.position > 2 * WINDOW_BYTES
    late = await place.look(0)
    assert await late.until(b"end\r\n") == shown
    await late.viewer.write(b"echo o''ver\n")
    assert await late.until(b"over\r\n") == await first.until(b"over\r\n")
    await eventually(lambda: place.console.viewers == 1)
    assert len(place.opened) == 2


async def test_slow_one_falls_out_of_the_window_and_loses_nothing_that_the_agent_has(place: Place) -> None:
    """The fast one is not held up by it; what the slow one missed comes from the ring, once."""
    fast, slow = await place.look(), await place.look()
    await fast.viewer.write(b"seq 1 200000; echo en''d\n")
    shown = await fast.until(b"end\r\n")
    assert slow.position == -1
    assert await slow.until(b"end\r\n") == shown
    assert not slow.messages
    await fast.viewer.write(b"echo o''ver\n")
    await asyncio.gather(fast.until(b"over\r\n"), slow.until(b"over\r\n"))
    await eventually(lambda: place.console.viewers == 1)


async def test_slow_one_is_told_what_the_ring_has_lost(place: Place) -> None:
    """A gap as from the agent, then the newest; the fast one has all that went through its hands."""
    fast, slow = await place.look(), await place.look()
    await fast.viewer.write(f"yes | head -c {2 * RING_BYTES}; echo en''d\n".encode())
    all_of_it = await fast.until(b"end\r\n")
    rest = await slow.until(b"end\r\n")
    assert [type(message) for message in slow.messages] == [Gap]
    # However busy the machine, both have all of what came last.
    assert all_of_it[-50_000:] == rest[-50_000:]


async def test_nobody_reads_and_the_upstream_is_not_read_on(place: Place) -> None:
    """An agent that floods is worked for by nobody; what is held stays within the window."""
    screen = await place.look()
    await screen.viewer.write(b"yes flood\n")
    await screen.until(b"flood\r\nflood\r\n")
    shared = next(iter(place.consoles._consoles.values())).shared
    await asyncio.sleep(0.5)
    before = shared.bounds.end
    await asyncio.sleep(0.5)
    assert shared.bounds.end == before
    assert shared._held_bytes <= WINDOW_BYTES
    await screen.viewer.write(b"\x03")
    await screen.viewer.write(b"echo en''d\n")
    await screen.until(b"end\r\n")


async def test_end_of_the_shell_is_told_to_all_in_order(place: Place) -> None:
    """State, exit, and the agent's own reason to close; also to one that is still on its way."""
    first = await place.look()
    await first.viewer.write(b"seq 1 200000; echo en''d\n")
    await first.until(b"end\r\n")
    late, live = await place.look(0), await place.look(-1)
    await first.viewer.write(b"exit 5\n")
    await asyncio.gather(*(screen.to_end() for screen in (first, late, live)))
    for screen in (first, late, live):
        assert screen.messages == [State(state="exited"), Exit(code=5, signal=None)]
        assert screen.viewer.ended is not None
        assert (screen.viewer.ended.code, screen.viewer.ended.reason) == (1000, "exited")
    assert bytes(late.data) == bytes(first.data)


async def test_a_notice_reaches_all_who_look_after_the_output_before_it_and_no_history(place: Place) -> None:
    """Whoever comes later is not told: it stands in no ring."""
    notice = Announcement(code="runtime_switched", message="node is 24 now")
    screens = [await place.look() for _ in range(3)]
    await screens[0].viewer.write(b"echo be''fore\n")
    for screen in screens:
        await screen.until(b"before\r\n")
    place.terminals.announce(notice)
    await screens[0].viewer.write(b"echo af''ter\n")
    for screen in screens:
        await screen.until(b"after\r\n")
        assert [message for message in screen.messages if isinstance(message, Announcement)] == [notice]
        assert b"node is 24" not in screen.data
    late = await place.look(0)
    await late.until(b"after\r\n")
    assert not any(isinstance(message, Announcement) for message in late.messages)


async def test_newcomer_after_the_end_gets_a_new_shell_and_an_upstream_of_today(place: Place) -> None:
    """What is over is shown to those who still read it, and to nobody else."""
    first = await place.look()
    await first.viewer.write(b"exit 5\n")
    await first.to_end()
    again = await place.look()
    assert again.viewer.hello.state == "running"
    await again.viewer.write(b"echo he''re\n")
    await again.until(b"here\r\n")


async def test_agent_that_goes_tells_each_viewer_to_come_back(place: Place) -> None:
    """With the agent's reason; a viewer goes on at its byte."""
    screens = [await place.look() for _ in range(3)]
    await screens[0].viewer.write(b"echo on''e\n")
    await asyncio.gather(*(screen.until(b"one\r\n") for screen in screens))
    for terminal in place.terminals._terminals.values():
        terminal.leave()
    await asyncio.gather(*(screen.to_end() for screen in screens))
    assert {(screen.viewer.ended.code) for screen in screens if screen.viewer.ended} == {1001}


async def test_whoever_types_has_the_window_and_each_newcomer_has_it_drawn(place: Place) -> None:
    """The rule of the agent, kept among viewers that the agent sees as one."""
    first, second = await place.look(), await place.look()
    await first.viewer.write(b"(trap 'echo dra''wn' WINCH; echo rea''dy; while :; do sleep 0.05; done)\n")
    await first.until(b"ready\r\n")
    await first.viewer.resize(100, 30)
    await first.until(b"drawn\r\n")
    await place.settled(first)
    first.data.clear()
    await second.viewer.resize(50, 20)
    await first.until(b"drawn\r\n")
    await first.viewer.write(b"\x03")
    await first.viewer.write(b"stty size; echo a''sked\n")
    assert b"30 100" in await first.until(b"asked\r\n")
    await second.viewer.write(b"stty size; echo a''gain\n")
    assert b"20 50" in await second.until(b"again\r\n")


async def test_a_storm_of_input_of_some_does_not_hold_up_the_input_of_another(place: Place) -> None:
    """They share one connection, and together they send no more than the agent takes: it is everyone's turn at once."""
    calm = await place.look()
    await calm.viewer.write(b"stty -echo; echo re''ady\n")
    await calm.until(b"ready")
    stormy = [await place.look() for _ in range(3)]

    async def storm(screen: Screen) -> None:
        while True:
            await screen.viewer.write(b" ")

    storms = [asyncio.create_task(each) for screen in stormy for each in (storm(screen), screen.to_end())]
    try:
        await asyncio.sleep(2)
        async with asyncio.timeout(2):
            await calm.viewer.write(b"\necho he''re\n")
            await calm.until(b"here\r\n")
    finally:
        for task in storms:
            task.cancel()
        await asyncio.gather(*storms, return_exceptions=True)


async def test_everybody_is_told_what_has_become_of_his_own_input(place: Place) -> None:
    """Through one connection, in turns, taken and refused; one who has not asked is told nothing."""
    first, second, silent = await place.look(confirms=True), await place.look(confirms=True), await place.look()
    assert [screen.viewer.hello.confirms for screen in (first, second, silent)] == [True, True, False]
    await first.viewer.write(b"stty raw -echo; echo re''ady; cat > /dev/null\n")
    await asyncio.gather(*(screen.until(b"ready") for screen in (first, second, silent)))
    for number in range(100):
        place.console.allow_input(allowed=number < 60)
        for screen, size in ((first, 1), (second, 2), (silent, 3)):
            await screen.viewer.write(b"x" * size)
        if number in {59, 99}:
            await asyncio.gather(first.until_done(46 + number + 1), second.until_done(2 * (number + 1)))
    assert first.done() == InputDone(taken=46 + 60, refused=40)
    assert second.done() == InputDone(taken=120, refused=80)
    assert not any(isinstance(message, InputDone) for message in silent.messages)


async def test_what_somebody_types_who_leaves_at_once_is_typed(place: Place) -> None:
    """Though nobody is left to look, the shell prints more than is read, and the agent has a size to give first."""
    for number in range(10):
        async with place.consoles.attach(place.agent, MAIN, -1) as viewer:
            await viewer.resize(100 + number, 30)
            await viewer.write(b"seq 1 20000; echo num''ber-%d-\n" % number)
    last = await place.look(0)
    shown = await last.until(b"number-9-\r\n")
    assert [int(found) for found in re.findall(rb"number-(\d+)-\r\n", shown)] == list(range(10))


async def test_one_that_only_looks_types_and_sizes_nothing(place: Place) -> None:
    """It is shown the door when it types."""
    looker, typist = await place.look(may_write=False), await place.look()
    await looker.viewer.resize(33, 11)
    await typist.viewer.write(b"stty size; echo en''d\n")
    assert b"24 80" in await typist.until(b"end\r\n")
    await looker.viewer.write(b"echo never\n")
    await looker.to_end()
    assert looker.viewer.ended == READ_ONLY
    await typist.viewer.write(b"echo o''ver\n")
    assert b"never" not in await typist.until(b"over\r\n")


async def test_too_many_viewers_are_refused_before_anything_is_opened(place: Place) -> None:
    """Of one console, and of the process; a place that is left is free again."""
    limits = ConsoleLimits(of_one_console=2, of_this_process=3)
    async with ConsoleService(place.client, limits) as consoles, AsyncExitStack() as scope:
        for _ in range(2):
            await scope.enter_async_context(consoles.attach(place.agent, MAIN, None))
        with pytest.raises(ViewerLimit, match="at this console"):
            await scope.enter_async_context(consoles.attach(place.agent, MAIN, None))
        other = f"/terminals/{await place.terminals.open_terminal(80, 24)}"
        async with consoles.attach(place.agent, other, None):
            with pytest.raises(ViewerLimit, match="in all"):
                await scope.enter_async_context(consoles.attach(place.agent, other, None))
        async with consoles.attach(place.agent, other, None):
            pass


async def test_one_customer_leaves_room_for_the_others(place: Place) -> None:
    """However many consoles his containers have; a place that is left is free again."""
    limits, mine, other = ConsoleLimits(of_one_customer=2), uuid4(), uuid4()
    async with ConsoleService(place.client, limits) as consoles, AsyncExitStack() as scope:
        paths = [f"/terminals/{await place.terminals.open_terminal(80, 24)}" for _ in range(2)]
        for path in paths:
            await scope.enter_async_context(consoles.attach(place.agent, path, None, customer=mine))
        with pytest.raises(ViewerLimit, match="of this customer"):
            await scope.enter_async_context(consoles.attach(place.agent, MAIN, None, customer=mine))
        async with consoles.attach(place.agent, MAIN, None, customer=other):
            pass
        await scope.aclose()
        async with consoles.attach(place.agent, MAIN, None, customer=mine):
            pass
    assert not consoles._viewers


async def test_refusal_of_the_agent_reaches_everyone_who_waits_for_it(place: Place) -> None:
    """And leaves nothing behind."""

    async def attach() -> None:
        async with place.consoles.attach(place.agent, "/terminals/none", None):
            pass

    outcomes = await asyncio.gather(*(attach() for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [AgentRefused] * 3
    assert not place.consoles._consoles


@pytest.mark.parametrize("asked", [None, 0])
async def test_cancelled_at_any_moment_nothing_is_left(place: Place, asked: int | None) -> None:
    """While the upstream is opened, while it catches up, while it shows; the other viewers go on."""
    keeper = await place.look()
    await keeper.viewer.write(b"seq 1 100000; echo en''d\n")
    await keeper.until(b"end\r\n")

    async def follow() -> None:
        async with place.consoles.attach(place.agent, MAIN, asked) as viewer:
            async for _ in viewer:
                pass

    for delay_ms in (0, 1, 2, 3, 5, 8, 13, 30, 80):
        task = asyncio.create_task(follow())
        await asyncio.sleep(delay_ms / 1000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await eventually(lambda: place.console.viewers == 1)
    await keeper.viewer.write(b"echo o''ver\n")
    await keeper.until(b"over\r\n")


async def test_first_viewer_that_is_cancelled_while_opening_does_not_take_the_others_along(place: Place) -> None:
    """The upstream belongs to all who wait for it."""
    first = asyncio.create_task(place.consoles.attach(place.agent, MAIN, None).__aenter__())
    await asyncio.sleep(0)
    second = asyncio.create_task(place.look())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    screen = await second
    await screen.viewer.write(b"echo he''re\n")
    await screen.until(b"here\r\n")
    assert place.opened == [MAIN]
