"""The chains in their database: whoever appends, dies or tampers, no number is missing and nothing is lost."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import pytest

from component.api.conftest import Postgres
from component.api.people_world import by
from fakes import dying_api
from fakes.api_world import NODE, World
from guards.ports import free_port
from zlh_api.app.audit_log import open_audit_log
from zlh_api.audit_log import commands, store
from zlh_api.audit_log.chain import Flaw
from zlh_api.audit_log.command_line import add_parser
from zlh_api.audit_log.model import PLATFORM, Act, Ending, Wanted, Who
from zlh_api.audit_log.service import AuditLog
from zlh_common.schema.audit_log import Outcome

DONE = Ending(Outcome.DONE, 200)
CUSTOMER = UUID(int=77)
ACT = Act("container.start", Who(UUID(int=5), "a@example.org", UUID(int=6)), CUSTOMER, "container 101", "r" * 32)
# A table that refuses changes takes them from whoever owns it: what an operator of the database could do.
FREELY = "alter table {0} disable trigger user; {1}; alter table {0} enable trigger user"


async def carry_out(log: AuditLog, act: Act = ACT, ending: Ending = DONE) -> None:
    """Do what the web layer does around a handler."""
    begun = uuid4()
    await log.begin(begun, act)
    await log.finish(begun, act, ending)


async def told(world: World, chain: UUID = CUSTOMER) -> list[Any]:
    """Return the entries of a chain in their order."""
    return await world.fetch("select * from audit_entries where chain = $1 order by number", chain)


async def is_whole(world: World) -> bool:
    """Tell whether every chain fits, and nothing begun is left."""
    _, flaws = await world.audit_log.verify()
    return not flaws and not await world.fetch("select 1 from acts_begun")


async def test_a_hundred_at_once_on_one_chain_are_numbered_without_a_gap(world: World) -> None:
    """Through several pools, as by several API processes; with refusals and what breaks in between."""
    logs = [AuditLog(world.another_pool(), world.clock) for _ in range(3)]

    async def break_off(log: AuditLog) -> None:
        async with log._database.transaction() as connection:
            await store.append(connection, ACT, DONE)
            raise ZeroDivisionError

    async def one(number: int) -> None:
        log = logs[number % 3]
        if number % 5 == 4:
            with pytest.raises(ZeroDivisionError):
                await break_off(log)
        await carry_out(log, replace(ACT, request_id=str(number)))

    await asyncio.gather(*(one(number) for number in range(100)))
    rows = await told(world)
    assert [row["number"] for row in rows] == list(range(1, 101))
    assert sorted(int(row["request_id"]) for row in rows) == list(range(100))
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
    assert await is_whole(world)


async def test_chains_do_not_wait_for_each_other(world: World) -> None:
    """One that is held for long holds up nobody else."""
    async with world.another_pool().transaction() as connection:
        await store.append(connection, ACT, DONE)
        async with asyncio.timeout(5):
            await carry_out(world.audit_log, replace(ACT, chain=UUID(int=78)))
            await carry_out(world.audit_log, replace(ACT, chain=PLATFORM))
    assert await is_whole(world)


async def test_time_never_runs_back_within_a_chain(world: World) -> None:
    """Not even where the server's clock was set back."""
    await carry_out(world.audit_log)
    await world.fetch("update audit_heads set at = now() + interval '1 hour' returning 1")
    await carry_out(world.audit_log)
    await carry_out(world.audit_log)
    times = [row["at"] for row in await told(world)]
    assert times == sorted(times)
    assert await is_whole(world)


@pytest.mark.parametrize(
    "sql",
    [
        "update audit_entries set act = 'x.y'",
        "update audit_entries set act = act where number = 0",
        "delete from audit_entries",
        "truncate audit_entries",
        "delete from audit_heads",
        "truncate audit_heads",
        "update audit_heads set number = number - 1",
        "update audit_heads set number = number + 2",
        "update audit_heads set at = at - interval '1 second'",
        "update audit_heads set chain = gen_random_uuid()",
    ],
)
async def test_the_database_refuses_to_change_what_was_written(world: World, sql: str) -> None:
    """A mistake of ours, or of somebody at its prompt, is refused."""
    await carry_out(world.audit_log)
    async with world.database.connection() as connection:
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(sql)
    assert await is_whole(world)


