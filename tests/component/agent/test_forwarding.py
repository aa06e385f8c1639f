"""Bytes go through the forwarder as they came: many at once, slowly, by halves, and to an end that everybody sees."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from zlh_agent.ports.forwarder import Forwarder, ForwarderLost
from zlh_agent.ports.forwarding import MOST_CONNECTIONS, Forwarding, share_of

# It judges nothing.
WAIT_S = 60.0
ENTRANCE = "127.77.212.1"
BLOCK = os.urandom(1024 * 1024)
BLOCKS = 100

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
pytestmark = pytest.mark.timeout(180)


@dataclass
class Led:
    """A port that is led to a server of loopback."""

    forwarder: Forwarder
    port: int
    entrance: int
    ended: asyncio.Event

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect from outside."""
        return await asyncio.open_connection(ENTRANCE, self.entrance)


@asynccontextmanager
async def led(serve: Serve) -> AsyncIterator[Led]:
    """Run a server of loopback and a forwarder that leads to it."""
    ended = asyncio.Event()
    forwarder = await Forwarder.start(None, on_end=ended.set)
    server = await asyncio.start_server(until_over(serve), "127.0.0.1", 0, backlog=2048)
    try:
        port = server.sockets[0].getsockname()[1]
        with socket.create_server((ENTRANCE, 0), backlog=2048) as listening:
            entrance = listening.getsockname()[1]
            await forwarder.lead(port, "127.0.0.1", listening)
        yield Led(forwarder, port, entrance, ended)
    finally:
        await forwarder.end()
        server.close()
        await server.wait_closed()


def until_over(serve: Serve) -> Serve:
    """Serve a connection, whose end is nothing to complain of, and close it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    return handle


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say what was said."""
    while said := await reader.read(65536):
        writer.write(said)
        await writer.drain()


async def send(writer: asyncio.StreamWriter) -> None:
    """Send all blocks, and that there are no more."""
    for _ in range(BLOCKS):
        writer.write(BLOCK)
        await writer.drain()
    writer.write_eof()


