"""The proof that goes on, on a real database: what breaks is told, what heals is taken back, nobody is blamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from component.api.test_reconciler import add, settled
from fakes.api_world import WAIT_S, World
from fakes.wishes import want_container, want_deletion
from zlh_api.audit.lease import PatrolLease
from zlh_api.containers import store as containers
from zlh_api.containers.model import Power
from zlh_api.edge.port import ProxyAway
from zlh_api.proof import rules, store
from zlh_api.proof.model import LinkSeen, Provable
from zlh_api.proof.service import Prober
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.edge import Certificate

HOST, FILE = "dev-101.localhost", "dev-101.yml"
SILENT, UNROUTED = "name_not_answering", "route_not_loaded"


@pytest.fixture(autouse=True)
def _everybody_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look is about everybody, and a prober that runs looks many times a second."""
    for name in ("WHOLE_EVERY", "DOUBTFUL_EVERY", "BROKEN_EVERY"):
        monkeypatch.setattr(rules, name, timedelta(0))
    monkeypatch.setattr("zlh_api.proof.service.LOOK_S", 0.1)
    monkeypatch.setattr("zlh_api.proof.service.CONFIRM_S", 0.05)
    monkeypatch.setattr("zlh_api.proof.service.PAUSE_S", 0.01)


@asynccontextmanager
async def looking(world: World) -> AsyncIterator[Prober]:
    """Lend a prober that has the lease and looks when it is told to."""
    lease = PatrolLease(world.database)
    holding = asyncio.create_task(lease.run())
    try:
        await lease.wait_held()
        yield world.prober(lease)
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


async def faults(world: World) -> dict[int, list[str]]:
    """Return the faults of all containers."""
    rows = await world.fetch("select vmid, edge_faults from containers order by vmid")
    return {row["vmid"]: row["edge_faults"] for row in rows}


async def history(world: World) -> list[tuple[str, str]]:
    """Return what the platform itself has told, oldest first."""
    rows = await world.fetch("select kind, subject from happenings where journal = 'platform' order by owner, position")
    return [(row["kind"], row["subject"]) for row in rows]


async def several(world: World, count: int) -> list[OwnerMark]:
    """Return containers that have been brought up."""
    async with world.database.transaction() as connection:
        owners = [await want_container(connection, name=f"c{number}") for number in range(count)]
    async with world.reconciler():
        for owner in owners:
            await world.wait_settled(owner)
    return owners


def lose_name(world: World) -> None:
    """Let the name lead nowhere."""
    world.proxy.silent.add(HOST)


def lose_route(world: World) -> None:
    """Let the proxy not have noticed the file."""
    world.proxy.unseen.add(FILE)


@pytest.mark.parametrize(
    ("lose", "fault", "link"), [(lose_name, SILENT, "name"), (lose_route, UNROUTED, "route")], ids=["name", "route"]
)
async def test_what_breaks_later_is_told_and_what_heals_is_taken_back(
    world: World, lose: Callable[[World], None], fault: str, link: str
) -> None:
    """In the status and in the history; a container that cannot be reached is not ready."""
    await settled(world)
    headers = {"Authorization": f"Bearer {world.people.viewer}"}
    async with looking(world) as prober, world.client() as client:

        async def ask(path: str) -> Any:
            async with client.get(f"/api/containers/101/{path}", headers=headers) as response:
                assert response.status == 200
                return await response.json()

        await prober.look()
        assert {each["link"]: each["state"] for each in (await ask("proof"))["links"]} == {
            "agent": "holds",
            "route": "holds",
            "dns": "skipped",
            "name": "holds",
        }
        assert (await ask("status"))["ready"]
        lose(world)
        await prober.look()
        assert (await ask("status"))["degraded"] == []
        assert {each["link"]: each["state"] for each in (await ask("proof"))["links"]}[link] == "doubtful"
        await prober.look()
        status = await ask("status")
        assert (status["degraded"], status["ready"], status["lifecycle"]) == ([fault], False, "running")
        broken = next(each for each in (await ask("proof"))["links"] if each["link"] == link)
        assert (broken["state"], broken["code"]) == ("broken", fault)
        assert broken["message"]
        world.proxy.silent.clear()
        world.proxy.unseen.clear()
        await prober.look()
        status = await ask("status")
        assert (status["degraded"], status["ready"]) == ([], True)
        assert [(each["kind"], each["subject"]) for each in (await ask("events"))["items"][:2]] == [
            ("name.mended", link),
            ("name.broken", link),
        ]


