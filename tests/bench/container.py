"""The agent where it lives: its bundle and units in a real container, which is what its budgets are about.

The other rows run it from a checkout, whose environment has more to import than the agent's bundle.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp

from bench.measure import MB, Case, Row, Run, Samples, Spread, at_most
from bench.supervision import LIFE_S, MORTAL, read_gap_lines
from guards.parts import why_missing
from lxc.guest import Guest, running_guest
from lxc.own_host import OwnHost, own_host
from zlh_common.names import agent_name
from zlh_common.schema.process import ProcessPolicy, RestartPolicy, WantedProcess
from zlh_common.schema.status import AgentStatus

PROCESSES = 20
IDLE_S = 60.0
PATIENCE_S = 60.0


async def start(run: Run) -> list[Row]:
    """From exec to READY beside twenty processes that go on, and the memory of everybody."""
    samples = Samples()
    async with _guest() as guest:
        sleepers = [WantedProcess(name=f"p{number}", argv=("/bin/sleep", "1000000")) for number in range(PROCESSES)]
        await guest.want(processes=tuple(sleepers))
        await _wait(guest, _all_run)
        for _ in range(run.repeat):
            await guest.inside("systemctl", "kill", "--kill-who=main", "-s", "KILL", "zlh-agent")
            await guest.wait_online()
            await _wait(guest, _all_run)
            began, ready = [int(await _show(guest, name)) for name in ("ExecMainStart", "ActiveEnter")]
            samples.add("start", (ready - began) / 1000)
            for name, mb in (await _read_memory(guest, await _agent_pid(guest))).items():
                samples.add(f"agent.{name}", mb)
        shims = [await _read_memory(guest, pid) for pid in (await guest.inside("pgrep", "-f", "zlh-shim:p")).split()]
    rss, pss = [Spread.of([shim[name] for shim in shims]) for name in ("Rss", "Pss")]
    return [
        samples.alone("container.start", "ms to READY", side="start", budget=at_most(350), note="with 20 processes"),
        samples.alone("container.agent.rss", "MB", side="agent.Rss", budget=at_most(48)),
        samples.alone("container.agent.pss", "MB", side="agent.Pss"),
        Row("container.shim.rss.20", "MB each", rss, budget=at_most(12)),
        Row("container.shim.pss.20", "MB each", pss, budget=at_most(5)),
    ]


async def restart(run: Run) -> list[Row]:
    """From the death of a process to the first line of its next life, the delay set to 0."""
    policy = ProcessPolicy(restart=RestartPolicy(when="always", delays_s=(0.0,) * 16))
    script = MORTAL.format(log="/home/dev/workspace/log", life_s=LIFE_S)
    async with _guest() as guest:
        await guest.want(processes=(WantedProcess(name="mortal", argv=("/bin/bash", "-c", script), policy=policy),))
        await asyncio.sleep((run.repeat + 2) * (LIFE_S + 0.1) + 3)
        lines = (await guest.inside("cat", "/home/dev/workspace/log")).splitlines()
    gaps = [gap_s * 1000 for gap_s in read_gap_lines(lines)[1:]]
    return [
        Row("container.restart", "ms", Spread.of(gaps), budget=at_most(10), note="with the start of bash, about 4 ms")
    ]


async def idle(run: Run) -> list[Row]:
    """Processor time of the agent of one process at rest, with the link of an API that takes all that it says."""
    samples = Samples()
    async with _guest() as guest, _link(guest):
        await guest.want(processes=(WantedProcess(name="p", argv=("/bin/sleep", "1000000")),))
        await asyncio.sleep(5)
        pids = {"agent": await _agent_pid(guest), "shim": await guest.inside("pgrep", "-f", "zlh-shim:p")}
        for turn in range(run.choose(2, 1)):
            before = {side: await _read_cpu_s(guest, pid) for side, pid in pids.items()}
            await asyncio.sleep(IDLE_S)
            for side, pid in pids.items():
                samples.add(side, (await _read_cpu_s(guest, pid) - before[side]) * 3600 / IDLE_S)
            run.show(f"container.idle {turn + 1}: {samples.figures}")
    note = f"over {IDLE_S:.0f} s, heartbeats and metrics to an API included"
    return [
        samples.alone("container.idle.agent", "CPU s/hour", side="agent", budget=at_most(2), note=note),
        samples.alone("container.idle.shim", "CPU s/hour", side="shim", budget=at_most(0.05), note=note),
    ]


async def life(run: Run) -> list[Row]:
    """What the driver takes for its calls, and from the wish for a container to the first answer of its agent."""
    samples = Samples()
    async with _host() as host:
        for turn in range(run.repeat):
            began = time.perf_counter()
            async with running_guest(host) as guest:
                samples.add("running", time.perf_counter() - began)
                await guest.wait_online()
                samples.add("online", time.perf_counter() - began)
                began = time.perf_counter()
                await host.driver.ensure_stopped(guest.plan, guest.warrant)
                samples.add("stop", time.perf_counter() - began)
                began = time.perf_counter()
            samples.add("destroy", time.perf_counter() - began)
            run.show(f"container.life {turn + 1}: {samples.figures}")
    return [
        samples.alone("container.create", "s to running", side="running", note="disk, network and keys included"),
        samples.alone("container.boot", "s to online", side="online", budget=at_most(3)),
        samples.alone("container.stop", "s", side="stop", note="in order: systemd stops all units"),
        samples.alone("container.destroy", "s", side="destroy"),
    ]


@asynccontextmanager
async def _guest() -> AsyncIterator[Guest]:
    """Lend a container whose agent is online; raise where no container can be had."""
    async with _host() as host, running_guest(host) as guest:
        await guest.wait_online()
        yield guest


@asynccontextmanager
async def _host() -> AsyncIterator[OwnHost]:
    if reason := why_missing("lxc"):
        raise RuntimeError(reason)
    async with own_host() as host:
        yield host


@asynccontextmanager
async def _link(guest: Guest) -> AsyncIterator[None]:
    """Take the agent's events as an API does."""

    async def take() -> None:
        name = agent_name(guest.owner)
        async with (
            guest.client() as session,
            session.ws_connect("/events?take=happenings,metrics", ssl=guest.tls, server_hostname=name) as socket,
        ):
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return

    task = asyncio.create_task(take())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _all_run(status: AgentStatus) -> bool:
    return len(status.processes) == PROCESSES and all(process.state == "running" for process in status.processes)


