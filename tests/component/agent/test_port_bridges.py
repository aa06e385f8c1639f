"""On a machine that is shared, a published port of loopback is led there from the container's own address."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import psutil
import pytest

from guards.ports import free_port
from zlh_agent.ports.bridges import PortBridges
from zlh_agent.ports.service import PortService
from zlh_agent.ports.watch import PortWatch
from zlh_common.clock import SystemClock
from zlh_common.schema.ports import PortReach

# An address that no other test listens on.
MINE = "127.77.213.7"
# It judges nothing.
WAIT_S = 60.0
# Where `python3 -m http.server` listens by IPv6, that alone is taken.
_SERVER = """
import http.server, os, socket, sys
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *said): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    def server_bind(self):
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()
server = Server((sys.argv[1], int(sys.argv[2])), Quiet)
print(os.getpid(), flush=True)
server.serve_forever()
"""
_QUESTION = b"GET / HTTP/1.0\r\n\r\n"
pytestmark = pytest.mark.timeout(120)


@dataclass
class Container:
    """The watch and the bridges of one container."""

    watch: PortWatch
    bridges: PortBridges

    def reach(self, port: int) -> PortReach | None:
        """Return what is told of a port."""
        return next((each.reach for each in self.watch.ports() if each.port == port), None)

    async def wait_reach(self, port: int, reach: PortReach | None) -> None:
        """Return once that is told of a port."""
        async with asyncio.timeout(WAIT_S):
            while self.reach(port) is not reach:
                await asyncio.sleep(0.02)

    async def wait_free(self, port: int) -> None:
        """Return once nobody listens at the container's own address."""
        async with asyncio.timeout(WAIT_S):
            while await asyncio.to_thread(is_answered, port):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def container(*shims: int) -> AsyncIterator[Container]:
    """Watch and lead as an agent does."""
    watch, bridges = PortWatch(SystemClock(), bind_address=MINE, own_port=1), PortBridges(MINE, None)
    watch.roots = lambda: shims
    watch.on_look, watch.bridged, watch.own_sockets = bridges.note_listening, bridges.bridged, bridges.sockets
    loops = [asyncio.create_task(watch.run()), asyncio.create_task(bridges.run())]
    try:
        yield Container(watch, bridges)
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await watch.close()
        await bridges.close()


