"""An Idempotency-Key: one effect, one answer, whatever is made, and nothing secret kept for it."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from aiohttp.test_utils import TestClient, make_mocked_request
from aiohttp.web import Application, Request

from fakes.api_world import NODE, World
from zlh_api.customers.model import Caller
from zlh_api.once.service import IdempotencyKeyInvalid, IdempotencyKeyReused, Key, Made, Once, read_key
from zlh_api.web.endpoint import Call, Endpoint, Passed, Policy
from zlh_api.web.replays import SecretShownOnce, answer_once, find_key
from zlh_common.schema.secrets import ShownOnce
from zlh_common.schema.structs import Report

Client = TestClient[Request, Application]
OWNER = {"Authorization": "Bearer owner-token"}


class Shown(Report):
    """An answer with a secret."""

    id: str
    secret: ShownOnce


async def make(client: Client, path: str, body: dict[str, Any], key: str) -> tuple[int, Any, str | None]:
    """Ask for something; return status, body and whether it was a replay."""
    answer = await client.post(path, json=body, headers={**OWNER, "Idempotency-Key": key})
    return answer.status, await answer.json(content_type=None), answer.headers.get("Idempotent-Replayed")


async def test_every_maker_makes_once(world: World, client: Client) -> None:
    """Ten at the same moment and one later get one answer; another key makes another."""
    vmid = (await make(client, "/api/containers", NODE, "a"))[1]["vmid"]
    port = {"port": 3000, "visibility": "public"}
    for path, body, table in (
        ("/api/containers", NODE, "containers"),
        (f"/api/containers/{vmid}/exposures", port, "exposures"),
    ):
        before = len(await world.fetch(f"select 1 from {table}"))
        answers = await asyncio.gather(*(make(client, path, body, "k") for _ in range(10)))
        assert len({(status, json.dumps(made)) for status, made, _ in answers}) == 1, path
        assert sorted(replayed or "" for _, _, replayed in answers) == ["", *["true"] * 9]
        assert len(await world.fetch(f"select 1 from {table}")) == before + 1
        # The key stands for the place as well: what differs there is another request, and so is another body.
        other = {**body, "port": 3001} if "port" in body else {**body, "name": "x"}
        status, problem, _ = await make(client, path, other, "k")
        assert (status, problem["code"]) == (422, "idempotency_key_reused")
        await world.fetch("delete from idempotency_keys returning 1")


async def test_what_was_answered_first_is_answered_again(world: World, client: Client) -> None:
    """Though what was made has changed, or is gone."""
    first = await make(client, "/api/containers", NODE, "k")
    await world.fetch("delete from containers returning 1")
    again = await make(client, "/api/containers", NODE, "k")
    assert (again[0], again[1], again[2]) == (first[0], first[1], "true")


async def test_who_has_lost_the_customer_is_told_nothing_again(world: World, client: Client) -> None:
    """What was made is as foreign then as everything else of that customer."""
    assert (await make(client, "/api/containers", NODE, "k"))[0] == 202
    await world.fetch("delete from memberships where role = 'owner' returning 1")
    status, problem, _ = await make(client, "/api/containers", NODE, "k")
    assert (status, problem["code"]) == (404, "not_found")


async def test_an_act_that_breaks_leaves_nothing(world: World) -> None:
    """Neither its effect nor its key: effect, key and answer are one transaction."""
    once = Once(world.database)
    (row,) = await world.fetch("select id from users where email like 'owner%'")
    key = Key(row["id"], "k", b"r")

    async def act(*, breaks: bool) -> Made:
        async with world.database.transaction() as connection:
            await connection.execute("insert into customers values ($1, 'made')", uuid4())
        if breaks:
            raise RuntimeError("here")
        return Made(201, b"{}")

    with pytest.raises(RuntimeError):
        await once.carry_out(key, lambda: act(breaks=True))
    assert await world.fetch("select 1 from customers where name = 'made'") == []
    assert await once.carry_out(key, lambda: act(breaks=False)) is None
    assert await once.carry_out(key, lambda: act(breaks=True)) == Made(201, b"{}")
    with pytest.raises(IdempotencyKeyReused):
        await once.carry_out(Key(row["id"], "k", b"s"), lambda: act(breaks=True))
    assert len(await world.fetch("select 1 from customers where name = 'made'")) == 1


async def test_two_processes_make_one(world: World) -> None:
    """The key is held by the database, and not by a process."""
    (row,) = await world.fetch("select id from users where email like 'owner%'")
    made: list[int] = []

    async def act() -> Made:
        made.append(1)
        await asyncio.sleep(0.05)
        return Made(201, b'"one"')

    processes = [Once(world.another_pool()) for _ in range(4)]
    kept = await asyncio.gather(*(each.carry_out(Key(row["id"], "k", b"r"), act) for each in processes))
    assert made == [1]
    assert kept.count(None) == 1
    assert kept.count(Made(201, b'"one"')) == 3


async def test_many_that_wait_inside_leave_the_database_to_others(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than there are connections, and what is carried out waits for something else than the database."""
    may_go = asyncio.Event()
    monkeypatch.setattr(world.catalog, "catch_up", may_go.wait)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(make(client, "/api/containers", NODE, f"k{number}")) for number in range(20)]
        await world.wait_until("select count(*) = 20 from acts_begun")
        assert (await client.get("/api/me", headers=OWNER)).status == 200
        may_go.set()
    assert {status for status, *_ in (task.result() for task in asked)} == {202}


async def test_a_secret_is_shown_once_and_kept_nowhere(world: World) -> None:
    """A second request is told what was made, and that the secret is gone."""
    (row,) = await world.fetch("select id from users where email like 'owner%'")
    secret = f"zlh_pat_{uuid4().hex}"

    async def handler(_call: Call) -> Shown:
        return Shown(id="1", secret=secret)

    endpoint = Endpoint("POST", "/api/tokens", Policy.MANAGE_ACCOUNT, handler, "", None, Shown, 201, creates=True)
    caller = Caller(row["id"], "a@example.org", False, (), by_cookie=False)
    request = make_mocked_request("POST", "/api/tokens", headers={"Idempotency-Key": "k"})
    call = Call(request, None, Passed(caller))
    key = find_key(endpoint, call)
    assert key is not None
    first = await answer_once(endpoint, call, key, Once(world.database))
    assert secret.encode() in first.body  # type: ignore[attr-defined] # it is a whole answer
    with pytest.raises(SecretShownOnce) as caught:
        await answer_once(endpoint, call, key, Once(world.database))
    assert caught.value.data == {"made": {"id": "1"}}
    (kept,) = await world.fetch("select idempotency_keys::text, answer from idempotency_keys")
    assert secret not in kept[0]
    assert secret.encode() not in kept["answer"]


@pytest.mark.parametrize("given", [[""], ["a b"], ["é"], ["x" * 256], ["a", "a"], ["a\x7f"]])
def test_what_is_no_key(given: list[str]) -> None:
    """Empty, blank, endless, twice."""
    with pytest.raises(IdempotencyKeyInvalid):
        read_key(given)
    assert read_key([]) is None
    assert read_key(['"8e03978e-40d5-43dd-bc93-6894a57f9324"']) is not None
