"""Two real API processes, of which one is killed or frozen at every one of its effects: the other finishes the work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import pytest

from faults.provisioning.two_apis import FINISHED_S, LEASE_S, TwoApis, open_apis
from zlh_api.containers.model import Power
from zlh_common.names import OwnerMark

if TYPE_CHECKING:
    from component.api.conftest import Postgres

pytestmark = [pytest.mark.real("traefik"), pytest.mark.timeout(600)]
MOST_EFFECTS = 40


class Act:
    """Something that a customer wants, and how one sees that it has come about."""

    def __init__(
        self,
        before: Callable[[TwoApis], Coroutine[Any, Any, OwnerMark]],
        ask: Callable[[TwoApis, OwnerMark], Coroutine[Any, Any, None]],
        wait: Callable[[TwoApis, OwnerMark], Coroutine[Any, Any, None]],
        least_effects: int,
    ) -> None:
        self.before = before
        self.ask = ask
        self.wait = wait
        self.least_effects = least_effects


async def nothing(_apis: TwoApis, _owner: OwnerMark) -> None:
    """Ask for nothing more."""


async def made(apis: TwoApis) -> OwnerMark:
    """Return a container that is ready."""
    owner = await apis.create()
    await apis.wait_ready(owner)
    return owner


async def switched_off(apis: TwoApis) -> OwnerMark:
    """Return a container that was ready and is off."""
    owner = await made(apis)
    await apis.switch(owner, Power.OFF)
    await apis.wait_off(owner)
    return owner


async def suspended(apis: TwoApis) -> OwnerMark:
    """Return a container that was ready, and whose customer is suspended."""
    owner = await made(apis)
    await apis.suspend(owner)
    await apis.wait_off(owner)
    return owner


ACTS = {
    "create": Act(TwoApis.create, nothing, TwoApis.wait_ready, 9),
    "stop": Act(made, lambda apis, owner: apis.switch(owner, Power.OFF), TwoApis.wait_off, 3),
    "start": Act(switched_off, lambda apis, owner: apis.switch(owner, Power.ON), TwoApis.wait_ready, 1),
    "suspend": Act(made, TwoApis.suspend, TwoApis.wait_off, 3),
    "resume": Act(suspended, TwoApis.resume, TwoApis.wait_ready, 1),
    "resize": Act(made, TwoApis.resize, TwoApis.wait_ready, 0),
    "delete": Act(made, TwoApis.delete, TwoApis.wait_gone, 4),
}


@pytest.mark.parametrize("name", ACTS)
async def test_a_process_killed_after_any_effect_is_followed_by_another_that_finishes(
    postgres: Postgres, name: str
) -> None:
    """kill -9 after the first effect, then after the second, and so on, until one try sees no more."""
    act = ACTS[name]
    async with open_apis(postgres) as apis:
        for number in range(1, MOST_EFFECTS):
            if await goes_without_kill(apis, act, number):
                assert number > act.least_effects
                return
        pytest.fail("it has no end")


async def goes_without_kill(apis: TwoApis, act: Act, number: int) -> bool:
    """Let the act be carried out with a kill at one effect; tell whether there were fewer effects than that."""
    victim, other = apis.apis[number % 2], apis.apis[(number + 1) % 2]
    owner = await act.before(apis) if act.before is not TwoApis.create else None
    other.freeze()
    # What the other holds it holds no more by the time that the first begins.
    await apis.wait_until("select count(*) = 0 from containers where lease_until is not null")
    await victim.order(f"kill {number}")
    owner = await apis.create() if owner is None else owner
    await act.ask(apis, owner)
    waiting = asyncio.create_task(act.wait(apis, owner))
    while victim.is_running and not waiting.done():
        await asyncio.sleep(0.01)
    was_killed = not victim.is_running
    other.thaw()
    await waiting
    await asyncio.to_thread(victim.orders.unlink, missing_ok=True)
    if was_killed:
        await victim.start()
    if act.wait is not TwoApis.wait_gone:
        await apis.delete(owner)
        await apis.wait_gone(owner)
    assert await asyncio.to_thread(apis.traces, owner) == []
    return not was_killed


async def test_a_frozen_process_that_wakes_after_its_lease_brings_nothing_back(postgres: Postgres) -> None:
    """It stands still before each of its effects in turn, while the other finishes and the customer deletes."""
    async with open_apis(postgres) as apis:
        for number in range(1, MOST_EFFECTS):
            for api in apis.apis:
                await api.order(f"freeze {number}")
            owner = await apis.create()
            frozen = await frozen_or_ready(apis, owner)
            for api in apis.apis:
                await asyncio.to_thread(api.orders.unlink, missing_ok=True)
            await apis.delete(owner)
            await apis.wait_gone(owner)
            if not frozen:
                assert number > 9
                return
            for api in apis.apis:
                api.thaw()
            await asyncio.sleep(LEASE_S / 2)
            assert await asyncio.to_thread(apis.traces, owner) == []
            assert all(api.is_running for api in apis.apis)


async def frozen_or_ready(apis: TwoApis, owner: OwnerMark) -> bool:
    """Return once one of the processes stands still for longer than its lease, or the container is ready."""
    ready = asyncio.create_task(apis.wait_ready(owner))
    async with asyncio.timeout(FINISHED_S):
        while not ready.done() and not any(api.is_frozen for api in apis.apis):
            await asyncio.sleep(0.01)
    # Each process has orders of its own, so the second may stand still later than the first.
    is_frozen = any(api.is_frozen for api in apis.apis)
    for api in apis.apis:
        await asyncio.to_thread(api.orders.unlink, missing_ok=True)
    ready.cancel()
    await asyncio.gather(ready, return_exceptions=True)
    return is_frozen
