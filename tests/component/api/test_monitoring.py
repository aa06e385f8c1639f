"""What Prometheus is told by a served API on a real database: by whom, of what, and nothing of any customer."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import yaml
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from component.api.test_proof import Shown, looking, several
from component.api.test_reconciler import settled
from fakes.api_world import WAIT_S, World
from fakes.clock import FakeClock
from fakes.proof import NoEdgeFacts, NoNameLinks
from fakes.wishes import want_container
from zlh_api.app.checks import make_checks
from zlh_api.app.monitoring import make_monitor
from zlh_api.app.parts import _make_sources
from zlh_api.catalog.service import FetchedCatalog
from zlh_api.console.service import ConsoleService
from zlh_api.containers.census import ANEW_S, GOOD_FOR_S, CensusService
from zlh_api.database.pool import Database
from zlh_api.drivers.port import GuestFailed, SystemAway
from zlh_api.edge.port import ProxyAway
from zlh_api.proof.patrol_facts import ConfiguredProvider, PatrolFacts
from zlh_api.proof.report import ProofReports
from zlh_api.rollouts.service import RolloutService

ROOT = Path(__file__).parents[3]
OPERATOR = {"Authorization": "Bearer operator-token"}
Client = TestClient[Request, Application]


async def scrape(client: Client) -> str:
    """Return the text that an operator's Prometheus is given."""
    async with client.get("/metrics", headers=OPERATOR) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return await response.text()


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return all series as Prometheus' own parser reads them; each stands there once."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    keys = [(sample.name, frozenset(sample.labels.items())) for sample in samples]
    assert len(keys) == len(set(keys)), [key for key, count in Counter(keys).items() if count > 1]
    return dict(zip(keys, (sample.value for sample in samples), strict=True))


def of(text: str, name: str, **labels: str) -> float | None:
    """Return one figure, or None where it is not told."""
    return read(text).get((name, frozenset(labels.items())))


def names_in(text: str) -> set[str]:
    """Return the names of all families."""
    return set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))


async def keep_look(world: World) -> None:
    """Let a patrol look once and keep what it has seen."""
    async with world.patrol():
        await world.wait_until("select report is not null from patrol")


@asynccontextmanager
async def lived(world: World) -> AsyncIterator[Client]:
    """Lend a client of an API that has had a life: every figure that there can be is known."""
    facts = PatrolFacts(world.database, (ConfiguredProvider("inside", "rfc2136", "localhost"),), "quarantine")
    world.proofs = ProofReports(world.database, world.clock, NoNameLinks(), facts)
    world.certificates = Shown()
    until = datetime.now(UTC) + timedelta(days=14)
    world.catalog._fetched = FetchedCatalog(catalog=world.catalog.current(), expires_at=until, url="http://127.0.0.1:1")
    await asyncio.to_thread(world.config().state_dir.mkdir)
    record = msgspec.json.encode({"finished_at": datetime.now(UTC), "bytes": 12345})
    await asyncio.to_thread(world.config().backup_record.write_bytes, record)
    await world.rotation.start()
    circuit = world.circuits.make("the proxy's machine")
    with pytest.raises(SystemAway):
        async with circuit.call():
            raise ConnectionRefusedError("nobody")
    world.faults.fail("ensure_created", GuestFailed(what="The call", reason="it was told to fail"))
    await several(world, 2)
    async with looking(world) as prober:
        await prober.look()
    await keep_look(world)
    columns = "id, version, state, wish, started_by"
    rollout = (uuid4(), "0.2.0", "halted", {"version": "0.2.0"}, "somebody")
    await world.fetch(f"insert into rollouts ({columns}) values ($1, $2, $3, $4, $5)", *rollout)
    async with world.client() as client:
        yield client


async def break_all(world: World) -> None:
    """Let the proxy be away, one container fail, and another be degraded."""
    world.faults.fail("fetch_seen", *[ProxyAway("refused")] * 3)
    async with looking(world) as prober:
        for _ in range(3):
            await prober.look()
    await world.fetch("update steps set state = 'failed', code = 'guest_failed' where name = 'start-guest'")
    await world.fetch("update containers set agent_faults = '{agent_redirects}' where vmid = 101")
    await world.fetch("update containers set attempts = 9, connection = 'offline' where vmid = 102")


def documented() -> set[str]:
    """Return the families that the page of operations explains."""
    page = (ROOT / "docs/operations.md").read_text()
    chapter = page.partition("### Of the platform\n")[2].partition("\n## ")[0]
    return set(re.findall(r"`((?:zlh|process)_[a-z_]+)", chapter))


