"""History in a real database: each thing once, in order, within bounds, for those who may see it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from fakes.api_world import WAIT_S, World
from fakes.history import happening, sample
from zlh_api.containers import store as containers
from zlh_api.history.rules import MAX_ROWS, JournalPosition
from zlh_api.history.service import HistoryService, Keeping
from zlh_api.history.store import MAX_FIGURES, Sample, insert_samples
from zlh_common.clock import SystemClock
from zlh_common.names import OwnerMark
from zlh_common.schema.metrics import ProcessMetrics, Usage
from zlh_common.schema.structs import encode

Client = TestClient[Request, Application]
JOURNAL, OTHER = "a" * 32, "b" * 32
FENCE = 1
OWNER, VIEWER, STRANGER = ({"Authorization": f"Bearer {name}-token"} for name in ("owner", "viewer", "stranger"))


@pytest.fixture
async def owner(world: World) -> OwnerMark:
    """A container of the first customer, with a link."""
    return await add(world)


async def add(world: World) -> OwnerMark:
    """Write a container whose link has the fence 1."""
    owner = OwnerMark(str(uuid4()))
    async with world.database.transaction() as connection:
        customer = await connection.fetchval("select id from customers where name = 'customer 0'")
        await containers.insert_container(
            connection, owner=owner, customer_id=customer, kind="dev", name=None, runtimes=[]
        )
        await connection.execute("update containers set link_fence = $2 where owner = $1", UUID(owner), FENCE)
    return owner


async def vmid_of(world: World, owner: OwnerMark) -> int:
    return int((await world.fetch("select vmid from containers where owner = $1", UUID(owner)))[0]["vmid"])


async def get(client: Client, path: str, headers: dict[str, str] = OWNER) -> tuple[int, Any]:
    response = await client.get(path, headers=headers)
    return response.status, await response.json()


async def test_an_entry_is_kept_once(world: World, owner: OwnerMark) -> None:
    """However often it is told, and by however many at once; another journal begins from 1 again."""
    items = [happening(number) for number in (1, 2, 3)]
    await asyncio.gather(*(world.history.take_happenings(owner, FENCE, JOURNAL, items) for _ in range(8)))
    await world.history.take_happenings(owner, FENCE, JOURNAL, [happening(3), happening(4)])
    await world.history.take_happenings(owner, FENCE, OTHER, [happening(1)])
    rows = await world.fetch("select position, journal, number from happenings order by position")
    assert [tuple(row) for row in rows] == [
        (1, JOURNAL, 1), (2, JOURNAL, 2), (3, JOURNAL, 3), (4, JOURNAL, 4), (5, OTHER, 1),
    ]  # fmt: skip
    assert await world.history.find_newest(owner) == JournalPosition(OTHER, 1)


async def test_a_link_that_was_lost_writes_nothing(world: World, owner: OwnerMark) -> None:
    """Nor does one whose container is gone; the samples of others that wait beside it are written."""
    gone = OwnerMark(str(uuid4()))
    await world.history.take_happenings(owner, FENCE - 1, JOURNAL, [happening(1)])
    await world.history.take_happenings(gone, FENCE, JOURNAL, [happening(1)])
    for mark, fence in ((gone, FENCE), (owner, FENCE - 1), (owner, FENCE)):
        world.history.take_sample(mark, fence, sample(datetime.now(UTC) - timedelta(seconds=fence)))
    await world.history.flush()
    assert await world.fetch("select 1 from happenings") == []
    assert [str(row["owner"]) for row in await world.fetch("select owner from samples")] == [owner]


async def test_a_sample_is_kept_once(world: World, owner: OwnerMark) -> None:
    """An agent begins each stream with its newest one."""
    taken = sample(datetime.now(UTC))
    for _ in range(2):
        for _ in range(2):
            world.history.take_sample(owner, FENCE, taken)
        await world.history.flush()
    assert len(await world.fetch("select 1 from samples")) == 1


async def test_what_cannot_be_written_waits(world: World, owner: OwnerMark, postgres: Any) -> None:
    """A database that is away for a moment costs no sample."""
    await world.history.flush()
    postgres.stop()
    try:
        world.history.take_sample(owner, FENCE, sample(datetime.now(UTC)))
        await world.history.flush()
    finally:
        postgres.start()
    await world.history.flush()
    assert len(await world.fetch("select 1 from samples")) == 1


async def test_a_sample_that_nobody_foresaw_costs_no_other(
    world: World, owner: OwnerMark, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It alone is left out, whatever it makes of us."""
    hostile = await add(world)

    async def insert(connection: Any, samples: Any) -> None:
        if any(each.owner == hostile for each in samples):
            raise RecursionError("what it said")
        await insert_samples(connection, samples)

    monkeypatch.setattr("zlh_api.history.store.insert_samples", insert)
    for mark in (hostile, owner):
        world.history.take_sample(mark, FENCE, sample(datetime.now(UTC)))
    await world.history.flush()
    assert [str(row["owner"]) for row in await world.fetch("select owner from samples")] == [owner]


