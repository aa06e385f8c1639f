"""Each try of a step is kept, page by page for operators, and forgotten by count and age."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from component.api.people_world import by
from fakes.api_world import World
from fakes.wishes import want_container, want_deletion
from zlh_api.drivers.port import GuestFailed, SystemAway
from zlh_api.reconcile import attempts_store, journal, store
from zlh_api.reconcile.attempts import AttemptsService, KeptAttempts
from zlh_api.reconcile.attempts_store import render_page
from zlh_api.reconcile.model import Place, WantedAttempts
from zlh_common.clock import SystemClock
from zlh_common.names import OwnerMark
from zlh_common.schema.step_attempts import AttemptOutcome

Client = TestClient[web.Request, web.Application]
JOURNAL = "/api/platform/journal"
BROKEN = GuestFailed(what="The call", reason="it was told to fail")
MANY = 12_000
_FILL = f"""
insert into step_attempts (at, owner, vmid, step, attempt, outcome, code)
select now() - make_interval(secs => {MANY} - n), gen_random_uuid(), 101 + n % 500, 'step-' || n % 20, 1,
    case when n % 300 = 0 then 'failed' else 'done' end, case when n % 300 = 0 then 'code_' || n % 7 end
from generate_series(1, {MANY}) as n
"""


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """Serve the API."""
    async with world.client() as made:
        yield made


async def look(client: Client, token: str, **asked: Any) -> tuple[int, Any]:
    """Return the status and the document of an answer."""
    async with client.get(JOURNAL, params=asked, headers=by(token)) as answer:
        return answer.status, await answer.json()


async def bring_up(world: World) -> OwnerMark:
    """Return a container that has been brought up."""
    async with world.database.transaction() as connection:
        owner = await want_container(connection, name="mine")
    async with world.reconciler():
        await world.wait_settled(owner)
    return owner


async def test_who_makes_and_deletes_containers_pushes_out_nobody_elses(world: World) -> None:
    """His have numbers that nobody has any more, and go first where there are too many, however new they are."""
    await world.fetch(_FILL)
    await bring_up(world)
    (kept,) = await world.fetch("select count(*) from step_attempts a join containers c using (owner)")
    await world.fetch(
        "update step_attempts a set at = at - interval '1 day' where owner in (select owner from containers)"
    )
    most = kept["count"] + 5
    await AttemptsService(world.database, SystemClock(), KeptAttempts(most=most)).prune()
    (left,) = await world.fetch(
        "select count(*), count(*) filter (where c.owner is null) as of_gone, "
        "min(a.at) filter (where c.owner is null) > now() - interval '1 minute' as are_newest "
        "from step_attempts a left join containers c using (owner)"
    )
    assert tuple(left) == (most, 5, True)


async def test_each_try_stays_when_the_next_one_succeeds(client: Client, world: World) -> None:
    """A step that has failed twice and went well then is three lines, with why and which try it was."""
    world.faults.fail("ensure_created", BROKEN, BROKEN)
    await bring_up(world)
    status, page = await look(client, world.people.operator, step="create-guest")
    assert status == 200
    told = [(each["outcome"], each["attempt"], each["code"], each["name"]) for each in page["items"]]
    assert told == [
        ("done", 3, None, "mine"),
        ("failed", 2, "guest_failed", "mine"),
        ("failed", 1, "guest_failed", "mine"),
    ]
    assert page["items"][1]["reason"] == BROKEN.detail
    assert all(each["durationMs"] >= 0 for each in page["items"])


async def test_each_step_of_a_walk_is_told_once(client: Client, world: World) -> None:
    """Whoever brings a container up leaves one line for each step, the newest first."""
    await bring_up(world)
    _status, page = await look(client, world.people.operator)
    steps = [each["step"] for each in page["items"]]
    assert steps[-1] == "reserve-address"
    assert len(steps) == len(set(steps))
    times = [each["at"] for each in page["items"]]
    assert times == sorted(times, reverse=True)


async def test_what_others_bring_is_a_try_too(client: Client, world: World) -> None:
    """Nobody takes the step in which an agent connects; it is told as done once one follows it."""
    async with world.database.transaction() as connection:
        await want_container(connection, name="mine")
        line = await store.find_due(connection)
        (claim,) = await store.claim(connection, line, holder=uuid4(), limit=1)
        await journal.journal_start(connection, claim, "connect-agent", follows=True)
        await journal.journal_start(connection, claim, "send-spec", follows=True)
    _status, page = await look(client, world.people.operator)
    assert [(each["step"], each["outcome"], each["attempt"]) for each in page["items"]] == [
        ("connect-agent", "done", 1)
    ]


async def test_a_wait_is_told_once_however_often_it_is_asked(client: Client, world: World) -> None:
    """A system that is away is asked again and again, which is one line until it is back."""
    away = SystemAway(system="Proxmox", reason="no route", retry_in_s=0)
    world.faults.fail("ensure_created", away, away, away)
    await bring_up(world)
    assert not world.faults.orders["ensure_created"]
    _status, page = await look(client, world.people.operator, step="create-guest")
    assert [(each["outcome"], each["code"]) for each in page["items"]] == [("done", None), ("waited", "system_away")]


async def test_what_is_gone_is_still_told(client: Client, world: World) -> None:
    """The tries of a deleted container stay, to its very last step, and say that it has no name any more."""
    owner = await bring_up(world)
    async with world.database.transaction() as connection:
        await want_deletion(connection, owner)
    async with world.reconciler():
        await world.wait_until("select count(*) = 0 from containers")
    _status, page = await look(client, world.people.operator, limit=1)
    (last,) = page["items"]
    assert (last["step"], last["outcome"], last["name"]) == ("forget", "done", None)


async def test_pages_follow_each_other_without_a_gap(client: Client, world: World) -> None:
    """Whatever is asked for, all pages together are what one large page is."""
    await world.fetch(f"{_FILL} returning 1")
    for asked in ({}, {"outcome": "failed"}, {"container": 101}, {"step": "step-3", "outcome": "done"}):
        _status, whole = await look(client, world.people.operator, limit=200, **asked)
        found: list[str] = []
        page: dict[str, Any] = {"next": None}
        while len(found) < len(whole["items"]):
            place = {"before": page["next"]} if page["next"] else {}
            _status, page = await look(client, world.people.operator, limit=49, **place, **asked)
            found += [each["id"] for each in page["items"]]
            if "next" not in page:
                break
        assert found[: len(whole["items"])] == [each["id"] for each in whole["items"]]


async def test_filters_leave_out_what_is_not_asked_for(client: Client, world: World) -> None:
    """Container, step, outcome, code and time are held together."""
    await world.fetch(f"{_FILL} returning 1")
    since = datetime.now(UTC) - timedelta(hours=2)
    _status, page = await look(
        client, world.people.operator, outcome="failed", code="code_3", since=since.isoformat(), limit=200
    )
    assert page["items"]
    assert {(each["outcome"], each["code"]) for each in page["items"]} == {("failed", "code_3")}
    assert all(datetime.fromisoformat(each["at"]) >= since for each in page["items"])


@pytest.mark.parametrize("asked", [{"before": "5"}, {"before": "1-x"}, {"outcome": "odd"}, {"container": 0}])
async def test_what_cannot_be_asked_for_is_refused(client: Client, world: World, asked: dict[str, Any]) -> None:
    """It is named; a place beyond all times is one after which nothing comes."""
    status, refused = await look(client, world.people.operator, **asked)
    assert (status, refused["code"]) == (400, "query_invalid")


async def test_it_is_nobody_elses_business(client: Client, world: World) -> None:
    """A customer is answered as if there were no such thing."""
    status, refused = await look(client, world.people.owner)
    assert (status, refused["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "wanted",
    [
        WantedAttempts(51),
        WantedAttempts(51, vmid=101),
        WantedAttempts(51, step="step-3"),
        WantedAttempts(51, outcome=AttemptOutcome.FAILED),
        WantedAttempts(51, code="code_3"),
        WantedAttempts(51, step="step-0", outcome=AttemptOutcome.FAILED),
        WantedAttempts(51, vmid=101, before=Place(datetime.now(UTC), 5)),
        WantedAttempts(51, since=datetime.now(UTC) - timedelta(hours=1)),
    ],
    ids=lambda wanted: "-".join(
        name for name in ("vmid", "step", "outcome", "code", "since", "before") if getattr(wanted, name)
    ),
)
async def test_a_page_is_read_from_an_index_in_its_order(world: World, wanted: WantedAttempts) -> None:
    """Nothing is put in order and no table is walked through, so the size of the journal does not matter."""
    await world.fetch(f"{_FILL} returning 1")
    await world.fetch("analyze step_attempts")
    query, values = render_page(wanted)
    async with world.database.transaction() as connection:
        # Of what is few, the planner likes to read all and put it in order; whether it need not is what is asked here.
        await connection.execute("set local enable_bitmapscan = off")
        await connection.execute("set local enable_sort = off")
        rows = await connection.fetch(f"explain {query}", *values)
    plan = "\n".join(row[0] for row in rows)
    inner = plan.partition("Limit")[2].partition(" on containers")[0]
    assert "using step_attempts_" in inner
    assert "Sort Key" not in inner
    assert "Seq Scan on step_attempts" not in plan


async def test_what_is_beyond_count_and_age_is_forgotten(world: World) -> None:
    """The oldest go first, slice by slice, until no more are kept than may be."""
    await world.fetch(f"{_FILL} returning 1")
    by_count = AttemptsService(world.database, SystemClock(), KeptAttempts(most=1_000))
    await by_count.prune()
    (row,) = await world.fetch("select count(*) as count, min(number) as first, max(number) as last from step_attempts")
    assert (row["count"], row["last"] - row["first"]) == (1_000, 999)
    await AttemptsService(world.database, SystemClock(), KeptAttempts(age=timedelta(minutes=5))).prune()
    (row,) = await world.fetch(
        "select count(*) > 0 as some, min(at) > now() - interval '6 minutes' as young from step_attempts"
    )
    assert (row["some"], row["young"]) == (True, True)


async def test_one_container_pushes_out_nothing_of_others(world: World) -> None:
    """Of each the newest are kept, so many and no more; what is gone of one makes room for all."""
    await world.fetch(f"{_FILL} returning 1")
    await world.fetch(
        "insert into step_attempts (owner, vmid, step, attempt, outcome) "
        "select gen_random_uuid(), 99, 'send-spec', 1, 'done' from generate_series(1, 12000) returning 1"
    )
    await AttemptsService(world.database, SystemClock(), KeptAttempts(most=MANY + 50, most_each=40)).prune()
    rows = await world.fetch(
        "select vmid = 99 as his, count(*), max(number) - min(number) as span from step_attempts group by 1"
    )
    assert {row["his"]: row["count"] for row in rows} == {True: 40, False: MANY}
    assert {row["span"] for row in rows if row["his"]} == {39}


async def test_two_processes_do_not_forget_in_each_others_way(world: World) -> None:
    """Who finds another at it leaves it to that."""
    await world.fetch(f"{_FILL} returning 1")
    async with world.database.transaction() as one, world.another_pool(max_connections=1).transaction() as other:
        assert (
            await attempts_store.prune(one, age=timedelta(days=1), most=1_000, most_each=MANY)
            == attempts_store.PRUNE_ROWS
        )
        assert await attempts_store.prune(other, age=timedelta(days=1), most=1_000, most_each=MANY) == 0
