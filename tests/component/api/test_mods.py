"""Mods through the API: Modrinth on one side, an agent with real files on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from fakes.api_world import NODE, World
from fakes.files_agent import serving_application
from fakes.mod_server import ModServer
from fakes.modrinth import FakeFileHost, FakeModrinth, requires
from zlh_agent.mods import routes as mod_routes
from zlh_agent.mods.service import ModService
from zlh_agent.web.server import build_application
from zlh_api.agents import appetite_rules
from zlh_api.circuit import Circuit
from zlh_api.mods import service
from zlh_api.mods.model import Target
from zlh_api.mods.modrinth import Modrinth, ModrinthSetting

Client = TestClient[Request, Application]
OWNER, VIEWER = {"Authorization": "Bearer owner-token"}, {"Authorization": "Bearer viewer-token"}
pytestmark = pytest.mark.timeout(180)


@dataclass
class Site:
    """A served API with one game server, whose agent has its mods; and Modrinth."""

    world: World
    client: Client
    modrinth: FakeModrinth
    server: ModServer
    mods: ModService
    url: str

    async def ask(self, method: str, path: str = "", body: Any = None, *, status: int = 200, **named: Any) -> Any:
        """Return what is answered."""
        async with self.client.request(method, f"{self.url}{path}", json=body, headers=OWNER, **named) as got:
            told = await got.json()
            assert got.status == status, told
            return told

    async def change(self, method: str, path: str = "", body: Any = None) -> Any:
        """Begin a change, and return what became of it."""
        told = await self.ask(method, path, body, status=202)
        while told["state"] == "running":
            await asyncio.sleep(0.01)
            told = await self.ask("GET", f"/changes/{told['id']}")
        return told


@pytest.fixture
async def site(world: World, tmp_path: Path) -> AsyncIterator[Site]:
    """Make a container that is up, its agent, and Modrinth."""
    host = FakeFileHost()
    hosting = await host.start()
    modrinth = FakeModrinth(host)
    serving = modrinth.serve()
    await serving.start_server()
    setting = ModrinthSetting(
        f"http://{serving.host}:{serving.port}/v2", (host.url,), "zlh/0.1.0 (operator@example.net)"
    )
    client_of_modrinth = Modrinth(setting, Circuit("modrinth", clock=world.clock), world.clock)
    world.modrinth, world.mod_target = client_of_modrinth, Target(("fabric",), "1.21.8")
    server = ModServer(tmp_path / "game", tmp_path / "agent-state", host)
    await asyncio.to_thread(server.root.mkdir)
    async with server.agent() as mods:
        application = build_application(mod_routes.routes(mods))
        async with (
            serving_application(application, tmp_path / "served") as served,
            world.reconciler(),
            world.client() as client,
        ):
            world.agents.files = served
            made = await client.post("/api/containers", json=NODE, headers=OWNER)
            vmid = (await made.json())["vmid"]
            await world.wait_until("select guest = 'running' and agent_status is not null from containers")
            yield Site(world, client, modrinth, server, mods, f"/api/game/{vmid}/mods")
    await client_of_modrinth.close()
    await serving.close()
    await hosting.close()


@pytest.mark.parametrize(("most", "pages"), [(10_000, 3), (20, 2)])
async def test_what_is_found_is_paged_as_far_as_anybody_may(
    site: Site, monkeypatch: pytest.MonkeyPatch, most: int, pages: int
) -> None:
    """Each is met once; no page offers a next one that would be refused."""
    monkeypatch.setattr(service, "MAX_SEARCH_OFFSET", most)
    for number in range(45):
        site.modrinth.add_version(f"a{number:02}", 1)
    met, after, asked = [], "0", 0
    while after is not None:
        found = await site.ask("GET", f"/search?query=a&after={after}")
        met += [hit["projectId"] for hit in found["items"]]
        after, asked = found.get("next"), asked + 1
    assert asked == pages
    assert met == [f"a{number:02}" for number in range(min(45, 20 * pages))]


async def test_mods_are_planned_installed_switched_and_removed(site: Site) -> None:
    """From a search to the files, with what is needed; who looks in sees the ledger."""
    site.modrinth.add_version("lib", 1)
    site.modrinth.add_version("a", 1, requires("lib"))
    found = await site.ask("GET", "/search?query=a")
    assert [(hit["projectId"], hit["isInstalled"]) for hit in found["items"]] == [("a", False)]
    wish = {"install": [{"project": "slug-a"}], "reason": "for the farm"}
    plan = await site.ask("POST", "/plan", wish)
    assert plan["isPossible"]
    assert [(line["projectId"], line["act"], line["neededBy"]) for line in plan["mods"]] == [
        ("a", "install", []),
        ("lib", "install", ["A"]),
    ]
    told = await site.change("POST", "", {**wish, "revision": plan["revision"]})
    assert (told["state"], told["doneBytes"]) == ("done", plan["downloadBytes"])
    assert site.server.names == ["a-1.jar", "lib-1.jar"]
    assert (await site.change("POST", "/a/disable"))["state"] == "done"
    assert site.server.names == ["a-1.jar.disabled", "lib-1.jar"]
    assert (await site.change("POST", "/a/enable"))["state"] == "done"
    report = await site.ask("GET")
    entries = {seen["entry"]["file"]["projectId"]: seen["entry"] for seen in report["mods"]}
    assert (entries["a"]["isAskedFor"], entries["lib"]["isAskedFor"]) == (True, False)
    assert entries["a"]["reason"] == "for the farm"
    assert (await site.change("DELETE", "/a"))["state"] == "done"
    assert site.server.names == []


async def test_updates_pins_and_rollbacks(site: Site) -> None:
    """A pin holds against an update of all; a change is undone while Modrinth is away."""
    for name in ("a", "b"):
        site.modrinth.add_version(name, 1)
    await site.change("POST", "", {"install": [{"project": "a"}, {"project": "b"}]})
    await site.change("POST", "/a/pin")
    site.world.modrinth._cache._kept.clear()  # type: ignore[union-attr]
    for name in ("a", "b"):
        site.modrinth.add_version(name, 2)
    await site.change("POST", "", {"updateAll": True})
    assert site.server.names == ["a-1.jar", "b-2.jar"]
    site.modrinth.files.contents.clear()
    site.modrinth.tricks = ["busy"] * 100
    assert (await site.change("POST", "/rollback"))["state"] == "done"
    assert site.server.names == ["a-1.jar", "b-1.jar"]
    assert (await site.change("POST", "/a/unpin"))["state"] == "done"


async def test_what_was_changed_or_lost_is_placed_again(site: Site) -> None:
    """The same version, by the ledger's own word, while Modrinth is away; what was there can be had back."""
    for name in ("a", "b"):
        site.modrinth.add_version(name, 1)
    await site.change("POST", "", {"install": [{"project": "a"}, {"project": "b"}]})
    await asyncio.to_thread((site.server.mods / "a-1.jar").write_bytes, b"another")
    await asyncio.to_thread((site.server.mods / "b-1.jar").unlink)
    site.modrinth.tricks = ["busy"] * 100
    assert [seen["condition"] for seen in (await site.ask("POST", "/verify"))["mods"]] == ["changed", "missing"]
    for name in ("a", "b"):
        assert (await site.change("POST", f"/{name}/repair"))["state"] == "done"
    assert [seen["condition"] for seen in (await site.ask("POST", "/verify"))["mods"]] == ["intact", "intact"]
    asked = len(site.modrinth.files.requests)
    assert (await site.change("POST", "/a/repair"))["state"] == "done"
    assert len(site.modrinth.files.requests) == asked
    assert (await site.ask("POST", "/x/repair", status=404))["code"] == "mod_unknown"