async def test_a_customer_that_is_deleted_keeps_its_chain(world: World) -> None:
    """And so does a user who is deleted."""
    (row,) = await world.fetch(
        "select customer_id, user_id from memberships m join users u on u.id = user_id where email like 'stranger%'"
    )
    await carry_out(world.audit_log, replace(ACT, chain=row["customer_id"], who=Who(row["user_id"], "s@example.org")))
    await world.fetch("delete from customers where id = $1 returning 1", row["customer_id"])
    await world.fetch("delete from users where id = $1 returning 1", row["user_id"])
    assert len(await told(world, row["customer_id"])) == 1
    assert await is_whole(world)


# Who dies


async def outlive(world: World) -> AuditLog:
    """Return the log of another process, that has found all others dead."""
    other = AuditLog(world.another_pool(), world.clock)
    await world.fetch("update act_holders set until = now() - interval '1 second' returning 1")
    await other.renew()
    return other


async def test_what_a_dead_process_has_begun_is_told_as_unknown(world: World) -> None:
    """By whoever notices, once, with when it began."""
    await world.audit_log.begin(uuid4(), ACT)
    alive = AuditLog(world.another_pool(), world.clock)
    await alive.renew()
    assert await told(world) == []
    await asyncio.gather(*(outlive(world) for _ in range(3)))
    (row,) = await told(world)
    assert (row["outcome"], row["status"], row["request_id"]) == ("unknown", None, ACT.request_id)
    assert "begun" in row["details"]
    assert await is_whole(world)


async def test_a_process_that_was_taken_for_dead_tells_the_rest(world: World) -> None:
    """What it knows is told besides; what nobody could know then is not made undone."""
    begun = uuid4()
    await world.audit_log.begin(begun, ACT)
    await outlive(world)
    await world.audit_log.finish(begun, ACT, DONE)
    rows = await told(world)
    assert [(row["outcome"], row["details"].get("late")) for row in rows] == [("unknown", None), ("done", "true")]
    # It holds again, and what it begins is its own.
    await carry_out(world.audit_log)
    assert await is_whole(world)


async def test_who_does_not_hold_begins_nothing_that_others_would_end(world: World) -> None:
    """A process that slept for longer than its lease renews that first."""
    await carry_out(world.audit_log)
    await world.fetch("update act_holders set until = now() - interval '1 hour' returning 1")
    begun = uuid4()
    await world.audit_log.begin(begun, ACT)
    await AuditLog(world.another_pool(), world.clock).renew()
    assert len(await told(world)) == 1
    await world.audit_log.finish(begun, ACT, DONE)
    assert [row["outcome"] for row in await told(world)] == ["done", "done"]


async def test_a_process_that_stops_leaves_nothing_to_wait_for(world: World) -> None:
    """What it has begun and not ended can be told at once."""
    await world.audit_log.begin(uuid4(), ACT)
    await world.audit_log.close()
    await AuditLog(world.another_pool(), world.clock).renew()
    assert [row["outcome"] for row in await told(world)] == ["unknown"]
    assert await is_whole(world)


async def test_an_act_of_ours_that_we_know_nothing_of_is_told(world: World) -> None:
    """Such as one whose caller went while it was written down."""
    begun = uuid4()
    await world.audit_log.begin(begun, ACT)
    await world.audit_log.begin(known := uuid4(), ACT)
    world.audit_log._under_way.discard(begun)
    await world.audit_log.renew()
    assert await told(world) == []
    await world.fetch("update acts_begun set begun_at = begun_at - interval '2 minutes' returning 1")
    await world.audit_log.renew()
    assert [row["outcome"] for row in await told(world)] == ["unknown"]
    await world.audit_log.finish(known, ACT, DONE)
    assert [row["outcome"] for row in await told(world)] == ["unknown", "done"]
    assert await is_whole(world)