async def test_only_the_newest_is_kept_however_many_prune(world: World, owner: OwnerMark) -> None:
    """The last entries of each container, and the samples of a day; numbers go on."""
    other = await add(world)
    for mark, number in ((owner, 25), (other, 5)):
        await world.history.take_happenings(mark, FENCE, JOURNAL, [happening(n + 1) for n in range(number)])
    now = datetime.now(UTC)
    await world.fetch(
        "insert into samples select $1, $2::timestamptz - n * interval '1 hour', '{}' from generate_series(1, 48) n "
        "returning 1",
        UUID(owner),
        now,
    )
    services = [HistoryService(world.another_pool(), SystemClock(), Keeping(entries=10)) for _ in range(4)]
    await asyncio.gather(*(service.prune() for service in services))
    rows = await world.fetch("select position from happenings where owner = $1 order by 1", UUID(owner))
    assert [row["position"] for row in rows] == list(range(16, 26))
    assert len(await world.fetch("select 1 from happenings where owner = $1", UUID(other))) == 5
    oldest = (await world.fetch("select min(at) as oldest, count(*) from samples"))[0]
    assert oldest["count"] in {23, 24}
    assert oldest["oldest"] >= now - timedelta(hours=24, minutes=1)
    await world.history.take_happenings(owner, FENCE, JOURNAL, [happening(26)])
    assert (await world.fetch("select max(position) as last from happenings"))[0]["last"] == 26


async def test_a_deleted_container_takes_its_history_along(world: World, owner: OwnerMark) -> None:
    """Nothing of it is left."""
    await world.history.take_happenings(owner, FENCE, JOURNAL, [happening(1)])
    world.history.take_sample(owner, FENCE, sample(datetime.now(UTC)))
    await world.history.flush()
    await world.fetch("delete from containers where owner = $1 returning 1", UUID(owner))
    assert await world.fetch("select 1 from happenings") == await world.fetch("select 1 from samples") == []


async def test_events_are_paged_newest_first(world: World, client: Client, owner: OwnerMark) -> None:
    """Every entry once, whatever happens between two pages."""
    path = f"/api/containers/{await vmid_of(world, owner)}/events"
    await world.history.take_happenings(owner, FENCE, JOURNAL, [happening(n + 1) for n in range(7)])
    status, page = await get(client, f"{path}?limit=3")
    assert (status, [item["id"] for item in page["items"]], page["next"]) == (200, ["7", "6", "5"], "5")
    assert page["items"][0] == {
        "id": "7", "at": "2026-01-01T00:00:07Z", "kind": "process.exited", "subject": "web",
        "message": "web exited with code 7.", "data": {"code": 7},
    }  # fmt: skip
    await world.history.take_happenings(owner, FENCE, JOURNAL, [happening(8)])
    seen = ["7", "6", "5"]
    while "next" in page:
        _, page = await get(client, f"{path}?limit=3&before={page['next']}")
        seen += [item["id"] for item in page["items"]]
    assert seen == [str(number) for number in range(7, 0, -1)]


async def test_samples_are_thinned_and_bounded(world: World, client: Client, owner: OwnerMark) -> None:
    """Oldest first, the last one of each part."""
    path = f"/api/containers/{await vmid_of(world, owner)}/metrics/history"
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    await world.fetch(
        "insert into samples select $1, $2::timestamptz + n * interval '1 minute', "
        "jsonb_set($3, '{container,memoryBytes}', to_jsonb(n)) from generate_series(0, 599) n returning 1",
        UUID(owner),
        begin,
        msgspec.json.decode(encode(sample(begin))),
    )
    query = "from=2026-01-01T00:00:00Z&to=2026-01-01T10:00:00%2B00:00"
    _, page = await get(client, f"{path}?{query}&points=10")
    assert [item["container"]["memoryBytes"] for item in page["items"]] == [60 * n + 59 for n in range(10)]
    assert len((await get(client, f"{path}?{query}"))[1]["items"]) == 240
    assert len((await get(client, f"{path}?{query}&points=1000"))[1]["items"]) == 600
    _, page = await get(client, f"{path}?from=2026-01-01T00:10:00Z&to=2026-01-01T00:13:00Z")
    assert [item["container"]["memoryBytes"] for item in page["items"]] == [10, 11, 12]
    assert (await get(client, path))[1]["items"] == []


