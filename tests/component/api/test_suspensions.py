"""A customer is held back, and goes on: what their containers do, and who may still do what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from component.api.people_world import OWNER, STRANGER, VIEWER, by
from component.api.test_http import CONTAINERS, Client, problem, status_of
from component.api.test_http import create as create_by_http
from component.api.test_quotas import create, customer_of
from component.api.test_reconciler import CREATION, add, kill, settled
from fakes.api_world import NODE, WAIT_S, World
from zlh_api.containers.model import Container, Power
from zlh_api.customers.refusals import CustomerSuspended
from zlh_common.names import Vmid

OPERATOR = by("operator-token")
IS_OFF = "select bool_and(guest in ('stopped', 'absent') and lease_until is null and wake_at > now()) from containers"
IS_ON = "select bool_and(guest = 'running' and connection = 'online' and lease_until is null) from containers"


async def suspend(client: Client, world: World, reason: str = "The bill is not paid.") -> dict[str, Any]:
    """Suspend the owner's customer as an operator."""
    path = f"/api/customers/{await customer_of(world)}/suspend"
    answer = await client.post(path, json={"reason": reason}, headers=OPERATOR)
    body: dict[str, Any] = await answer.json()
    assert answer.status == 200, body
    return body


async def resume(client: Client, world: World) -> dict[str, Any]:
    """Let the owner's customer go on."""
    answer = await client.post(f"/api/customers/{await customer_of(world)}/resume", headers=OPERATOR)
    body: dict[str, Any] = await answer.json()
    assert answer.status == 200, body
    return body


async def wait_for(client: Client, vmid: int, **wanted: Any) -> None:
    """Return once the report of a container says so."""
    async with asyncio.timeout(WAIT_S):
        while {name: (seen := await status_of(client, vmid))[name] for name in wanted} != wanted:
            await asyncio.sleep(0.01)
    assert seen["vmid"] == vmid


async def test_a_suspended_container_is_off_and_comes_back_as_it_was(world: World, client: Client) -> None:
    """In order, whatever its own power says, which stays written; what was off by its own wish stays off."""
    on, off = (await create_by_http(client))["vmid"], (await create_by_http(client))["vmid"]
    async with world.reconciler():
        for vmid in (on, off):
            await wait_for(client, vmid, ready=True)
        await client.post(f"{CONTAINERS}/{off}/stop", headers=OWNER)
        await wait_for(client, off, lifecycle="stopped")
        told = await suspend(client, world)
        assert (told["suspended"], told["suspendedReason"], told["role"]) == (True, "The bill is not paid.", None)
        seen = await status_of(client, on)
        assert (seen["suspended"], seen["power"], seen["ready"]) == (True, "on", False)
        await wait_for(client, on, lifecycle="stopped", suspended=True, ready=False, power="on")
        assert set(world.driver.stops) == {False}
        assert not any(guest.is_running for guest in world.driver.guests.values())
        told = await resume(client, world)
        assert (told["suspended"], told["suspendedReason"]) == (False, None)
        await wait_for(client, on, ready=True, suspended=False)
        await wait_for(client, off, lifecycle="stopped", suspended=False)
    assert not world.driver.guests[Vmid(off)].is_running


async def test_twice_is_as_good_as_once(world: World, client: Client) -> None:
    """The later reason is shown, the time of the first suspension stays, and nothing more is woken."""
    await create(world)
    await suspend(client, world)
    before = await world.fetch("select suspended_at from customers where suspended_at is not null")
    await world.fetch("update containers set wake_at = 'infinity' returning 1")
    assert (await suspend(client, world, "Abuse."))["suspendedReason"] == "Abuse."
    assert await world.fetch("select suspended_at from customers where suspended_at is not null") == before
    assert await world.fetch("select from containers where wake_at < 'infinity'") == []
    for _ in range(2):
        assert (await resume(client, world))["suspended"] is False


