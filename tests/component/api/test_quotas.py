"""Quotas on a real database: held by whoever adds something, however many do so at once and through which process."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from component.api.people_world import OWNER, STRANGER, VIEWER, by
from component.api.test_http import CONTAINERS, Client, problem
from fakes.api_world import LIMITS, NODE, PASSWORD, World
from fakes.wishes import want_deletion
from zlh_api.containers.service import ContainerService, Hosting
from zlh_api.customers.invitations import Accepted
from zlh_api.customers.model import Client as Browser
from zlh_api.database.pool import Database
from zlh_api.exposures.service import ExposureService
from zlh_api.quotas.rules import QuotaExceeded, Usage
from zlh_api.quotas.service import QuotaService
from zlh_api.quotas.store import usage_of
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.customers import Quota
from zlh_common.schema.permissions import Role
from zlh_common.schema.resources import ResourceWish
from zlh_common.schema.spec import CreateContainer, CreateExposure, PatchContainer
from zlh_common.schema.status import ContainerStatus

OPERATOR = by("operator-token")
WISH = CreateContainer(kind="dev", runtime="node", version="24")


async def customer_of(world: World, name: str = "customer 0") -> UUID:
    """Return the id of a customer."""
    found: UUID = (await world.fetch("select id from customers where name = $1", name))[0][0]
    return found


async def set_quota(world: World, quota: Quota) -> UUID:
    """Let the owner's customer have so much."""
    customer = await customer_of(world)
    await world.quotas.set_quota(customer, quota)
    return customer


async def use_of(world: World, customer: UUID) -> Usage:
    """Return what a customer has."""
    async with world.database.connection() as connection:
        return await usage_of(connection, customer)


def another_service(world: World, database: Database) -> ContainerService:
    """Return the service of another API process."""
    hosting = Hosting("localhost", "http", 80)
    return ContainerService(
        database,
        world.catalog,
        hosting,
        limits=LIMITS,
        customers=world.accounts.customers,
        quotas=QuotaService(database, Quota()),
    )


async def create(world: World, **fields: Any) -> ContainerStatus:
    """Create a container as the owner."""
    caller = await world.accounts.callers.identify(bearer="owner-token", cookie=None)
    wish = msgspec.structs.replace(WISH, **fields)
    return await world.containers.create(caller.memberships[0].customer_id, wish)


def count_kinds(outcomes: list[Any]) -> Counter[type]:
    """Return how many outcomes there were of each type."""
    return Counter(type(outcome) for outcome in outcomes)


async def test_fifty_at_once_against_a_quota_of_three(world: World) -> None:
    """On two API processes: three get one, the others are told the figures, and nothing half-made is left."""
    customer = await set_quota(world, Quota(containers=3))
    services = [world.containers, another_service(world, world.another_pool())]
    outcomes = await asyncio.gather(
        *(services[number % 2].create(customer, WISH) for number in range(50)),
        return_exceptions=True,
    )
    assert count_kinds(outcomes) == {ContainerStatus: 3, QuotaExceeded: 47}
    assert (await use_of(world, customer)).containers == 3
    refused = next(outcome for outcome in outcomes if isinstance(outcome, QuotaExceeded))
    assert refused.data == {"quota": "containers", "limit": 3, "used": 3, "wanted": 1}


@pytest.mark.parametrize(
    "quota",
    [Quota(cpu=6.0), Quota(memory_mib=3 * 2048 + 1), Quota(disk_mib=3 * 10_240)],
    ids=["cpu", "memory", "disk"],
)
async def test_every_kind_is_held_under_a_crowd(world: World, quota: Quota) -> None:
    """Each new container takes two cores, 2 GiB and 10 GiB."""
    await set_quota(world, quota)
    outcomes = await asyncio.gather(*(create(world) for _ in range(12)), return_exceptions=True)
    assert count_kinds(outcomes) == {ContainerStatus: 3, QuotaExceeded: 9}


