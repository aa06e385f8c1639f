"""`zlh-api audit` and its endpoint: what people and programs are told, and what a person may remove."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from component.api.test_reconciler import ask_deletion, settled
from fakes.api_world import World
from fakes.dns_provider import FakeProvider
from fakes.driver import FakeGuest
from zlh_api.app.audit import open_audit
from zlh_api.audit import commands
from zlh_api.audit.command_line import add_parser
from zlh_api.audit.commands import AuditIncomplete, MarkInUse, MarkUnseen
from zlh_api.audit.removal import Remover
from zlh_api.audit.service import Auditor
from zlh_api.config.driver_tables import ProcessDriverSection
from zlh_api.config.edge_tables import TraefikSection
from zlh_api.config.model import ApiConfig
from zlh_api.config.tables import ArtifactsSection, DatabaseSection
from zlh_api.database.migrate import SchemaTooOld
from zlh_api.dns.model import Record
from zlh_api.drivers.port import GuestFailed, SystemAway
from zlh_common.names import OwnerMark, Vmid

AWAY = SystemAway(system="node1", reason="it refuses", retry_in_s=5)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two looks without the pause between them."""
    monkeypatch.setattr("zlh_api.audit.commands.BETWEEN_LOOKS_S", 0.0)


async def parsed(*arguments: str) -> argparse.Namespace:
    """Return what `zlh-api audit` makes of these arguments."""
    # It looks for translations of its texts.
    return await asyncio.to_thread(_parse, arguments)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return parser.parse_args(["audit", *arguments])


async def run(world: World, *arguments: str) -> int:
    """Run `zlh-api audit` with these arguments; return its exit code."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[Auditor, Remover]]:
        yield world.auditor(), world.remover()

    return await commands.run(await parsed(*arguments), opened)


def put_orphan(world: World, vmid: int = 150, *, name: str = "dev-150") -> OwnerMark:
    """Make a guest and a route file with a mark that no container has."""
    owner = OwnerMark(str(uuid4()))
    guest = world.driver.guests[Vmid(vmid)] = FakeGuest(owner, None)
    guest.name = name
    world.routes.files[f"{name}.yml"] = f"# zlh owner: {owner}\n"
    return owner


async def test_clean_is_said_and_exits_with_0(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """With how much was looked at, and what could not be."""
    await settled(world)
    assert await run(world) == 0
    told = capsys.readouterr().out
    assert "1 containers, 1 guests, 1 route files" in told
    assert "Not looked at: DNS records. No DNS provider is configured." in told
    assert "All of what was looked at is as it should be." in told


async def test_findings_exit_with_1(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """With what each is about and what to do; a note alone is nothing to worry about."""
    world.driver.guests[Vmid(200)] = FakeGuest(None, None)
    assert await run(world) == 0
    owner = put_orphan(world)
    assert await run(world) == 1
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "orphan" in told
    assert owner in told.replace(" ", "")
    assert "stranger" in told


@pytest.mark.parametrize("name", ["survey", "survey_routes"])
async def test_what_could_not_be_looked_at_is_never_clean(
    world: World, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """It exits with 2 and says which system and why."""
    world.faults.fail(name, AWAY)
    assert await run(world) == 2
    told = capsys.readouterr().out
    assert "node1 is away (it refuses)" in told
    assert "All is as it should be" not in told


async def test_programs_get_the_same_as_json(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """In the shape of the endpoint, and with every finding."""
    owner = put_orphan(world)
    assert await run(world, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert {finding["owner"] for finding in told["report"]["findings"]} == {owner}
    assert told["queue"]["settled"] == 0


async def test_what_is_in_work_is_told_and_is_no_finding(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A container that fails is told with its step, its reason and when it is tried next."""
    owner = await settled(world)
    world.faults.fail("ensure_destroyed", *[GuestFailed(what="Deleting", reason="it is locked")] * 50)
    await ask_deletion(world, owner)
    async with world.reconciler():
        await world.wait_until("select attempts >= 1 and lease_until is null from containers")
    assert await run(world) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "destroy-guest" in told
    assert "it is locked" in told
    assert "as it should be" not in told
    assert "is accounted for; 1 containers are still in work, 1 of which have failed so far." in told


