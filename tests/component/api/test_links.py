"""The links to agents, spoken by an agent that may say anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from websockets.exceptions import ConnectionClosedOK

from fakes.agents import FakeAgents
from fakes.api_world import WAIT_S, World
from fakes.history import happening, sample
from zlh_api.agents.client import AgentAddress
from zlh_api.agents.links import NEWER_COSTS, WAKES_RATE, AgentLinks, _StreamPace
from zlh_api.agents.reports import FLUSH_CHARS, ReportWriter
from zlh_api.containers import store as containers
from zlh_api.containers.status import find_degradations
from zlh_common.names import OwnerMark
from zlh_common.schema.agent_events import HappeningsEvent, MetricsEvent, StatusEvent
from zlh_common.schema.status import PROTOCOL_VERSION, Step, StepState
from zlh_common.schema.structs import encode

JOURNAL = "a" * 32


class _Socket:
    """Says what it was given, then keeps silent or closes."""

    def __init__(self, frames: list[bytes], *, closes: bool) -> None:
        self.frames = frames
        self._closes = closes
        self._has_more = asyncio.Event()

    def say(self, frame: bytes) -> None:
        """Say one more."""
        self.frames.append(frame)
        self._has_more.set()

    async def recv(self) -> bytes:
        """Return the next frame."""
        while not self.frames:
            if self._closes:
                raise ConnectionClosedOK(None, None)
            self._has_more.clear()
            await self._has_more.wait()
        return self.frames.pop(0)


class TalkingAgents(FakeAgents):
    """Agents whose event streams are written by the test; each dial takes the next one."""

    dials = 0
    asked: dict[str, str] | None = None
    closes = False
    breaks = False
    # Where these are given, each agent says its own.
    streams: dict[OwnerMark, list[bytes]] | None = None

    def say(self, *frames: bytes) -> None:
        """Let every dial from now on hear these frames."""
        self.frames = frames

    @asynccontextmanager
    async def open_socket(
        self,
        agent: AgentAddress,
        path: str,
        *,
        query: dict[str, str] | None = None,
        subprotocol: str | None = None,
        has_heartbeat: bool = False,
    ) -> AsyncIterator[Any]:
        """Open the next stream."""
        self.dials += 1
        self.asked = query
        if self.breaks:
            raise RecursionError("nobody has foreseen this")
        frames = self.frames if self.streams is None else self.streams[agent.owner]
        self.socket = _Socket(list(frames), closes=self.closes)
        yield self.socket


@pytest.fixture
async def agents(world: World) -> TalkingAgents:
    """Agents that say what they are told."""
    return TalkingAgents(world.faults, world.database)


async def add_running(world: World) -> OwnerMark:
    """Write a container whose guest runs."""
    owner = OwnerMark(str(uuid4()))
    async with world.database.transaction() as connection:
        customer = await connection.fetchval("select id from customers limit 1")
        await containers.insert_container(
            connection, owner=owner, customer_id=customer, kind="dev", name=None, runtimes=[]
        )
        await connection.execute(
            "update containers set address = ('127.77.0.' || vmid)::inet, guest = 'running' where owner = $1",
            UUID(owner),
        )
    return owner


@asynccontextmanager
async def links(world: World, agents: TalkingAgents) -> AsyncIterator[asyncio.Task[None]]:
    """Hold links for the length of the block; yields their task."""
    task = asyncio.create_task(AgentLinks(world.database, agents, world.history, agent_port=7443).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_report_is_written_and_wakes_the_reconciler(world: World, agents: TalkingAgents) -> None:
    """What the agent says stands in the row, and the row is due."""
    owner = await add_running(world)
    await world.fetch("update containers set wake_at = 'infinity' returning 1")
    agents.say(encode(StatusEvent(status=agents.report(owner))))
    async with links(world, agents):
        await world.wait_until("select connection = 'online' and wake_at <= now() from containers")
        assert (await world.fetch("select agent_status->>'owner' as owner from containers"))[0]["owner"] == owner
    (row,) = await world.fetch("select connection, link_holder from containers")
    assert (row["connection"], row["link_holder"]) == ("offline", None)


@pytest.mark.parametrize("kind", ["nul", "other", "garbage", "binary", "shape"])
async def test_nonsense_of_one_agent_is_its_own_affair(world: World, agents: TalkingAgents, kind: str) -> None:
    """Whatever a container's agent says, its link is the only one that it can break."""
    owner = await add_running(world)
    good = encode(StatusEvent(status=agents.report(owner)))
    agents.say(
        {
            "nul": good.replace(b'"boot"', b'"\\u0000"'),
            "other": good.replace(owner.encode(), str(uuid4()).encode()),
            "garbage": b"{",
            "binary": b"\xff\xfe",
            "shape": b'{"type":"status","status":5}',
        }[kind]
    )
    async with links(world, agents) as task:
        async with asyncio.timeout(WAIT_S):
            while agents.dials < 3:
                assert not task.done()
                await asyncio.sleep(0.01)
        assert (await world.fetch("select connection from containers"))[0]["connection"] != "online"
        agents.say(good)
        await world.wait_until("select connection = 'online' from containers")


