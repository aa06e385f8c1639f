"""Keeping a program running: how soon it lives again after its death, and what its keeper costs at rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from pathlib import Path

from bench.measure import Case, Row, Run, Samples, at_most, read_cpu_s, read_rss
from bench.supervisors import PEERS, Peer, our_agent

IDLE_S = 30.0
_NOTE = "with the start of the program itself, bash, about 4 ms"
# Some keepers hold back a program that dies within its first second.
LIFE_S = 1.3
MORTAL = """#!/bin/bash
echo "$EPOCHREALTIME born" >> {log}
sleep {life_s}
echo "$EPOCHREALTIME dies" >> {log}
kill -KILL $$
"""
_IMMORTAL = "#!/bin/sh\nexec sleep 1000000\n"


async def restart(run: Run) -> list[Row]:
    """From the death of a program to the first line of its next life, the delay set to 0; and the keeper's memory."""
    samples = Samples()

    async def look(side: str, pid: int, log: Path) -> None:
        lives = run.repeat + 1
        async with asyncio.timeout(60 + lives * 5):
            while len(gaps := read_gaps(log)) < lives:
                await asyncio.sleep(0.2)
        for gap_s in gaps[1:]:
            samples.add(side, gap_s * 1000)
        samples.add(f"{side}-rss", read_rss(pid))
        run.show(f"supervision.restart {side}: {samples.figures[side]}")

    await _with_each(run, _mortal, look)
    return [
        samples.row(f"supervision.restart.{peer.name}", "ms", peer=peer.name, budget=at_most(10), note=_NOTE)
        for peer in PEERS
    ] + [samples.row(f"supervision.rss.{peer.name}", "MB", side="ours-rss", peer=f"{peer.name}-rss") for peer in PEERS]


async def idle(run: Run) -> list[Row]:
    """Processor time of the keeper of one program that does nothing, as seconds an hour."""
    samples = Samples()

    async def look(side: str, pid: int, _log: Path) -> None:
        await asyncio.sleep(3)
        before = read_cpu_s(pid)
        await asyncio.sleep(IDLE_S)
        samples.add(side, (read_cpu_s(pid) - before) * 3600 / IDLE_S)
        run.show(f"supervision.idle {side}: {samples.figures[side]}")

    await _with_each(run, lambda folder: _script(folder, _IMMORTAL), look)
    return [
        samples.row(f"supervision.idle.{peer.name}", "CPU s/hour", peer=peer.name, budget=at_most(2)) for peer in PEERS
    ]


def read_gaps(log: Path) -> list[float]:
    """Return the seconds from each death to the birth after it."""
    return read_gap_lines(log.read_text().splitlines() if log.exists() else [])


def read_gap_lines(lines: Sequence[str]) -> list[float]:
    """Do the same with the lines of the log of a mortal program."""
    words = [line.split() for line in lines]
    pairs = pairwise(words)
    return [float(born[0]) - float(died[0]) for died, born in pairs if (died[1], born[1]) == ("dies", "born")]


async def _with_each(run: Run, make: Callable[[Path], Path], look: Callable[[str, int, Path], Awaitable[None]]) -> None:
    """Look at each keeper with a program of its own, one after the other."""
    folder = run.fresh_folder("kept")
    async with our_agent(run, make(folder)) as agent:
        await look("ours", agent.pid, folder / "log")
    for peer in PEERS:
        await _with_peer(run, peer, make, look)


async def _with_peer(
    run: Run, peer: Peer, make: Callable[[Path], Path], look: Callable[[str, int, Path], Awaitable[None]]
) -> None:
    folder = run.fresh_folder("kept")
    async with peer.keeping(run, make(folder)) as pid:
        if pid is not None:
            await look(peer.name, pid, folder / "log")


def _mortal(folder: Path) -> Path:
    return _script(folder, MORTAL.format(log=folder / "log", life_s=LIFE_S))


def _script(folder: Path, text: str) -> Path:
    program = folder / "program"
    program.write_text(text)
    program.chmod(0o755)
    return program


CASES = (
    Case("supervision.restart", "from a death to the next life, beside runit, s6, supervisord, circus, pm2", restart),
    Case("supervision.idle", "processor time of a keeper at rest", idle, is_slow=True),
)
