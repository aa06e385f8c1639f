"""The catalog slice: what it answers, what it makes of odd input, and how soon a promotion is seen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from fakes.api_world import World
from fakes.artifact_origin import ArtifactOrigin
from fakes.game_offers import make_game_offer, make_version
from fakes.runtime_shop import RuntimeShop, make_shop
from zlh_api.artifacts.signing.promote import Publisher
from zlh_api.catalog.service import CATCH_UP_S, CatalogService, CatalogSource
from zlh_common.clock import Clock, SystemClock
from zlh_common.schema.catalog import CatalogRuntime
from zlh_common.schema.template import Requirement

Client = TestClient[Request, Application]
OWNER = {"Authorization": "Bearer owner-token"}


@pytest.fixture
def shop(tmp_path: Path) -> RuntimeShop:
    """A tree that offers 2.0 and 1.0."""
    return make_shop(tmp_path / "shop", "1.0", "2.0")


@pytest.fixture
async def origin(shop: RuntimeShop) -> AsyncIterator[ArtifactOrigin]:
    """A server of the tree."""
    async with ArtifactOrigin(shop.tree) as running:
        yield running


@contextlib.asynccontextmanager
async def service(
    shop: RuntimeShop, folder: Path, *urls: str, clock: Clock | None = None
) -> AsyncIterator[CatalogService]:
    """Give a service that reads from these servers and has read once."""
    made = CatalogService(CatalogSource(urls, shop.trusted_root, folder / "catalog"), ("stable",), clock)
    try:
        assert await made.refresh()
        yield made
    finally:
        await made.close()


@contextlib.asynccontextmanager
async def running(made: CatalogService) -> AsyncIterator[None]:
    """Let it refresh by itself."""
    task = asyncio.create_task(made.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_offers_tell_what_a_page_of_them_needs(client: Client) -> None:
    """The fixed shape, and beside it licence, edition, sizes, source, and until when the catalog holds."""
    body = await (await client.get("/api/catalog/runtimes", headers=OWNER)).json()
    (row,) = body["runtimes"][0]["versions"]
    assert {"version", "channel", "platforms", "default", "edition", "licence", "size", "sha256", "source"} <= set(row)
    assert (body["runtimes"][0]["name"], row["size"], row["licence"]) == ("node", 1, "MIT")
    assert body["publishedAt"] == "2026-01-01T00:00:00Z"
    summary = await (await client.get("/api/catalog", headers=OWNER)).json()
    assert (summary["publishedAt"], summary["runtimes"], summary["trouble"]) == ("2026-01-01T00:00:00Z", 1, None)
    for path in ("addons", "templates"):
        assert await (await client.get(f"/api/catalog/{path}", headers=OWNER)).json() == {"items": []}


async def test_game_servers_are_told_with_what_is_asked_of_who_creates_one(world: World, client: Client) -> None:
    """Variables, terms, ports and memory; and no version that needs a runtime which is not there."""
    whole = make_version("1.0", requires=(Requirement(name="node", version="24"),))
    lacking = make_version("2.0", requires=(Requirement(name="java", version="99"),))
    catalog = world.catalog.current()
    offers = (make_game_offer("minecraft", lacking, whole), make_game_offer("other", lacking))
    games = CatalogRuntime(name="squid", title="Squid", versions=catalog.runtimes[0].versions, for_games=True)
    world.catalog._catalog = msgspec.structs.replace(
        catalog, runtimes=(*catalog.runtimes, games), game_templates=offers
    )
    body = await (await client.get("/api/catalog/templates", headers=OWNER)).json()
    (offer,) = body["items"]
    assert (offer["name"], offer["game"], offer["memoryMinimumMb"], offer["modsTitle"]) == (
        *("minecraft", "minecraft"),
        *(512, "mods"),
    )
    assert offer["eula"] == {"title": "Terms", "url": "https://example.org/terms"}
    assert [variable["kind"] for variable in offer["variables"]] == ["text", "integer", "boolean"]
    assert [(port["name"], port["port"], port["isPublic"]) for port in offer["ports"]] == [("game", 25565, True)]
    assert [(row["version"], row["releasedAt"]) for row in offer["versions"]] == [("1.0", "2026-01-01T00:00:00Z")]
    runtimes = await (await client.get("/api/catalog/runtimes", headers=OWNER)).json()
    assert [runtime["name"] for runtime in runtimes["runtimes"]] == ["node"]
    assert [(offer.name, offer.for_games) for offer in world.catalog.published()] == [("node", False), ("squid", True)]
    for asked, said in (
        ({"template": "minecraft"}, (True, "1.0", [])),
        ({"template": "minecraft", "version": "2.0"}, (False, None, ["template_runtime_missing"])),
        ({"template": "minecraf"}, (False, None, ["template_not_offered"])),
        ({"runtime": "squid"}, (False, None, ["runtime_not_offered"])),
    ):
        answer = await (await client.post("/api/catalog/validate", json=asked, headers=OWNER)).json()
        assert (answer["ok"], answer["version"], [problem["code"] for problem in answer["problems"]]) == said


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 200),
        ({"runtime": "", "version": ""}, 200),
        ({"runtime": "--help", "version": "; rm -rf /"}, 200),
        ({"runtime": "nöde💥", "version": "٣"}, 200),
        ({"runtime": "node", "version": "24", "platform": ""}, 200),
        ({"addon": "code-server"}, 200),
        ({"template": "minecraft", "runtime": None}, 200),
        ({"runtime": "n" * 257}, 400),
        ({"runtime": "n" * 300_000}, 413),
        ({"runtime": 24}, 400),
        ({"runtime": "node", "typo": 1}, 400),
        ([], 400),
        ("node", 400),
    ],
)
async def test_odd_input_gets_problems_or_a_refusal(client: Client, body: Any, status: int) -> None:
    """Never a 500, and where it is answered at all, with what is wrong."""
    answer = await client.post("/api/catalog/validate", json=body, headers=OWNER)
    assert answer.status == status, await answer.text()
    if status == 200:
        said = await answer.json()
        assert said["ok"] is False
        assert said["problems"]


async def test_a_promotion_is_seen_at_once(shop: RuntimeShop, origin: ArtifactOrigin, tmp_path: Path) -> None:
    """Demoted, then promoted: each is what the API offers a moment later, told once, with no restart."""
    told: list[datetime] = []
    async with service(shop, tmp_path, origin.url) as made, running(made):
        made.on_change = told.append
        for channel, seen in (("candidate", ["1.0"]), ("stable", ["2.0", "1.0"])):
            publisher = Publisher(shop.tree, shop.keys, now=datetime.now(UTC) + timedelta(seconds=5 + len(told)))
            await asyncio.to_thread(publisher.set_channel, "tiny", "2.0", channel)  # type: ignore[arg-type]
            await until(lambda expected=seen: versions(made) == expected)
    assert len(told) == 2


async def test_who_asks_is_told_what_is_signed_by_then(
    shop: RuntimeShop, origin: ArtifactOrigin, tmp_path: Path
) -> None:
    """Nobody has to wait for the next look of the service, and a hundred who ask share a few looks."""
    async with service(shop, tmp_path, origin.url) as made, running(made):
        await made.catch_up()
        for count, channel in enumerate(("candidate", "stable", "candidate")):
            publisher = Publisher(shop.tree, shop.keys, now=datetime.now(UTC) + timedelta(seconds=5 + count))
            await asyncio.to_thread(publisher.set_channel, "tiny", "2.0", channel)  # type: ignore[arg-type]
            await made.catch_up()
            assert ("2.0" in versions(made)) is (channel == "stable")
        origin.asked.clear()
        await asyncio.gather(*(made.catch_up() for _ in range(100)))
        assert 1 <= len(origin.asked) <= 5


async def test_who_asks_never_waits_for_a_server_that_is_gone(
    shop: RuntimeShop, origin: ArtifactOrigin, tmp_path: Path
) -> None:
    """What is known is the answer then, after one look that has failed."""
    async with service(shop, tmp_path, origin.url) as made, running(made):
        await origin.stop()
        await made.catch_up()
        async with asyncio.timeout(CATCH_UP_S * 5):
            for _ in range(1000):
                await made.catch_up()
        assert versions(made) == ["2.0", "1.0"]


def versions(made: CatalogService) -> list[str]:
    """Return what is offered of the one runtime."""
    return [row.version for row in made.offers().runtimes[0].versions]


async def test_looking_costs_no_child(shop: RuntimeShop, origin: ArtifactOrigin, tmp_path: Path) -> None:
    """While nothing is signed, the timestamp alone is asked for."""
    async with service(shop, tmp_path, origin.url) as made:
        origin.asked.clear()
        async with running(made):
            await until(lambda: len(origin.asked) >= 2)
    assert {request.path for request in origin.asked} == {"metadata/timestamp.json"}


async def test_a_mirror_is_asked_and_the_trouble_told(
    shop: RuntimeShop, origin: ArtifactOrigin, tmp_path: Path
) -> None:
    """The catalog is there all the same, and an operator sees which server is not."""
    async with service(shop, tmp_path, "http://127.0.0.1:9", origin.url) as made:
        assert made.trouble is not None
        assert "http://127.0.0.1:9" in made.trouble
        assert made.summary(is_operator=True).url == origin.url
        assert made.summary(is_operator=False).trouble is None


async def test_what_nobody_renews_is_told_in_time(shop: RuntimeShop, origin: ArtifactOrigin, tmp_path: Path) -> None:
    """Days before clients refuse it."""

    class _Later(SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(days=9)

    async with service(shop, tmp_path, origin.url, clock=_Later()) as made:
        assert made.trouble is not None
        assert "nobody signs it again" in made.trouble


async def test_an_open_portal_hears_of_another_catalog(client: Client, world: World) -> None:
    """As an event on the live stream."""
    answer = await client.get("/api/events", headers=OWNER)
    assert await answer.content.readline() == b": connected\n"
    world.live.note_catalog(datetime(2026, 2, 3, tzinfo=UTC))
    async with asyncio.timeout(10):
        lines = [await answer.content.readline() for _ in range(3)]
    assert lines[1:] == [b"event: catalog\n", b'data: {"publishedAt":"2026-02-03T00:00:00Z"}\n']
    answer.close()


async def until(is_so: Any) -> None:
    """Return once it is so."""
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.05)