async def test_its_people_may_look_and_nothing_more(world: World, client: Client) -> None:
    """They see what they have and why nothing goes; deleting is the platform's while it is suspended."""
    vmid = (await create(world)).vmid
    one, own = f"{CONTAINERS}/{vmid}", f"/api/customers/{await customer_of(world)}"
    await suspend(client, world)
    for path in (one, f"{one}/status", f"{one}/exposures", f"{own}/usage", f"{one}/events", "/api/me"):
        assert (await client.get(path, headers=OWNER)).status == 200, path
    page = await (await client.get(CONTAINERS, headers=VIEWER)).json()
    assert [each["suspended"] for each in page["items"]] == [True]
    verbs = ("start", "stop", "kill", "restart", "tickets")
    changes: list[tuple[str, str, Any]] = [("POST", f"{one}/{verb}", None) for verb in verbs]
    changes += [("PATCH", one, {"name": "x"}), ("DELETE", one, None)]
    changes += [("POST", f"{one}/exposures", {"port": 80, "visibility": "public"})]
    changes += [("POST", CONTAINERS, NODE), ("POST", CONTAINERS, {**NODE, "customerId": own.rpartition("/")[2]})]
    for method, path, body in changes:
        answer = await client.request(method, path, json=body, headers=OWNER)
        await problem(answer, 403, "customer_suspended")
    named = {**NODE, "customerId": own.rpartition("/")[2]}
    await problem(await client.post(CONTAINERS, json=named, headers=OPERATOR), 403, "customer_suspended")
    assert (await client.delete(one, headers=OPERATOR)).status == 202
    async with world.reconciler():
        await world.wait_forgotten()


async def test_who_has_another_customer_goes_on_with_that(world: World, client: Client) -> None:
    """Without a name the first that goes is meant; a viewer is told of the role that is missing, and not of more."""
    own, other = await customer_of(world), await customer_of(world, "customer 1")
    await world.fetch(
        "insert into memberships select $1, id, 'member' from users where email = 'owner@example.org' returning 1",
        other,
    )
    await suspend(client, world)
    answer = await client.post(CONTAINERS, json=NODE, headers=OWNER)
    assert (answer.status, (await answer.json())["customerId"]) == (202, str(other))
    named = {**NODE, "customerId": str(own)}
    await problem(await client.post(CONTAINERS, json=named, headers=OWNER), 403, "customer_suspended")
    await problem(await client.post(CONTAINERS, json=NODE, headers=VIEWER), 403, "no_customer")
    await problem(await client.post(CONTAINERS, json=named, headers=VIEWER), 404, "not_found")


async def test_suspending_is_for_operators_alone(world: World, client: Client) -> None:
    """Foreign and missing customers look the same; a reason is needed."""
    own = f"/api/customers/{await customer_of(world)}"
    for act in ("suspend", "resume"):
        body = {"reason": "x"}
        await problem(await client.post(f"{own}/{act}", json=body, headers=OWNER), 403, "role_missing")
        await problem(await client.post(f"{own}/{act}", json=body, headers=STRANGER), 404, "not_found")
        missing = "/api/customers/00000000-0000-0000-0000-000000000000"
        await problem(await client.post(f"{missing}/{act}", json=body, headers=OPERATOR), 404, "not_found")
    for wrong in ({}, {"reason": ""}, {"reason": "x" * 501}, {"reason": "a\0b"}, {"reason": 5}, {"why": "x"}):
        await problem(await client.post(f"{own}/suspend", json=wrong, headers=OPERATOR), 400, "invalid_body")
    assert await world.fetch("select from customers where suspended_at is not null") == []


async def test_creates_that_race_with_a_suspension_end_right(world: World) -> None:
    """Each is refused or suspended with the rest, on two processes: none goes on beside it."""
    customer = await customer_of(world)
    for _ in range(5):
        outcomes = await asyncio.gather(
            *(create(world) for _ in range(4)),
            world.suspensions.suspend(customer, "x"),
            *(create(world) for _ in range(4)),
            return_exceptions=True,
        )
        failed = [each for each in outcomes if isinstance(each, BaseException)]
        assert all(isinstance(each, CustomerSuspended) for each in failed), failed
        assert await world.fetch("select from containers where not suspended") == []
        await world.suspensions.resume(customer)
        assert await world.fetch("select from containers where suspended") == []


