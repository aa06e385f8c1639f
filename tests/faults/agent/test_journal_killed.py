"""The agent is killed at random moments while its processes crash: its journal has every end, and each once."""

from __future__ import annotations

import asyncio
import random

import pytest
import structlog

from component.agent.harness import AgentProcess, eventually
from component.agent.test_event_stream import ALL, listen, want
from zlh_common.schema.agent_events import HappeningsEvent
from zlh_common.schema.history import Happening
from zlh_common.schema.process import ProcessPolicy, RestartPolicy, WantedProcess

log = structlog.get_logger()
# It notes each of its ends itself, before the end, and crashes for as long as it is let.
CRASHING = "echo $$ >> ends; sleep 0.0$(($$ % 8)); exit $(($$ % 200 + 1))"
POLICY = ProcessPolicy(restart=RestartPolicy(when="always", delays_s=(0.05,) * 16, stable_s=0))


async def read_journal(agent: AgentProcess, until: int) -> list[Happening]:
    """Return the journal up to the number `until` at least."""
    found: list[Happening] = []
    async with listen(agent, ALL) as stream:
        while not found or found[-1].number < until:
            found += (await stream.until(HappeningsEvent)).items
    return found


@pytest.mark.timeout(240)
async def test_every_end_is_told_once_however_often_the_agent_is_killed(agent: AgentProcess) -> None:
    """Numbers have no hole, and what was told once is told the same ever after."""
    seed = random.randrange(2**32)
    log.info("test.seed", seed=seed)
    chance = random.Random(seed)
    await want(agent, WantedProcess(name="web", argv=("/bin/sh", "-c", CRASHING), policy=POLICY))
    told: list[Happening] = []
    for _ in range(12):
        await asyncio.sleep(chance.uniform(0.05, 0.5))
        assert agent.process is not None
        agent.process.kill()
        await agent.process.wait()
        await agent.start()
        now = await read_journal(agent, told[-1].number if told else 1)
        assert now[: len(told)] == told
        told = now
    await want(agent)
    await agent.until(lambda status: not status.processes)
    await eventually(lambda: not list((agent.root / "run/zlh/processes").glob("*.sock")))
    # The last one was stopped or never came to its end, so it may be told by a signal.
    codes = [int(pid) % 200 + 1 for pid in (agent.root / "home/dev/workspace/ends").read_text().split()][:-1]
    async with asyncio.timeout(20):
        while len(ends_in(told)) < len(codes):
            told = await read_journal(agent, told[-1].number + 1)
    assert [entry.number for entry in told] == list(range(1, len(told) + 1))
    ends = ends_in(told)
    assert len({entry.at for entry in ends}) == len(ends) >= 10
    assert [entry.data["code"] for entry in ends][: len(codes)] == codes


def ends_in(told: list[Happening]) -> list[Happening]:
    """Return the ends among what was told."""
    return [entry for entry in told if entry.kind == "process.exited"]
