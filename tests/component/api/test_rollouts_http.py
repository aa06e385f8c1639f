"""Operators ask for roll-outs over HTTP and on the command line; what they do stands in the log, and is told live."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from component.api.people_world import by
from fakes.api_world import World
from fakes.updating_agents import NEW, NEWER, OLD, offer_agents, run_fleet
from zlh_api.rollouts import commands
from zlh_api.rollouts.command_line import add_parser
from zlh_api.rollouts.service import RolloutService

Client = TestClient[web.Request, web.Application]
ROLLOUTS = "/api/platform/rollouts"
# What agents of former protocols report of themselves: fields that each has brought, and those that are to come.
FORMER: dict[str, dict[str, Any]] = {
    "protocol 1": {"protocolVersion": 1},
    "protocol 8": {"protocolVersion": 8, "ports": [], "shells": None},
    "protocol 9": {"protocolVersion": 9, "game": None},
    "protocol 10": {"protocolVersion": 10, "agent": {"version": OLD, "previous": None, "python": "3.11"}},
    "protocol 11": {
        "protocolVersion": 11, "dreams": [{"of": "sheep"}], "agent": {"version": OLD, "mood": "good", "update": None},
    },
}  # fmt: skip
CAN_BE_TOLD = {"protocol 10", "protocol 11"}
_REPORT = {
    "agentVersion": OLD, "owner": "x", "bootId": "b", "startedAt": "2026-01-01T00:00:00Z",
    "observedAt": "2026-01-01T00:00:00Z", "specGeneration": 1, "observedGeneration": 1,
}  # fmt: skip


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """Serve the API, with versions of the agent in the catalog."""
    offer_agents(world, NEW)
    async with world.client() as made:
        yield made


async def ask(client: Client, method: str, path: str, token: str, **body: Any) -> tuple[int, Any]:
    """Return the status and the document of an answer."""
    async with client.request(method, path, headers=by(token), json=body or None) as answer:
        return answer.status, await answer.json()


async def test_an_operator_begins_and_moves_one(client: Client, world: World) -> None:
    """Each act is an entry of the platform's log; what does not fit is refused with its reason."""
    await run_fleet(world, 3)
    operator = world.people.operator
    status, made = await ask(client, "POST", ROLLOUTS, operator, version=NEW)
    assert (status, made["state"], made["startedBy"]) == (201, "running", "operator@example.org")
    one = f"{ROLLOUTS}/{made['id']}"
    for move, state in (("pause", "paused"), ("resume", "running"), ("retry", "running"), ("cancel", "cancelled")):
        status, moved = await ask(client, "POST", f"{one}/{move}", operator)
        assert (status, moved["state"]) == (200, state)
    status, refused = await ask(client, "POST", f"{one}/resume", operator)
    assert (status, refused["code"]) == (409, "rollout_not_so_far")
    acts = [row["act"] for row in await world.fetch("select act from audit_entries order by number")]
    assert acts == [f"rollout.{word}" for word in ("start", "pause", "resume", "retry", "cancel", "resume")]


async def test_it_is_nobody_elses_business(client: Client, world: World) -> None:
    """A customer is answered as if there were no such thing."""
    for path in ("/api/platform/agents", ROLLOUTS):
        status, refused = await ask(client, "GET", path, world.people.owner)
        assert (status, refused["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"version": "7.7.7"}, 422, "agent_not_offered"),
        ({"version": NEW, "shares": [50, 5, 100]}, 422, "rollout_shares_wrong"),
        ({"version": NEW, "canaries": [999]}, 422, "canary_unsuitable"),
        ({"version": NEW, "atOnce": 0}, 400, "invalid_body"),
    ],
)
async def test_what_cannot_be_is_refused(
    client: Client, world: World, wish: dict[str, Any], status: int, code: str
) -> None:
    """Nothing is begun by it."""
    await run_fleet(world, 1)
    found, refused = await ask(client, "POST", ROLLOUTS, world.people.operator, **wish)
    assert found == status, refused
    assert refused["code"] == code
    assert await world.fetch("select from rollouts") == []