async def test_names_lists_what_is_called_otherwise(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing else, with the same exit codes."""
    await settled(world)
    assert await run(world, "names") == 0
    world.driver.guests[Vmid(101)].name = "web-1"
    put_orphan(world, name="Dev-150")
    assert await run(world, "names", "--json") == 1
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["report"]["findings"]
    assert {finding["name"] for finding in told} == {"web-1", "Dev-150", "Dev-150.yml"}
    world.faults.fail("survey", *[AWAY] * 3)
    assert await run(world, "names") == 2


async def test_names_of_records_are_held_to_the_same_rule(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """What carries our mark or looks like ours; proofs of certificates and the names of others are no fault."""
    provider = FakeProvider(world.faults)
    world.use_dns(provider)
    owner = await settled(world)
    assert await run(world, "names") == 0
    assert "1 DNS records at public" in capsys.readouterr().out
    (record,) = provider.records
    for name, mark in (("_acme-challenge.localhost", None), ("www.localhost", None), ("9-dev-101.localhost", owner)):
        provider.records.append(replace(record, name=name, owner=mark))
    assert await run(world, "names") == 0
    for name, mark in (("blog.localhost", owner), ("dev-0101.localhost", None), ("dev101.localhost", None)):
        provider.records.append(replace(record, name=name, owner=mark))
    capsys.readouterr()
    assert await run(world, "names", "--json") == 1
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["report"]["findings"]
    assert {finding["name"] for finding in told} == {"blog.localhost", "dev-0101.localhost", "dev101.localhost"}
    world.faults.fail("survey_records", *[AWAY] * 3)
    assert await run(world, "names") == 2


async def test_records_of_an_unknown_mark_are_removed_by_a_person(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """At names of containers alone: what somebody has copied the mark onto stays."""
    provider = FakeProvider(world.faults)
    world.use_dns(provider)
    mark = OwnerMark(str(uuid4()))
    for name in ("dev-150.localhost", "80-dev-150.localhost", "blog.localhost"):
        provider.put(Record(name, "A", "192.0.2.1", 300), mark)
    assert await run(world, "remove", mark) == 0
    assert "removed dev-150.localhost at public" in capsys.readouterr().out
    assert provider.names() == ["blog.localhost"]
    with pytest.raises(MarkUnseen):
        await run(world, "remove", mark)


async def test_a_system_that_comes_back_meanwhile_is_looked_at_twice(world: World) -> None:
    """What only its second look can confirm is not lost because its first one failed."""
    put_orphan(world)
    world.faults.fail("survey", AWAY)
    assert await run(world, "--json") == 1
    assert world.faults.calls.count("survey") == 3


async def test_an_orphan_that_a_person_has_judged_is_removed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Its guest and its route file, and nothing that carries another mark."""
    await settled(world)
    owner, other = put_orphan(world), put_orphan(world, 160, name="dev-160")
    capsys.readouterr()
    assert await run(world, "remove", owner) == 0
    assert capsys.readouterr().out.endswith("removed guest 150\nremoved dev-150.yml\n")
    (entry,) = await world.fetch("select * from audit_entries where act = 'remains.remove'")
    assert (entry["outcome"], entry["user_id"], entry["details"]["owner"]) == ("done", None, owner)
    assert {guest.owner for guest in world.driver.guests.values()} >= {other}
    assert (sorted(world.driver.guests), sorted(world.routes.files)) == ([101, 160], ["dev-101.yml", "dev-160.yml"])
    with pytest.raises(MarkUnseen):
        await run(world, "remove", owner)


async def test_what_a_container_has_is_never_removed(world: World) -> None:
    """Whatever a person says."""
    owner = await settled(world)
    with pytest.raises(MarkInUse):
        await run(world, "remove", owner)
    assert list(world.driver.guests) == [101]
    for nonsense in ("101", str(uuid4()), "'; drop table containers; --"):
        with pytest.raises(MarkUnseen):
            await run(world, "remove", nonsense)


async def test_nothing_is_removed_half_blind(world: World) -> None:
    """What carries the mark may be more than what was seen."""
    owner = put_orphan(world)
    world.faults.fail("survey_routes", AWAY)
    with pytest.raises(AuditIncomplete):
        await run(world, "remove", owner)
    assert list(world.driver.guests) == [150]


async def test_a_removal_that_fails_can_be_repeated(world: World) -> None:
    """The driver's own error is told, and the claim is given back."""
    owner = put_orphan(world)
    world.faults.fail("ensure_destroyed", GuestFailed(what="Deleting", reason="it is locked"))
    with pytest.raises(GuestFailed):
        await run(world, "remove", owner)
    assert await run(world, "remove", owner) == 0
    assert (world.driver.guests, world.routes.files) == ({}, {})


async def test_a_strangers_file_name_does_not_move_the_cursor(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor break the JSON."""
    world.routes.files["\x1b[2Jbad\udcff[red].yml"] = "x"
    assert await run(world) == 1
    assert "\x1b[2J" not in capsys.readouterr().out
    assert await run(world, "--json") == 1
    assert "bad" in json.loads(capsys.readouterr().out)["report"]["findings"][0]["name"]


def _config(folder: Path, dsn: str) -> ApiConfig:
    nowhere = "http://127.0.0.1:1"
    return ApiConfig(
        portal_url=nowhere,
        container_domain="localhost",
        keys_dir=folder / "keys",
        state_dir=folder / "state",
        database=DatabaseSection(dsn=dsn),
        artifacts=ArtifactsSection(url=nowhere, trusted_root=folder / "root.json"),
        process=ProcessDriverSection(root=folder / "guests"),
        traefik=TraefikSection(directory=folder / "routes", api_url=nowhere, web_url=nowhere),
    )


async def test_the_command_needs_no_api_and_changes_nothing(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the real driver and a real directory: it looks, and makes neither folder nor key."""
    config = _config(tmp_path / "home", world.dsn)
    assert await commands.run(await parsed(), lambda: open_audit(config)) == 0
    assert not (tmp_path / "home").exists()
    (tmp_path / "home/guests/strange").mkdir(parents=True)
    (tmp_path / "home/guests/0101").mkdir()
    (tmp_path / "home/guests" / os.fsdecode(b"no\xfftext")).mkdir()
    (tmp_path / "home/routes").mkdir()
    (tmp_path / "home/routes/.dev-101.yml.new").write_text("half")
    (tmp_path / "home/routes/folder.yml").mkdir()
    assert await commands.run(await parsed("--json"), lambda: open_audit(config)) == 1
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["report"]["findings"]
    assert sorted((finding["thing"], Path(finding["where"] or finding["name"]).name) for finding in told) == [
        ("guest", "0101"),
        ("guest", "no\N{REPLACEMENT CHARACTER}text"),
        ("guest", "strange"),
        ("route", "folder.yml"),
    ]


async def test_a_database_that_cannot_be_read_is_told_with_2(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is away, and one of another version's schema."""
    asked = await parsed()
    away = _config(tmp_path, "postgresql:///nowhere?host=/nonexistent")
    assert await commands.run(asked, lambda: open_audit(away)) == 2
    await world.fetch("delete from schema_versions where number > 1 returning 1")
    assert await commands.run(asked, lambda: open_audit(_config(tmp_path, world.dsn))) == 2
    assert f"[{SchemaTooOld.code}]" in capsys.readouterr().err


async def fetch_status(world: World, token: str, method: str = "GET") -> tuple[int, Any]:
    """Call the endpoint."""
    async with (
        world.client() as client,
        client.request(method, "/api/audit", headers={"Authorization": f"Bearer {token}"}) as answer,
    ):
        return answer.status, await answer.json()


async def test_operators_are_told_the_last_look_and_the_work_at_hand(world: World) -> None:
    """Before the first look that there was none; then its findings beside figures of this moment."""
    _, before = await fetch_status(world, world.people.operator)
    assert (before["report"], before["patrol"]["isAlive"]) == (None, False)
    owner = put_orphan(world)
    await settled(world)
    async with world.patrol():
        await world.wait_until("select jsonb_array_length(report->'findings') = 2 from patrol")
        status, told = await fetch_status(world, world.people.operator)
    assert (status, told["patrol"]["isAlive"]) == (200, True)
    assert {finding["owner"] for finding in told["report"]["findings"]} == {owner}
    assert told["queue"] == {
        "settled": 1, "working": 0, "due": 0, "waiting": 0, "held": 0, "awaiting": 0, "failing": 0,
        "oldestDueS": None,
    }  # fmt: skip


@pytest.mark.parametrize("who", ["owner", "viewer", "stranger"])
async def test_nobody_else_is_told_that_there_is_such_a_thing(world: World, who: str) -> None:
    """It speaks of everybody's containers."""
    for method in ("GET", "POST"):
        assert (await fetch_status(world, getattr(world.people, who), method))[0] == 404


async def test_a_look_can_be_asked_for(world: World) -> None:
    """Whichever process patrols hears of it, long before its next tick."""
    async with world.patrol():
        await world.wait_until("select report is not null from patrol")
        (row,) = await world.fetch("select report->>'lookedAt' as time from patrol")
        assert (await fetch_status(world, world.people.operator, "POST"))[0] == 202
        await world.wait_until("select report->>'lookedAt' > $1 from patrol", row["time"])


async def queue_of(world: World) -> dict[str, Any]:
    """Return the figures."""
    told: dict[str, Any] = (await fetch_status(world, world.people.operator))[1]
    return told


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ("lease_until = now() + interval '9 s'", "working"),
        ("wake_at = now() - interval '7 s', held_until = now() - interval '9 s'", "due"),
        ("waiting_for = 'node1'", "waiting"),
        ("held_until = now() + interval '50 s', attempts = 3", "held"),
        ("provisioned_at = null", "awaiting"),
    ],
)
async def test_each_container_is_counted_where_it_is(world: World, change: str, state: str) -> None:
    """And listed with what is known of it."""
    await settled(world)
    await world.fetch(f"update containers set {change} returning 1")
    told = await queue_of(world)
    assert {name: count for name, count in told["queue"].items() if count and name != "oldestDueS"} == (
        {state: 1, "failing": 1} if state == "held" else {state: 1}
    )
    assert (told["queue"]["oldestDueS"] or 0) >= (7 if state == "due" else 0)
    (item,) = told["work"]
    assert (item["vmid"], item["state"], item["nextTryAt"] is not None) == (101, state, state in {"held", "awaiting"})
