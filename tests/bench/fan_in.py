"""Thousands of agents that report to one API process: its share of a core, its memory, and how it answers meanwhile."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
import psutil
from cryptography.x509.oid import ExtendedKeyUsageOID

from bench.api import Connection, Target
from bench.measure import Case, Row, Run, Samples, at_most, percentile, read_cpu_s, read_rss
from bench.programs import HERE, running, wait_port
from bench.real_api import RealApi
from guards.ports import free_port
from zlh_api.agents.authority import Authority
from zlh_api.agents.certificates import issue
from zlh_common.clock import SystemClock

COUNTS = (10, 100, 1000, 10_000)
CROWD_PROCESSES = 2
FIRST_ADDRESS = ipaddress.IPv4Address("127.78.0.10")
ONLINE_S = 300.0
# Reports come each ten seconds, and of those that say nothing new one in three is written.
SETTLE_S, WINDOW_S = 12.0, 30.0
ASK_EACH_S = 0.05
# Rows whose guests run, and which no reconciler looks at.
_INSERT = """
insert into containers (owner, customer_id, kind, name, spec, guest, provisioned_at, wake_at, held_until, address)
select owner, $1, 'dev', 'crowd-' || owner, '{"runtimes": [{"name": "node", "version": "24.19.0"}]}', 'running', now(),
    now() + interval '10 years', now() + interval '10 years', address::inet