async def _wait(guest: Guest, is_so: Callable[[AgentStatus], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so(await guest.status()):
            await asyncio.sleep(0.05)


async def _show(guest: Guest, name: str) -> str:
    return await guest.inside("systemctl", "show", "-p", f"{name}TimestampMonotonic", "--value", "zlh-agent")


async def _agent_pid(guest: Guest) -> str:
    return await guest.inside("systemctl", "show", "-p", "MainPID", "--value", "zlh-agent")


async def _read_memory(guest: Guest, pid: str) -> dict[str, float]:
    """Return `Rss` and `Pss` of a process, in MB."""
    words = [line.split() for line in (await guest.inside("cat", f"/proc/{pid}/smaps_rollup")).splitlines()]
    return {name.rstrip(":"): int(kib) * 1024 / MB for name, kib, *_ in words if name in {"Rss:", "Pss:"}}


async def _read_cpu_s(guest: Guest, pid: str) -> float:
    lines = (await guest.inside("sh", "-c", f"cat /proc/{pid}/task/*/schedstat")).splitlines()
    return sum(int(line.split()[0]) for line in lines) / 1e9


CASES = (
    Case("container.start", "the agent in a real container: start beside 20 processes, memory", start, is_slow=True),
    Case("container.restart", "from a death to the next life, in a unit of its own", restart, is_slow=True),
    Case("container.life", "the lxc driver: create, agent online, stop, destroy", life, is_slow=True),
    Case("container.idle", "processor time at rest, with the link of an API", idle, is_slow=True),
)
