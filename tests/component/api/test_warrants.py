"""The right to act: it ends with the lease by the worker's own clock, and with the step, in every thread."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from component.api.test_claims import add, claim
from fakes.api_world import World
from zlh_api.containers.model import Guest
from zlh_api.database.pool import DatabaseUnavailable
from zlh_api.drivers.port import GuestPlan, SlotBusy, Warrant
from zlh_api.edge.local_directory import LocalRouteDirectory
from zlh_api.edge.model import ProxySetting, RouteFile, RouteWish
from zlh_api.edge.traefik_file import render_route_file
from zlh_api.reconcile import store, warrant
from zlh_api.reconcile.model import LeaseLost
from zlh_api.reconcile.pace import Pace
from zlh_api.reconcile.warrant import ClaimWarrant, StepWarrant, boottime
from zlh_common.names import HostName, OwnerMark, Vmid

PACE = Pace(lease_s=10, margin_s=1)


async def claimed(world: World) -> ClaimWarrant:
    """Return the warrant of a fresh claim."""
    await add(world)
    asked_at = boottime()
    (held,) = await claim(world.database)
    return ClaimWarrant(world.database, held, asked_at=asked_at, pace=PACE)


async def test_a_warrant_ends_before_its_lease(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on while the process is frozen, counted from before the claim was asked for."""
    began = boottime()
    held = await claimed(world)
    held.check()
    monkeypatch.setattr(warrant, "boottime", lambda: began + 10.0 - 1.0 + 0.5)
    with pytest.raises(LeaseLost):
        held.check()
    await held.renew()
    held.check()


async def test_a_warrant_whose_claim_was_taken_over_is_not_renewed(world: World) -> None:
    """However well the clock of its holder thinks of it."""
    held = await claimed(world)
    await world.fetch("update containers set lease_until = now() - interval '1 second' returning 1")
    await claim(world.database)
    with pytest.raises(LeaseLost):
        await held.renew()


async def test_a_database_that_is_away_costs_no_warrant_before_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else can have the container while the lease lasts, so its holder goes on; afterwards he stops."""
    held, tries = await claimed(world), list[int]()
    held._pace = Pace(lease_s=0.3, margin_s=0.05)
    held._good_until = boottime() + 0.25

    async def fail(*_args: object, **_kwargs: object) -> None:
        tries.append(1)
        raise DatabaseUnavailable

    monkeypatch.setattr(store, "renew", fail)
    async with asyncio.timeout(5):
        with pytest.raises(LeaseLost):
            await held.renew_for_ever()
    assert len(tries) >= 2


async def test_a_step_that_is_over_allows_nothing(world: World) -> None:
    """Neither an effect nor a note nor a slot."""
    held = await claimed(world)
    with StepWarrant(world.database, held) as step:
        step.check()
        await step.note("node", "a")
    with pytest.raises(LeaseLost):
        step.check()
    with pytest.raises(LeaseLost):
        await step.note("node", "b")
    with pytest.raises(LeaseLost):
        async with step.slot("node:a"):
            pytest.fail("it was lent")
    assert (await world.fetch("select driver_notes->>'node' as node from containers"))[0]["node"] == "a"


async def test_who_waits_for_a_slot_is_written_down(world: World) -> None:
    """The refusal does not take back what it has written."""
    await add(world, 2)
    first, second = await claim(world.database)
    holder, waiting = (
        StepWarrant(world.database, ClaimWarrant(world.database, each, asked_at=boottime(), pace=PACE))
        for each in (first, second)
    )
    async with holder.slot("node:a"):
        with pytest.raises(SlotBusy):
            async with waiting.slot("node:a"):
                pytest.fail("it was lent twice")
        assert len(await world.fetch("select 1 from containers where waiting_for = 'node:a'")) == 1
    async with waiting.slot("node:a"):
        assert await world.fetch("select 1 from containers where waiting_for is not null") == []
    assert await world.fetch("select 1 from driver_slots") == []


async def test_a_thread_of_a_step_that_was_given_up_does_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can cancel it; its next question ends it."""
    go_on, ended = threading.Event(), threading.Event()
    late: list[str] = []

    def act(warrant: Warrant) -> None:
        go_on.wait(10)
        try:
            warrant.check()
            late.append("acted")
        except LeaseLost:
            late.append("refused")
        finally:
            ended.set()

    async def ensure_created(_plan: GuestPlan, warrant: Warrant) -> None:
        await asyncio.to_thread(act, warrant)

    monkeypatch.setattr(world.driver, "ensure_created", ensure_created)
    await add(world)
    async with world.reconciler(pace=Pace(slow_steps_s={}, step_s=0.2, first_retry_s=30)):
        await world.wait_until("select code = 'step_timed_out' from steps where name = 'create-guest'")
        go_on.set()
        await asyncio.to_thread(ended.wait, 10)
    assert late == ["refused"]
    assert (await world.fetch("select guest from containers"))[0]["guest"] == Guest.ABSENT


def route(folder: Path) -> RouteFile:
    """Return the file of one container."""
    wish = RouteWish(OwnerMark(str(uuid4())), HostName("dev", Vmid(101)), "127.0.0.1", ())
    return render_route_file(wish, ProxySetting("localhost", "web", "http://127.0.0.1:1"))


def refuse() -> None:
    """Say that another has taken over."""
    raise LeaseLost(Vmid(101))


async def test_a_route_is_neither_written_nor_taken_away_late(tmp_path: Path) -> None:
    """The question stands directly before the effect."""
    directory, file = LocalRouteDirectory(tmp_path), route(tmp_path)
    with pytest.raises(LeaseLost):
        await directory.publish(file, check=refuse)
    assert await directory.fetch(file.name) is None
    await directory.publish(file)
    owner = file.text.partition("owner: ")[2].split()[0]
    with pytest.raises(LeaseLost):
        await directory.withdraw(file.name, owner, check=refuse)
    assert await directory.fetch(file.name) == file.text
    await directory.withdraw(file.name, owner)
    assert await directory.fetch(file.name) is None