from unnest($2::uuid[], $3::text[]) as crowd(owner, address)
"""
POLLING = "aiohttp polling the same agents, which writes nothing"


@dataclass(frozen=True)
class Crowd:
    """Agents that do not run yet."""

    file: Path
    port: int
    # By address.
    owners: dict[str, str]

    @classmethod
    def make(cls, api: RealApi, count: int) -> Crowd:
        """Write what the processes of the agents need; one certificate has the names of all of them."""
        authority = Authority(api.keys, SystemClock())
        ca = authority.held[authority.standing.issuing].agents
        name = "*.agent.zlh.internal"
        issued = issue(ca, name, ExtendedKeyUsageOID.SERVER_AUTH, now=datetime.now(UTC))
        folder = api.folder / f"crowd-{count}"
        folder.mkdir()
        for file, content in (
            ("agent.crt", issued.certificate),
            ("agent.key", issued.private_key),
            ("api-ca.crt", authority.api_ca),
        ):
            (folder / file).write_bytes(content)
        owners = {str(FIRST_ADDRESS + number): str(uuid4()) for number in range(count)}
        document = {
            "port": api.agent_port,
            "certificate": str(folder / "agent.crt"),
            "key": str(folder / "agent.key"),
            "client_ca": str(folder / "api-ca.crt"),
            "owners": owners,
        }
        (folder / "crowd.json").write_text(json.dumps(document))
        return cls(folder / "crowd.json", api.agent_port, owners)

    @asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        """Run the processes for the length of the block."""
        async with AsyncExitStack() as stack:
            log = self.file.with_suffix(".log")
            for _ in range(CROWD_PROCESSES):
                argv = [sys.executable, str(HERE / "agent_crowd.py"), str(self.file)]
                child = await stack.enter_async_context(running(argv, log=log))
                await wait_port(self.port, child, log, host=str(FIRST_ADDRESS))
            yield


async def fan_in(run: Run) -> list[Row]:
    """10 … 10,000 agents that report each ten seconds."""
    rows: list[Row] = []
    shares: dict[int, float] = {}
    for count in run.choose(COUNTS, COUNTS[:1]):
        samples = Samples()
        for turn in range(1, run.repeat + 1):
            await _measure(run, samples, count)
            shown = ", ".join(f"{name} {figures[-1]:.3g}" for name, figures in samples.figures.items())
            run.show(f"api.fan-in.{count} {turn}/{run.repeat}: {shown}")
        rows += _rows_of(samples, count)
        shares[count] = percentile(samples.figures["ours"], 0.5) / count
    if len(shares) > 1:
        least = min(shares)
        middle, most = sorted(shares)[-2:]
        growth = Samples({"ours": [shares[most] / shares[middle]]})
        rows.append(
            growth.alone("api.fan-in.growth", "x", note=f"cost per agent, {most} against {middle}, not {least}")
        )
    return rows


def _rows_of(samples: Samples, count: int) -> list[Row]:
    name = f"api.fan-in.{count}"
    is_most = count == COUNTS[-1]
    rows = [
        samples.row(
            f"{name}.cpu",
            "% of a core",
            peer="peer",
            peer_name=POLLING,
            budget=at_most(20) if is_most else None,
            note="reports each 10 s, one in five new; all are kept",
        ),
        samples.alone(f"{name}.postgres", "% of a core", side="postgres"),
        samples.alone(f"{name}.online", "s until all are online", side="online"),
        samples.alone(f"{name}.answer", "ms p99 of GET of one container", side="answer"),
    ]
    if count >= 1000:
        budget = at_most(20) if is_most else None
        rows.append(samples.alone(f"{name}.memory", "KB each", side="memory", budget=budget))
    return rows


async def _measure(run: Run, samples: Samples, count: int) -> None:
    api = RealApi.make(run)
    api.agent_port = free_port()
    async with api.database() as connection:
        await api.fill(connection, 1)
        vmid = await connection.fetchval("select vmid from containers")
        crowd = await asyncio.to_thread(Crowd.make, api, count)
        async with crowd.started():
            async with api.started():
                empty = read_rss(api.pid)
                began = time.perf_counter()
                await _insert(connection, api, crowd)
                await _wait_online(connection, count)
                samples.add("online", time.perf_counter() - began)
                await asyncio.sleep(SETTLE_S)
                await _measure_api(samples, api, connection, vmid)
                samples.add("memory", (read_rss(api.pid) - empty) * 1000 / count)
            await _measure_polling(samples, api, crowd)


async def _insert(connection: asyncpg.Connection, api: RealApi, crowd: Crowd) -> None:
    await connection.execute(_INSERT, api.customer, list(crowd.owners.values()), list(crowd.owners))
    await connection.execute("analyze containers")
    await connection.execute("notify link_due")


async def _wait_online(connection: asyncpg.Connection, count: int) -> None:
    async with asyncio.timeout(ONLINE_S):
        while True:
            online = await connection.fetchval(
                "select count(*) from containers where connection = 'online' and address is not null"
            )
            if online == count:
                return
            await asyncio.sleep(0.05)


async def _measure_api(samples: Samples, api: RealApi, connection: asyncpg.Connection, vmid: int) -> None:
    server = psutil.Process(await connection.fetchval("select pg_backend_pid()")).parent()
    assert server is not None
    before, before_server, began = read_cpu_s(api.pid), _cpu_of_all(server), time.perf_counter()
    times = await _ask(Target(api.port, f"/api/containers/{vmid}"))
    spent_s = time.perf_counter() - began
    samples.add("ours", (read_cpu_s(api.pid) - before) / spent_s * 100)
    samples.add("postgres", (_cpu_of_all(server) - before_server) / spent_s * 100)
    samples.add("answer", percentile(times, 0.99))


async def _ask(target: Target) -> list[float]:
    """Ask the API something now and then, as a person does; return the milliseconds of each answer."""
    connection = await Connection.open(target)
    times: list[float] = []
    until = time.perf_counter() + WINDOW_S
    while (began := time.perf_counter()) < until:
        await connection.ask()
        times.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(ASK_EACH_S)
    connection.close()
    return times


def _cpu_of_all(server: psutil.Process) -> float:
    spent = 0.0
    for process in (server, *server.children()):
        try:
            spent += read_cpu_s(process.pid)
        except OSError:
            continue
    return spent


async def _measure_polling(samples: Samples, api: RealApi, crowd: Crowd) -> None:
    argv = [sys.executable, str(HERE / "polling_client.py"), str(crowd.file), str(api.keys)]
    async with running(argv, log=api.folder / "polling.log") as child:
        # Until all are connected, which they are spread over ten seconds.
        await asyncio.sleep(10 + SETTLE_S)
        before, began = read_cpu_s(child.pid), time.perf_counter()
        await asyncio.sleep(WINDOW_S)
        samples.add("peer", (read_cpu_s(child.pid) - before) / (time.perf_counter() - began) * 100)


CASES = (Case("api.fan-in", "10 … 10,000 agents that report to one API process", fan_in, is_slow=True),)
