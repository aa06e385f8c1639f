"""The console under a crowd: a key while others drain a flood, and what fifty viewers cost in memory."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.console import END, flood_command, last, type_keys
from bench.measure import Case, Row, Run, Samples, at_most, percentile, ratio_at_most, read_rss
from bench.programs import HERE, our_environment, running
from bench.shells import (
    OurServer,
    Server,
    Shell,
    TerminadoServer,
    agent_and_api,
    leave,
    open_shell,
    plain_console,
    run_until,
    terminado,
)
from bench.sockets import Address

DRAINING = 9
CROWD = 50
ATTACH_S = 60.0


@asynccontextmanager
async def draining(run: Run, address: Address, count: int) -> AsyncIterator[None]:
    """Have so many viewers read for the length of the block."""
    log = run.fresh_folder("drain") / "log"
    argv = [sys.executable, str(HERE / "drain.py"), json.dumps(dataclasses.asdict(address)), str(count)]
    async with running(argv, log=log, env=our_environment(PYTHONPATH=str(HERE.parent))) as child:
        async with asyncio.timeout(ATTACH_S):
            while "attached" not in log.read_text():
                if child.poll() is not None:
                    raise RuntimeError(f"the viewers ended: {log.read_text()[-2000:]}")
                await asyncio.sleep(0.05)
        yield


def _address(server: OurServer | TerminadoServer, terminal: str) -> Address:
    if isinstance(server, TerminadoServer):
        return Address("127.0.0.1", server.port, f"/ws/{terminal}")
    return server.address(terminal)


async def busy_echo(run: Run) -> list[Row]:
    """From a key to its echo on one terminal, while nine viewers drain an endless flood of another."""
    keys = run.choose(300, 20)
    samples = Samples()
    async with plain_console(run) as plain, agent_and_api(run) as (_, api), terminado(run) as peer:
        servers: dict[str, OurServer | TerminadoServer] = {"agent": plain, "api": api}
        if peer is not None:
            servers["terminado"] = peer
        for turn in range(1, run.repeat + 1):
            for name, server in servers.items():
                idle, busy = await _echo_once(run, server, keys)
                samples.add(f"{name}-idle", percentile(idle, 0.5))
                samples.add(name, percentile(busy, 0.5))
                samples.add(f"{name}-p99", percentile(busy, 0.99))
            run.show(f"console.busy-echo {turn}/{run.repeat}: {last(samples)}")
    rows = []
    for side, half, most in (("agent", ratio_at_most(2), 3.0), ("api", None, 10.0)):
        name = f"console.busy-echo.{side}"
        rows += [
            samples.row(f"{name}.p50", "ms", side=side, peer=f"{side}-idle", peer_name="own idle", budget=half),
            samples.row(f"{name}.p50.terminado", "ms", side=side, peer="terminado"),
            samples.row(
                f"{name}.p99",
                "ms",
                side=f"{side}-p99",
                peer="terminado-p99",
                peer_name="terminado",
                budget=at_most(most),
            ),
        ]
    return rows


async def _echo_once(run: Run, server: OurServer | TerminadoServer, keys: int) -> tuple[list[float], list[float]]:
    """Return milliseconds of each key, at rest and under the flood."""
    typed, keyboard = await open_shell(server)
    keyboard.write(b"stty -icanon; printf 'the-''end!'; cat > /dev/null\n")
    await asyncio.to_thread(run_until, keyboard, END)
    idle = await asyncio.to_thread(type_keys, keyboard, keys)
    flooded, tap = await open_shell(server)
    async with draining(run, _address(server, flooded), DRAINING):
        tap.write(b"yes 'a line of a flood that has no end, in a terminal beside the one that is typed in'\n")
        await asyncio.sleep(0.5)
        tap.close()
        busy = await asyncio.to_thread(type_keys, keyboard, keys)
        await _stop_flood(server, flooded)
    await leave(server, typed, keyboard)
    return idle, busy


async def _stop_flood(server: Server, terminal: str) -> None:
    shell = await asyncio.to_thread(server.watch, terminal)
    shell.write(b"\x03")
    await leave(server, terminal, shell)


async def memory(run: Run) -> list[Row]:
    """Most growth of each process while fifty viewers are flooded, of whom one never reads."""
    size = run.choose(40_000_000, 4_000_000)
    samples = Samples()
    async with plain_console(run) as plain, agent_and_api(run) as (_, api):
        for turn in range(1, run.repeat + 1):
            (grown,) = await _flood_crowd(run, plain, size)
            samples.add("agent", grown)
            behind, front = await _flood_crowd(run, api, size)
            samples.add("api-agent", behind)
            samples.add("api", front)
            run.show(f"console.memory {turn}/{run.repeat}: {last(samples)}")
    note = f"{CROWD} viewers, one never reads"
    return [
        samples.alone(f"console.memory.{side}", "MB", side=side, budget=at_most(8), note=note)
        for side in ("agent", "api", "api-agent")
    ]


async def _flood_crowd(run: Run, server: OurServer, size: int) -> list[float]:
    """Return by how many MB each process has grown at most, since all had attached."""
    terminal, first = await open_shell(server)
    silent = await asyncio.to_thread(server.watch, terminal)
    async with draining(run, server.address(terminal), CROWD - 2):
        before = [read_rss(pid) for pid in server.pids]
        most = list(before)
        reading = asyncio.create_task(asyncio.to_thread(_flood, first, size))
        while not reading.done():
            most = [max(one, read_rss(pid)) for one, pid in zip(most, server.pids, strict=True)]
            await asyncio.sleep(0.05)
        await reading
    await leave(server, terminal, first, silent)
    return [now - then for now, then in zip(most, before, strict=True)]


def _flood(shell: Shell, size: int) -> None:
    shell.write(flood_command(size))
    run_until(shell, END)


CASES = (
    Case("console.busy-echo", "a key while nine viewers drain a flood", busy_echo),
    Case("console.memory", "fifty viewers of a flood, one of whom never reads", memory),
)
