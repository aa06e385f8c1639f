"""The agent is killed over and over; what it supervises and whoever looks at it notice nothing that lasts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import signal
import time

import aiohttp
import pytest

from component.agent.harness import OWNER, AgentProcess, eventually
from guards.ports import free_port
from zlh_common.names import agent_name
from zlh_common.schema.console_wire import SUBPROTOCOL, Gap, parse_output, parse_server_message
from zlh_common.schema.process import HangPolicy, ProcessPolicy, ReadyPolicy, TcpProbe, WantedProcess

# At moments of their own in each run: ZLH_KILLS makes one run longer.
KILLS = int(os.environ.get("ZLH_KILLS", "100"))
VIEWERS = 3
# Some 100 KB/s: however slow an agent is to start, what is printed meanwhile stays within its ring.
NUMBERS = "i=0; while :; do echo $i; i=$((i+1)); [ $((i % 200)) != 0 ] || sleep 0.01; done"


class Follower:
    """A viewer that comes back with the offset where it was, as the API does."""

    def __init__(self, agent: AgentProcess) -> None:
        self._url = f"wss://127.0.0.1:{agent.port}/processes/numbers/console"
        self._context = agent.context
        self.data = bytearray()
        self.connections = 0

    async def follow(self) -> None:
        connector = aiohttp.TCPConnector(ssl=self._context)
        async with aiohttp.ClientSession(connector=connector) as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError, ConnectionError):
                    await self._look(session)
                await asyncio.sleep(0.02)

    async def _look(self, session: aiohttp.ClientSession) -> None:
        url = f"{self._url}?from={len(self.data)}"
        name = agent_name(OWNER)
        async with session.ws_connect(url, protocols=[SUBPROTOCOL], max_msg_size=0, server_hostname=name) as socket:
            self.connections += 1
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    start, output = parse_output(message.data)
                    assert start == len(self.data)
                    self.data += output
                elif message.type is aiohttp.WSMsgType.TEXT:
                    assert not isinstance(parse_server_message(message.data), Gap)

    def lines(self) -> list[bytes]:
        return bytes(self.data).split(b"\r\n")[:-1]


async def forget_processes(agent: AgentProcess) -> None:
    """Want none any more, and see their shims and histories gone."""
    await agent.want()
    kept = agent.root / "var/lib/zlh/processes"
    await eventually(lambda: list(kept.iterdir()) == [])


async def time_start(agent: AgentProcess) -> float:
    """Return how long an agent takes until it serves: one that is killed sooner each time is never looked at."""
    await agent.kill()
    began = time.monotonic()
    await agent.start()
    return time.monotonic() - began


@pytest.mark.timeout(480)
async def test_kills_at_random_moments_cost_no_restart_and_no_byte(agent: AgentProcess) -> None:
    """Before it serves, while it takes up what was there, under output: the same process, each byte once."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 - for a run that fails
    chance = random.Random(seed)
    await agent.want(processes=[WantedProcess(name="numbers", argv=("/bin/sh", "-c", NUMBERS))])
    before = (await agent.until(lambda status: status.processes[0].state == "running")).processes[0]
    followers = [Follower(agent) for _ in range(VIEWERS)]
    following = [asyncio.create_task(follower.follow()) for follower in followers]
    longest_s = max(0.9, 2 * await time_start(agent))
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(0, longest_s))
        await agent.kill()
        await agent.launch()
    await agent.kill()
    await agent.start()
    after = (await agent.status()).processes[0]
    printed = [len(follower.data) for follower in followers]
    async with asyncio.timeout(30):
        while any(len(one.data) <= size for one, size in zip(followers, printed, strict=True)):
            await asyncio.sleep(0.05)
    for task in following:
        assert not task.done(), task.exception()
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    assert (after.state, after.pid, after.restarts, after.started_at) == (
        "running", before.pid, 0, before.started_at,
    )  # fmt: skip
    for follower in followers:
        assert follower.connections > 5
        assert follower.lines() == [b"%d" % number for number in range(len(follower.lines()))]
    await forget_processes(agent)


async def test_an_agent_that_was_stopped_for_seconds_restarts_nothing(agent: AgentProcess) -> None:
    """Not even what a hang of a second would be the end of: the clock went on, the process answered."""
    port = free_port()
    program = (
        "import socket\n"
        f"listener = socket.create_server(('127.0.0.1', {port}))\n"
        "while True:\n    listener.accept()[0].close()\n"
    )
    policy = ProcessPolicy(
        ready=ReadyPolicy(probe=TcpProbe(port=port)), hang=HangPolicy(after_s=1, action="restart"), ports=(port,)
    )
    await agent.want(processes=[WantedProcess(name="web", argv=("python3", "-c", program), policy=policy)])
    before = (await agent.until(lambda status: status.processes[0].ready)).processes[0]
    assert agent.process is not None
    for _ in range(3):
        agent.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(2)
        agent.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.5)
    after = (await agent.status()).processes[0]
    assert (after.pid, after.state, after.restarts, after.reason) == (before.pid, "running", 0, None)
    await forget_processes(agent)
