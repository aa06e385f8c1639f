"""The console: how much output one viewer and ten get, how soon a key is echoed, how fast a terminal is there."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from bench.measure import MB, Case, Row, Run, Samples, Side, at_most, percentile, ratio_at_least, ratio_at_most
from bench.shells import (
    BareServer,
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

LINE = "x" * 79
# Each line comes out of the terminal with a carriage return more than the program has written.
OUT_PER_IN = 81 / 80
VIEWERS = 10
END = b"the-end!"


@asynccontextmanager
async def all_servers(run: Run) -> AsyncIterator[dict[str, Server]]:
    """Run everything that serves a terminal, one beside the other."""
    async with plain_console(run) as plain, agent_and_api(run) as (agent, api), terminado(run) as peer:
        servers: dict[str, Server] = {"agent": plain, "agent-tls": agent, "api": api, "bare": BareServer()}
        if peer is not None:
            servers["terminado"] = peer
        yield servers


def flood_command(size: int) -> bytes:
    """Return a command that prints `size` bytes of 80-column lines, and then the end."""
    return f"yes {LINE} | head -c {size}; printf 'the-''end!'\n".encode()


async def _flood_once(server: Server, size: int, lost: dict[str, int]) -> float:
    terminal, shell = await open_shell(server)
    began = time.perf_counter()
    await asyncio.to_thread(shell.write, flood_command(size))
    await asyncio.to_thread(run_until, shell, END)
    seconds = time.perf_counter() - began
    lost[server.name] = lost.get(server.name, 0) + shell.lost
    await leave(server, terminal, shell)
    return size * OUT_PER_IN / MB / seconds


async def throughput(run: Run) -> list[Row]:
    """One viewer: MB/s of terminal output, at each depth, against the kernel and against terminado."""
    size = run.choose(48_000_000, 2_000_000)
    lost: dict[str, int] = {}
    async with all_servers(run) as servers:
        sides: dict[str, Side] = {name: partial(_flood_once, one, size, lost) for name, one in servers.items()}
        samples = await run.side_by_side("console.throughput", sides)

    def row(side: str, peer: str, floor: float | None) -> Row:
        name = f"console.throughput.{side}" + ("" if peer == "bare" else f".{peer}")
        note = f"{lost.get(servers[side].name, 0)} bytes skipped"
        budget = ratio_at_least(floor) if floor else None
        return samples.row(name, "MB/s", side=side, peer=peer, peer_name=_NAMES[peer], budget=budget, note=note)

    return [
        row("agent", "bare", 0.9),
        row("agent-tls", "bare", None),
        row("api", "bare", 0.7),
        row("agent", "terminado", 1.0),
        row("api", "terminado", None),
    ]


_NAMES = {"bare": "bare PTY read loop", "terminado": "terminado"}


async def ten_viewers(run: Run) -> list[Row]:
    """Ten viewers of one terminal: MB/s each, and what it costs, against one viewer and against terminado."""
    size = run.choose(8_000_000, 1_000_000)
    samples = Samples()
    async with all_servers(run) as servers:
        del servers["bare"]
        for turn in range(1, run.repeat + 1):
            for name, server in servers.items():
                samples.add(f"{name}-one", await _flood_once(server, size, {}))
                rate, cpu = await _flood_many(server, size)
                samples.add(name, rate)
                samples.add(f"{name}-cpu", cpu)
            run.show(f"console.ten-viewers {turn}/{run.repeat}: {last(samples)}")
    rows = []
    for side, times, budget in (("agent", 3.0, 10.0), ("api", 2.0, 30.0)):
        name = f"console.ten-viewers.{side}"
        own = ratio_at_least(0.75) if side == "agent" else None
        rows += [
            samples.row(name, "MB/s each", side=side, peer=f"{side}-one", peer_name="own single viewer", budget=own),
            samples.row(
                f"{name}.terminado",
                "MB/s each",
                side=side,
                peer="terminado",
                peer_name="terminado",
                budget=ratio_at_least(times),
            ),
            samples.row(
                f"{name}.cpu",
                "CPU s/GB",
                side=f"{side}-cpu",
                peer="terminado-cpu",
                peer_name="terminado",
                budget=at_most(budget),
            ),
        ]
    return rows


async def _flood_many(server: Server, size: int) -> tuple[float, float]:
    """Return MB/s that each of ten viewers gets, and processor seconds for a GB of terminal output."""
    terminal, first = await open_shell(server)
    shells: list[Shell] = [first, *[await asyncio.to_thread(server.watch, terminal) for _ in range(VIEWERS - 1)]]
    threads = [threading.Thread(target=run_until, args=(shell, END)) for shell in shells]
    before, began = server.cpu_s(), time.perf_counter()
    for thread in threads:
        thread.start()
    await asyncio.to_thread(first.write, flood_command(size))
    for thread in threads:
        await asyncio.to_thread(thread.join)
    seconds, spent = time.perf_counter() - began, server.cpu_s() - before
    await leave(server, terminal, *shells)
    out = size * OUT_PER_IN / MB
    return out / seconds, spent / (out / 1000)


def last(samples: Samples) -> str:
    """Return the newest figure of each side, to be shown."""
    return ", ".join(f"{name} {figures[-1]:.3g}" for name, figures in samples.figures.items())


async def echo(run: Run) -> list[Row]:
    """From a key to its echo on an idle terminal, in milliseconds."""
    keys = run.choose(300, 20)
    samples = Samples()
    async with all_servers(run) as servers:
        open_ones = {}
        for name, server in servers.items():
            terminal, shell = await open_shell(server)
            shell.write(b"stty -icanon; printf 'the-''end!'; cat > /dev/null\n")
            await asyncio.to_thread(run_until, shell, END)
            open_ones[name] = (server, terminal, shell)
        for turn in range(1, run.repeat + 1):
            for name, (_server, _terminal, shell) in open_ones.items():
                times = await asyncio.to_thread(type_keys, shell, keys)
                samples.add(name, percentile(times, 0.5))
                samples.add(f"{name}-p99", percentile(times, 0.99))
            run.show(f"console.echo {turn}/{run.repeat}: {last(samples)}")
        for server, terminal, shell in open_ones.values():
            await leave(server, terminal, shell)
    return _echo_rows(samples)


def _echo_rows(samples: Samples) -> list[Row]:
    rows = []
    for side, half, most in (("agent", ratio_at_most(2), 1.0), ("agent-tls", None, None), ("api", at_most(1), 3.0)):
        p99 = at_most(most) if most else None
        rows += [
            samples.row(f"console.echo.{side}.p50", "ms", side=side, peer="terminado", budget=half),
            samples.row(f"console.echo.{side}.p99", "ms", side=f"{side}-p99", peer="terminado-p99", budget=p99),
        ]
    rows.append(samples.row("console.echo.agent.bare", "ms", side="agent", peer="bare", peer_name="bare PTY"))
    return rows


def type_keys(shell: Shell, count: int) -> list[float]:
    """Return milliseconds from each key to its echo."""
    times = []
    chunks = shell.chunks()
    for _ in range(count):
        time.sleep(0.002)
        began = time.perf_counter()
        shell.write(b"x")
        while b"x" not in bytes(next(chunks)):
            pass
        times.append((time.perf_counter() - began) * 1000)
    return times


async def open_terminal(run: Run) -> list[Row]:
    """From the wish for a new terminal to the first thing that its shell has printed, with 0, 5 and 20 others open."""
    samples = Samples()
    async with plain_console(run) as plain, terminado(run) as peer:
        bare = BareServer()
        others: list[str] = []
        counts = run.choose((0, 5, 20), (0,))
        for count in counts:
            while len(others) < count:
                others.append(await plain.open_terminal())
            for turn in range(1, run.repeat + 1):
                servers: Sequence[OurServer | BareServer | TerminadoServer | None] = (plain, bare, peer)
                for server in servers:
                    if server is not None:
                        samples.add(f"{server.name}-{count}", await _open_once(server))
                run.show(f"console.open {turn}/{run.repeat}: {last(samples)}")
    return [
        samples.row(f"console.open.{count}{end}", "ms", side=f"agent-{count}", peer=f"{name}-{count}", peer_name=name)
        for count in counts
        for name, end in (("bare PTY", ""), ("terminado", ".terminado"))
    ]


async def _open_once(server: Server) -> float:
    began = time.perf_counter()
    terminal = await server.open_terminal()
    shell = await asyncio.to_thread(server.watch, terminal)
    await asyncio.to_thread(next, shell.chunks())
    seconds = time.perf_counter() - began
    await leave(server, terminal, shell)
    return seconds * 1000


CASES = (
    Case("console.throughput", "output to one viewer", throughput),
    Case("console.ten-viewers", "output to ten viewers, and its cost", ten_viewers),
    Case("console.echo", "a key and its echo", echo),
    Case("console.open", "a new terminal", open_terminal),
)