async def test_resizes_and_creates_that_cross(world: World) -> None:
    """Whoever comes first has the room; what is written is never above the quota, and nobody waits for another."""
    made = [await create(world) for _ in range(3)]
    customer = await set_quota(world, Quota(cpu=9.0, memory_mib=8 * 1024))
    services = [world.containers, another_service(world, world.another_pool())]
    publishers = [ExposureService(world.database, each, world.quotas, world.hosting) for each in services]

    async def resize(number: int) -> ContainerStatus:
        container = await world.containers.find(Vmid(made[number % 3].vmid))
        wish = PatchContainer(resources=ResourceWish(cpu=4.0 if number % 2 else 1.0))
        return await services[number % 2].patch(container, wish)

    async def publish(number: int) -> object:
        container = await world.containers.find(Vmid(made[number % 3].vmid))
        return await publishers[number % 2].publish(container, CreateExposure(port=8000, visibility="public"))

    calls = [call for number in range(8) for call in (resize(number), create(world), publish(number))]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert not [each for each in outcomes if isinstance(each, BaseException) and not isinstance(each, QuotaExceeded)]
    used = await use_of(world, customer)
    assert used.cpu <= 9.0
    assert used.memory_mib <= 8 * 1024
    assert QuotaExceeded in count_kinds(outcomes)


async def test_two_resizes_at_once_share_what_is_left(world: World) -> None:
    """Each would fit alone."""
    made = [await create(world) for _ in range(2)]
    await set_quota(world, Quota(cpu=6.0))
    found = [await world.containers.find(Vmid(each.vmid)) for each in made]
    wish = PatchContainer(resources=ResourceWish(cpu=4.0))
    outcomes = await asyncio.gather(*(world.containers.patch(each, wish) for each in found), return_exceptions=True)
    assert count_kinds(outcomes) == {ContainerStatus: 1, QuotaExceeded: 1}


async def test_what_shrinks_is_never_refused(world: World) -> None:
    """Above the quota too; what grows beside it is still held to its own."""
    made = await create(world, resources=ResourceWish(cpu=4.0, memory_mib=4096))
    await set_quota(world, Quota(cpu=1.0, memory_mib=4096, disk_mib=1))
    container = await world.containers.find(Vmid(made.vmid))
    told = await world.containers.patch(container, PatchContainer(resources=ResourceWish(cpu=3.0)))
    assert told.resources.cpu == 3.0
    same = ResourceWish(cpu=3.0, memory_mib=4096, disk_mib=10_240)
    await world.containers.patch(container, PatchContainer(resources=same, name="other"))
    more = ResourceWish(cpu=2.0, disk_mib=20_480)
    with pytest.raises(QuotaExceeded):
        await world.containers.patch(container, PatchContainer(resources=more, name="never"))
    assert (await world.containers.find(Vmid(made.vmid))).name == "other"


async def test_a_quota_below_what_is_used_touches_nothing(world: World) -> None:
    """What exists stays and is changed as ever; what would be more is refused."""
    made = [await create(world) for _ in range(2)]
    await set_quota(world, Quota(containers=0, exposures=0, cpu=0.0))
    assert len(await world.fetch("select from containers where power = 'on' and deleting_at is null")) == 2
    container = await world.containers.find(Vmid(made[0].vmid))
    await world.containers.patch(container, PatchContainer(name="renamed", power="off"))
    with pytest.raises(QuotaExceeded):
        await create(world)
    with pytest.raises(QuotaExceeded):
        await world.exposures.publish(container, CreateExposure(port=80, visibility="public"))


async def test_a_container_counts_until_its_row_is_gone(world: World) -> None:
    """Its deletion may take a while, and the refusal says so."""
    await set_quota(world, Quota(containers=1))
    await create(world)
    (row,) = await world.fetch("select owner from containers")
    async with world.database.transaction() as connection:
        await want_deletion(connection, OwnerMark(str(row["owner"])))
    with pytest.raises(QuotaExceeded) as caught:
        await create(world)
    assert "1 of the customer's containers are being deleted" in caught.value.detail
    async with world.reconciler():
        await world.wait_forgotten()
    await create(world)


async def test_ports_are_counted_once_and_as_long_as_they_are_open(world: World) -> None:
    """Publishing one again is nothing more; one whose time is over makes room, and needs room to come back."""
    made = await create(world)
    customer = await set_quota(world, Quota(exposures=2))
    container = await world.containers.find(Vmid(made.vmid))

    async def publish(port: int) -> None:
        await world.exposures.publish(container, CreateExposure(port=port, visibility="public"))

    outcomes = await asyncio.gather(*(publish(port) for port in range(8000, 8006)), return_exceptions=True)
    assert count_kinds(outcomes) == {type(None): 2, QuotaExceeded: 4}
    first, second = [row["port"] for row in await world.fetch("select port from exposures order by created_at")]
    await publish(first)
    await world.fetch("update exposures set expires_at = now() where port = $1 returning 1", first)
    assert (await use_of(world, customer)).exposures == 1
    await publish(9000)
    with pytest.raises(QuotaExceeded):
        await publish(first)
    await publish(second)