async def test_versions_are_counted_and_scraped(client: Client, world: World) -> None:
    """By page and by Prometheus, also while there is no catalog."""
    await run_fleet(world, 3)
    await run_fleet(world, 2, version=NEWER)
    _, agents = await ask(client, "GET", "/api/platform/agents?limit=2", world.people.operator)
    assert [(each["version"], each["containers"], each["isOffered"]) for each in agents["versions"]] == [
        (NEWER, 2, False),
        (OLD, 3, False),
    ]
    assert len(agents["containers"]) == 2
    _, rest = await ask(client, "GET", f"/api/platform/agents?after={agents['next']}", world.people.operator)
    assert len(rest["containers"]) == 3
    await ask(client, "POST", ROLLOUTS, world.people.operator, version=NEW)
    world.catalog._catalog = None
    async with client.get("/metrics", headers=by(world.people.operator)) as answer:
        text = await answer.text()
    assert f'zlh_agents{{version="{OLD}"}} 3' in text
    assert 'zlh_rollout_state{state="running"} 1' in text


@asynccontextmanager
async def listening(client: Client, token: str) -> AsyncIterator[asyncio.Queue[str]]:
    """Lend the names of the events that one sees on the live stream."""
    seen: asyncio.Queue[str] = asyncio.Queue()
    async with client.get("/api/events", headers=by(token)) as stream:
        assert await stream.content.readline() == b": connected\n"

        async def read() -> None:
            async for line in stream.content:
                if line.startswith(b"event: "):
                    seen.put_nowait(line[7:].decode().strip())

        task = asyncio.create_task(read())
        try:
            yield seen
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_operators_see_it_live_and_nobody_else(client: Client, world: World) -> None:
    """A customer's stream goes on to tell of containers, and never of a roll-out."""
    (owner,) = await run_fleet(world, 1)
    customer = (await world.fetch("select customer_id from memberships limit 1"))[0]["customer_id"]
    await world.fetch("update containers set customer_id = $1 returning 1", customer)
    async with listening(client, world.people.operator) as operator, listening(client, world.people.owner) as other:
        await ask(client, "POST", ROLLOUTS, world.people.operator, version=NEW)
        async with asyncio.timeout(60):
            while await operator.get() != "rollout":
                pass
        await world.fetch("update containers set name = 'another' where owner = $1 returning 1", UUID(owner))
        async with asyncio.timeout(60):
            while (event := await other.get()) != "container":
                assert event != "rollout"


async def run_command(world: World, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Give a command as in a shell of the host; return what it prints."""

    def parse() -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        add_parser(parser.add_subparsers())
        return parser.parse_args(["agents", *words])

    @asynccontextmanager
    async def opened() -> AsyncIterator[RolloutService]:
        yield RolloutService(world.database, world.catalog.agent_offers)

    assert await commands.run(await asyncio.to_thread(parse), opened) == 0
    return capsys.readouterr().out


async def test_the_command_line_does_it_without_a_browser(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """It lists, begins and moves, and its acts stand in the log too."""
    offer_agents(world, NEW)
    await run_fleet(world, 3)
    assert f"{OLD}  3 containers, 3 online" in await run_command(world, capsys)
    assert f"roll-out of {NEW}: running" in await run_command(world, capsys, "roll-out", NEW)
    assert ": paused" in await run_command(world, capsys, "pause")
    shown = json.loads(await run_command(world, capsys, "--json"))
    assert shown["rollouts"][0]["state"] == "paused"
    acts = [row["act"] for row in await world.fetch("select act from audit_entries order by number")]
    assert acts == ["rollout.start", "rollout.pause"]


@pytest.mark.parametrize("which", FORMER)
async def test_agents_of_other_protocols_are_told_apart(client: Client, world: World, which: str) -> None:
    """What a newer one adds is ignored, what an older one lacks is no trouble; who cannot be told is named."""
    (owner,) = await run_fleet(world, 1)
    (row,) = await world.fetch(
        "update containers set agent_status = $2::jsonb where owner = $1 returning vmid",
        UUID(owner),
        {**_REPORT, "owner": owner, **FORMER[which]},
    )
    operator = world.people.operator
    status, shown = await ask(client, "GET", f"/api/containers/{row['vmid']}", operator)
    assert status == 200, shown
    _, agents = await ask(client, "GET", "/api/platform/agents", operator)
    assert [each["protocolVersion"] for each in agents["containers"]] == [FORMER[which]["protocolVersion"]]
    status, made = await ask(client, "POST", ROLLOUTS, operator, version=NEW)
    assert status == 201, made
    _, detail = await ask(client, "GET", f"{ROLLOUTS}/{made['id']}", operator)
    expected = "waiting" if which in CAN_BE_TOLD else "too_old"
    assert [each["state"] for each in detail["members"]] == [expected]
