"""The pool when the server goes and comes back, and the schema on its way up."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import asyncpg
import pytest

from fakes.api_world import NODE, WAIT_S, World
from zlh_api.database import pool
from zlh_api.database.migrate import SchemaTooNew, migrate, migrations
from zlh_api.database.pool import Database, DatabaseUnavailable

if TYPE_CHECKING:
    from component.api.conftest import Postgres

TOKEN = {"Authorization": "Bearer owner-token"}


async def answers(database: Database) -> bool:
    """Tell whether a query works."""
    try:
        async with database.connection() as connection:
            return bool(await connection.fetchval("select true"))
    except DatabaseUnavailable:
        return False


async def wait_answers(database: Database) -> None:
    """Return once a query works."""
    async with asyncio.timeout(WAIT_S):
        while not await answers(database):
            await asyncio.sleep(0.02)


async def test_a_server_that_stops_is_one_error_and_comes_back_by_itself(
    database: Database, postgres: Postgres
) -> None:
    """Every way of being away has one name, and the pool outlives the restart."""
    assert await answers(database)
    await asyncio.to_thread(postgres.stop)
    try:
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable):
                async with database.transaction() as connection:
                    await connection.execute("select 1")
    finally:
        await asyncio.to_thread(postgres.start)
    await wait_answers(database)


async def test_a_connection_that_is_cut_in_a_query_is_the_same_error(database: Database, dsn: str) -> None:
    """A query that was under way fails by the same name, and the next one gets another connection."""
    other = await asyncpg.connect(dsn)

    async def sleep() -> None:
        async with database.connection() as connection:
            await connection.execute("select pg_sleep(30)")

    async with asyncio.timeout(WAIT_S):
        query = asyncio.create_task(sleep())
        cut = "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(30)' and pid <> $1"
        while not await other.fetch(cut, other.get_server_pid()):
            await asyncio.sleep(0.02)
        with pytest.raises(DatabaseUnavailable):
            await query
    await other.close()
    assert await answers(database)


async def test_a_server_that_is_killed_is_one_error_whatever_was_under_way(dsn: str, postgres: Postgres) -> None:
    """Between any two messages of a transaction: never an exception of another name."""
    database = Database(dsn)
    seen: set[str] = set()
    stop = asyncio.Event()

    async def ask() -> None:
        while not stop.is_set():
            try:
                async with database.transaction() as connection:
                    await connection.fetchval("select count(*) from containers")
                seen.add("answered")
            except DatabaseUnavailable:
                seen.add("away")
            await asyncio.sleep(0.002)

    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as callers:
        for _ in range(8):
            callers.create_task(ask())
        for _ in range(3):
            await asyncio.sleep(0.1)
            await asyncio.to_thread(postgres.kill)
            await asyncio.to_thread(postgres.start)
        await wait_answers(database)
        stop.set()
    await database.close()
    assert seen == {"answered", "away"}


async def test_a_pool_may_be_made_before_the_server_is_there(dsn: str, postgres: Postgres) -> None:
    """The order in which programs start does not matter."""
    await asyncio.to_thread(postgres.stop)
    early = Database(dsn)
    try:
        assert not await answers(early)
    finally:
        await asyncio.to_thread(postgres.start)
    await wait_answers(early)
    await early.close()


async def test_the_api_answers_503_without_its_database_and_goes_on_after(world: World, postgres: Postgres) -> None:
    """Callers are told to try again, the reconciler waits, and work goes on where it was."""
    async with world.client() as client, world.reconciler() as task:
        await asyncio.to_thread(postgres.stop)
        try:
            answer = await client.get("/api/me", headers=TOKEN)
            assert (answer.status, (await answer.json())["code"]) == (503, "database_unavailable")
            assert answer.headers["Retry-After"]
            await asyncio.sleep(0.3)
            assert not task.done()
        finally:
            await asyncio.to_thread(postgres.start)
        await wait_answers(world.database)
        made = await client.post("/api/containers", json=NODE, headers=TOKEN)
        assert made.status == 202
        await world.wait_until("select provisioned_at is not null from containers")


async def test_a_listener_hears_again_after_a_restart(database: Database, postgres: Postgres) -> None:
    """Whoever listens is told of each connection, since what was said meanwhile is lost."""
    connected, heard = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(database.listen({"news": lambda _text: heard.set()}, on_connect=connected.set))
    try:
        async with asyncio.timeout(WAIT_S):
            await connected.wait()
            connected.clear()
            await asyncio.to_thread(postgres.stop)
            await asyncio.to_thread(postgres.start)
            await connected.wait()
            await wait_answers(database)
            async with database.connection() as connection:
                await connection.execute("notify news, 'x'")
            await heard.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_listener_whose_server_says_nothing_any_more_dials_anew(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is dead without having been closed would bring no news, and nobody would know."""
    monkeypatch.setattr(pool, "LISTEN_PROOF_S", 0.2)
    connected, heard = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(database.listen({"news": lambda _text: heard.set()}, on_connect=connected.set))
    frozen: int | None = None
    try:
        async with asyncio.timeout(WAIT_S):
            await connected.wait()
            connected.clear()
            async with database.connection() as connection:
                frozen = await connection.fetchval("select pid from pg_stat_activity where query like 'LISTEN %'")
                assert frozen is not None
                os.kill(frozen, signal.SIGSTOP)
                await connected.wait()
                await connection.execute("notify news, 'x'")
            await heard.wait()
    finally:
        if frozen is not None:
            os.kill(frozen, signal.SIGCONT)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    """What a block wrote before its exception is not there."""

    async def write_and_fail() -> None:
        async with database.transaction() as connection:
            await connection.execute("create table t ()")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write_and_fail()
    async with database.connection() as connection:
        assert await connection.fetchval("select to_regclass('t')") is None


async def test_migrations_are_applied_once(postgres: Postgres) -> None:
    """Programs that start together migrate one after the other, and the second finds it done."""
    await postgres.execute("create database fresh")
    try:
        connections = [await asyncpg.connect(postgres.dsn("fresh")) for _ in range(3)]
        done = await asyncio.gather(*(migrate(connection) for connection in connections))
        numbers = [number for number, _ in await asyncio.to_thread(migrations)]
        assert sorted(done) == [[], [], numbers]
        await connections[0].execute("insert into schema_versions values (999)")
        with pytest.raises(SchemaTooNew, match="999"):
            await migrate(connections[0])
        for connection in connections:
            await connection.close()
    finally:
        await postgres.execute("drop database fresh with (force)")