async def test_members_are_counted_when_they_join(world: World) -> None:
    """Invitations are not; of three that are accepted at once two find no room, and theirs hold until there is some."""
    customer = await set_quota(world, Quota(members=3))
    caller = await world.accounts.callers.identify(bearer="owner-token", cookie=None)
    codes = [
        (
            await world.accounts.invitations.invite(
                caller, customer, email=f"new{number}@example.org", role=Role.MEMBER, expires_in=timedelta(hours=1)
            )
        )[1].value
        for number in range(3)
    ]
    browser = Browser("127.0.0.1", None)
    processes = [world.accounts, world.another_accounts()]

    async def accept(number: int) -> Accepted:
        invitations = processes[number % 2].invitations
        return await invitations.accept(codes[number], caller=None, password=PASSWORD, client=browser)

    outcomes = await asyncio.gather(*(accept(number) for number in range(3)), return_exceptions=True)
    assert count_kinds(outcomes) == {Accepted: 1, QuotaExceeded: 2}
    assert (await use_of(world, customer)).members == 3
    assert len(await world.fetch("select from users where email like 'new%'")) == 1
    await set_quota(world, Quota(members=5))
    late = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, QuotaExceeded)]
    await asyncio.gather(*(accept(number) for number in late))
    assert (await use_of(world, customer)).members == 5


async def test_a_replay_counts_once(world: World, client: Client) -> None:
    """The same key at the same time and later is the same container, also when the quota is full by now."""
    await set_quota(world, Quota(containers=1))
    headers = {**OWNER, "Idempotency-Key": "k"}
    answers = await asyncio.gather(*(client.post(CONTAINERS, json=NODE, headers=headers) for _ in range(8)))
    assert {(answer.status, (await answer.json())["vmid"]) for answer in answers} == {(202, 101)}
    body = await problem(await client.post(CONTAINERS, json=NODE, headers=OWNER), 409, "quota_exceeded")
    assert (body["quota"], body["limit"], body["used"], body["wanted"]) == ("containers", 1, 1, 1)


async def test_the_platforms_default_holds_for_who_has_none(world: World, client: Client) -> None:
    """An operator's figure takes its place, and null gives it back."""
    world.quotas._default = Quota(containers=1, cpu=8.0)
    own = f"/api/customers/{await customer_of(world)}"

    async def told(body: Any) -> dict[str, tuple[float, float | None, bool]]:
        items = (await body.json())["items"]
        return {each["name"]: (each["used"], each["quota"], each["isOwn"]) for each in items}

    await create(world)
    await problem(await client.post(CONTAINERS, json=NODE, headers=OWNER), 409, "quota_exceeded")
    seen = await told(await client.get(f"{own}/usage", headers=VIEWER))
    assert seen == {
        "containers": (1, 1, False),
        "cpu": (2.0, 8.0, False),
        "memoryMib": (2048, None, False),
        "diskMib": (10_240, None, False),
        "exposures": (0, None, False),
        "members": (2, None, False),
    }
    changed = await client.put(f"{own}/quota", json={"containers": 2}, headers=OPERATOR)
    assert (await told(changed))["containers"] == (1, 2, True)
    assert (await client.post(CONTAINERS, json=NODE, headers=OWNER)).status == 202
    changed = await client.put(f"{own}/quota", json={"containers": None}, headers=OPERATOR)
    assert (await told(changed))["containers"] == (2, 1, False)


@pytest.mark.parametrize(
    "body",
    [{"containers": -1}, {"containers": 1.5}, {"cpu": "2"}, {"memoryMib": 2**31}, {"pods": 1}, {"members": True}, []],
)
async def test_a_quota_that_cannot_be_one_is_refused(world: World, client: Client, body: Any) -> None:
    """And changes nothing."""
    path = f"/api/customers/{await customer_of(world)}/quota"
    await problem(await client.put(path, json=body, headers=OPERATOR), 400, "invalid_body")
    assert await world.fetch("select from customers where quota <> '{}'") == []


async def test_quotas_are_set_by_operators_alone(world: World, client: Client) -> None:
    """Its people see them; for strangers there is no such customer."""
    own = f"/api/customers/{await customer_of(world)}"
    await problem(await client.put(f"{own}/quota", json={}, headers=OWNER), 403, "role_missing")
    await problem(await client.put(f"{own}/quota", json={}, headers=STRANGER), 404, "not_found")
    await problem(await client.get(f"{own}/usage", headers=STRANGER), 404, "not_found")