@pytest.mark.parametrize("later", [b'"state":"later"', b'"state":"done","andMore":{"what":[1]}'])
async def test_an_agent_of_a_newer_version_is_heard(world: World, agents: TalkingAgents, later: bytes) -> None:
    """What only a newer agent knows is left out, the rest is written, and the container says so."""
    owner = await add_running(world)
    steps = (Step(name="install-node", state=StepState.DONE), Step(name="install-go", state=StepState.FAILED, code="x"))
    report = msgspec.structs.replace(agents.report(owner), protocol_version=PROTOCOL_VERSION + 1, steps=steps)
    agents.say(encode(StatusEvent(status=report)).replace(b'"state":"done"', later))
    async with links(world, agents):
        await world.wait_until("select connection = 'online' from containers")
        async with world.database.connection() as connection:
            container = await containers.find_by_owner(connection, owner)
        assert container is not None
        assert container.agent is not None
        assert "agent_newer" in find_degradations(container)
        assert container.agent.steps[-1] == steps[1]


async def test_reports_that_flip_wake_the_reconciler_at_a_bounded_pace(world: World, agents: TalkingAgents) -> None:
    """An agent that takes back what it has reached, again and again, has itself looked at no faster than others."""
    owner = await add_running(world)
    report, wakes = agents.report(owner), 0
    reports = [msgspec.structs.replace(report, observed_generation=number % 2) for number in range(41)]
    *flips, last = [encode(StatusEvent(status=each)) for each in reports]
    agents.say(*flips)

    def count(_payload: str) -> None:
        nonlocal wakes
        wakes += 1

    begun = asyncio.Event()
    listening = asyncio.create_task(world.database.listen({"container_due": count}, on_connect=begun.set))
    try:
        await begun.wait()
        since = asyncio.get_running_loop().time()
        async with links(world, agents):
            async with asyncio.timeout(WAIT_S):
                while agents.dials == 0 or agents.socket.frames:
                    await world.fetch("update containers set wake_at = 'infinity' returning 1")
                    await asyncio.sleep(0.01)
            took_s = asyncio.get_running_loop().time() - since
            assert 5 <= wakes <= WAKES_RATE.at_once + 1 + WAKES_RATE.per_s * took_s
            agents.socket.say(last)
            await world.wait_until("select wake_at <= now() from containers")
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_what_nobody_has_foreseen_stays_with_its_container(world: World, agents: TalkingAgents) -> None:
    """The links of everybody else are held, and this one is tried ever more slowly."""
    agents.breaks = True
    agents.say(encode(StatusEvent(status=agents.report(await add_running(world)))))
    began = time.monotonic()
    async with links(world, agents) as task:
        await world.wait_until("select connection = 'connecting' from containers")
        await asyncio.sleep(0.3)
        assert not task.done()
        assert agents.dials >= 1
        # Each pause is twice the one before, and at least half of what it could be.
        assert sum(0.05 * 2**n / 2 for n in range(agents.dials - 1)) <= time.monotonic() - began
        agents.breaks = False
        await world.wait_until("select connection = 'online' from containers")


@pytest.mark.parametrize(("padding", "most"), [(0, 25), (200_000, 4)])
async def test_an_agent_that_floods_waits_at_its_own_end(
    world: World, agents: TalkingAgents, padding: int, most: int
) -> None:
    """A second of reports costs the API and the database no more than a few, the fewer the longer they are."""
    report = encode(StatusEvent(status=agents.report(await add_running(world)))) + b" " * padding
    agents.say(*[report] * 10_000)
    began = time.monotonic()
    async with links(world, agents):
        await world.wait_until("select connection = 'online' from containers")
        await asyncio.sleep(1)
        assert 10_000 - len(agents.socket.frames) <= most * (time.monotonic() - began)


