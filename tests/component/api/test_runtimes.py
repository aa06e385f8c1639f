"""Runtimes of a container that exists, as callers meet them: real rows, agents that can be told to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from component.api.people_world import OWNER, STRANGER, VIEWER
from component.api.test_http import create, problem, status_of
from fakes.api_world import WAIT_S, World
from zlh_api.agents.client import AgentRefused, AgentUnreachable
from zlh_common.runtime_choice import this_platform
from zlh_common.schema.catalog import Artifact, Catalog, CatalogRuntime, CatalogVersion, Channel
from zlh_common.schema.runtime import RuntimeUser, RuntimeUsers, RuntimeVerification
from zlh_common.schema.structs import encode

Client = TestClient[Request, Application]
NODES = ("26.1.0", "24.19.0", "22.23.1", "20.20.0")


def version_of(name: str, version: str, *, channel: Channel = "stable", default: bool = False) -> CatalogVersion:
    """Return a version for this machine."""
    archive = Artifact(
        platform=this_platform(),
        path=f"archives/{name}-{version}.tar.zst",
        size=1,
        unpacked_size=1,
        entries=1,
        sha256="0" * 64,
        source=f"{name}.tar.xz",
        source_sha256="0" * 64,
    )
    return CatalogVersion(version=version, channel=channel, default=default, licence="MIT", artifacts=(archive,))


def catalog(*nodes: str, candidates: tuple[str, ...] = ()) -> Catalog:
    """Return a catalog with these versions of node, and one of go."""
    versions = [
        *(version_of("node", each, channel="candidate") for each in candidates),
        *(version_of("node", each, default=each == "24.19.0") for each in nodes),
    ]
    return Catalog(
        format=2,
        published_at=datetime(2026, 1, 1, tzinfo=UTC),
        runtimes=(
            CatalogRuntime(name="node", title="Node.js", versions=tuple(versions)),
            CatalogRuntime(name="go", title="Go", versions=(version_of("go", "1.27.3", default=True),)),
        ),
    )


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """A client of a served API whose catalog has several versions, with a reconciler at work."""
    world.catalog._catalog = catalog(*NODES, candidates=("27.0.0",))
    async with world.client() as made, world.reconciler():
        yield made


async def ready(client: Client, version: str = "20") -> dict[str, Any]:
    """Return a container that is ready."""
    made = await create(client, version=version)
    async with asyncio.timeout(WAIT_S):
        while not (seen := await status_of(client, made["vmid"]))["ready"]:
            await asyncio.sleep(0.01)
    return seen


class Runtimes:
    """The runtimes of one container through the API."""

    def __init__(self, client: Client, vmid: int) -> None:
        self.client = client
        self.at = f"/api/containers/{vmid}/runtimes"
        self.vmid = vmid

    async def ask(self, path: str, body: Any = None, *, method: str = "POST") -> dict[str, Any]:
        """Return the answer of a call that is taken."""
        answer = await self.client.request(method, self.at + path, json=body, headers=OWNER)
        said: dict[str, Any] = await answer.json()
        assert answer.status == (200 if path.endswith("verify") or method == "GET" else 202), said
        return said

    async def refused(
        self, path: str, status: int, code: str, body: Any = None, *, method: str = "POST"
    ) -> dict[str, Any]:
        """Return the problem of a call that is refused."""
        return await problem(await self.client.request(method, self.at + path, json=body, headers=OWNER), status, code)

    async def settle(self) -> dict[str, str]:
        """Return what is installed once nothing is left to do: versions with what they are."""
        async with asyncio.timeout(WAIT_S):
            while True:
                said, status = await self.ask("", method="GET"), await status_of(self.client, self.vmid)
                if not said["pending"] and status["observedGeneration"] == status["specGeneration"]:
                    break
                await asyncio.sleep(0.01)
        return {
            f"{each['name']} {each['version']}": "default" * each["default"] + "previous" * each["previous"]
            for each in said["runtimes"]
        }


async def test_a_version_goes_in_up_back_and_out(client: Client) -> None:
    """Installed beside, upgraded twice, rolled back, removed: the agent has what was wished each time."""
    runtimes = Runtimes(client, (await ready(client))["vmid"])
    assert await runtimes.settle() == {"node 20.20.0": "default"}
    pending = (await runtimes.ask("", {"name": "go"}))["pending"]
    assert [(each["name"], each["version"], each["default"], each["wanted"]) for each in pending] == [
        ("go", "1.27.3", True, True)
    ]
    assert await runtimes.settle() == {"node 20.20.0": "default", "go 1.27.3": "default"}
    await runtimes.ask("/node/upgrade", {"version": "22"})
    await runtimes.settle()
    assert (await runtimes.ask("", method="GET"))["upgrades"] == [{"name": "node", "version": "26.1.0"}]
    await runtimes.ask("/node/upgrade")
    # 27 is a candidate, which this installation does not offer.
    assert await runtimes.settle() == {"node 22.23.1": "previous", "node 26.1.0": "default", "go 1.27.3": "default"}
    await runtimes.ask("/node/rollback")
    assert await runtimes.settle() == {"node 22.23.1": "default", "node 26.1.0": "previous", "go 1.27.3": "default"}
    assert (await runtimes.ask("/prune"))["removed"] == [{"name": "node", "version": "26.1.0"}]
    await runtimes.ask("/go/1.27.3", method="DELETE")
    assert await runtimes.settle() == {"node 22.23.1": "default"}


async def test_a_hundred_same_wishes_are_one(world: World, client: Client) -> None:
    """Whoever clicks in impatience, or repeats what he has no answer to, changes the spec once."""
    made = await ready(client)
    runtimes = Runtimes(client, made["vmid"])
    world.agents.is_linked = False
    wishes = [runtimes.ask("", {"name": "node", "version": "24", "default": True}) for _ in range(100)]
    answers = await asyncio.gather(*wishes)
    # The last may hear that it is there already.
    told = [[each["version"] for each in (*answer["pending"], *answer["runtimes"])] for answer in answers]
    assert all(versions.count("24.19.0") == 1 for versions in told)
    assert (await status_of(client, made["vmid"]))["specGeneration"] == made["specGeneration"] + 1


async def test_different_wishes_at_once_are_all_kept(client: Client) -> None:
    """One after the other on the row: none is written over by another that began before it."""
    runtimes = Runtimes(client, (await ready(client))["vmid"])
    wishes = [{"name": "go"}, *({"name": "node", "version": each} for each in NODES)]
    await asyncio.gather(*(runtimes.ask("", wish) for wish in wishes))
    assert set(await runtimes.settle()) == {*(f"node {each}" for each in NODES), "go 1.27.3"}


async def test_what_cannot_be_done_is_refused_with_its_reason(world: World, client: Client) -> None:
    """Each refusal has a code of its own, and nothing has changed after it."""
    made = await ready(client)
    runtimes = Runtimes(client, made["vmid"])
    await runtimes.refused("/node/rollback", 409, "nothing_to_roll_back")
    await runtimes.refused("/node/20.20.0", 409, "last_runtime", method="DELETE")
    await runtimes.refused("/node/20.20.0/repair", 409, "nothing_to_repair")
    assert (await runtimes.refused("/nod/upgrade", 404, "runtime_not_found"))["suggestion"] == "node"
    refused = await runtimes.refused("/node/20.20.1", 404, "runtime_not_found", method="DELETE")
    assert refused["suggestion"] == "20.20.0"
    refused = await runtimes.refused("", 422, "cannot_install", {"name": "node", "version": "25"})
    assert refused["problems"][0]["code"] == "version_not_offered"
    await runtimes.refused("", 422, "cannot_install", {"name": "node", "version": "27"})
    await runtimes.refused("/node/upgrade", 422, "cannot_install", {"version": "99"})
    await runtimes.refused("", 400, "invalid_body", {"name": "node", "verison": "24"})
    assert (await status_of(client, made["vmid"]))["specGeneration"] == made["specGeneration"]
    await runtimes.ask("/node/upgrade", {"version": "26"})
    await runtimes.settle()
    await runtimes.refused("/node/upgrade", 409, "runtime_is_newest")
    await runtimes.refused("/node/upgrade", 409, "runtime_is_older", {"version": "20"})
    await runtimes.refused("/node/26.1.0", 409, "runtime_is_default", method="DELETE")
    world.catalog._catalog, world.catalog._trouble = None, "it cannot be reached."
    await runtimes.refused("/node/upgrade", 503, "catalog_not_loaded")
    # What is there already needs no catalog.
    await runtimes.ask("/node/rollback")


async def test_what_is_in_use_stays(world: World, client: Client) -> None:
    """The agent is asked, and names who uses it; while it is not heard the wish is written and waits for it."""
    made = await ready(client)
    runtimes = Runtimes(client, made["vmid"])
    await runtimes.ask("/node/upgrade", {"version": "22"})
    await runtimes.settle()
    users = RuntimeUsers(users=(RuntimeUser(pid=7, name="node", owner="process web"),) * 500)
    world.agents.answers["GET /runtimes/node/20.20.0/users"] = encode(users)
    said = await runtimes.refused("/node/20.20.0", 409, "runtime_in_use", method="DELETE")
    assert "process web (pid 7)" in said["detail"]
    assert await runtimes.ask("/prune") == {"removed": [], "inUse": [{"name": "node", "version": "20.20.0"}]}
    world.agents.answers["GET /runtimes/node/20.20.0/users"] = AgentUnreachable("nobody")
    await runtimes.refused("/node/20.20.0", 503, "agent_unreachable", method="DELETE")
    world.agents.answers["GET /runtimes/node/20.20.0/users"] = b"[]"
    await runtimes.refused("/node/20.20.0", 502, "agent_nonsense", method="DELETE")
    await world.agents.note_offline(next(iter(world.agents.specs)))
    await runtimes.ask("/node/20.20.0", method="DELETE")


async def test_a_check_tells_what_differs(world: World, client: Client) -> None:
    """The agent's answer is handed on once it was read as one; an agent that does not have the version says so."""
    runtimes = Runtimes(client, (await ready(client))["vmid"])
    found = RuntimeVerification(
        name="node",
        version="20.20.0",
        verified=False,
        checked_at=datetime(2026, 1, 1, tzinfo=UTC),
        faults=1,
        changed=("bin/node",),
    )
    world.agents.answers["POST /runtimes/node/20.20.0/verify"] = encode(found)
    assert (await runtimes.ask("/node/verify"))["changed"] == ["bin/node"]
    assert (await runtimes.ask("/node/verify", {"version": "20.20.0"}))["faults"] == 1
    await runtimes.refused("/node/verify", 404, "runtime_not_found", {"version": "24.19.0"})
    world.agents.answers["POST /runtimes/node/20.20.0/verify"] = encode(found).replace(b"20.20.0", b"20.20.1")
    await runtimes.refused("/node/verify", 502, "agent_nonsense")
    for lie in (b'"faults":-1', b'"faults":1' + b"0" * 300, b'"faults":1,"added":["' + b"x" * 5000 + b'"]'):
        world.agents.answers["POST /runtimes/node/20.20.0/verify"] = encode(found).replace(b'"faults":1', lie)
        await runtimes.refused("/node/verify", 502, "agent_nonsense")
    world.agents.answers["POST /runtimes/node/20.20.0/verify"] = AgentRefused(
        status=404, agent_code="runtime_not_installed", detail="No."
    )
    await runtimes.refused("/node/verify", 503, "runtime_pending")
    await client.post(f"/api/containers/{runtimes.vmid}/stop", headers=OWNER)
    await world.wait_until("select guest = 'stopped' from containers")
    await runtimes.refused("/node/verify", 503, "agent_unreachable")


