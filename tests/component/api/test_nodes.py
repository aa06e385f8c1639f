"""Operators see the machines that containers are on: what each holds, which is full or away, and since when."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from component.api.people_world import by
from fakes.api_world import World
from fakes.wishes import want_container
from zlh_api.drivers.port import NodeSeen, SystemAway
from zlh_common.names import Vmid

Client = TestClient[web.Request, web.Application]
NODES = "/api/platform/nodes"


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """Serve the API."""
    async with world.client() as made:
        yield made


async def look(client: Client, token: str) -> tuple[int, Any]:
    """Return the status and the document of an answer."""
    async with client.get(NODES, headers=by(token)) as answer:
        return answer.status, await answer.json()


async def add(world: World, count: int) -> list[Vmid]:
    """Write containers, each of which has 2048 MiB, and return their numbers."""
    for number in range(count):
        async with world.database.transaction() as connection:
            await want_container(connection, name=f"c{number}")
    return [Vmid(row["vmid"]) for row in await world.fetch("select vmid from containers order by vmid")]


async def test_each_node_tells_what_it_holds(client: Client, world: World) -> None:
    """Containers are counted where their guests are, by their states; what is not made yet is on none."""
    one, two, _three = await add(world, 3)
    await world.fetch("update containers set guest = 'running' where vmid = any($1) returning 1", [one, two])
    world.driver.nodes = [
        NodeSeen("a", is_online=True, memory_mib=4096, vmids=frozenset({one, two})),
        NodeSeen("b", is_online=True, is_used=False, vmids=frozenset({Vmid(999)})),
    ]
    status, told = await look(client, world.people.operator)
    assert (status, told["unplaced"], told["trouble"]) == (200, 1, None)
    first, second = told["nodes"]
    assert (first["state"], first["containers"], first["reservedMemoryMib"]) == ("online", {"running": 2}, 4096)
    assert (second["state"], second["containers"], second["isUsed"]) == ("online", {}, False)
    assert "other nodes" in second["reason"]


async def test_where_there_is_one_machine_it_holds_all(client: Client, world: World) -> None:
    """A driver whose guests are all here need not say which are."""
    await add(world, 2)
    _status, told = await look(client, world.people.operator)
    (node,) = told["nodes"]
    assert (node["containers"], told["unplaced"]) == ({"absent": 2}, 0)


async def test_a_guest_of_somebody_else_at_our_number_is_not_ours(client: Client, world: World) -> None:
    """Our container is on no node, though its number is."""
    (one,) = await add(world, 1)
    await world.fetch("update containers set guest = 'foreign' returning 1")
    world.driver.nodes = [NodeSeen("a", is_online=True, vmids=frozenset({one}))]
    _status, told = await look(client, world.people.operator)
    assert (told["nodes"][0]["containers"], told["unplaced"]) == ({}, 1)


@pytest.mark.parametrize(
    ("node", "state", "reason"),
    [
        (NodeSeen("a", is_online=False, is_in_maintenance=True), "offline", "does not reach it"),
        (NodeSeen("a", is_online=True, is_in_maintenance=True, lack="it is small"), "maintenance", "out of service"),
        (NodeSeen("a", is_online=True, lack="5 MiB are free"), "full", "No room .*: 5 MiB are free"),
        (NodeSeen("a", is_online=False, lack="the cluster has no such node"), "offline", "The cluster has no such"),
    ],
)
async def test_what_is_wrong_with_a_node_is_told(
    client: Client, world: World, node: NodeSeen, state: str, reason: str
) -> None:
    """The worst of it, with why."""
    world.driver.nodes = [node]
    _status, told = await look(client, world.people.operator)
    (shown,) = told["nodes"]
    assert shown["state"] == state
    assert re.search(reason, shown["reason"])


async def test_since_when_is_kept_until_it_changes(client: Client, world: World) -> None:
    """Looks do not move it, another state does, and a node that is taken away is forgotten."""
    world.driver.nodes = [NodeSeen("a", is_online=True), NodeSeen("b", is_online=True)]
    _status, first = await look(client, world.people.operator)
    _status, again = await look(client, world.people.operator)
    assert [node["since"] for node in first["nodes"]] == [node["since"] for node in again["nodes"]]
    world.driver.nodes = [NodeSeen("a", is_online=False)]
    _status, told = await look(client, world.people.operator)
    (node,) = told["nodes"]
    assert node["since"] > first["nodes"][0]["since"]
    assert [row["name"] for row in await world.fetch("select name from nodes_seen")] == ["a"]


async def test_what_nobody_can_tell_is_not_guessed(client: Client, world: World) -> None:
    """While the driver's system is away, the nodes that were seen last are told as unknown, since then, and why."""
    away = SystemAway(system="Proxmox", reason="no route", retry_in_s=0)
    world.driver.nodes = [NodeSeen("a", is_online=True, memory_mib=4096)]
    await look(client, world.people.operator)
    world.faults.fail("list_nodes", away, away)
    _status, told = await look(client, world.people.operator)
    _status, again = await look(client, world.people.operator)
    (node,) = told["nodes"]
    assert (node["state"], node["memoryMib"], told["trouble"]) == ("unknown", None, away.detail)
    assert again["nodes"][0]["since"] == node["since"]
    _status, back = await look(client, world.people.operator)
    assert (back["nodes"][0]["state"], back["trouble"]) == ("online", None)


async def test_one_process_that_cannot_ask_takes_back_nothing(client: Client, world: World) -> None:
    """What another has found stands until nobody has looked for a while; since when it is so, does not move."""
    away = SystemAway(system="Proxmox", reason="no route", retry_in_s=0)
    world.driver.nodes = [NodeSeen("a", is_online=True)]
    _status, first = await look(client, world.people.operator)
    world.faults.fail("list_nodes", away)
    await look(client, world.people.operator)
    _status, again = await look(client, world.people.operator)
    assert again["nodes"][0]["since"] == first["nodes"][0]["since"]
    await world.fetch("update nodes_seen set noted_at = now() - interval '91 seconds' returning 1")
    world.faults.fail("list_nodes", away)
    await look(client, world.people.operator)
    assert [tuple(row) for row in await world.fetch("select state, since = noted_at from nodes_seen")] == [
        ("unknown", True)
    ]


async def test_a_look_is_noted_again_where_nothing_has_changed(client: Client, world: World) -> None:
    """So that others can tell that somebody looks."""
    world.driver.nodes = [NodeSeen("a", is_online=True)]
    await look(client, world.people.operator)
    await world.fetch("update nodes_seen set noted_at = now() - interval '60 seconds' returning 1")
    await look(client, world.people.operator)
    assert (await world.fetch("select noted_at > now() - interval '50 seconds' as new from nodes_seen"))[0]["new"]


async def test_it_is_nobody_elses_business(client: Client, world: World) -> None:
    """A customer is answered as if there were no such thing."""
    status, refused = await look(client, world.people.owner)
    assert (status, refused["code"]) == (404, "not_found")