async def test_what_a_newer_agent_says_costs_more(
    world: World, agents: TalkingAgents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have to be read value by value, so it counts as many times its bytes; the same again is not read."""
    report = agents.report(await add_running(world))
    newer = encode(StatusEvent(status=msgspec.structs.replace(report, protocol_version=PROTOCOL_VERSION + 1)))
    known, sizes = encode(StatusEvent(status=report)), list[int]()

    async def wait(_pace: object, size: int) -> None:
        sizes.append(size)

    monkeypatch.setattr(_StreamPace, "wait", wait)
    agents.say(newer, newer, known)
    async with links(world, agents), asyncio.timeout(WAIT_S):
        while len(sizes) < 3:
            await asyncio.sleep(0.01)
    assert sizes[:3] == [len(newer) * NEWER_COSTS, len(newer), len(known)]


async def test_a_link_that_ends_is_dialled_again(world: World, agents: TalkingAgents) -> None:
    """An agent that restarts is heard again without anybody asking."""
    agents.say(encode(StatusEvent(status=agents.report(await add_running(world)))))
    agents.closes = True
    async with links(world, agents), asyncio.timeout(WAIT_S):
        while agents.dials < 3:
            await asyncio.sleep(0.01)
        agents.closes = False
        await world.wait_until("select connection = 'online' from containers")


async def test_one_process_holds_a_link(world: World, agents: TalkingAgents) -> None:
    """However many processes there are, each agent is dialled by one."""
    for _ in range(5):
        await add_running(world)
    agents.say()
    async with links(world, agents), links(world, agents):
        await world.wait_until("select count(*) = 5 from containers where link_holder is not null")
        await asyncio.sleep(0.1)
    assert agents.dials == 5


def told(journal: str, *numbers: int) -> bytes:
    """Return a message with these entries."""
    return encode(HappeningsEvent(journal=journal, items=tuple(map(happening, numbers))))


async def test_a_link_takes_what_happens_and_goes_on_where_it_was(world: World, agents: TalkingAgents) -> None:
    """Each entry once, whatever the agent tells again; what is kept decides what is asked for."""
    owner = await add_running(world)
    status = encode(StatusEvent(status=agents.report(owner)))
    agents.closes = True
    agents.say(status, told(JOURNAL, 1, 2))
    async with links(world, agents):
        await world.wait_until("select count(*) = 2 from happenings")
        agents.say(status, told(JOURNAL, 3), b'{"type":"weather","sun":1}', told(JOURNAL, 4))
        await world.wait_until("select count(*) = 4 from happenings")
        async with asyncio.timeout(WAIT_S):
            while agents.asked != {"take": "happenings,metrics", "journal": JOURNAL, "after": "4"}:
                await asyncio.sleep(0.01)
        agents.say(status, told("b" * 32, 1))
        await world.wait_until("select count(*) = 5 from happenings")
    rows = await world.fetch("select journal, number from happenings order by position")
    assert [tuple(row) for row in rows] == [*((JOURNAL, number) for number in (1, 2, 3, 4)), ("b" * 32, 1)]


async def test_samples_of_a_link_are_kept_at_their_pace(world: World, agents: TalkingAgents) -> None:
    """A flood of them costs a few rows."""
    owner = await add_running(world)
    now = datetime.now(UTC)
    samples = [encode(MetricsEvent(metrics=sample(now - timedelta(seconds=n)))) for n in range(40)]
    agents.say(encode(StatusEvent(status=agents.report(owner))), *samples)
    async with links(world, agents):
        async with asyncio.timeout(WAIT_S):
            while agents.dials == 0 or agents.socket.frames:
                await asyncio.sleep(0.01)
        await world.history.flush()
    assert 1 <= len(await world.fetch("select 1 from samples")) <= 4


@pytest.mark.timeout(120)
async def test_an_agent_that_tells_without_end_fills_no_database(world: World, agents: TalkingAgents) -> None:
    """It is taken what an honest one could have, and what is too much is lost to itself."""
    owner = await add_running(world)
    batches = [told(JOURNAL, *range(n * 100 + 1, n * 100 + 101)) for n in range(60)]
    agents.say(encode(StatusEvent(status=agents.report(owner))), *batches)
    async with links(world, agents), asyncio.timeout(100):
        while agents.dials == 0 or agents.socket.frames:
            await asyncio.sleep(0.05)
        assert agents.dials == 1
        await asyncio.sleep(0.2)
    kept = (await world.fetch("select count(*) from happenings"))[0]["count"]
    assert 2000 <= kept <= 2500
    await world.history.prune()
    assert (await world.fetch("select count(*) from happenings"))[0]["count"] == 10


def nonsense(kind: str) -> bytes:
    """Return a message of a history that breaks a rule."""
    good = told(JOURNAL, 1)
    return {
        "back": told(JOURNAL, 2, 1),
        "nul": good.replace(b"web exited", b"web\\u0000exited"),
        "long": good.replace(b"web exited", b"w" * 2000),
        "time": good.replace(b"2026-01-01T00:00:01Z", b"0001-01-01T00:00:00+14:00"),
        "sample": encode(MetricsEvent(metrics=sample(datetime(2026, 1, 1)))),  # noqa: DTZ001 - as a stranger may
        "journal": good.replace(JOURNAL.encode(), b"../../etc"),
        "many": told(JOURNAL, *range(1, 102)),
    }[kind]


@pytest.mark.parametrize("kind", ["back", "nul", "long", "time", "sample"])
async def test_what_a_history_must_not_hold_costs_the_status_nothing(
    world: World, agents: TalkingAgents, kind: str
) -> None:
    """It is left out, and what follows is taken: a later agent may know other bounds."""
    owner = await add_running(world)
    agents.say(encode(StatusEvent(status=agents.report(owner))), nonsense(kind), told(JOURNAL, 7))
    async with links(world, agents):
        await world.wait_until("select number = 7 from happenings")
        await world.history.flush()
        assert agents.dials == 1
    assert await world.fetch("select 1 from samples") == []


@pytest.mark.parametrize("kind", ["journal", "many"])
async def test_what_is_no_message_ends_the_stream(world: World, agents: TalkingAgents, kind: str) -> None:
    """And nothing of it is kept."""
    owner = await add_running(world)
    agents.say(encode(StatusEvent(status=agents.report(owner))), nonsense(kind))
    async with links(world, agents) as task:
        async with asyncio.timeout(WAIT_S):
            while agents.dials < 3:
                assert not task.done()
                await asyncio.sleep(0.01)
    assert await world.fetch("select 1 from happenings") == []


async def test_links_of_a_process_that_died_are_taken_over(
    world: World, agents: TalkingAgents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its time is over another holds them, and what the dead one still writes counts no more."""
    monkeypatch.setattr("zlh_api.agents.links.RENEW_S", 0.05)
    owner = await add_running(world)
    dead = uuid4()
    await world.fetch("insert into link_holders values ($1, now() - interval '2 minutes') returning 1", dead)
    await world.fetch("update containers set link_holder = $1, link_fence = 7 returning 1", dead)
    agents.say(encode(StatusEvent(status=agents.report(owner))))
    async with links(world, agents):
        await world.wait_until("select connection = 'online' from containers")
        (row,) = await world.fetch("select link_holder, link_fence from containers")
        assert row["link_holder"] != dead
        assert row["link_fence"] > 7
        await world.wait_until("select count(*) = 1 from link_holders")


async def test_a_process_lets_go_of_what_it_no_longer_holds(
    world: World, agents: TalkingAgents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was away for too long finds out as it renews; and a claim whose answer was lost is given back."""
    monkeypatch.setattr("zlh_api.agents.links.RENEW_S", 0.05)
    owner = await add_running(world)
    agents.say(encode(StatusEvent(status=agents.report(owner))))
    async with links(world, agents):
        await world.wait_until("select connection = 'online' from containers")
        (row,) = await world.fetch("select link_fence from containers")
        await world.fetch("update containers set link_fence = link_fence + 1 returning 1")
        await world.wait_until("select link_fence > $1 + 1 from containers", row["link_fence"])
        async with asyncio.timeout(WAIT_S):
            while agents.dials < 2:
                await asyncio.sleep(0.01)
        await world.wait_until("select connection = 'online' from containers")
    assert agents.dials == 2


async def test_a_report_that_says_nothing_new_is_not_written_each_time(
    world: World, agents: TalkingAgents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the time at which the agent was heard is, and that now and then; what is new is written soon."""
    owner = await add_running(world)
    report = agents.report(owner)
    later = [msgspec.structs.replace(report, observed_at=report.observed_at + timedelta(seconds=n)) for n in range(5)]
    new = msgspec.structs.replace(report, agent_version="0.2.0")
    agents.say(*(encode(StatusEvent(status=each)) for each in later))
    async with links(world, agents):
        await world.wait_until("select connection = 'online' from containers")
        (first,) = await world.fetch("select observed_at, version from containers")
        async with asyncio.timeout(WAIT_S):
            while agents.socket.frames:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        assert (await world.fetch("select observed_at, version from containers"))[0] == first
    monkeypatch.setattr("zlh_api.agents.links.HEARD_S", 0.01)
    agents.say(*(encode(StatusEvent(status=each)) for each in later), encode(StatusEvent(status=new)))
    async with links(world, agents):
        await world.wait_until("select agent_status->>'agentVersion' = '0.2.0' from containers")
        (last,) = await world.fetch("select observed_at, now() as now from containers")
        assert first["observed_at"] < last["observed_at"] <= last["now"]


async def test_a_later_report_that_no_text_may_hold_ends_its_link_alone(world: World, agents: TalkingAgents) -> None:
    """Reports are written together, and what is wrong with one keeps none of the others out."""
    bad, good = await add_running(world), await add_running(world)
    streams = {}
    for owner, version in ((bad, "\0"), (good, "0.2.0")):
        report = agents.report(owner)
        new = msgspec.structs.replace(report, agent_version=version)
        newer = msgspec.structs.replace(new, boot_id="later")
        streams[owner] = [encode(StatusEvent(status=each)) for each in (report, new, newer, new, newer)]
    agents.streams = streams
    async with links(world, agents):
        await world.wait_until(
            "select agent_status->>'agentVersion' = '0.2.0' from containers where owner = $1", UUID(good)
        )
        async with asyncio.timeout(WAIT_S):
            while agents.dials < 3:
                await asyncio.sleep(0.01)


async def test_a_row_that_somebody_is_at_holds_up_no_other_report(world: World) -> None:
    """It waits on with what it has to say, also where the agent is only heard once more meanwhile."""
    locked, free = await add_running(world), await add_running(world)
    agents, writer = FakeAgents(world.faults, world.database), ReportWriter(world.database)
    for owner in (locked, free):
        writer.write_soon(owner, 0, msgspec.structs.replace(agents.report(owner), agent_version="0.2.0"))
    told = "select agent_status->>'agentVersion' as version from containers where owner = $1"
    async with world.database.transaction() as connection:
        await connection.execute("select from containers where owner = $1 for update", UUID(locked))
        async with asyncio.timeout(WAIT_S):
            await writer.flush()
        assert [(await world.fetch(told, UUID(owner)))[0]["version"] for owner in (locked, free)] == [None, "0.2.0"]
        writer.note_heard(locked, 0)
    await writer.flush()
    assert (await world.fetch(told, UUID(locked)))[0]["version"] == "0.2.0"


async def test_who_reports_much_makes_nobody_else_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortest reports are written first, and no statement is longer than a few of the longest ones."""
    written: list[tuple[OwnerMark, ...]] = []
    write = ReportWriter._write

    async def note(writer: ReportWriter, batch: list[Any]) -> set[OwnerMark]:
        written.append(tuple(owner for owner, _ in batch))
        assert sum(entry.chars for _, entry in batch) <= FLUSH_CHARS
        return await write(writer, batch)

    monkeypatch.setattr(ReportWriter, "_write", note)
    long, short = [await add_running(world) for _ in range(40)], await add_running(world)
    agents, writer = FakeAgents(world.faults, world.database), ReportWriter(world.database)
    for owner in long:
        writer.write_soon(owner, 0, msgspec.structs.replace(agents.report(owner), agent_version="9" * 200_000))
    writer.write_soon(short, 0, agents.report(short))
    await writer.flush()
    assert written[0][0] == short
    assert len(written) > 1
    assert sorted(owner for batch in written for owner in batch) == sorted([*long, short])
    assert await world.fetch("select 1 from containers where agent_status is null") == []