async def test_every_family_is_documented_and_every_documented_one_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is what alarms are written by; what hurts is told while it does."""
    monkeypatch.setattr("zlh_api.containers.census.GOOD_FOR_S", -1.0)
    async with lived(world) as client:
        names = names_in(await scrape(client))
        # Its own request is over by now.
        names |= names_in(await scrape(client))
        await break_all(world)
        names |= names_in(await scrape(client))
    assert names == documented()


async def test_what_alarms_and_dashboards_ask_for_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its full name, with the labels that they use."""
    monkeypatch.setattr("zlh_api.containers.census.GOOD_FOR_S", -1.0)
    async with lived(world) as client:
        await scrape(client)
        text = await scrape(client)
        await break_all(world)
        text += await scrape(client)
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    labels: dict[str, set[str]] = {}
    for sample in samples:
        labels.setdefault(sample.name, set()).update(sample.labels)
    asked = asked_figures()
    assert asked
    # Prometheus gives each target these itself.
    assert {name for name in asked if name not in labels and name != "up"} == set()
    for name, wanted in asked.items():
        assert wanted <= labels.get(name, set()) | {"job", "instance"}, name


def asked_figures() -> dict[str, set[str]]:
    """Return what expressions of rules and dashboard ask for, with the labels that each selects by."""
    folder = ROOT / "deploy/monitoring"
    rules = yaml.safe_load((folder / "zlh-rules.yml").read_text())
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    expressions += expressions_of(json.loads((folder / "zlh-dashboard.json").read_text()))
    found: dict[str, set[str]] = {}
    for name, selectors in re.findall(r"\b((?:zlh|process)_[a-z_]+|up)\b(?:\{([^}]*)\})?", "\n".join(expressions)):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selectors))
    return found


def expressions_of(node: Any) -> list[str]:
    """Return every expression of a dashboard, wherever it stands."""
    if isinstance(node, list):
        return [each for child in node for each in expressions_of(child)]
    if not isinstance(node, dict):
        return []
    own = [node["expr"]] if isinstance(node.get("expr"), str) else []
    own += [node["query"]] if isinstance(node.get("query"), str) and "(" in node["query"] else []
    return own + [each for child in node.values() for each in expressions_of(child)]


@pytest.mark.parametrize("who", ["owner", "viewer", "stranger"])
async def test_figures_are_the_operators_alone(client: Client, who: str) -> None:
    """To others they are as if they were not there."""
    async with client.get("/metrics", headers={"Authorization": f"Bearer {who}-token"}) as response:
        assert response.status == 404
    async with client.get("/metrics") as response:
        assert response.status == 401


async def test_containers_are_counted_in_the_words_of_their_reports(world: World) -> None:
    """However they stand; as of the last change of each, and of those that are gone none."""
    owners = await several(world, 3)
    async with world.database.transaction() as connection:
        await want_container(connection, name="new")
    await world.fetch("update containers set power = 'off', guest = 'stopped' where owner = $1::text::uuid", owners[0])
    await world.fetch("update containers set connection = 'offline' where owner = $1::text::uuid", owners[1])
    clock = FakeClock()
    census = CensusService(world.database, clock)
    async with world.client() as client:
        for _again in range(2):
            counted = await census.count()
            reports = await fetch_reports(client)
            lifecycles = Counter((each["kind"], each["lifecycle"]) for each in reports)
            assert {key: count for key, count in counted.lifecycles.items() if count} == lifecycles
            assert counted.ready == sum(each["ready"] for each in reports)
            assert counted.degraded == Counter(reason for each in reports for reason in each["degraded"])
            assert (counted.agents_expected, counted.agents_connected) == (2, 1) if _again == 0 else (1, 1)
            await world.fetch("delete from containers where owner = $1::text::uuid", owners[1])
            clock.advance(GOOD_FOR_S + 1)


async def fetch_reports(client: Client) -> list[dict[str, Any]]:
    """Return all containers as an operator sees them."""
    async with client.get("/api/containers", headers=OPERATOR) as response:
        assert response.status == 200
        reports: list[dict[str, Any]] = (await response.json())["items"]
        return reports


async def test_a_row_that_cannot_be_read_is_counted_nowhere_and_costs_nobody(world: World) -> None:
    """Another version may have written it."""
    owners = await several(world, 2)
    await world.fetch("update containers set spec = '{\"runtimes\": 5}' where owner = $1::text::uuid", owners[0])
    with capture_logs() as lines:
        census = await CensusService(world.database, world.clock).count()
    assert (sum(census.lifecycles.values()), census.ready) == (1, 1)
    assert [line["owner"] for line in lines if line["event"] == "census.row_unreadable"] == [owners[0]]


async def test_who_asks_again_at_once_costs_the_database_nothing(world: World) -> None:
    """Three Prometheus are as one; a little later it is counted anew."""
    await settled(world)
    clock = FakeClock()
    census = CensusService(world.database, clock)
    first = await census.count()
    await world.fetch("delete from containers")
    assert await census.count() is first
    clock.advance(GOOD_FOR_S + 1)
    assert sum((await census.count()).lifecycles.values()) == 0