async def test_samples_of_many_processes_are_thinned_further(world: World, client: Client, owner: OwnerMark) -> None:
    """What an answer holds does not depend on what an agent has told; the newest is always there."""
    now = datetime.now(UTC).replace(microsecond=0)
    usage = Usage(
        cpu_s=1.0, cpu_cores=None, memory_bytes=1, memory_proportional_bytes=None, read_bytes=None,
        written_bytes=None, processes=1, threads=1, open_files=None,
    )  # fmt: skip
    rows = tuple(ProcessMetrics(name=f"p{number}", kind="process", pid=1, usage=usage) for number in range(MAX_ROWS))
    times = [now - timedelta(seconds=number) for number in range(1, 601)]
    samples = [Sample(owner, FENCE, at, msgspec.structs.replace(sample(at), processes=rows)) for at in times]
    async with world.database.connection() as connection:
        await insert_samples(connection, samples)
    query = f"from={(now - timedelta(seconds=600)).isoformat()}&to={now.isoformat()}".replace("+", "%2B")
    path = f"/api/containers/{await vmid_of(world, owner)}/metrics/history"
    for points, count in ((1000, 200), (240, 240)):
        _, page = await get(client, f"{path}?{query}&points={points}")
        assert sum(1 + len(item["processes"]) for item in page["items"]) <= MAX_FIGURES
        assert len(page["items"]) == count
        assert datetime.fromisoformat(page["items"][-1]["observedAt"]) == times[0]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("metrics/history?points=0", "query_invalid"),
        ("metrics/history?points=1001", "query_invalid"),
        ("metrics/history?points=x", "query_invalid"),
        ("metrics/history?from=yesterday", "query_invalid"),
        ("metrics/history?from=2026-01-01T00:00:00", "query_invalid"),
        ("metrics/history?to=0001-01-01T00:00:00%2B14:00", "range_invalid"),
        ("metrics/history?from=9999-12-31T23:59:59-14:00", "range_invalid"),
        ("metrics/history?from=2026-01-01T00:00:00Z&from=2026-01-01T00:00:00Z", "query_invalid"),
        ("metrics/history?point=1", "query_unknown"),
        ("metrics/history?to=%00", "query_invalid"),
        ("metrics/history?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "range_invalid"),
        ("metrics/history?to=0001-01-01T00:00:00Z", "range_invalid"),
        ("events?limit=0", "query_invalid"),
        ("events?limit=201", "query_invalid"),
        ("events?before=0", "query_invalid"),
        ("events?before=1.5", "query_invalid"),
        ("events?before=99999999999999999999", "query_invalid"),
    ],
)
async def test_bad_questions_are_refused(world: World, client: Client, owner: OwnerMark, query: str, code: str) -> None:
    """With a code that says which."""
    status, problem = await get(client, f"/api/containers/{await vmid_of(world, owner)}/{query}")
    assert (status, problem["code"]) == (422 if code == "range_invalid" else 400, code)


@pytest.mark.parametrize("what", ["metrics", "metrics/history", "events"])
async def test_viewers_may_look_and_strangers_may_not(
    world: World, client: Client, owner: OwnerMark, what: str
) -> None:
    """A foreign container is one that is not there; one that is off has no figures of now."""
    path = f"/api/containers/{await vmid_of(world, owner)}/{what}"
    assert (await get(client, path, STRANGER))[0] == 404
    status, body = await get(client, path, VIEWER)
    assert (status, body.get("code")) == ((503, "agent_unreachable") if what == "metrics" else (200, None))


async def test_figures_of_now_are_asked_of_the_agent(world: World, client: Client, owner: OwnerMark) -> None:
    """And written anew for Prometheus; what makes no sense is refused."""
    await world.fetch(
        "update containers set guest = 'running', address = '127.77.0.9' where owner = $1 returning 1", UUID(owner)
    )
    path = f"/api/containers/{await vmid_of(world, owner)}/metrics"
    world.agents.answer = encode(sample(datetime.now(UTC)))
    assert await get(client, path, VIEWER) == (200, msgspec.json.decode(world.agents.answer))
    scraped = await client.get(f"{path}/prometheus", headers=VIEWER)
    assert scraped.content_type == "text/plain"
    assert f'zlh_container_memory_bytes{{vmid="{path.split("/")[3]}"}} 1\n' in await scraped.text()
    for nonsense in (b"{}", b"", world.agents.answer.replace(b'"memoryBytes":1', b'"memoryBytes":-1')):
        world.agents.answer = nonsense
        for place in (path, f"{path}/prometheus"):
            status, problem = await get(client, place)
            assert (status, problem["code"]) == (502, "agent_nonsense")


async def test_the_live_stream_tells_what_happens_to_those_who_may_see(
    world: World, client: Client, owner: OwnerMark
) -> None:
    """Each entry once, beside the reports."""
    vmid = await vmid_of(world, owner)
    channels = {"container_changed": world.live.note_change, "container_happened": world.live.note_happening}
    hears = asyncio.Event()
    listening = asyncio.create_task(world.database.listen(channels, on_connect=hears.set))
    try:
        await hears.wait()
        mine = await client.get("/api/events", headers=VIEWER)
        foreign = await client.get("/api/events", headers=STRANGER)
        for stream in (mine, foreign):
            assert await stream.content.readuntil(b"\n\n") == b": connected\n\n"
        for number in range(1, 21):
            await world.history.take_happenings(owner, FENCE, JOURNAL, [happening(number)])
            await asyncio.sleep(0.005)
        heard = b""
        async with asyncio.timeout(WAIT_S):
            while b'"id":"20"' not in heard:
                heard += await mine.content.readany()
        events = [
            msgspec.json.decode(block.partition(b"\ndata: ")[2])
            for block in heard.split(b"\n\n")
            if block.startswith(b"event: container-event")
        ]
        assert [(event["vmid"], event["entry"]["id"]) for event in events] == [(vmid, str(n + 1)) for n in range(20)]
        assert b"event" not in foreign.content.read_nowait()
        mine.close()
        foreign.close()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