@contextmanager
def server(address: str, port: int) -> Iterator[int]:
    """Run a server as a customer's program, below a shim; yields the shim's pid."""
    argv = ["sh", "-c", '"$@" & wait', "sh", sys.executable, "-c", _SERVER, address, str(port)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as shim:
        assert shim.stdout is not None
        pid = int(shim.stdout.readline())
        try:
            yield shim.pid
        finally:
            psutil.Process(pid).kill()


def ask(port: int) -> bytes:
    """Return the first line of what a server answers at the container's own address."""
    with socket.create_connection((MINE, port), timeout=WAIT_S) as client:
        client.sendall(_QUESTION)
        with client.makefile("rb") as answer:
            return answer.readline()


def is_answered(port: int) -> bool:
    """Tell whether somebody listens there."""
    try:
        socket.create_connection((MINE, port), timeout=WAIT_S).close()
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        # Whoever listens has nobody to lead to.
        pass
    return True


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::"], ids=["IPv4", "IPv6", "all of IPv6"])
async def test_a_server_of_loopback_is_reached_while_it_is_published(address: str) -> None:
    """Before that it is not, nor after; and it is told how it is reached."""
    port = free_port()
    with server(address, port) as shim:
        async with container(shim) as mine:
            await mine.wait_reach(port, PortReach.LOOPBACK)
            assert not await asyncio.to_thread(is_answered, port)
            mine.bridges.want([port])
            await mine.wait_reach(port, PortReach.BRIDGED)
            assert await asyncio.to_thread(ask, port) == b"HTTP/1.0 200 OK\r\n"
            mine.bridges.want([])
            await mine.wait_reach(port, PortReach.LOOPBACK)
            await mine.wait_free(port)


async def test_another_containers_server_is_never_led_to() -> None:
    """Though it listens on the loopback that all of them share, and the port is published here."""
    port, own = free_port(), free_port()
    with server("127.0.0.1", port), server("127.0.0.1", own) as shim:
        async with container(shim) as mine:
            mine.bridges.want([port, own])
            await mine.wait_reach(own, PortReach.BRIDGED)
            assert mine.bridges.bridged() == {own}
            assert not await asyncio.to_thread(is_answered, port)


async def test_the_address_is_let_go_of_with_the_program() -> None:
    """The next program may listen there itself."""
    port = free_port()
    with ExitStack() as stack:
        shim = stack.enter_context(server("127.0.0.1", port))
        shims = [shim]
        async with container(shim) as mine:
            mine.watch.roots = lambda: shims
            mine.bridges.want([port])
            await mine.wait_reach(port, PortReach.BRIDGED)
            stack.close()
            await mine.wait_free(port)
            with server(MINE, port) as shim:
                shims.append(shim)
                await mine.wait_reach(port, PortReach.NETWORK)
                assert await asyncio.to_thread(ask, port) == b"HTTP/1.0 200 OK\r\n"
                assert mine.bridges.bridged() == frozenset()


async def test_a_forwarder_that_is_killed_comes_back() -> None:
    """And leads where it led."""
    port = free_port()
    with server("127.0.0.1", port) as shim:
        async with container(shim) as mine:
            mine.bridges.want([port])
            await mine.wait_reach(port, PortReach.BRIDGED)
            for forwarder in forwarders():
                forwarder.kill()
                await asyncio.to_thread(forwarder.wait)
            async with asyncio.timeout(WAIT_S):
                while not forwarders() or not await asyncio.to_thread(is_answered, port):
                    await asyncio.sleep(0.02)
            assert await asyncio.to_thread(ask, port) == b"HTTP/1.0 200 OK\r\n"


async def test_what_is_led_on_is_cut() -> None:
    """By who asks for the port, and when it is published no more; no half of it stays."""
    port = free_port()
    with server("127.0.0.1", port) as shim:
        async with container(shim) as mine:
            mine.bridges.want([port])
            await mine.wait_reach(port, PortReach.BRIDGED)
            service = PortService(MINE, mine.bridges.cut)
            first = await asyncio.to_thread(socket.create_connection, (MINE, port), WAIT_S)
            with first:
                first.sendall(b"GET")
                await wait_taken(port)
                assert (await service.cut(port)).cut == 1
                assert await asyncio.to_thread(is_over, first)
                assert not connections(port)
            second = await asyncio.to_thread(socket.create_connection, (MINE, port), WAIT_S)
            with second:
                second.sendall(b"GET")
                await wait_taken(port)
                mine.bridges.want([])
                assert await asyncio.to_thread(is_over, second)
            await mine.wait_free(port)


async def test_a_port_that_another_holds_is_led_on_once_it_is_free() -> None:
    """Whoever is there first keeps it; nothing else waits for that."""
    port, other = free_port(), free_port()
    with server("127.0.0.1", port) as one, server("127.0.0.1", other) as two:
        with socket.create_server((MINE, port)):
            async with container(one, two) as mine:
                mine.bridges.want([port, other])
                await mine.wait_reach(other, PortReach.BRIDGED)
                assert mine.reach(port) is PortReach.LOOPBACK
        async with container(one, two) as mine:
            mine.bridges.want([port])
            await mine.wait_reach(port, PortReach.BRIDGED)


def forwarders() -> list[psutil.Process]:
    """Return the forwarders of this test."""
    return [child for child in psutil.Process().children() if is_forwarder(child)]


def is_forwarder(process: psutil.Process) -> bool:
    """Tell whether a process is one, and has not ended."""
    try:
        return "zlh-ports" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def connections(port: int) -> list[object]:
    """Return what is connected to the server, by those of the forwarder."""
    found = [each for forwarder in forwarders() for each in forwarder.net_connections("tcp4")]
    return [each for each in found if each.status == psutil.CONN_ESTABLISHED and each.raddr and each.raddr.port == port]


async def wait_taken(port: int) -> None:
    """Return once the forwarder is connected to the server."""
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(connections, port):
            await asyncio.sleep(0.02)


def is_over(client: socket.socket) -> bool:
    """Tell whether the other end is gone, once it is."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
