"""Mods of a game server on the whole platform: from a search to what the server loads, and back."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from e2e.game_with_mods import Blocks, blocks, blocks_on_offer, modrinth
from fakes.modrinth import FakeModrinth, build_graph, requires

__all__ = ["blocks", "blocks_on_offer", "modrinth"]
pytestmark = pytest.mark.timeout(900)


async def test_mods_from_search_to_removal(blocks: Blocks) -> None:
    """Search, plan, install, disable, update, undo, remove, verify: each as files, ledger and what the server loads."""
    modrinth = blocks.modrinth
    offer(modrinth)
    found = await blocks.ask("GET", "/search?query=barn")
    assert [hit["projectId"] for hit in found["items"]] == ["barn"]
    offered = await blocks.ask("GET", "/barn/versions")
    assert [(row["versionNumber"], row["channel"]) for row in offered["items"]] == [
        ("3.0", "alpha"),
        ("2.0", "release"),
        ("1.0", "release"),
    ]
    chosen = [{"project": "barn", "version": "barnv1"}, {"project": "slug-maps", "version": "mapsv1"}]
    wish = {"install": chosen, "reason": "for the barn"}
    plan = await blocks.ask("POST", "/plan", wish)
    assert [(line["projectId"], line["after"], line["neededBy"]) for line in plan["mods"]] == [
        ("barn", "1.0", []),
        ("maps", "1.0", []),
        ("lib", "1.0", ["BARN"]),
    ]
    assert (await blocks.change("POST", "", {**wish, "revision": plan["revision"]}))["state"] == "done"
    await check_ledger(blocks, ["barn-1.jar", "lib-1.jar", "maps-1.jar"])
    assert (await blocks.ask("GET"))["isRestartDue"]
    await blocks.restart()
    assert (await blocks.loads())[-1] == "3 mods: barn-1.jar lib-1.jar maps-1.jar"
    assert not (await blocks.ask("GET"))["isRestartDue"]

    await blocks.change("POST", "/maps/disable")
    await check_ledger(blocks, ["barn-1.jar", "lib-1.jar", "maps-1.jar.disabled"])
    await blocks.restart()
    assert (await blocks.loads())[-1] == "2 mods: barn-1.jar lib-1.jar"
    await blocks.change("POST", "/maps/enable")
    await blocks.change("POST", "/lib/pin")

    await blocks.change("POST", "", {"updateAll": True})
    await check_ledger(blocks, ["barn-2.jar", "lib-1.jar", "maps-2.jar"])
    modrinth.files.contents.clear()
    modrinth.tricks = ["drop"] * 10_000
    assert (await blocks.change("POST", "/rollback"))["state"] == "done"
    await check_ledger(blocks, ["barn-1.jar", "lib-1.jar", "maps-1.jar"])
    await blocks.restart()
    assert (await blocks.loads())[-1] == "3 mods: barn-1.jar lib-1.jar maps-1.jar"
    assert (await happenings(blocks))[0].startswith("The last change of the mods was undone: updated BARN 2.0 to 1.0")
    modrinth.tricks = []

    await blocks.change("POST", "/lib/unpin")
    await remove_once_modrinth_is_back(blocks, "barn")
    await check_ledger(blocks, ["maps-1.jar"])
    await asyncio.to_thread((blocks.folder / "mods/maps-1.jar").write_bytes, b"another")
    await asyncio.to_thread((blocks.folder / "mods/stray.jar").write_bytes, b"nobody's")
    report = await blocks.ask("POST", "/verify")
    assert [(seen["entry"]["file"]["projectId"], seen["condition"]) for seen in report["mods"]] == [("maps", "changed")]
    assert [(file["fileName"], file["sha512"]) for file in report["unknown"]] == [
        ("stray.jar", hashlib.sha512(b"nobody's").hexdigest())
    ]


async def remove_once_modrinth_is_back(blocks: Blocks, project: str) -> None:
    """Remove a mod; the platform finds out by itself that Modrinth answers again."""
    while True:
        got, answer = await blocks.stack.call("DELETE", f"/api/game/{blocks.vmid}/mods/{project}")
        if got == 202:
            break
        assert answer["code"] == "system_away", answer
        await asyncio.sleep(0.5)
    while (await blocks.ask("GET", f"/changes/{answer['id']}"))["state"] == "running":
        await asyncio.sleep(0.1)


def offer(modrinth: FakeModrinth) -> None:
    """Have two mods and what one of them needs; its alpha is the newest."""
    modrinth.add_version("lib", 1)
    modrinth.add_version("lib", 2)
    modrinth.add_version("barn", 1, requires("lib", "libv1"))
    modrinth.add_version("barn", 2, requires("lib"))
    modrinth.add_version("barn", 3, version_type="alpha")
    modrinth.add_version("maps", 1)
    modrinth.add_version("maps", 2)


async def test_sixty_mods_come_or_none_does(blocks: Blocks) -> None:
    """Twenty are asked for and bring forty; one file that is not as promised leaves the server as it was."""
    modrinth = blocks.modrinth
    roots = build_graph(modrinth)
    wish = {"install": [{"project": root} for root in roots]}
    plan = await blocks.ask("POST", "/plan", wish)
    assert plan["isPossible"]
    assert len(plan["mods"]) == 60
    assert {line["after"] for line in plan["mods"]} == {"2.0"}
    wrong = next(path for path in modrinth.files.contents if path.endswith("p2x7-2.jar"))
    modrinth.files.tricks[wrong] = "wrong"
    told = await blocks.change("POST", "", wish)
    assert (told["state"], told["code"]) == ("failed", "mod_file_wrong")
    assert blocks.names == []
    del modrinth.files.tricks[wrong]
    assert (await blocks.change("POST", "", wish))["state"] == "done"
    assert len(blocks.names) == 60
    await blocks.restart()
    assert (await blocks.loads())[-1].startswith("60 mods: ")
    got, answer = await blocks.stack.call(
        "POST", f"/api/game/{blocks.vmid}/version", {"version": "2.0", "backup": True}
    )
    assert got < 300, answer
    while (await blocks.stack.call("GET", f"/api/game/{blocks.vmid}"))[1]["installedVersion"] != "2.0":
        await asyncio.sleep(0.2)
    await blocks.stack.wait_ready(blocks.vmid)
    assert (await blocks.loads())[-1].startswith("60 mods: ")


async def check_ledger(blocks: Blocks, names: list[str]) -> None:
    """Hold the folder against the ledger that lies there: the names, and the hash of each."""
    ledger = json.loads(await asyncio.to_thread((blocks.folder / "mods/.zlh_metadata.json").read_bytes))
    there = {
        entry["file"]["fileName"] + ("" if entry["isEnabled"] else ".disabled"): entry["file"]["sha512"]
        for entry in ledger["entries"]
    }
    assert (blocks.names, sorted(there)) == (names, names)
    for name, digest in there.items():
        content = await asyncio.to_thread((blocks.folder / "mods" / name).read_bytes)
        assert hashlib.sha512(content).hexdigest() == digest


async def happenings(blocks: Blocks) -> list[str]:
    """Return what the container's history says of its mods, the newest first, once the newest change is in it."""
    changes = (await blocks.ask("GET"))["changes"]
    while True:
        got, answer = await blocks.stack.call("GET", f"/api/containers/{blocks.vmid}/events")
        assert got == 200, answer
        told = [entry for entry in answer["items"] if entry["subject"] == "mods"]
        if told and told[0]["data"]["change"] == changes[-1]["id"]:
            return [entry["message"] for entry in told]
        await asyncio.sleep(0.2)
