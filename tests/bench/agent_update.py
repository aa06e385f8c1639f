"""How long an agent takes to become another version, and for how long nobody answers meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count

import aiohttp

from bench.measure import Case, Row, Run, at_most, ratio_at_most
from component.agent.lived import Lived, living, update_of
from component.agent.update_harness import SECOND
from fakes.agent_bundles import Bundle
from zlh_common.schema.agent_update import AgentUpdateState

PROVED = (AgentUpdateState.PROBATION, AgentUpdateState.DONE)
LOOK_S = 0.02


@dataclass
class Silence:
    """For how long nobody answered, at the longest."""

    answered_at: float = field(default_factory=time.perf_counter)
    longest_s: float = 0.0

    def note_answer(self) -> None:
        """Somebody has answered now."""
        now = time.perf_counter()
        self.longest_s, self.answered_at = max(self.longest_s, now - self.answered_at), now


@asynccontextmanager
async def listening(lived: Lived) -> AsyncIterator[Silence]:
    """Ask again and again, while the block lasts, whether an agent answers; it ends when one has answered."""
    silence = Silence()

    async def listen() -> None:
        while True:
            if await answers(lived):
                silence.note_answer()
            await asyncio.sleep(LOOK_S)

    task = asyncio.create_task(listen())
    try:
        yield silence
        silence.note_answer()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def answers(lived: Lived) -> bool:
    """Tell whether an agent answers."""
    try:
        return (await lived.agent.call("GET", "/healthz"))[0] == 200
    except aiohttp.ClientError:
        return False


async def update(lived: Lived, version: str) -> None:
    """Tell the agent of a version, and wait until that has proved itself."""
    status, said = await lived.told(version)
    assert status == 202, said
    while True:
        with suppress(aiohttp.ClientError):
            told = update_of(await lived.agent.status())
            assert told is None or told.code is None, told
            if told is not None and told.version == version and told.state in PROVED:
                return
        await asyncio.sleep(LOOK_S)


async def restart(lived: Lived) -> None:
    """End the agent in order, as `systemctl restart` does, and wait until it answers again."""
    process, before = lived.unit.process, lived.unit.starts
    assert process is not None
    os.kill(process.pid, signal.SIGTERM)
    while lived.unit.starts == before or not await answers(lived):
        await asyncio.sleep(LOOK_S)


async def agent_update(run: Run) -> list[Row]:
    """Update again and again while a process runs, and restart the same agent for comparison."""
    gaps: list[float] = []
    numbers = count(2)
    async with living(run.fresh_folder("agent-update"), probation_s=0.1) as lived:
        pid = await lived.pid()

        async def update_s() -> float:
            version = f"1.{next(numbers)}.0"
            if version != SECOND:
                await lived.offer(Bundle(version))
            began = time.perf_counter()
            async with listening(lived) as silence:
                await update(lived, version)
                took = time.perf_counter() - began
            gaps.append(silence.longest_s)
            await lived.until_update(AgentUpdateState.DONE)
            return took

        async def gap_s() -> float:
            return gaps[-1]

        async def restart_gap_s() -> float:
            async with listening(lived) as silence:
                await restart(lived)
            return silence.longest_s

        sides = {"ours": update_s, "gap": gap_s, "restart": restart_gap_s}
        samples = await run.side_by_side("agent.update", sides)
        assert await lived.pid() == pid
    note = "from the order until it has proved itself, with a small bundle; a process goes on meanwhile"
    return [
        samples.alone("agent.update", "s", budget=at_most(120), note=note),
        samples.row(
            "agent.update.gap",
            "s",
            side="gap",
            peer="restart",
            peer_name="a restart of the same agent",
            budget=ratio_at_most(3),
            note="nobody answers for this long",
        ),
    ]


CASES = (Case("agent.update", "an agent becomes another version", agent_update, is_slow=True),)