async def test_a_fault_is_repaired_and_told_until_then(world: World, client: Client) -> None:
    """The container is degraded and goes on; the archive is unpacked anew because its attempt was raised."""
    made = await ready(client)
    runtimes = Runtimes(client, made["vmid"])
    world.agents.faulty.add(("node", "20.20.0"))
    await runtimes.ask("", {"name": "go"})
    await runtimes.settle()
    status = await status_of(client, made["vmid"])
    assert (status["ready"], status["degraded"]) == (True, ["runtime_unverified"])
    await runtimes.ask("/node/20.20.0/repair")
    await runtimes.settle()
    assert (await status_of(client, made["vmid"]))["degraded"] == []
    await runtimes.refused("/node/20.20.0/repair", 409, "nothing_to_repair")
    # A check has just found it, and no report has come since.
    world.agents.faulty.add(("node", "20.20.0"))
    await runtimes.ask("/node/20.20.0/repair")


async def test_a_failed_upgrade_costs_a_container_nothing(world: World, client: Client) -> None:
    """It stays ready, its step says what failed, and the rollback forgets the version that never got there."""
    made = await ready(client)
    runtimes = Runtimes(client, made["vmid"])
    world.agents.broken.add(("node", "22.23.1"))
    await runtimes.ask("/node/upgrade", {"version": "22"})
    async with asyncio.timeout(WAIT_S):
        while "step_failed" not in (status := await status_of(client, made["vmid"]))["degraded"]:
            await asyncio.sleep(0.01)
    assert (status["ready"], status["lifecycle"], status["provisioningComplete"]) == (True, "running", True)
    (pending,) = (await runtimes.ask("", method="GET"))["pending"]
    assert (pending["version"], pending["step"]["code"]) == ("22.23.1", "smoke_test_failed")
    await runtimes.ask("/node/rollback")
    assert await runtimes.settle() == {"node 20.20.0": "default"}
    await runtimes.refused("/node/rollback", 409, "nothing_to_roll_back")