async def test_who_merely_works_on_a_container_has_it_counted_from_memory(world: World) -> None:
    """A claim is nobody's business; what a person could see is read again, and now and then everything is."""
    owner = await settled(world)
    clock = FakeClock()
    census = CensusService(world.database, clock)
    await census.count()
    (before,) = census._known.values()
    await world.fetch("update containers set fence = fence + 1, wake_at = now() + interval '1 day'")
    clock.advance(GOOD_FOR_S + 1)
    await census.count()
    assert census._known[owner] is before
    await world.fetch("update containers set connection = 'offline'")
    clock.advance(GOOD_FOR_S + 1)
    assert (await census.count()).agents_connected == 0
    seen = census._known[owner]
    clock.advance(ANEW_S)
    await census.count()
    assert census._known[owner] is not seen


async def test_requests_are_told_by_endpoint_and_never_by_what_was_asked(world: World) -> None:
    """Whoever makes up addresses, methods and numbers adds nothing but to a count."""
    async with world.client() as client:
        await several(world, 1)
        for path in ("/api/containers/101", "/api/containers/999", "/api/containers/'", "/api/nothing/secret-word"):
            async with client.get(path, headers=OPERATOR) as response:
                await response.read()
        async with client.request("MKCOL", "/api/containers", headers=OPERATOR) as response:
            assert response.status == 405
        text = await scrape(client)
    found = read(text)
    one = {"method": "GET", "route": "/api/containers/{vmid}"}
    assert of(text, "zlh_http_requests_total", **one, status="2xx") == 1
    assert of(text, "zlh_http_requests_total", **one, status="4xx") == 2
    assert of(text, "zlh_http_requests_total", method="", route="", status="4xx") == 2
    assert of(text, "zlh_http_request_seconds_count", **one) == 3
    assert "secret-word" not in text
    assert "MKCOL" not in text
    assert not [key for key, _value in found.items() if "101" in dict(key[1]).values()]


async def test_what_is_open_is_told_with_its_limit(world: World) -> None:
    """An event stream while it lasts."""
    async with world.client() as client:
        async with client.get("/api/events", headers=OPERATOR) as stream:
            await stream.content.readline()
            text = await scrape(client)
            assert of(text, "zlh_open_calls", kind="event streams") == 1
            assert of(text, "zlh_open_calls_limit", kind="event streams") == 1000
        async with asyncio.timeout(WAIT_S):
            while of(await scrape(client), "zlh_open_calls", kind="event streams") != 0:
                await asyncio.sleep(0.05)


async def test_steps_are_told_by_outcome_code_and_time(world: World) -> None:
    """A creation that fails once, and then goes on to its end."""
    async with lived(world) as client:
        text = await scrape(client)
    assert of(text, "zlh_reconcile_steps_total", step="create-guest", outcome="failed") == 1
    assert of(text, "zlh_reconcile_steps_total", step="create-guest", outcome="done") == 2
    assert of(text, "zlh_reconcile_failures_total", code="guest_failed") == 1
    assert of(text, "zlh_reconcile_step_seconds_count", step="create-guest") == 3
    assert of(text, "zlh_reconcile_containers", work="settled") == 2
    assert of(text, "zlh_reconcile_oldest_due_seconds") == 0
    assert of(text, "zlh_circuit_closed", system="the proxy's machine") == 0
    # Where no DNS provider is configured, nobody is blind to one.
    assert [dict(labels)["system"] for name, labels in read(text) if name == "zlh_audit_seen"] == ["guests", "routes"]


async def test_work_that_nobody_does_grows_old(world: World) -> None:
    """Where no reconciler runs, it is what shows that."""
    async with world.database.transaction() as connection:
        await want_container(connection, name="new")
    await world.fetch("update containers set wake_at = now() - interval '90 s'")
    async with world.client() as client:
        text = await scrape(client)
    assert of(text, "zlh_reconcile_containers", work="due") == 1
    age_s = of(text, "zlh_reconcile_oldest_due_seconds")
    assert age_s is not None
    assert age_s >= 90


async def test_what_does_not_need_the_database_is_told_without_it(world: World) -> None:
    """The gate asks the database, so nobody can scrape then; one that goes away on the way costs its own figures."""
    config = world.config()
    async with world.client() as client:
        await scrape(client)
    away = Database(f"postgresql://zlh@/nobody?host={world.folder / 'nowhere'}")
    async with ConsoleService(world.agents) as consoles:
        parts = world.parts(consoles)
        checks = make_checks(away, parts.proxy, parts.catalog, parts.artifacts, world.rotation)
        upkeep = replace(parts.upkeep, auditor=world.auditor(away))
        upkeep = replace(upkeep, proofs=ProofReports(away, world.clock, NoNameLinks(), NoEdgeFacts()))
        rollouts = RolloutService(away, lambda: ())
        sources = _make_sources(parts, checks)
        monitor = make_monitor(config, away, upkeep, rollouts, sources=sources, clock=world.clock)
        text = await monitor.render()
    assert of(text, "zlh_dependency_healthy", dependency="database") == 0
    assert of(text, "zlh_dependency_healthy", dependency="proxy") == 1
    failures = of(text, "zlh_database_failures_total")
    assert failures is not None
    assert failures >= 4
    assert "zlh_build_info" in text
    assert "zlh_containers" not in text
    assert "zlh_edge" not in text
    await away.close()
