"""The artifact server: how fast one big file comes out of it."""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

from bench.archives import artifact_server, ensure_published, python_server
from bench.measure import MB, MIB, Case, Row, Run, Stopwatch


def fetch(url: str) -> int:
    """Fetch a file with as little work as can be; return the bytes of its body."""
    parts = urlsplit(url)
    buffer = bytearray(MIB)
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
        connection.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
        first = connection.recv(64 * 1024)
        head, _, rest = first.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(head.decode("latin-1"))
        count = len(rest)
        while received := connection.recv_into(buffer):
            count += received
    return count


async def throughput(run: Run) -> list[Row]:
    """MB/s of one file to one client, against `python -m http.server` on the same tree."""
    published = await asyncio.to_thread(ensure_published, run)
    times: int = run.choose(4, 1)

    async with artifact_server(run, published) as ours_url, python_server(run, published.tree) as peer_url:

        async def measure(url: str) -> float:
            with Stopwatch() as watch:
                for _ in range(times):
                    size = await asyncio.to_thread(fetch, f"{url}/{published.record.path}")
                    if size != published.record.size:
                        raise RuntimeError(f"{size} of {published.record.size} bytes came")
            return published.record.size * times / MB / watch.seconds

        sides = {"ours": lambda: measure(ours_url), "peer": lambda: measure(peer_url)}
        samples = await run.side_by_side("artifacts.throughput", sides)
    return [samples.row("artifacts.throughput", "MB/s", peer="peer", peer_name="python -m http.server")]


CASES = (Case("artifacts.throughput", "one big file", throughput),)
