"""What it costs that a published port of loopback is led there, beside the way without: bytes a second, round trips."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from bench.measure import MB, Case, Row, Run, ratio_at_least, ratio_at_most
from zlh_agent.ports.forwarder import Forwarder

ENTRANCE = "127.77.214.1"
WAIT_S = 60.0
# Answers each line with as many bytes as it says.
_SERVER = """
import socket, threading
s = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(s.getsockname()[1], flush=True)
block = memoryview(bytes(1 << 20))
def serve(client):
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with client, client.makefile("rb") as lines:
        for line in lines:
            left = int(line)
            while left:
                left -= client.send(block[:left])
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""


@contextlib.contextmanager
def _server() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield int(child.stdout.readline())
        finally:
            child.kill()


async def bridged(run: Run) -> list[Row]:
    """Of one connection after the other, to a server of another process; the client is a third."""
    with contextlib.ExitStack() as stack:
        port = await asyncio.to_thread(stack.enter_context, _server())
        forwarder = await Forwarder.start(None, on_end=lambda: None)
        try:
            with socket.create_server((ENTRANCE, 0), backlog=1024) as listening:
                entrance = listening.getsockname()[1]
                await forwarder.lead(port, "127.0.0.1", listening)
            ways = {"ours": (ENTRANCE, entrance), "direct": ("127.0.0.1", port)}
            size, turns, opened = run.choose((2000 * MB, 20_000, 2000), (20 * MB, 200, 50))

            async def measure(title: str, figure: Callable[[tuple[str, int]], float]) -> Row:
                sides = {name: lambda way=way: asyncio.to_thread(figure, way) for name, way in ways.items()}
                samples = await run.side_by_side(title, sides)
                unit, budget = _JUDGED[title]
                return samples.row(title, unit, peer="direct", budget=budget)

            return [
                await measure("ports.bridged.throughput", lambda way: _throughput(way, size)),
                await measure("ports.bridged.latency", lambda way: _round_trip(way, turns)),
                await measure("ports.bridged.connect", lambda way: _connect(way, opened)),
            ]
        finally:
            await forwarder.end()


_JUDGED = {
    "ports.bridged.throughput": ("MB/s", ratio_at_least(0.4)),
    "ports.bridged.latency": ("µs", ratio_at_most(3)),
    "ports.bridged.connect": ("µs", ratio_at_most(4)),
}


def _throughput(way: tuple[str, int], size: int) -> float:
    with socket.create_connection(way, WAIT_S) as client:
        block = memoryview(bytearray(1024 * 1024))
        began = time.perf_counter()
        client.sendall(b"%d\n" % size)
        left = size
        while left:
            left -= client.recv_into(block)
        return size / MB / (time.perf_counter() - began)


def _round_trip(way: tuple[str, int], turns: int) -> float:
    with socket.create_connection(way, WAIT_S) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        for _ in range(turns):
            client.sendall(b"1\n")
            client.recv(1)
        return (time.perf_counter() - began) / turns * 1e6


def _connect(way: tuple[str, int], turns: int) -> float:
    began = time.perf_counter()
    for _ in range(turns):
        with socket.create_connection(way, WAIT_S) as client:
            client.sendall(b"1\n")
            client.recv(1)
    return (time.perf_counter() - began) / turns * 1e6


CASES = (Case("ports.bridged", "a published port of loopback, led there, beside the way without", bridged),)
