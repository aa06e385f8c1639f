"""PostgreSQL is killed and comes back in the middle of every step: nothing is lost, and work goes on within seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from component.api.test_reconciler import CREATION, DELETION, add, ask_deletion, end_state, nothing_left
from fakes.api_world import World
from zlh_api.database.pool import DatabaseUnavailable
from zlh_api.reconcile import store
from zlh_api.reconcile.pace import LEASE_S

if TYPE_CHECKING:
    from component.api.conftest import Postgres

# Well below a lease: nobody has to wait for one to run out.
GOES_ON_S = LEASE_S * 0.8


class Restarts:
    """Kills the server behind the n-th call to the outside, and starts it again; notes when it was back."""

    def __init__(self, world: World, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self._postgres = postgres
        self._at = at
        self._call = world.faults.call
        self.back_at = 0.0
        self.has_begun = asyncio.Event()
        monkeypatch.setattr(world.faults, "call", self.call)

    @asynccontextmanager
    async def call(self, name: str) -> AsyncIterator[None]:
        """Surround a call."""
        async with self._call(name):
            yield
        self._at -= 1
        if self._at == 0:
            await self.kill()

    async def kill(self) -> None:
        """Let the server end without a word; it comes back a moment later, when all have noticed."""
        await asyncio.to_thread(self._postgres.kill)
        self._return = asyncio.create_task(self._come_back())
        self.has_begun.set()

    async def wait_back(self) -> None:
        """Return once it answers again; raise what has kept it from that."""
        await self.has_begun.wait()
        await self._return

    async def _come_back(self) -> None:
        await asyncio.sleep(0.5)
        await asyncio.to_thread(self._postgres.start)
        self.back_at = time.monotonic()


async def wait_for(world: World, sql: str) -> None:
    """Return once a query yields true, however often the server is away meanwhile."""
    async with asyncio.timeout(40):
        while True:
            try:
                rows = await world.fetch(sql)
            except DatabaseUnavailable:
                rows = []
            if rows and rows[0][0]:
                return
            await asyncio.sleep(0.02)


SETTLED = "select lease_until is null and provisioned_at is not null and wake_at > now() from containers"
FORGOTTEN = "select count(*) = 0 from containers"


@pytest.mark.parametrize("number", range(1, len(CREATION) + 1))
async def test_a_restart_in_any_step_of_creation_costs_seconds(
    world: World, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The effect was there, and nobody could write it down."""
    await add(world)
    restarts = Restarts(world, postgres, monkeypatch, number)
    async with world.reconciler() as task:
        await restarts.wait_back()
        await wait_for(world, SETTLED)
        assert not task.done()
    assert time.monotonic() - restarts.back_at < GOES_ON_S
    state = await end_state(world)
    assert (state["guest"], state["connection"], state["routed"], state["attempts"]) == ("running", "online", True, 0)
    assert len(world.driver.guests) == 1


@pytest.mark.parametrize("number", range(1, len(DELETION) + 1))
async def test_a_restart_in_any_step_of_deletion_costs_seconds(
    world: World, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """No step of the order is left out."""
    owner = await add(world)
    async with world.reconciler():
        await wait_for(world, SETTLED)
    world.faults.calls.clear()
    await ask_deletion(world, owner)
    restarts = Restarts(world, postgres, monkeypatch, number)
    async with world.reconciler() as task:
        await restarts.wait_back()
        await wait_for(world, FORGOTTEN)
        assert not task.done()
    assert time.monotonic() - restarts.back_at < GOES_ON_S
    assert await nothing_left(world)
    assert list(dict.fromkeys(world.faults.calls)) == DELETION


@pytest.mark.parametrize("name", ["release", "renew", "find_due", "claim"])
async def test_a_restart_while_a_claim_is_taken_kept_or_given_back_costs_seconds(
    world: World, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Right before the statement, on a connection that was good a moment ago."""
    await add(world)
    restarts, asked = Restarts(world, postgres, monkeypatch, 10**6), getattr(store, name)
    has_been_killed: list[bool] = []
    if name == "renew":
        world.faults.delay_s = 1.0

    async def ask(*args: object, **kwargs: object) -> object:
        if not has_been_killed:
            has_been_killed.append(True)
            await restarts.kill()
        return await asked(*args, **kwargs)

    monkeypatch.setattr(store, name, ask)
    async with world.reconciler() as task:
        await restarts.wait_back()
        await wait_for(world, SETTLED)
        assert not task.done()
    assert len(world.driver.guests) == 1
    assert world.faults.calls.count("ensure_created") == 1
    assert (await end_state(world))["attempts"] == 0