async def test_an_older_agent_is_told_of_defaults_alone_until_it_has_learned_more(world: World, client: Client) -> None:
    """Afterwards it is told the rest, although it holds that generation."""
    world.agents.protocol_version = 1
    made = await ready(client)
    runtimes = Runtimes(client, made["vmid"])
    await runtimes.ask("", {"name": "node", "version": "24"})
    (owner,) = world.agents.specs
    await world.wait_until("select (agent_status->>'specGeneration')::int = spec_generation from containers")
    assert [each.version for each in world.agents.specs[owner].runtimes] == ["20.20.0"]
    world.agents.protocol_version = 2
    # Agents report again and again: one report may be overwritten by an answer that was on its way.
    async with asyncio.timeout(WAIT_S):
        while len(world.agents.specs[owner].runtimes) < 2:
            await world.agents.note_online(owner)
            await asyncio.sleep(0.1)
    await world.agents.note_online(owner)
    assert set(await runtimes.settle()) == {"node 20.20.0", "node 24.19.0"}


async def test_ports_are_published_while_something_does_not_install(world: World, client: Client) -> None:
    """A version that never comes keeps nothing else from a container that was ready once."""
    made = await ready(client)
    runtimes = Runtimes(client, made["vmid"])
    world.agents.unreached = 1
    await runtimes.ask("/node/upgrade")
    exposed = await client.post(
        f"/api/containers/{made['vmid']}/exposures", json={"port": 3000, "visibility": "public"}, headers=OWNER
    )
    assert exposed.status == 201
    async with asyncio.timeout(WAIT_S):
        while not any("3000" in text for text in world.routes.files.values()):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", ""),
        ("POST", "/prune"),
        ("POST", "/node/upgrade"),
        ("POST", "/node/rollback"),
        ("POST", "/node/verify"),
        ("POST", "/node/20.20.0/repair"),
        ("DELETE", "/node/20.20.0"),
    ],
)
async def test_a_viewer_looks_and_a_stranger_knows_nothing(client: Client, method: str, path: str) -> None:
    """Every call that changes something is refused to the one, and does not exist for the other."""
    at = f"/api/containers/{(await create(client, version='20'))['vmid']}/runtimes"
    assert (await client.get(at, headers=VIEWER)).status == 200
    await problem(await client.get(at, headers=STRANGER), 404, "not_found")
    body = {"name": "go"} if path == "" else None
    await problem(await client.request(method, at + path, json=body, headers=VIEWER), 403, "role_missing")
    await problem(await client.request(method, at + path, json=body, headers=STRANGER), 404, "not_found")


async def test_a_container_on_its_way_out_takes_no_runtimes(client: Client) -> None:
    """It has nothing to install them in."""
    made = await create(client, version="20")
    await client.delete(f"/api/containers/{made['vmid']}", headers=OWNER)
    answer = await client.post(f"/api/containers/{made['vmid']}/runtimes", json={"name": "go"}, headers=OWNER)
    assert answer.status in {404, 409}
