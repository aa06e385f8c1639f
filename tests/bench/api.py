"""The API on a real database: how many requests a second, how late the late ones are, what it holds in memory."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from bench.agent import run_python
from bench.measure import Case, Row, Run, Samples, Spread, at_most, percentile, read_rss
from bench.programs import HERE, running, wait_port
from bench.real_api import TOKEN, RealApi
from guards.ports import free_port

CONNECTIONS = 4
RATE = 200
COUNTS = (10, 100, 1000, 10_000)


@dataclass(frozen=True)
class Target:
    """One request that is sent again and again."""

    port: int
    path: str
    method: str = "GET"

    def render(self) -> bytes:
        """Return the request as it is sent."""
        head = [f"{self.method} {self.path} HTTP/1.1", "Host: bench", f"Authorization: Bearer {TOKEN}"]
        if self.method != "GET":
            head.append("Content-Length: 0")
        return "\r\n".join([*head, "", ""]).encode()


class Connection:
    """One HTTP connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        self._reader, self._writer, self._request = reader, writer, request

    @classmethod
    async def open(cls, target: Target) -> Connection:
        """Connect."""
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=1 << 22)
        return cls(reader, writer, target.render())

    async def ask(self) -> int:
        """Send the request once; return the size of the body."""
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(head.decode("latin-1"))
        at = head.lower().index(b"content-length:") + len("content-length:")
        size = int(head[at : head.index(b"\r", at)])
        await self._reader.readexactly(size)
        return size

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()


async def ask_as_fast_as_can_be(target: Target, seconds: float) -> tuple[float, list[float]]:
    """Keep four requests under way; return requests a second and the milliseconds of each."""
    times: list[float] = []
    until = time.perf_counter() + seconds

    async def work() -> None:
        connection = await Connection.open(target)
        while (began := time.perf_counter()) < until:
            await connection.ask()
            times.append((time.perf_counter() - began) * 1000)
        connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return len(times) / (time.perf_counter() - began), times


async def ask_one_by_one(target: Target, seconds: float) -> list[float]:
    """Send one request after the other; return the milliseconds of each."""
    times: list[float] = []
    connection = await Connection.open(target)
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        await connection.ask()
        times.append((time.perf_counter() - began) * 1000)
    connection.close()
    return times


async def ask_at_a_rate(target: Target, seconds: float) -> list[float]:
    """Send 200 requests a second, whether they are answered or not; return each one's lateness in milliseconds.

    The time runs from when a request was due, so that a server that falls behind cannot hide it.
    """
    free: asyncio.Queue[Connection] = asyncio.Queue()
    times: list[float] = []

    async def one(due: float) -> None:
        connection = free.get_nowait() if not free.empty() else await Connection.open(target)
        await connection.ask()
        times.append((time.perf_counter() - due) * 1000)
        free.put_nowait(connection)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(RATE * seconds)):
            due = began + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due))
    while not free.empty():
        free.get_nowait().close()
    return times


@asynccontextmanager
async def constant_server(run: Run, size: int) -> AsyncIterator[int]:
    """Run the peer for a body of this size; yields its port."""
    port, log = free_port(), run.fresh_folder("constant") / "log"
    async with running([sys.executable, str(HERE / "constant_server.py"), str(port), str(size)], log=log) as child:
        await wait_port(port, child, log)
        yield port


async def requests(run: Run) -> list[Row]:
    """GET of a page and of one container with 10 … 10,000 rows, against a handler that returns as many bytes."""
    api = RealApi.make(run)
    rows: list[Row] = []
    async with api.database() as connection, api.started():
        for count in run.choose(COUNTS, COUNTS[:1]):
            await api.fill(connection, count)
            vmid = await connection.fetchval("select min(vmid) from containers")
            for kind, path in (("list", "/api/containers"), ("one", f"/api/containers/{vmid}")):
                rows += await _requests_of(run, Target(api.port, path), f"api.{kind}.{count}")
            if count == 1000:
                rows.append(Row("api.rss.1000", "MB", _single(read_rss(api.pid)), budget=at_most(200)))
    return rows


def _single(figure: float) -> Spread:
    return Spread.of([figure])


async def _requests_of(run: Run, target: Target, name: str) -> list[Row]:
    seconds = run.choose(1.0, 0.2)
    connection = await Connection.open(target)
    size = await connection.ask()
    connection.close()
    samples = Samples()
    async with constant_server(run, size) as port:
        peer = Target(port, "/")

        async def measure(side: str, asked: Target) -> float:
            rate, times = await ask_as_fast_as_can_be(asked, seconds)
            paced = await ask_at_a_rate(asked, seconds)
            samples.add(f"{side}-p50", percentile(times, 0.5))
            samples.add(f"{side}-p99", percentile(times, 0.99))
            samples.add(f"{side}-paced-p99", percentile(paced, 0.99))
            return rate

        sides = {"ours": partial(measure, "ours", target), "peer": partial(measure, "peer", peer)}
        rates = await run.side_by_side(name, sides, warm_up=False)
    peer_name = "constant aiohttp handler"
    paced_budget = at_most(20 if ".list." in name else 5)
    note = f"{size} bytes"
    return [
        rates.row(f"{name}.rate", "requests/s", peer="peer", peer_name=peer_name, note=note),
        samples.row(f"{name}.p50", "ms", side="ours-p50", peer="peer-p50", peer_name=peer_name),
        samples.row(f"{name}.p99", "ms", side="ours-p99", peer="peer-p99", peer_name=peer_name),
        samples.row(
            f"{name}.p99.at-{RATE}",
            "ms",
            side="ours-paced-p99",
            peer="peer-paced-p99",
            peer_name=peer_name,
            budget=paced_budget,
        ),
    ]


async def start(run: Run) -> list[Row]:
    """From exec until it listens, with a database that is there; then memory at rest."""
    samples = Samples()
    api = RealApi.make(run)
    async with api.database():

        async def ours() -> float:
            async with api.started() as seconds:
                samples.add("rss", read_rss(api.pid))
                return seconds * 1000

        async def libraries() -> float:
            return await run_python("-c", "import asyncio, ssl, aiohttp.web, asyncpg, msgspec, structlog, cryptography")

        async def imported() -> float:
            return await run_python("-c", "import zlh_api.app.serve")

        sides = {"ours": ours, "libraries": libraries, "imported": imported}
        times = await run.side_by_side("api.start", sides)
    return [
        times.row("api.start", "ms until it listens", peer="libraries", peer_name="import of its libraries"),
        times.row("api.import", "ms", side="imported", peer="libraries", peer_name="import of its libraries"),
        samples.alone("api.rss", "MB at the start", side="rss"),
    ]


CASES = (
    Case("api.start", "start of an API process, its import time and memory", start),
    Case("api.requests", "GET of lists and of one container, growing", requests),
)