async def test_versions_of_a_mod_are_offered(site: Site) -> None:
    """The newest first, of every channel, for this server alone; one that cannot be had says why, and one is chosen."""
    site.modrinth.add_version("a", 1)
    site.modrinth.add_version("a", 2, version_type="beta")
    site.modrinth.add_version("a", 3, version_type="alpha")
    site.modrinth.add_version("a", 4, game_versions=["1.20"])
    site.modrinth.add_version("a", 5, loaders=["forge"])
    site.modrinth.add_version("a", 6, files=[])
    told = await site.ask("GET", "/slug-a/versions")
    assert (told["projectId"], told["title"]) == ("a", "A")
    assert [(row["versionNumber"], row["channel"], row["trouble"] is None) for row in told["items"]] == [
        ("6.0", "release", False),
        ("3.0", "alpha", True),
        ("2.0", "beta", True),
        ("1.0", "release", True),
    ]
    wish = {"install": [{"project": "a", "version": told["items"][1]["versionId"]}]}
    assert (await site.change("POST", "", wish))["state"] == "done"
    assert site.server.names == ["a-3.jar"]
    assert (await site.ask("GET", "/nothing/versions", status=404))["code"] == "mod_project_unknown"


async def test_a_change_while_the_server_is_exchanged_is_refused(site: Site) -> None:
    """In the agent's words, whose code says what to wait for."""
    site.modrinth.add_version("a", 1)
    async with site.mods.standstill(needs_whole=True):
        refused = await site.ask("POST", "", {"install": [{"project": "a"}]}, status=409)
    assert refused["code"] == "game_files_changing"
    assert (await site.change("POST", "", {"install": [{"project": "a"}]}))["state"] == "done"