async def test_a_route_that_is_gone_is_put_back_before_it_is_a_fault(world: World) -> None:
    """Without a patrol: the first look wakes the reconciler, and the second finds all as it should be."""
    owner = await settled(world)
    text = world.routes.files[FILE]
    async with world.reconciler(), looking(world) as prober:
        await prober.look()
        del world.routes.files[FILE]
        await prober.look()
        await world.wait_settled(owner)
        async with asyncio.timeout(WAIT_S):
            while world.routes.files.get(FILE) != text:
                await asyncio.sleep(0.01)
        await prober.look()
        await prober.look()
    assert await faults(world) == {101: []}
    # That the file was gone is told, and nothing was broken.
    assert await history(world) == [("route.edited", "route")]


async def test_a_proxy_that_is_away_is_nobodys_own_fault(world: World) -> None:
    """It is told once, to operators, since when; the containers are as good as they were seen last."""
    await several(world, 3)
    async with looking(world) as prober:
        await prober.look()
        world.faults.fail("fetch_seen", *[ProxyAway("refused")] * 3)
        for _ in range(3):
            await prober.look()
        edge = await world.proofs.fetch_edge()
        assert [outage.code for outage in edge.outages] == ["proxy_away"]
        assert edge.outages[0].since < (edge.looked_at or edge.outages[0].since)
        assert edge.proxy is not None
        assert not edge.proxy.is_reachable
        assert edge.faults == ()
        await prober.look()
        edge = await world.proofs.fetch_edge()
        assert (edge.outages, edge.proxy and edge.proxy.is_reachable) == ((), True)
    assert await history(world) == []


async def test_what_takes_every_name_or_route_away_is_told_once(world: World) -> None:
    """And one that fails where the others answer is its own."""
    await several(world, 4)
    async with looking(world) as prober:
        await prober.look()
        world.proxy.unseen |= set(world.routes.files)
        world.proxy.silent |= {f"dev-{vmid}.localhost" for vmid in range(101, 105)}
        for _ in range(3):
            await prober.look()
        edge = await world.proofs.fetch_edge()
        assert [outage.code for outage in edge.outages] == ["routes_missing", "names_silent"]
        assert set(map(tuple, (await faults(world)).values())) == {()}
        world.proxy.unseen = {FILE}
        world.proxy.silent = {HOST}
        for _ in range(3):
            await prober.look()
    assert await faults(world) == {101: [UNROUTED, SILENT], 102: [], 103: [], 104: []}
    edge = await world.proofs.fetch_edge()
    assert (edge.fault_counts, edge.faults[0].vmid, edge.outages) == ({UNROUTED: 1, SILENT: 1}, 101, ())


async def suspend(world: World, owner: OwnerMark) -> None:
    """Suspend its customer."""
    await world.fetch("update containers set suspended = true where owner = $1::text::uuid", owner)


async def switch_off(world: World, owner: OwnerMark) -> None:
    """Switch it off."""
    async with world.database.connection() as connection:
        await containers.update_power(connection, owner, Power.OFF)


async def delete(world: World, owner: OwnerMark) -> None:
    """Want its end."""
    async with world.database.transaction() as connection:
        await want_deletion(connection, owner)


@pytest.mark.parametrize("end", [suspend, switch_off, delete])
async def test_nothing_is_held_against_what_should_not_answer(world: World, end: Callable[..., Any]) -> None:
    """Not even where that was wished while the look was under way; and what was, is taken back."""
    owner = await settled(world)
    async with looking(world) as prober:
        await prober.look()
        lose_name(world)
        await prober.look()
        look = await prober._begin(prober._fence or 0)
        await prober._ask_names(look)
        await end(world, owner)
        after = prober._conclude(look)
        assert rules.faults_of(after[owner]) == (SILENT,)
        await prober._save(prober._fence or 0, look, await _last_look(world), after)
        assert await faults(world) == {101: []}
        await world.fetch("update containers set edge_faults = '{name_not_answering}'")
        await prober.look()
    assert await faults(world) == {101: []}
    assert await history(world) == []


async def _last_look(world: World) -> Any:
    async with world.database.connection() as connection:
        look, _ = await store.fetch_look(connection)
    return look


async def test_who_has_lost_the_lease_writes_nothing(world: World) -> None:
    """Another process may have seen what is newer; and it goes on where the first one was."""
    await settled(world)
    async with looking(world) as prober:
        await prober.look()
        lose_name(world)
        await prober.look()
        await world.fetch("update patrol set fence = fence + 1, holder = null, lease_until = null")
        await prober.look()
        assert await faults(world) == {101: []}
    async with looking(world) as another:
        await another.look()
        assert await faults(world) == {101: [SILENT]}


