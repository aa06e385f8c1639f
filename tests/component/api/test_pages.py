"""Lists: whoever follows `next` meets all that is there all the while, nothing twice, in pages of any size."""

from __future__ import annotations

from typing import Any, get_origin

from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from fakes.api_world import NODE, World
from zlh_api.describe import describe_endpoints
from zlh_common.schema.lists import Items

Client = TestClient[Request, Application]
OWNER = {"Authorization": "Bearer owner-token"}
# Lists that come whole, with what bounds them; every other one has pages.
BOUNDED = {
    "/api/containers/{vmid}/exposures": "ports, by the customer's quota",
    "/api/containers/{vmid}/processes": "32 processes",
    "/api/containers/{vmid}/terminals": "32 terminals",
    "/api/containers/{vmid}/metrics/history": "1,000 points",
    "/api/sessions": "50 sessions of a user",
    "/api/tokens": "50 tokens of a user",
    "/api/customers/{customer}/invitations": "so many invitations as a customer may have open",
    "/api/customers/{customer}/usage": "the kinds of things that are counted",
}


async def test_every_list_has_pages_or_a_bound() -> None:
    """One rule: `limit` and `after` (or `before`), and `next` where there is more."""
    seen = set()
    for endpoint in await describe_endpoints():
        if get_origin(endpoint.response) is Items and endpoint.method == "GET":
            names = {parameter.name for parameter in endpoint.query}
            seen.add(endpoint.path)
            has_pages = "limit" in names and bool(names & {"after", "before"})
            assert has_pages != (endpoint.path in BOUNDED), endpoint.path
    assert BOUNDED.keys() <= seen


async def walk(client: Client, path: str, limit: int, cursor: str, between: Any = None) -> list[Any]:
    """Return the items of all pages; `between` is awaited after each."""
    found: list[Any] = []
    query: dict[str, str] = {"limit": str(limit)}
    while True:
        answer = await client.get(path, params=query, headers=OWNER)
        page = await answer.json()
        assert answer.status == 200, page
        assert len(page["items"]) <= limit
        found += page["items"]
        if "next" not in page:
            return found
        assert len(page["items"]) == limit
        query[cursor] = page["next"]
        if between is not None:
            await between()


async def test_containers_are_met_once_each_while_some_come_and_go(world: World, client: Client) -> None:
    """In pages of every size."""
    for number in range(7):
        made = await client.post("/api/containers", json={**NODE, "name": f"c{number}"}, headers=OWNER)
        assert made.status == 202
    stays = {row["vmid"] for row in await world.fetch("select vmid from containers where name <> 'c3'")}
    names = iter(range(100, 1000))

    async def change() -> None:
        await client.post("/api/containers", json={**NODE, "name": f"n{next(names)}"}, headers=OWNER)
        await world.fetch("delete from containers where name = 'c3' or name like 'n%5' returning 1")

    for limit in range(1, 9):
        met = [
            item["vmid"]
            for item in await walk(client, "/api/containers", limit, "after", change if limit > 1 else None)
        ]
        assert len(met) == len(set(met)), limit
        assert stays <= set(met), limit
        assert met == sorted(met)


async def test_entries_are_met_once_each_while_new_ones_come(world: World, client: Client) -> None:
    """The newest first, so that what comes meanwhile is in front of them all."""
    made = await (await client.post("/api/containers", json=NODE, headers=OWNER)).json()
    add = (
        "insert into happenings (owner, position, journal, number, at, kind, message, data) "
        "select owner, n, 'j', n, now(), 'a.b', '', '{}' "
        "from containers, generate_series($1::int, $2::int) n returning 1"
    )
    await world.fetch(add, 1, 9)
    path, number = f"/api/containers/{made['vmid']}/events", 9

    async def change() -> None:
        nonlocal number
        number += 1
        await world.fetch(add, number, number)

    before = await walk(client, path, 200, "before")
    for limit in range(1, 11):
        met = [entry["id"] for entry in await walk(client, path, limit, "before", change)]
        assert len(met) == len(set(met)), limit
        assert {entry["id"] for entry in before} <= set(met), limit