async def test_a_container_is_made_for_the_customer_that_is_named(world: World, client: Client) -> None:
    """By who may act for them; anybody else's is like one that there is none of."""
    own, other = await customer_of(world), await customer_of(world, "customer 1")
    nobody = "00000000-0000-0000-0000-000000000000"

    async def ask(customer: UUID | str, who: dict[str, str]) -> Any:
        return await client.post(CONTAINERS, json={**NODE, "customerId": str(customer)}, headers=who)

    assert (await (await ask(own, OWNER)).json())["customerId"] == str(own)
    assert (await (await ask(other, OPERATOR)).json())["customerId"] == str(other)
    refusals = []
    for customer, who in ((other, OWNER), (nobody, OWNER), (own, VIEWER), (nobody, VIEWER), (nobody, OPERATOR)):
        body = await problem(await ask(customer, who), 404, "not_found")
        refusals.append({**body, "requestId": None})
    assert all(body == refusals[0] for body in refusals)
    for wrong in ("x", "", str(own).upper(), f"{own}\n", f"{{{own}}}"):
        await problem(await ask(wrong, OWNER), 400, "invalid_body")
    await problem(await client.post(CONTAINERS, json=NODE, headers=OPERATOR), 403, "no_customer")


async def test_a_key_stands_for_one_customer(world: World, client: Client) -> None:
    """The same body for another customer is another request; what was made for one that is left is not shown again."""
    own, other = await customer_of(world), await customer_of(world, "customer 1")
    headers = {**OPERATOR, "Idempotency-Key": "k"}
    named = {**NODE, "customerId": str(own)}
    assert (await client.post(CONTAINERS, json=named, headers=headers)).status == 202
    assert (await client.post(CONTAINERS, json=named, headers=headers)).status == 202
    elsewhere = {**NODE, "customerId": str(other)}
    await problem(await client.post(CONTAINERS, json=elsewhere, headers=headers), 422, "idempotency_key_reused")
    headers = {**OWNER, "Idempotency-Key": "k"}
    assert (await client.post(CONTAINERS, json=NODE, headers=headers)).status == 202
    await world.fetch("update memberships set customer_id = $2 where customer_id = $1 returning 1", own, other)
    await problem(await client.post(CONTAINERS, json=NODE, headers=headers), 404, "not_found")
    assert await world.fetch("select from containers where customer_id = $1", other) == []


async def test_a_list_of_one_customers_containers(world: World, client: Client) -> None:
    """One's own, or anybody's for operators; a foreign one is like a missing one."""
    own, other = await customer_of(world), await customer_of(world, "customer 1")
    await create(world)
    for who, customer, found in ((OWNER, own, [101]), (OPERATOR, own, [101]), (OPERATOR, other, [])):
        answer = await client.get(CONTAINERS, params={"customer": str(customer)}, headers=who)
        assert [each["vmid"] for each in (await answer.json())["items"]] == found
    nobody = UUID(int=7)
    for who, customer in ((OWNER, other), (OWNER, nobody), (OPERATOR, nobody)):
        await problem(await client.get(CONTAINERS, params={"customer": str(customer)}, headers=who), 404, "not_found")
    for wrong in ("", "x", str(own).upper(), f"{{{own}}}"):
        await problem(await client.get(CONTAINERS, params={"customer": wrong}, headers=OWNER), 400, "query_invalid")


async def test_nobody_waits_for_another_whoever_locks_what(world: World) -> None:
    """Creates, resizes, ports, renames, power, quota and suspension of one customer at once, and no deadlock."""
    made = [await create(world) for _ in range(3)]
    customer = await customer_of(world)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(world.reconciler())
        calls = []
        for number in range(10):
            container = await world.containers.find(Vmid(made[number % 3].vmid))
            wish = PatchContainer(resources=ResourceWish(memory_mib=1024 + number), name=f"n{number}", power="on")
            calls += [
                create(world),
                world.containers.patch(container, wish),
                world.exposures.publish(container, CreateExposure(port=8000 + number, visibility="public")),
                world.containers.restart(container),
                world.quotas.set_quota(customer, Quota(containers=10 + number)),
                world.suspensions.suspend(customer, "x") if number % 2 else world.suspensions.resume(customer),
            ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    codes = {getattr(each, "code", repr(each)) for each in outcomes if isinstance(each, BaseException)}
    assert codes <= {"quota_exceeded", "customer_suspended"}
