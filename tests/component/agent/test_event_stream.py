"""The event stream: what is told to whom, from where on, and after the agent was away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from component.agent.harness import OWNER, PATIENCE_S, AgentProcess, eventually
from fakes.runtime_shop import RuntimeShop
from guards.leaks import is_gone
from zlh_common.names import agent_name
from zlh_common.schema.agent_events import HappeningsEvent, MetricsEvent, StatusEvent, StreamMessage, parse_message
from zlh_common.schema.history import Happening
from zlh_common.schema.process import ProcessPolicy, RestartPolicy, WantedProcess
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.structs import encode

ALL = "take=happenings,metrics"


class Stream:
    """One stream; keeps what it has heard."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.messages: list[StreamMessage] = []

    async def until(self, kind: type) -> Any:
        """Return the next message of a kind."""
        while True:
            message = parse_message(await self._socket.receive_str(timeout=PATIENCE_S))
            assert message is not None
            self.messages.append(message)
            if isinstance(message, kind):
                return message

    async def happenings(self, until: str) -> list[Happening]:
        """Return what is told up to the first entry of a kind."""
        found: list[Happening] = []
        while not any(entry.kind == until for entry in found):
            found += (await self.until(HappeningsEvent)).items
        return found


@asynccontextmanager
async def listen(agent: AgentProcess, query: str) -> AsyncIterator[Stream]:
    """Open a stream as the API does."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=agent.context)) as session,
        session.ws_connect(
            f"https://{agent.address}:{agent.port}/events?{query}", server_hostname=agent_name(OWNER)
        ) as socket,
    ):
        yield Stream(socket)


async def want(agent: AgentProcess, *processes: WantedProcess) -> None:
    """Put a spec with these processes."""
    agent.generation += 1
    await agent.call("PUT", "/spec", data=encode(AgentSpec(generation=agent.generation, processes=processes)))


def shell(command: str, policy: ProcessPolicy | None = None) -> WantedProcess:
    return WantedProcess(name="web", argv=("/bin/sh", "-c", command), policy=policy or ProcessPolicy())


@pytest.fixture
async def running(agent: AgentProcess) -> AsyncIterator[AgentProcess]:
    """An agent whose processes end with the test."""
    yield agent
    await want(agent)
    await agent.until(lambda status: not status.processes)
    await eventually(lambda: not list((agent.root / "run/zlh/processes").glob("*.sock")))


async def test_who_asks_for_nothing_hears_the_status_alone(agent: AgentProcess) -> None:
    """An API that is older than this agent knows no other message."""
    async with listen(agent, "") as stream:
        await stream.until(StatusEvent)
        await want(agent)
        await stream.until(StatusEvent)
        assert all(isinstance(message, StatusEvent) for message in stream.messages)


async def test_the_newest_sample_comes_at_once(agent: AgentProcess) -> None:
    """For an API that has lost its last one."""
    async with listen(agent, ALL) as stream:
        first = (await stream.until(MetricsEvent)).metrics
    async with listen(agent, "take=metrics,and,what,nobody,knows") as stream:
        assert (await stream.until(MetricsEvent)).metrics == first
        assert not any(isinstance(message, HappeningsEvent) for message in stream.messages)


async def test_happenings_come_in_order_and_from_where_one_was(running: AgentProcess) -> None:
    """Then each as it happens; another journal is told from its begin."""
    async with listen(running, ALL) as stream:
        told = await stream.happenings("agent.started")
        await want(running, shell("exit 3"))
        told += await stream.happenings("process.restart_scheduled")
        journal = (await stream.until(HappeningsEvent)).journal if not told else stream_journal(stream)
    assert [entry.kind for entry in told] == [
        "agent.started", "process.started", "process.exited", "process.restart_scheduled",
    ]  # fmt: skip
    assert [entry.number for entry in told] == [1, 2, 3, 4]
    ended = told[2]
    assert (ended.subject, ended.message) == ("web", "web exited with code 3.")
    assert (ended.data["code"], ended.data["wasAsked"]) == (3, False)
    for query, numbers in (
        (f"journal={journal}&after=2", [3, 4]),
        (f"journal={'0' * 32}&after=2", [1, 2, 3, 4]),
        ("", [1, 2, 3, 4]),
    ):
        async with listen(running, f"{ALL}&{query}") as stream:
            assert [entry.number for entry in await stream.happenings("process.restart_scheduled")] == numbers


def stream_journal(stream: Stream) -> str:
    """Return the journal that a stream told of."""
    (journal,) = {message.journal for message in stream.messages if isinstance(message, HappeningsEvent)}
    return journal


async def test_an_agent_that_was_away_tells_what_happened_meanwhile(running: AgentProcess) -> None:
    """The end of a process that nobody saw, with its own time, once."""
    asked_at = time.monotonic()
    await want(running, shell("echo up; sleep 1; exit 7", ProcessPolicy(restart=RestartPolicy(when="never"))))
    status = await running.until(lambda status: status.processes[0].state == "running")
    pid = status.processes[0].pid
    assert running.process is not None
    assert pid is not None
    running.process.kill()
    await running.process.wait()
    await eventually(lambda: is_gone(pid))
    most_s = time.monotonic() - asked_at
    # Nobody is to take the moment at which an agent came back for that of the end.
    await asyncio.sleep(1)
    for _ in range(2):
        await running.start()
        async with listen(running, ALL) as stream:
            told = await stream.happenings("process.gave_up")
        ends = [entry for entry in told if entry.kind == "process.exited"]
        assert [(entry.data["code"], entry.data["wasAsked"]) for entry in ends] == [(7, False)]
        uptime_s = ends[0].data["uptimeS"]
        assert isinstance(uptime_s, int | float)
        assert 0.95 <= uptime_s <= most_s + 0.05
        assert [entry.number for entry in told] == list(range(1, len(told) + 1))
        await running.kill()
    await running.start()


async def test_runtimes_that_come_and_fail_are_told(agent: AgentProcess, shop: RuntimeShop) -> None:
    """A failure once, however often it is tried again."""
    del shop
    await agent.want(("tiny", "1.0"))
    await agent.settled()
    async with listen(agent, ALL) as stream:
        told = await stream.happenings("runtime.installed")
        assert (told[-1].subject, told[-1].data) == ("tiny", {"version": "1.0"})
        await agent.want(("tiny", "9.9"))
        told = await stream.happenings("runtime.install_failed")
        assert told[-1].data["version"] == "9.9"
        assert isinstance(told[-1].data["code"], str)


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 40, "%00", "٣"])
async def test_a_number_that_is_none_is_refused(agent: AgentProcess, after: str) -> None:
    """With a code."""
    code, body = await agent.call("GET", f"/events?after={after}")
    assert (code, b"stream_query_invalid" in body) == (400, True)
