"""The agent itself: how fast it is there, how much memory it takes, and how it finds its terminals again."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import msgspec

from bench.measure import Case, Row, Run, Samples, Spread, Stopwatch, at_most, read_cpu_s, read_pss, read_rss
from bench.programs import our_environment
from bench.real_agent import RealAgent

COUNTS = (1, 5, 20)
IDLE_S = 30.0


async def run_python(*arguments: str) -> float:
    """Return the milliseconds that one run of Python takes."""
    with Stopwatch() as watch:
        argv = [sys.executable, *arguments]
        await asyncio.to_thread(subprocess.run, argv, env=our_environment(), check=True, stdout=subprocess.DEVNULL)
    return watch.seconds * 1000


async def import_time(run: Run) -> list[Row]:
    """`import zlh_agent.app.serve` against an interpreter that imports nothing, and against what we build on."""

    async def ours() -> float:
        return await run_python("-c", "import zlh_agent.app.serve")

    async def libraries() -> float:
        return await run_python("-c", "import asyncio, ssl, aiohttp.web, msgspec, structlog")

    async def bare() -> float:
        return await run_python("-c", "pass")

    samples = await run.side_by_side("agent.import", {"ours": ours, "libraries": libraries, "bare": bare})
    return [
        samples.row("agent.import", "ms", peer="libraries", peer_name="its libraries alone"),
        samples.row("agent.import", "ms", peer="bare", peer_name="python -c pass"),
    ]


async def start(run: Run) -> list[Row]:
    """From exec to READY=1, against an aiohttp server with nothing in it; then memory at rest."""
    samples = Samples()
    agent = RealAgent.make(run)

    async def ours() -> float:
        async with agent.started() as seconds:
            async with agent.client() as session:
                await agent.call(session, "GET", "/status")
            samples.add("rss", read_rss(agent.pid))
            samples.add("pss", read_pss(agent.pid))
            return seconds * 1000

    async def bare() -> float:
        return await run_python("-c", "import asyncio, ssl, aiohttp.web, msgspec, structlog")

    times = await run.side_by_side("agent.start", {"ours": ours, "bare": bare})
    return [
        times.row("agent.start", "ms to READY", peer="bare", peer_name="import of its libraries", budget=at_most(350)),
        samples.alone("agent.rss", "MB", side="rss", budget=at_most(48)),
        samples.alone("agent.pss", "MB", side="pss"),
    ]


async def reattach(run: Run) -> list[Row]:
    """An agent that is started beside N shells that go on: from exec until it lists all of them as running."""
    samples = Samples()
    counts = run.choose(COUNTS, (1,))
    for turn in range(run.repeat):
        for count in counts:
            samples.add(str(count), await _reattach_once(run, count))
        run.show(f"agent.reattach {turn + 1}/{run.repeat}: {samples.figures}")
    return [
        samples.alone(
            f"agent.reattach.{count}", "ms to READY", side=str(count), budget=at_most(500) if count == 20 else None
        )
        for count in counts
    ]


async def _reattach_once(run: Run, count: int) -> float:
    agent = RealAgent.make(run)
    async with agent.started(), agent.client() as session:
        for _ in range(count):
            await agent.open_terminal(session)
    async with agent.started() as seconds:
        async with agent.client() as session:
            rows = msgspec.json.decode(await agent.call(session, "GET", "/terminals"))["items"]
        running = [row for row in rows if row["state"] == "running"]
        if len(running) != count:
            raise RuntimeError(f"{len(running)} of {count} terminals were found again")
        await agent.close_terminals()
    return seconds * 1000


async def shims(run: Run) -> list[Row]:
    """Memory of shims while 1, 5 and 20 run, against an interpreter that has imported `os` and `select`."""
    agent = RealAgent.make(run)
    rows = []
    floor = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "import os, select, sys; print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert floor.stdout is not None
        await asyncio.to_thread(floor.stdout.readline)
        async with agent.started(), agent.client() as session:
            opened = 0
            for count in run.choose(COUNTS, (1,)):
                while opened < count:
                    await agent.open_terminal(session)
                    opened += 1
                rows += _shim_rows(agent, count, floor.pid)
            await agent.close_terminals()
    finally:
        floor.communicate()
    return rows


def _shim_rows(agent: RealAgent, count: int, floor: int) -> list[Row]:
    pids = agent.shims()
    if len(pids) != count:
        raise RuntimeError(f"{len(pids)} shims where {count} should be")
    bare = Spread.of([read_rss(floor)])
    rss = Spread.of([read_rss(pid) for pid in pids])
    pss = Spread.of([read_pss(pid) for pid in pids])
    ratio = Spread.of([figure / bare.median for figure in (rss.low, rss.median, rss.high)])
    name = "python -I -S with os and select"
    return [
        Row(f"console.shim.rss.{count}", "MB each", rss, name, bare, ratio, at_most(12)),
        Row(f"console.shim.pss.{count}", "MB each", pss, budget=at_most(5) if count == 20 else None),
    ]


async def idle(run: Run) -> list[Row]:
    """Processor time of an agent with one shell and nobody who looks, as seconds an hour."""
    agent = RealAgent.make(run)
    samples = Samples()
    async with agent.started(), agent.client() as session:
        await agent.open_terminal(session)
        await asyncio.sleep(2)
        (shim,) = agent.shims()
        for turn in range(2):
            before = read_cpu_s(agent.pid), read_cpu_s(shim)
            await asyncio.sleep(IDLE_S)
            for side, pid, was in (("agent", agent.pid, before[0]), ("shim", shim, before[1])):
                samples.add(side, (read_cpu_s(pid) - was) * 3600 / IDLE_S)
            run.show(f"agent.idle {turn + 1}/2: {samples.figures}")
        await agent.close_terminals()
    note = f"over {IDLE_S:.0f} s, no link of an API"
    return [
        samples.alone("agent.idle", "CPU s/hour", side="agent", budget=at_most(2), note=note),
        samples.alone("console.shim.idle", "CPU s/hour", side="shim", budget=at_most(0.05), note=note),
    ]


CASES = (
    Case("agent.import", "import time of the agent", import_time),
    Case("agent.start", "start to READY, and memory at rest", start),
    Case("agent.reattach", "start beside 1, 5 and 20 shells that go on", reattach),
    Case("agent.idle", "processor time at rest", idle, is_slow=True),
    Case("console.shim", "memory of 1, 5 and 20 shims", shims),
)