async def digest(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Return how much comes until there is no more, and its digest."""
    found, size = hashlib.sha256(), 0
    while said := await reader.read(1024 * 1024):
        found.update(said)
        size += len(said)
    return size, found.hexdigest()


def whole() -> tuple[int, str]:
    """Return what `digest` says where nothing is missing."""
    found = hashlib.sha256()
    for _ in range(BLOCKS):
        found.update(BLOCK)
    return BLOCKS * len(BLOCK), found.hexdigest()


async def test_a_hundred_megabytes_go_both_ways_at_once() -> None:
    """Every byte, in its place, and the end of each side's own."""
    got: list[tuple[int, str]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, found = await asyncio.gather(send(writer), digest(reader))
        got.append(found)

    async with led(serve) as port, asyncio.timeout(WAIT_S):
        reader, writer = await port.connect()
        _, found = await asyncio.gather(send(writer), digest(reader))
        writer.close()
        while not got:
            await asyncio.sleep(0.01)
    assert [found, *got] == [whole(), whole()]


@pytest.mark.parametrize("first", ["client", "server"])
async def test_the_end_of_one_half_is_not_that_of_the_other(first: str) -> None:
    """Whoever has said all it had to say still hears the answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if first == "client":
            writer.write(b"heard " + await reader.read())
        else:
            writer.write_eof()
            heard.append(await reader.read())

    heard: list[bytes] = []
    async with led(serve) as port, asyncio.timeout(WAIT_S):
        reader, writer = await port.connect()
        if first == "client":
            writer.write(b"all")
            writer.write_eof()
            assert await reader.read() == b"heard all"
        else:
            assert await reader.read() == b""
            writer.write(b"late")
            writer.write_eof()
            while not heard:
                await asyncio.sleep(0.01)
            assert heard == [b"late"]
        writer.close()


async def test_a_thousand_connections_are_open_at_once() -> None:
    """Each says its own and hears its own."""
    async with led(echo) as port, asyncio.timeout(WAIT_S):
        ends = [await port.connect() for _ in range(1000)]
        for number, (_, writer) in enumerate(ends):
            writer.write(f"{number}\n".encode())
        for number, (reader, _) in enumerate(ends):
            assert await reader.readline() == f"{number}\n".encode()
        assert await port.forwarder.cut(port.port) == 1000
        for reader, writer in ends:
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
            writer.close()


async def test_a_slow_reader_slows_its_sender_and_nobody_else() -> None:
    """What it does not take stays with who sends it: little is held, others are served, and at last it has all."""
    sent = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline() == b"all\n":
            for _ in range(BLOCKS):
                writer.write(BLOCK)
                await writer.drain()
                sent[0] += 1
        else:
            writer.write(b"here\n")
            await writer.drain()

    async with led(serve) as port, asyncio.timeout(WAIT_S):
        slow, slow_writer = await port.connect()
        slow_writer.write(b"all\n")
        slow_writer.transport.pause_reading()  # type: ignore[attr-defined]
        await still(sent)
        assert sent[0] < BLOCKS
        assert psutil.Process(port.forwarder.pid).memory_info().rss < 64 * 1024 * 1024
        for _ in range(5):
            reader, writer = await port.connect()
            writer.write(b"hello\n")
            assert await reader.readline() == b"here\n"
            writer.close()
        slow_writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert await digest(slow) == whole()
        slow_writer.close()


@pytest.mark.parametrize("connections", [1, 100, MOST_CONNECTIONS])
def test_what_is_held_for_all_is_bounded(connections: int) -> None:
    """Each end may have to wait for the other with one block."""
    assert share_of(2 * connections) * 2 * connections <= 64 * 1024 * 1024


async def still(sent: list[int]) -> None:
    """Return once no more is sent."""
    before = -1
    while before != sent[0]:
        before = sent[0]
        await asyncio.sleep(0.5)


async def hear(port: Led) -> None:
    """Connect, and return at the first byte."""
    reader, writer = await port.connect()
    try:
        await reader.readexactly(1)
    finally:
        writer.close()


async def test_nobody_there_is_a_reset() -> None:
    """Whoever connects while no program listens is not kept waiting."""
    async with led(echo) as port, asyncio.timeout(WAIT_S):
        await port.forwarder.lead(port.port, "127.0.0.77")
        # Either may meet it: whoever connects, or whoever then waits for a word.
        with pytest.raises(ConnectionResetError):
            await hear(port)
        # Where it leads may change while it is led on.
        await port.forwarder.lead(port.port, "127.0.0.1")
        reader, writer = await port.connect()
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        writer.close()


async def test_a_port_that_is_closed_keeps_its_connections_until_they_are_cut() -> None:
    """Nobody new gets in; who is in goes on, and ends when that is said."""
    async with led(echo) as port, asyncio.timeout(WAIT_S):
        reader, writer = await port.connect()
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        await port.forwarder.close_port(port.port)
        with pytest.raises(ConnectionRefusedError):
            await port.connect()
        writer.write(b"still\n")
        assert await reader.readline() == b"still\n"
        assert await port.forwarder.cut(port.port) == 1
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()
        assert await port.forwarder.cut(port.port) == 0


async def test_one_that_is_killed_is_told_of() -> None:
    """Whoever is connected sees it, and so does who asks."""
    async with led(echo) as port, asyncio.timeout(WAIT_S):
        reader, writer = await port.connect()
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        psutil.Process(port.forwarder.pid).kill()
        await port.ended.wait()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        with pytest.raises(ForwarderLost):
            await port.forwarder.cut(port.port)


async def test_one_that_is_stopped_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its customer may stop it, and keeps no connection open by that: a cut ends it with all that it has."""
    async with led(echo) as port, asyncio.timeout(WAIT_S):
        reader, writer = await port.connect()
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        psutil.Process(port.forwarder.pid).suspend()
        # Only now, since one that starts on a busy machine takes its time.
        monkeypatch.setattr("zlh_agent.ports.forwarder.ANSWER_S", 0.2)
        with pytest.raises(ForwarderLost):
            await port.forwarder.cut(port.port)
        await port.ended.wait()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


async def test_it_is_confined() -> None:
    """Nothing that it reads gives it more than it has."""
    async with led(echo) as port:
        status = await asyncio.to_thread(Path(f"/proc/{port.forwarder.pid}/status").read_text)
        assert "NoNewPrivs:\t1" in status
        assert "CapEff:\t0000000000000000" in status


async def test_who_comes_when_it_is_full_waits_for_a_place() -> None:
    """Nothing is refused: the kernel holds it until somebody goes."""
    control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(await asyncio.start_server(until_over(echo), "127.0.0.1", 0))
        listening = socket.create_server((ENTRANCE, 0))
        entrance = listening.getsockname()[1]
        forwarding = Forwarding(control, most=2)
        port = server.sockets[0].getsockname()[1]
        forwarding.lead(port, "127.0.0.1", listening)

        def end() -> bool:
            forwarding.close(port)
            forwarding.cut(port)
            return False

        thread = threading.Thread(target=forwarding.serve, args=(end,))
        thread.start()
        try:
            async with asyncio.timeout(WAIT_S):
                ends = [await asyncio.open_connection(ENTRANCE, entrance) for _ in range(3)]
                for _, writer in ends:
                    writer.write(b"hello\n")
                for reader, _ in ends[:2]:
                    assert await reader.readline() == b"hello\n"
                waiting = asyncio.create_task(ends[2][0].readline())
                assert not (await asyncio.wait({waiting}, timeout=0.3))[0]
                ends[0][1].close()
                assert await waiting == b"hello\n"
                for _, writer in ends[1:]:
                    writer.close()
        finally:
            other.send(b"end")
            await asyncio.to_thread(thread.join)
            control.close()
            other.close()
            listening.close()


async def test_two_ports_that_meet_the_last_place_at_once_both_wait() -> None:
    """More come to each than there are places, before anybody is taken: all go on once others have gone."""
    control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(await _start_echo()) for _ in range(2)]
        doors = [socket.create_server((ENTRANCE, 0)) for _ in servers]
        forwarding = Forwarding(control, most=2)
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        places = [listening.getsockname() for listening in doors]
        for port, listening in zip(ports, doors, strict=True):
            forwarding.lead(port, "127.0.0.1", listening)

        def end() -> bool:
            for port in ports:
                forwarding.close(port)
                forwarding.cut(port)
            return False

        thread = threading.Thread(target=forwarding.serve, args=(end,))
        try:
            async with asyncio.timeout(WAIT_S):
                ends = [await asyncio.open_connection(*place) for place in places for _ in range(4)]
                thread.start()
                await asyncio.gather(*(_speak_and_go(*end) for end in ends))
        finally:
            other.send(b"end")
            await asyncio.to_thread(thread.join)
            for each in (control, other, *doors):
                each.close()


async def _start_echo() -> asyncio.Server:
    return await asyncio.start_server(until_over(echo), "127.0.0.1", 0)


async def _speak_and_go(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello\n")
    assert await reader.readline() == b"hello\n"
    writer.close()