async def test_a_rollback_that_is_sent_again_is_none_of_itself(site: Site) -> None:
    """A client whose answer was lost asks again with its key, and what was undone stays undone."""
    site.modrinth.add_version("a", 1)
    await site.change("POST", "", {"install": [{"project": "a"}]})
    told = []
    for _ in range(2):
        headers = {**OWNER, "Idempotency-Key": "once"}
        async with site.client.post(f"{site.url}/rollback", headers=headers) as got:
            assert got.status == 202
            told.append((await got.json())["id"])
        while (await site.ask("GET", f"/changes/{told[0]}"))["state"] == "running":
            await asyncio.sleep(0.01)
    assert told[0] == told[1]
    assert site.server.names == []


async def test_unknown_files_are_identified_and_adopted(site: Site) -> None:
    """By their hashes alone; what nobody knows stays unknown."""
    site.modrinth.add_version("a", 1, content=b"the very bytes")
    await asyncio.to_thread(site.server.mods.mkdir)
    await asyncio.to_thread((site.server.mods / "renamed.jar").write_bytes, b"the very bytes")
    await asyncio.to_thread((site.server.mods / "own.jar").write_bytes, b"nobody's")
    told = await site.ask("POST", "/identify", {"adopt": False})
    assert [(item["fileName"], item["projectId"]) for item in told["items"]] == [
        ("own.jar", None),
        ("renamed.jar", "a"),
    ]
    assert told["change"] is None
    told = await site.ask("POST", "/identify", {"adopt": True})
    while (await site.ask("GET", f"/changes/{told['change']['id']}"))["state"] == "running":
        await asyncio.sleep(0.01)
    report = await site.ask("POST", "/verify")
    assert [(seen["entry"]["file"]["projectId"], seen["condition"]) for seen in report["mods"]] == [("a", "intact")]
    assert [file["fileName"] for file in report["unknown"]] == ["own.jar"]


async def test_refusals_say_what_to_do(site: Site) -> None:
    """Each with a code of its own."""
    site.modrinth.add_version("a", 1, requires("gone"))
    refused = await site.ask("POST", "", {"install": [{"project": "a"}]}, status=409)
    assert refused["code"] == "mods_impossible"
    assert [problem["code"] for problem in refused["problems"]] == ["mod_not_found"]
    for method, path in (("POST", "/x/enable"), ("DELETE", "/x"), ("POST", "/x/update")):
        assert (await site.ask(method, path, status=404))["code"] == "mod_unknown"
    assert (await site.ask("GET", f"/changes/{'0' * 32}", status=404))["code"] == "mod_change_unknown"
    assert (await site.ask("POST", "/rollback", status=409))["code"] == "mod_rollback_impossible"
    site.modrinth.add_version("b", 1)
    stale = {"install": [{"project": "b"}], "revision": 7}
    assert (await site.ask("POST", "", stale, status=409))["code"] == "mods_changed"
    site.world.mod_target = None
    assert (await site.ask("GET", status=409))["code"] == "mods_not_offered"


async def test_modrinth_that_is_away_stops_nobody_from_looking(site: Site) -> None:
    """What is installed is known from the ledger; what must be asked for says who is away."""
    site.modrinth.add_version("a", 1)
    await site.change("POST", "", {"install": [{"project": "a"}]})
    site.modrinth.tricks = ["busy"] * 100
    assert len((await site.ask("GET"))["mods"]) == 1
    assert (await site.change("POST", "/a/disable"))["state"] == "done"
    assert (await site.ask("POST", "/plan", {"install": [{"project": "b"}]}, status=503))["code"] == "system_away"


async def test_acts_stand_in_the_audit_log(site: Site) -> None:
    """With what was asked for, and by whom; who may only look changes nothing."""
    site.modrinth.add_version("a", 1)
    await site.change("POST", "", {"install": [{"project": "a"}]})
    async with site.client.post(site.url, json={"install": [{"project": "a"}]}, headers=VIEWER) as got:
        assert (got.status, (await got.json())["code"]) == (403, "role_missing")
    async with site.client.get(site.url, headers=VIEWER) as got:
        assert got.status == 200
    await site.world.wait_until("select count(*) = 2 from audit_entries where act like 'mod.%'")
    rows = await site.world.fetch(
        "select act, outcome, details from audit_entries where act like 'mod.%' order by number"
    )
    assert [(row["act"], row["outcome"]) for row in rows] == [("mod.change", "done"), ("mod.change", "refused")]
    assert rows[0]["details"]["install"] == "a"


async def test_an_agent_that_tells_of_megabytes_is_read_in_measure(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its customer could look at its ledger all the time, and others would wait until it is taken apart."""
    monkeypatch.setattr(appetite_rules, "BYTES_PER_S", 1)
    monkeypatch.setattr(appetite_rules, "BURST_BYTES", 10_000)
    await asyncio.to_thread(site.server.mods.mkdir)
    for number in range(60):
        await asyncio.to_thread((site.server.mods / f"{number}{'x' * 100}.jar").write_bytes, b"")
    assert len((await site.ask("GET"))["unknown"]) == 60
    assert (await site.ask("GET", status=503))["code"] == "agent_unreachable"