async def test_whoever_comes_last_decides(world: World) -> None:
    """Suspended and resumed again and again while they are worked on: what was said last becomes true."""
    customer = await customer_of(world)
    for _ in range(2):
        await create(world)
    async with world.reconciler(), world.reconciler(world.another_pool()):
        for _ in range(5):
            await world.suspensions.suspend(customer, "x")
            await asyncio.sleep(0.01)
            await world.suspensions.resume(customer)
            await asyncio.sleep(0.02)
        await world.wait_until(IS_ON)
        await world.suspensions.suspend(customer, "x")
        await world.wait_until(IS_OFF)
        found = await asyncio.gather(*(world.containers.find(Vmid(vmid)) for vmid in (101, 102)))
        await asyncio.gather(*(world.containers.set_power(each, Power.OFF) for each in found))
        await world.suspensions.resume(customer)
        await world.wait_until(IS_OFF)


LAST = len(CREATION)


@pytest.mark.parametrize("reached", range(1, LAST + 1))
async def test_suspended_in_the_middle_of_its_making(world: World, client: Client, reached: int) -> None:
    """Whichever call its worker died at: it goes off, says so, and is made ready once it may go on."""
    await add(world)
    await kill(world, reached)
    await world.fetch("update containers set lease_until = now() - interval '1 second' returning 1")
    await suspend(client, world)
    async with world.reconciler():
        await world.wait_until(IS_OFF)
        assert not any(guest.is_running for guest in world.driver.guests.values())
        seen = await status_of(client, 101)
        assert seen["lifecycle"] == "stopped"
        # What lies ahead of it stays ahead of it.
        states = {step["name"]: step["state"] for step in seen["steps"]}
        assert states["check-ready"] == "pending" or reached == LAST
        await resume(client, world)
        await wait_for(client, 101, ready=True)


async def test_the_audit_takes_what_is_suspended_for_off(world: World) -> None:
    """It is as it should be, and nothing that the patrol wakes anybody for."""
    await settled(world)
    await world.suspensions.suspend(await customer_of(world), "x")
    async with world.reconciler():
        await world.wait_until(IS_OFF)
    assert not (await world.auditor().look()).differences
    world.driver.guests[Vmid(101)].is_running = True
    found = (await world.auditor().look()).differences
    assert ["should be off and runs" in each.finding.message for each in found] == [True]


async def test_its_names_answer_with_an_honest_page(world: World, client: Client) -> None:
    """Its route stays, and leads to a page that says what everybody may know, and not why."""
    await settled(world)
    files = dict(world.routes.files)
    await suspend(client, world, "Secret <reason>.")
    async with world.reconciler():
        await world.wait_until(IS_OFF)
    assert world.routes.files == files
    for path in ("/.zlh/home", "/.zlh/silent"):
        page = await (await client.get(path, headers={"Host": "dev-101.localhost"})).text()
        assert "dev-101 is suspended" in page
        assert "reason" not in page.replace("the reason in the portal", "")
    await resume(client, world)
    page = await (await client.get("/.zlh/silent", headers={"Host": "dev-101.localhost"})).text()
    assert "suspended" not in page


async def test_what_its_agent_tells_is_kept(world: World) -> None:
    """Until it is off, and what it told before stays."""
    await settled(world)
    before: Container = await world.containers.find(Vmid(101))
    await world.suspensions.suspend(await customer_of(world), "x")
    async with world.reconciler():
        await world.wait_until(IS_OFF)
    after = await world.containers.find(Vmid(101))
    assert after.agent == before.agent
    assert after.processes == before.processes


async def test_open_streams_are_told(world: World) -> None:
    """Every process hears that access has changed, so that what is open is looked at again at once."""
    heard: list[str] = []
    listening = asyncio.Event()
    task = asyncio.create_task(world.database.listen({"access_changed": heard.append}, on_connect=listening.set))
    try:
        await asyncio.wait_for(listening.wait(), WAIT_S)
        customer = await customer_of(world)
        for change in (world.suspensions.suspend(customer, "x"), world.suspensions.resume(customer)):
            heard.clear()
            await change
            async with asyncio.timeout(WAIT_S):
                while heard != [f"customer {customer}"]:
                    await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
