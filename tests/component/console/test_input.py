"""What becomes of input: it reaches the program once and in order, or whoever typed it is told."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from component.console.harness import PATIENCE_S, Bench, Screen, eventually, look
from component.console.server import client, closing, watch
from zlh_agent.console.viewer import INPUT_UNTOLD
from zlh_agent.shim import shim_wire as wire
from zlh_agent.terminals.terminal import Terminal
from zlh_common.schema.console_wire import InputDone

__all__ = ["client"]
# Takes its terminal's bytes as they come and keeps them, and prints all the while, so that there is news to tell.
KEEPER = """
import os, select, sys, tty
tty.setraw(0)
with open(sys.argv[1], "ab", 0) as kept:
    os.write(1, b"ready ")
    while True:
        if select.select([0], [], [], 0.001)[0]:
            kept.write(os.read(0, 65536))
        else:
            os.write(1, b".")
"""


@pytest.fixture
def kept(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the program of the bench one that keeps what is typed; the file where it does."""
    kept = tmp_path_factory.mktemp("kept") / "typed"
    bench.argv = (sys.executable, "-c", KEEPER, str(kept))
    return kept


async def ready(bench: Bench) -> tuple[Terminal, Screen]:
    """Return `main` and a viewer who is told what becomes of input, once the program takes it."""
    service = await bench.start()
    screen = await look(service, asked=0)
    screen.viewer.confirm_input()
    await screen.until(b"ready")
    return service._terminals["main"], screen


async def until_done(screen: Screen, total: int) -> InputDone:
    """Read until the viewer knows what has become of so much input."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            done = [message for message in screen.messages if isinstance(message, InputDone)]
            if done and done[-1].total >= total:
                return done[-1]
            await screen._take()


async def test_what_is_told_as_taken_is_with_the_program_even_if_the_agent_goes_at_once(
    bench: Bench, kept: Path
) -> None:
    """In its order, and once; though the shim had something to tell an agent that was gone."""
    terminal, screen = await ready(bench)
    (shim,) = bench.shims()
    typed = b"".join(b"%05d," % number for number in range(20_000))
    os.kill(shim, signal.SIGSTOP)
    for at in range(0, len(typed), 6000):
        await screen.viewer.write(typed[at : at + 6000])
    done = await until_done(screen, len(typed))
    assert (done.taken, done.refused) == (len(typed), 0)
    assert terminal.link is not None
    terminal.link.close()
    os.kill(shim, signal.SIGCONT)
    await eventually(lambda: kept.stat().st_size >= len(typed))
    assert await asyncio.to_thread(kept.read_bytes) == typed
    screen.viewer.close()


@pytest.mark.usefixtures("kept")
async def test_nothing_is_told_as_taken_before_the_shim_has_it(bench: Bench) -> None:
    """A shim that hangs takes no more than its socket holds; what the agent holds then is refused when it dies."""
    _, screen = await ready(bench)
    (shim,) = bench.shims()
    os.kill(shim, signal.SIGSTOP)
    typing = [asyncio.create_task(screen.viewer.write(bytes(wire.INPUT_WINDOW_BYTES // 4))) for _ in range(8)]
    await eventually(lambda: screen.viewer._last_done.taken > 0)
    os.kill(shim, signal.SIGKILL)
    await asyncio.gather(*typing)
    last = screen.viewer._last_done
    assert last.refused > 0
    assert last.total == 8 * (wire.INPUT_WINDOW_BYTES // 4)
    screen.viewer.close()


async def test_what_nothing_is_there_to_take_is_refused(bench: Bench) -> None:
    """The program has ended: whoever types on is told so of every byte."""
    bench.argv = ("/bin/sh", "-c", "read x; exit 3")
    service = await bench.start()
    screen = await look(service, asked=0)
    screen.viewer.confirm_input()
    terminal = service._terminals["main"]
    await screen.viewer.write(b"go\n")
    await eventually(lambda: terminal.state == "exited")
    await screen.viewer.write(b"on")
    await screen.viewer.write(b"ward")
    assert await screen.to_end()
    assert [message for message in screen.messages if isinstance(message, InputDone)][-1] == InputDone(
        taken=3, refused=6
    )


@pytest.mark.usefixtures("kept")
async def test_one_who_does_not_read_what_becomes_of_his_input_is_let_go(bench: Bench) -> None:
    """Both kinds in turn, without end: nothing piles up, and what he was not told he knows that he does not know."""
    terminal, screen = await ready(bench)
    for number in range(200):
        terminal.console.allow_input(allowed=number % 2 == 0)
        await screen.viewer.write(b"x")
    assert screen.viewer.ended == INPUT_UNTOLD
    assert len(screen.viewer._done) < 100
    screen.viewer.close()


async def test_an_agent_that_is_not_heard_is_still_obeyed(bench: Bench, kept: Path) -> None:
    """One that leaves everything unread is cut off, and what it has sent before is done."""
    _, screen = await ready(bench)
    typed = b"typed" * 20_000
    # All of it is sent before the shim can find out that nobody hears it.
    (shim,) = bench.shims()
    os.kill(shim, signal.SIGSTOP)
    try:
        with await asyncio.to_thread(_type_and_leave, bench.folder / "run/main.sock", typed):
            os.kill(shim, signal.SIGCONT)
            await eventually(lambda: kept.exists() and kept.stat().st_size >= len(typed))
    finally:
        os.kill(shim, signal.SIGCONT)
    assert await asyncio.to_thread(kept.read_bytes) == typed
    screen.viewer.close()


def _type_and_leave(path: Path, data: bytes) -> socket.socket:
    """Connect as an agent, type, and hear nothing any more; the socket is half closed."""
    sock = socket.socket(socket.AF_UNIX)
    # Nobody takes it up yet.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        sock.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
    sock.shutdown(socket.SHUT_RD)
    sock.sendall(b"".join(wire.render_frame(wire.INPUT, data[at : at + 1000]) for at in range(0, len(data), 1000)))
    return sock


@pytest.mark.parametrize(("query", "is_told"), [("?confirm=input", True), ("", False), ("?confirm=else", False)])
async def test_only_one_who_asks_is_told(client: aiohttp.ClientSession, query: str, *, is_told: bool) -> None:
    """Others do not know the message."""
    async with watch(client, f"/terminals/main{query}") as viewer:
        hello = (await viewer.receive()).json()
        assert hello.get("confirms", False) is is_told
        assert ("confirms" in hello) is is_told
        await viewer.send_bytes(b"echo he''re; exit\n")
        async with asyncio.timeout(PATIENCE_S):
            told = [message.json() async for message in viewer if isinstance(message.data, str)]
        assert await closing(viewer) == 1000
    inputs = [message for message in told if message["type"] == "input"]
    assert inputs == ([{"type": "input", "taken": 18, "refused": 0}] if is_told else [])