async def test_one_that_cannot_be_told_keeps_no_other_from_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than are looked at in one go are told, and the one that breaks is tried again."""
    monkeypatch.setattr("zlh_api.audit_log.service.SWEEP_ROWS", 3)
    real, broken = store.append, replace(ACT, subject="container 13")
    for number in range(10):
        await world.audit_log.begin(uuid4(), broken if number == 5 else ACT)

    async def append(connection: Any, act: Act, ending: Ending, *, begun: UUID | None = None) -> bool:
        if act.subject == broken.subject:
            raise ZeroDivisionError
        return await real(connection, act, ending, begun=begun)

    monkeypatch.setattr(store, "append", append)
    other = await outlive(world)
    await other.renew()
    await other.renew()
    assert len(await told(world)) == 9
    monkeypatch.setattr(store, "append", real)
    await other.renew()
    assert len(await told(world)) == 10
    assert await is_whole(world)


async def test_holders_that_have_left_nothing_are_forgotten(world: World) -> None:
    """Their number does not grow with every restart."""
    for _ in range(3):
        await AuditLog(world.database, world.clock).renew()
    await world.fetch("update act_holders set until = now() - interval '1 hour' returning 1")
    await world.audit_log.renew()
    assert (await world.fetch("select count(*) from act_holders"))[0][0] == 1


@pytest.mark.parametrize("point", list(dying_api.POINTS))
async def test_an_api_process_that_is_killed_at_any_point_leaves_no_gap(
    world: World, tmp_path: Path, point: str
) -> None:
    """What it did has an entry, or is told as unknown; what has no entry was not done."""
    vmid = await add_container(world)
    async with dying(world, tmp_path, point) as port, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.post(f"http://127.0.0.1:{port}/api/containers/{vmid}/tickets", headers=by("owner-token"))
    await outlive(world)
    rows = await world.fetch("select outcome, subject from audit_entries where act = 'ticket.issue'")
    is_done = bool(await world.fetch("select 1 from tickets"))
    first, *_, last = dying_api.POINTS
    assert is_done == (list(dying_api.POINTS).index(point) >= list(dying_api.POINTS).index("after it is done"))
    expected = [] if point == first else ["done"] if point == last else ["unknown"]
    assert [row["outcome"] for row in rows] == expected
    assert all(row["subject"] == f"container {vmid}" for row in rows)
    assert await is_whole(world)


async def add_container(world: World) -> int:
    """Create a container of the owner's that nobody works on."""
    async with world.client() as client:
        answer = await client.post("/api/containers", json=NODE, headers=by("owner-token"))
        vmid = int((await answer.json())["vmid"])
    await world.fetch("update containers set wake_at = now() + interval '1 year' returning 1")
    return vmid