async def test_a_person_asks_for_a_look_and_sees_it(world: World) -> None:
    """At once, however long the pause; twice in a moment is refused, and who may only look may not ask."""
    await settled(world)
    owner, viewer = ({"Authorization": f"Bearer {name}"} for name in (world.people.owner, world.people.viewer))
    async with world.proving(), world.client() as client:
        async with client.post("/api/containers/101/check", headers=viewer) as response:
            assert response.status == 403
        async with client.post("/api/containers/101/check", headers=owner) as response:
            assert response.status == 202
            asked_at = (await response.json())["askedAt"]
        async with client.post("/api/containers/101/check", headers=owner) as response:
            problem = await response.json()
            assert (response.status, problem["code"]) == (429, "check_too_soon")
        async with asyncio.timeout(WAIT_S):
            while True:
                async with client.get("/api/containers/101/proof", headers=owner) as response:
                    proof = await response.json()
                if (proof["checkedAt"] or "") > asked_at:
                    break
                await asyncio.sleep(0.02)
    assert [each["state"] for each in proof["links"]] == ["holds", "holds", "skipped", "holds"]


async def test_an_agent_that_is_back_is_a_reason_to_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before the container's time."""
    await settled(world)
    monkeypatch.setattr(rules, "WHOLE_EVERY", timedelta(hours=1))
    monkeypatch.setattr("zlh_api.proof.service.LOOK_S", 60.0)
    async with world.proving():
        await world.wait_until("select checked_at is not null from proofs")
        (before,) = await world.fetch("select checked_at from proofs")
        await world.fetch("update containers set connection = 'offline'")
        await world.fetch("update containers set connection = 'online'")
        await world.wait_until("select checked_at > $1 from proofs", before["checked_at"])


class OneProvider:
    """A DNS provider that answers for all but one."""

    links: tuple[str, ...] = ("dns:inside",)

    def __init__(self) -> None:
        self.lost: set[Vmid] = set()

    async def look(self, rows: Sequence[Provable], /) -> Mapping[OwnerMark, tuple[LinkSeen, ...]]:
        """See NameLinks."""
        return {
            row.owner: (LinkSeen("dns:inside", row.vmid not in self.lost, "records_not_answered", "It has no record."),)
            for row in rows
        }


async def test_records_at_a_provider_are_a_link_like_others(world: World) -> None:
    """Named by its provider; one that is not configured any more is forgotten."""
    await several(world, 2)
    world.name_links = provider = OneProvider()
    async with looking(world) as prober:
        await prober.look()
        provider.lost = {Vmid(102)}
        await prober.look()
        await prober.look()
        assert await faults(world) == {101: [], 102: ["records_not_answered"]}
        assert await history(world) == [("name.broken", "dns:inside")]
        provider.links = ()
        provider.lost = set()
        await prober.look()
    assert await faults(world) == {101: [], 102: []}


class Shown:
    """A public side whose certificate ends soon."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def fetch_certificate(self, host: str) -> Certificate | None:
        """See CertificateSight."""
        self.asked.append(host)
        not_after = datetime.now(UTC) + timedelta(days=3 if host == HOST else 80)
        return Certificate(names=(host,), issuer="A CA", not_after=not_after.replace(microsecond=0))


async def test_a_certificate_that_ends_soon_is_named(world: World) -> None:
    """Seen once, not at every look; in the metrics as days."""
    await several(world, 2)
    world.certificates = shown = Shown()
    async with looking(world) as prober:
        for _ in range(3):
            await prober.look()
    assert sorted(shown.asked) == [HOST, "dev-102.localhost", "portal.localhost"]
    edge = await world.proofs.fetch_edge()
    assert [(each.example, each.is_due) for each in edge.certificates] == [
        ("dev-101", True),
        ("dev-102", False),
        ("portal.localhost", False),
    ]
    metrics = await world.proofs.render_metrics()
    assert 'zlh_edge_certificate_days_left{host="dev-101"} 3.0' in metrics
    assert 'zlh_edge_containers{fault="name_not_answering"} 0' in metrics
    assert "zlh_edge_proxy_reachable 1" in metrics


async def test_a_container_that_was_never_ready_is_not_looked_at(world: World) -> None:
    """Its steps tell how far it is."""
    await add(world)
    async with looking(world) as prober:
        await prober.look()
    assert await world.fetch("select 1 from proofs") == []
    assert "fetch_seen" in world.faults.calls
    assert "check_ready" not in world.faults.calls
