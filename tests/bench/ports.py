"""How soon a program that begins to listen is known."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import aiohttp

from bench.measure import Case, Row, Run, Samples, at_most
from bench.real_agent import RealAgent
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.status import AgentStatus
from zlh_common.schema.structs import decode, encode

SEEN_S = 30.0
# Listens on one port after the other, at moments that have nothing to do with the agent's, and says when.
_LISTENER = """
import random, socket, sys, time
kept = []
for _ in range(int(sys.argv[2])):
    time.sleep(1 + random.random())
    kept.append(socket.create_server(("127.0.0.1", 0)))
    at = time.monotonic()
    with open(sys.argv[1], "a") as file:
        file.write(f"{kept[-1].getsockname()[1]} {at}\\n")
time.sleep(600)
"""


async def seen(run: Run) -> list[Row]:
    """From `listen` of a supervised program to the port in the agent's own report, which is asked for all the time."""
    agent = RealAgent.make(run)
    told = run.fresh_folder("told") / "ports"
    turns = run.repeat * 4
    argv = (sys.executable, "-c", _LISTENER, str(told), str(turns))
    samples = Samples()
    async with agent.started(), agent.client() as session:
        await _send(agent, session, AgentSpec(generation=1, processes=(WantedProcess(name="web", argv=argv),)))
        for took in await _wait_all(agent, session, told, turns):
            samples.add("ours", took)
        await _send(agent, session, AgentSpec(generation=2))
        async with asyncio.timeout(SEEN_S):
            while (await _fetch(agent, session)).processes:
                await asyncio.sleep(0.05)
    return [samples.alone("ports.seen", "s", budget=at_most(1))]


async def _wait_all(agent: RealAgent, session: aiohttp.ClientSession, told: Path, turns: int) -> list[float]:
    seen_at: dict[int, float] = {}
    async with asyncio.timeout(SEEN_S + 3 * turns):
        while len(seen_at) < turns:
            ports = {each.port for each in (await _fetch(agent, session)).ports}
            now = time.monotonic()
            seen_at |= dict.fromkeys(ports - seen_at.keys(), now)
            await asyncio.sleep(0.01)
        lines = (await asyncio.to_thread(told.read_text)).splitlines()
    listened = {int(port): float(at) for port, at in (line.split() for line in lines)}
    return [seen_at[port] - at for port, at in listened.items()]


async def _send(agent: RealAgent, session: aiohttp.ClientSession, spec: AgentSpec) -> None:
    await agent.call(session, "PUT", "/spec", body=encode(spec))


async def _fetch(agent: RealAgent, session: aiohttp.ClientSession) -> AgentStatus:
    return decode(await agent.call(session, "GET", "/status"), AgentStatus)


CASES = (Case("ports.seen", "a program begins to listen, and the agent tells of it", seen),)