@asynccontextmanager
async def dying(world: World, folder: Path, point: str) -> AsyncIterator[int]:
    """Run an API process that will be killed at a point; yields its port, and returns once it is dead."""
    port, config = free_port(), folder / "dying.toml"
    config.write_text(render_config(world, folder, port))
    with (folder / "dying.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable, dying_api.__file__, str(config), point, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(30):
            while not await is_listening(port):
                assert child.returncode is None, (folder / "dying.log").read_text()
                await asyncio.sleep(0.05)
        yield port
        async with asyncio.timeout(30):
            assert await child.wait() == -signal.SIGKILL, (folder / "dying.log").read_text()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def is_listening(port: int) -> bool:
    """Tell whether somebody listens."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def render_config(world: World, folder: Path, port: int) -> str:
    """Return the configuration of an API process on the database of the world."""
    nowhere, name = "http://127.0.0.1:9", json.dumps
    return (
        f'listen_port = {port}\nportal_url = "http://portal.localhost:{port}"\n'
        'container_domain = "localhost"\ncontainer_scheme = "http"\n'
        f"keys_dir = {name(str(folder / 'keys'))}\nstate_dir = {name(str(folder / 'state'))}\n"
        f"[database]\ndsn = {name(world.dsn)}\n"
        f"[artifacts]\nurl = {name(nowhere)}\ntrusted_root = {name(str(folder / 'root.json'))}\n"
        f"[process]\nroot = {name(str(folder / 'containers'))}\n"
        f"[traefik]\ndirectory = {name(str(folder / 'routes'))}\napi_url = {name(nowhere)}\nweb_url = {name(nowhere)}\n"
    )


# The database goes


async def test_what_ends_while_the_database_is_away_is_told_when_it_is_back(world: World, postgres: Postgres) -> None:
    """The caller has its answer, and the log has the outcome: nothing is unknown that somebody knows."""
    begun = uuid4()
    await world.audit_log.begin(begun, ACT)
    await asyncio.to_thread(postgres.kill)
    try:
        await world.audit_log.finish(begun, ACT, DONE)
    finally:
        await asyncio.to_thread(postgres.start)
    running = asyncio.create_task(world.audit_log.run())
    async with asyncio.timeout(20):
        while not await settled(world):
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [row["outcome"] for row in await told(world)] == ["done"]
    assert await is_whole(world)


async def settled(world: World) -> bool:
    """Tell whether the database answers and nothing is left to be said."""
    return not world.audit_log._unsaid and bool(await told(world))


async def test_an_answer_that_was_lost_makes_no_second_entry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the transaction came through and nobody heard of it, the next try finds the entry."""
    begun, real = uuid4(), store.append
    await world.audit_log.begin(begun, ACT)

    async def lost(_connection: Any, act: Act, ending: Ending, *, begun: UUID | None = None) -> bool:
        async with world.another_pool().transaction() as other:
            await real(other, act, ending, begun=begun)
        raise ConnectionResetError

    monkeypatch.setattr(store, "append", lost)
    await world.audit_log.finish(begun, ACT, DONE)
    monkeypatch.setattr(store, "append", real)
    await world.audit_log.renew()
    assert [row["outcome"] for row in await told(world)] == ["done"]
    assert world.audit_log._unsaid == {}
    assert world.audit_log._under_way == set()


async def test_who_calls_an_act_off_while_it_is_told_changes_nothing(world: World) -> None:
    """The entry is written to its end."""
    begun = uuid4()
    await world.audit_log.begin(begun, ACT)
    finishing = asyncio.create_task(world.audit_log.finish(begun, ACT, DONE))
    await asyncio.sleep(0)
    finishing.cancel()
    await asyncio.gather(finishing, return_exceptions=True)
    await asyncio.gather(*world.audit_log._saying)
    assert [row["outcome"] for row in await told(world)] == ["done"]


# Who tampers


async def parsed(*arguments: str) -> argparse.Namespace:
    """Return what `zlh-api audit-log` makes of these arguments."""
    return await asyncio.to_thread(_parse, arguments)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return parser.parse_args(["audit-log", *arguments])


async def run(world: World, *arguments: str) -> int:
    """Run `zlh-api audit-log` with these arguments; return its exit code."""
    return await commands.run(await parsed(*arguments), lambda: open_audit_log(world.config()))


TAMPERING = {
    "update audit_entries set email = 'b@example.org' where number = 2": (2, "is not what was written"),
    "update audit_entries set details = '{}' where number = 2": (2, "is not what was written"),
    "update audit_entries set hash = sha256('x') where number = 3": (3, "is not what was written"),
    "delete from audit_entries where number = 1": (1, "is missing"),
    "delete from audit_entries where number = 2": (2, "is missing"),
    "delete from audit_entries where number = 4": (4, "is missing: the chain has 4"),
    "delete from audit_entries": (1, "is missing: the chain has 4"),
    "update audit_entries set number = 10 - number": (1, "is missing"),
    "update audit_entries set number = number + 1 where number = 4": (4, "is missing"),
    f"update audit_entries set chain = '{UUID(int=79)}'": (1, "is missing: the chain has 4"),
}


@pytest.mark.parametrize("sql", list(TAMPERING))
async def test_what_was_changed_in_the_database_is_named(
    world: World, capsys: pytest.CaptureFixture[str], sql: str
) -> None:
    """The first entry that does not fit, and an exit code for programs."""
    for _ in range(4):
        await carry_out(world.audit_log, replace(ACT, details={"name": "mine"}))
    assert await run(world, "verify") == commands.WHOLE
    assert "4 entries are as they were written" in capsys.readouterr().out
    async with world.database.connection() as connection:
        await connection.execute(FREELY.format("audit_entries", sql))
    assert await run(world, "verify") == commands.BROKEN
    number, what = TAMPERING[sql]
    assert f"chain {CUSTOMER}: entry {number} {what}" in capsys.readouterr().out
    assert await run(world, "verify", "--customer", str(CUSTOMER)) == commands.BROKEN
    assert await run(world, "verify", "--customer", "platform") == commands.WHOLE


async def test_a_chain_that_was_cut_or_written_anew_is_found_by_what_was_noted(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Who owns the database can make every chain fit; what `head` has printed is out of reach."""
    for _ in range(3):
        await carry_out(world.audit_log)
    assert await run(world, "head") == commands.WHOLE
    anchors = tmp_path / "anchors"
    anchors.write_text(capsys.readouterr().out)
    await carry_out(world.audit_log)
    assert await run(world, "verify", "--anchor", str(anchors)) == commands.WHOLE
    async with world.database.connection() as connection:
        await connection.execute(FREELY.format("audit_entries", "delete from audit_entries"))
        await connection.execute(FREELY.format("audit_heads", "delete from audit_heads"))
    for _ in range(4):
        await carry_out(world.audit_log, replace(ACT, subject="container 102"))
    assert await run(world, "verify") == commands.WHOLE
    assert await run(world, "verify", "--anchor", str(anchors)) == commands.BROKEN
    assert f"chain {CUSTOMER}: entry 3 is not what it was when" in capsys.readouterr().out


async def test_what_cannot_be_looked_at_is_not_called_whole(world: World, tmp_path: Path) -> None:
    """A database that is away, and anchors that cannot be read."""
    assert await run(world, "verify", "--anchor", str(tmp_path / "none")) == commands.UNKNOWN
    assert await run(world, "verify", "--customer", "nobody") == commands.UNKNOWN
    world.dsn = "postgresql:///nowhere?host=/nowhere"
    assert await run(world, "verify") == commands.UNKNOWN


async def test_verifying_disturbs_nobody_and_is_of_one_moment(world: World) -> None:
    """What is appended meanwhile is neither missing nor too much."""

    async def write() -> None:
        for _ in range(30):
            await carry_out(world.audit_log)

    async def look() -> list[Flaw]:
        found: list[Flaw] = []
        for _ in range(10):
            found += (await AuditLog(world.another_pool(), world.clock).verify())[1]
        return found

    _, flaws = await asyncio.gather(write(), look())
    assert flaws == []


# How long it takes to look


async def fill(world: World, count: int) -> None:
    """Write many entries of many chains, as an old installation has them; their hashes are none."""
    await world.fetch(
        """
        insert into audit_entries (chain, number, at, act, outcome, user_id, email, by_token, subject, status,
                                   details, hash)
        select ('00000000-0000-0000-0000-' || lpad(to_hex(1 + n % 100), 12, '0'))::uuid, 1 + n / 100,
            timestamptz '2026-01-01' + n * interval '1 second', 'container.' || (array['start', 'stop'])[1 + n % 2],
            'done', ('00000000-0000-0000-0001-' || lpad(to_hex(n % 1000), 12, '0'))::uuid, 'a@example.org', true,
            'container ' || n % 500, 202, '{"name": "mine"}', sha256('x')
        from generate_series(0, $1::integer - 1) as n
        """,
        count,
    )
    async with world.database.connection() as connection:
        await connection.execute("analyze audit_entries")


async def test_a_page_is_read_from_an_index_whatever_is_asked_for(world: World) -> None:
    """Out of fifty thousand entries, not a thousand are looked at for fifty."""
    await fill(world, 50_000)
    chain, user, subject = UUID(int=5), UUID("00000000-0000-0000-0001-000000000007"), "container 7"
    (middle,) = await world.fetch("select at, chain, number from audit_entries where number = 250 limit 1")
    asked = [
        Wanted(51, chain=chosen, act=act, user=by_user, subject=about, before=place, before_number=number)
        for chosen in (None, chain)
        for act in (None, "container.start")
        for by_user in (None, user)
        for about in (None, subject)
        for place, number in ((None, None), (tuple(middle), None), (None, 250))
        if number is None or chosen is not None
    ]
    assert len(asked) == 40
    async with world.database.connection() as connection:
        for wanted in asked:
            sql, values = store.render_page(wanted)
            (row,) = await connection.fetch(f"explain (analyze, format json) {sql}", *values)
            nodes = list(walk(json.loads(row[0])[0]["Plan"]))
            assert not [node for node in nodes if node["Node Type"] == "Seq Scan"], (wanted, nodes)
            assert max(map(rows_of, nodes)) <= 1000, (wanted, nodes)


def walk(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every node of a plan."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from walk(below)


def rows_of(node: dict[str, Any]) -> float:
    """Return how many rows a node has looked at."""
    return float(node["Actual Rows"]) + float(node.get("Rows Removed by Filter", 0))
