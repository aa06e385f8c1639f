"""Game servers from the wish to the player: what is asked, told, reserved, proved and given back."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from component.api.people_world import by
from component.api.test_proof import looking
from fakes.api_world import NODE, World
from fakes.audited import assert_clean
from fakes.dns_provider import FakeProvider
from fakes.game_templates import BLOCKS, templates
from zlh_api.agents.client import AgentRefused
from zlh_api.containers import store as containers
from zlh_api.containers.model import Container
from zlh_api.games.model import GamePool
from zlh_api.games.service import MOST_BACKUPS_BELIEVED
from zlh_api.proof import rules
from zlh_common.names import OwnerMark
from zlh_common.schema.customers import Quota
from zlh_common.schema.game import GameBackup, Player, Players, PlayerSessions, Telemetry, TelemetryPoint
from zlh_common.schema.structs import encode
from zlh_common.schema.template import CatalogTemplate, Requirement, TemplatePort

Client = TestClient[Request, Application]
OWNER = by("owner-token")
CONTAINERS = "/api/containers"
POOL = GamePool(tcp=range(25500, 25502), udp=range(25500, 25502))
BLOCKS_WISH = {"kind": "game", "template": "blocks", "acceptEula": True}
ROOMS_WISH = {"kind": "game", "template": "rooms"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BACKUP = GameBackup(id="a" * 32, version="1.20.1", made_at=NOW, size=5)


@pytest.fixture(autouse=True)
def _games(world: World) -> None:
    """Two templates are offered, and the proxy has two ports of each protocol."""
    world.use_games(POOL, *templates())


async def create(client: Client, wish: dict[str, Any]) -> dict[str, Any]:
    """Wish for a container; return its report."""
    answer = await client.post(CONTAINERS, json=wish, headers=OWNER)
    assert answer.status == 202, await answer.text()
    report: dict[str, Any] = await answer.json()
    return report


async def refuse(client: Client, wish: dict[str, Any], code: str) -> dict[str, Any]:
    """Wish for what cannot be; return the problem."""
    answer = await client.post(CONTAINERS, json=wish, headers=OWNER)
    problem: dict[str, Any] = await answer.json()
    assert (answer.status, problem["code"]) == (422, code), problem
    return problem


async def find(world: World, vmid: int) -> Container:
    """Return the row."""
    async with world.database.connection() as connection:
        found = await containers.find_by_vmid(connection, vmid)  # type: ignore[arg-type]
    assert found is not None
    return found


async def call(client: Client, method: str, path: str, body: object = None, *, status: int = 200) -> Any:
    """Ask for something as the owner."""
    answer = await client.request(method, path, json=body, headers=OWNER)
    assert answer.status == status, await answer.text()
    return await answer.json()


async def bring_up(world: World, client: Client, wish: dict[str, Any]) -> Container:
    """Return a game container that players reach."""
    vmid = (await create(client, wish))["vmid"]
    container = await find(world, vmid)
    async with world.reconciler():
        await world.wait_settled(container.owner)
    return await find(world, vmid)


async def wait_told(world: World, owner: OwnerMark, *, power: str) -> None:
    """Return once the agent holds a spec in which its server has this power, and nothing is left to do."""
    async with world.reconciler():
        await world.wait_until(
            "select lease_until is null and wake_at > now() and power = $2 and spec_generation = "
            "(agent_status->>'specGeneration')::bigint from containers where owner = $1::text::uuid",
            str(owner),
            power,
        )


async def test_what_cannot_be_is_refused_before_anything_is_made(world: World, client: Client) -> None:
    """The template, its version, its agreement, its variables and its memory, each with what to do."""
    assert (await refuse(client, {**BLOCKS_WISH, "template": "blcks"}, "template_not_offered"))[
        "suggestion"
    ] == "blocks"
    problem = await refuse(client, {**BLOCKS_WISH, "version": "9"}, "cannot_install")
    assert problem["problems"][0]["suggestion"] == "1.21.8"
    asked = await refuse(client, {"kind": "game", "template": "blocks"}, "eula_not_accepted")
    assert asked["url"] == "https://blocks.example.org/eula"
    assert asked["agreement"] == "the EULA of Blocks"
    await refuse(client, {**BLOCKS_WISH, "variables": {"none": 1}}, "variable_unknown")
    wrong = await refuse(client, {**BLOCKS_WISH, "variables": {"motd": "a\nb", "max_players": 0}}, "variable_invalid")
    assert {each["field"] for each in wrong["problems"]} == {"variables.motd", "variables.max_players"}
    small = await refuse(client, {**BLOCKS_WISH, "resources": {"memoryMib": 512}}, "memory_too_small")
    assert small["leastMib"] == 1024
    await refuse(client, {**BLOCKS_WISH, "variables": {"motd": "x" * 59}, "sudo": True}, "workspace_of_game")
    world.use_games(POOL, *templates(requires=(Requirement(name="cobol", version="1"),)))
    await refuse(client, BLOCKS_WISH, "cannot_install")
    assert await world.fetch("select 1 from containers") == []


async def test_a_server_that_players_reach_no_more_is_told(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its page answers still, and its agent calls it ready: the proof that goes on asks the server itself.

    One that is off, or that its agent is starting, owes nobody an answer.
    """
    for name in ("WHOLE_EVERY", "DOUBTFUL_EVERY", "BROKEN_EVERY"):
        monkeypatch.setattr(rules, name, timedelta(0))
    container = await bring_up(world, client, BLOCKS_WISH)
    host, path = f"game-{container.vmid}.localhost", f"{CONTAINERS}/{container.vmid}"

    async def look() -> tuple[bool, list[str]]:
        await prober.look()
        report = await call(client, "GET", f"{path}/status")
        return report["ready"], report["degraded"]

    async with looking(world) as prober:
        assert await look() == (True, [])
        assert world.proxy.asked_games[-1] == (host, 25500)
        world.proxy.silent_games.add(25500)
        assert await look() == (True, [])
        assert await look() == (False, ["name_not_answering"])
        proof = await call(client, "GET", f"{path}/proof")
        (link,) = [each for each in proof["links"] if each["link"] == "name"]
        assert (link["state"], link["code"]) == ("broken", "game_not_answering")
        world.proxy.silent_games.clear()
        assert await look() == (True, [])
        world.proxy.silent_games.add(25500)
        await call(client, "POST", f"{path}/stop", status=202)
        await wait_told(world, container.owner, power="off")
        asked = len(world.proxy.asked_games)
        await look()
        await look()
        assert len(world.proxy.asked_games) == asked
        assert (await call(client, "GET", f"{path}/status"))["degraded"] == []


async def test_players_type_the_name_alone_where_dns_tells_its_port(world: World, client: Client) -> None:
    """The record is written, healed and taken away like the others, and no audit finds anything."""
    provider = FakeProvider(world.faults)
    world.use_dns(provider)
    blocks, rooms = templates()
    game, *others = blocks.template.ports
    named = msgspec.structs.replace(
        blocks.template, ports=(msgspec.structs.replace(game, service="_minecraft._tcp"), *others)
    )
    world.use_games(POOL, msgspec.structs.replace(blocks, template=named), rooms)
    container = await bring_up(world, client, BLOCKS_WISH)
    host = f"game-{container.vmid}.localhost"
    service = ("_minecraft._tcp." + host, "SRV", f"0 0 25500 {host}")
    told = {(each.name, each.type, each.content) for each in provider.records}
    assert told == {(host, "A", "192.0.2.1"), service}
    report = await call(client, "GET", f"{CONTAINERS}/{container.vmid}/status")
    assert (report["ready"], report["game"]["address"]) == (True, host)
    assert report["game"]["ports"][0]["publicPort"] == 25500
    await assert_clean(world)
    async with world.reconciler():
        await call(client, "DELETE", f"{CONTAINERS}/{container.vmid}", status=202)
        await world.wait_forgotten()
    assert provider.records == []
    await assert_clean(world)


BLOCKS_NEEDS_COBOL = (
    msgspec.convert({"name": "cobol", "version": "1"}, type=type(templates()[0].versions[0].requires[0])),
)


async def test_players_reach_a_game_server_at_a_port_of_their_own(world: World, client: Client) -> None:
    """From the wish to the status ping through the public port, step by step; who agreed to what is recorded."""
    made = await create(client, {**BLOCKS_WISH, "version": "1.21", "variables": {"motd": "Hi `you`"}, "name": "mine"})
    names = [step["name"] for step in made["steps"]]
    assert names[:3] == ["reserve-address", "reserve-ports", "create-guest"]
    assert names[names.index("confirm-route") + 1] == "run-server"
    assert {step["state"] for step in made["steps"] if step["name"] in {"reserve-ports", "run-server"}} == {"pending"}
    assert (made["game"]["version"], made["game"]["state"], made["game"]["address"]) == ("1.21.9", "installing", None)
    container = await find(world, made["vmid"])
    async with world.reconciler():
        await world.wait_settled(container.owner)
    spec = world.agents.specs[container.owner]
    assert spec.game is not None
    container = await find(world, made["vmid"])
    assert spec.game.process.argv[-1] == "--say=Hi `you`"
    assert spec.game.process.argv[1] == "-Xmx1536M"
    assert spec.game.process.environment["BIND"] == f"{container.address}:25565"
    assert [(each.name, each.version) for each in spec.runtimes] == [("node", "24.19.0")]
    host = f"game-{made['vmid']}.localhost"
    assert world.proxy.asked_games == [(host, 25500)]
    route = json.loads(world.routes.files[f"game-{made['vmid']}.yml"].partition("\n")[2])
    assert [router["entryPoints"] for router in route["tcp"]["routers"].values()] == [["game-tcp-25500"]]
    assert [router["entryPoints"] for router in route["udp"]["routers"].values()] == [["game-udp-25500"]]
    report = await call(client, "GET", f"{CONTAINERS}/{made['vmid']}/status")
    assert (report["ready"], report["lifecycle"], report["degraded"]) == (True, "running", [])
    assert (report["game"]["address"], report["game"]["state"]) == (f"{host}:25500", "installed")
    detail = await call(client, "GET", f"/api/game/{made['vmid']}")
    assert detail["eula"]["url"] == "https://blocks.example.org/eula"
    assert detail["eula"]["agreedBy"] is not None
    assert detail["values"]["motd"] == "Hi `you`"
    assert detail["versions"] == ["1.21.9", "1.21.8", "1.20.1"]
    assert [port["publicPort"] for port in detail["ports"]] == [25500, 25500, None]


async def test_ports_are_given_once_and_come_back_with_the_end(world: World, client: Client) -> None:
    """The one too many is told which pool is full; it goes on by itself when another is deleted."""
    first = await bring_up(world, client, ROOMS_WISH)
    second = await bring_up(world, client, ROOMS_WISH)
    assert {first.game_ports[0].public_port, second.game_ports[0].public_port} == {25500, 25501}
    third = await find(world, (await create(client, ROOMS_WISH))["vmid"])
    async with world.reconciler():
        await world.wait_until(
            "select code = 'no_game_port_free' from steps where owner = $1::text::uuid and name = 'reserve-ports'",
            str(third.owner),
        )
        report = await call(client, "GET", f"{CONTAINERS}/{third.vmid}/status")
        assert report["provisioningError"]["step"] == "reserve-ports"
        assert "25500 to 25501" in report["provisioningError"]["message"]
        await call(client, "DELETE", f"{CONTAINERS}/{first.vmid}", status=202)
        await world.wait_settled(third.owner)
    assert (await find(world, third.vmid)).game_ports[0].public_port == first.game_ports[0].public_port
    assert f"game-{first.vmid}.yml" not in world.routes.files


async def test_without_a_pool_a_server_is_ready_by_the_word_of_its_agent(world: World, client: Client) -> None:
    """The step that hands out ports is skipped, and no address is told."""
    world.use_games(GamePool(), *templates())
    container = await bring_up(world, client, BLOCKS_WISH)
    report = await call(client, "GET", f"{CONTAINERS}/{container.vmid}/status")
    states = {step["name"]: step["state"] for step in report["steps"]}
    assert (states["reserve-ports"], states["run-server"]) == ("skipped", "done")
    assert (report["ready"], report["game"]["address"]) == (True, None)
    assert world.proxy.asked_games == []


async def test_an_agent_that_keeps_no_game_servers_is_told_of(world: World, client: Client) -> None:
    """It is not told what it does not know; the step says what to do."""
    world.agents.protocol_version = 8
    container = await find(world, (await create(client, BLOCKS_WISH))["vmid"])
    async with world.reconciler():
        await world.wait_until(
            "select code = 'agent_too_old' from steps where owner = $1::text::uuid and name = 'send-spec'",
            str(container.owner),
        )
    assert container.owner not in world.agents.specs


async def test_a_server_that_ends_keeps_its_container_from_being_ready(world: World, client: Client) -> None:
    """Its own failure is the reason that is told; once it runs, everything goes on."""
    world.agents.server_state = "error"
    container = await find(world, (await create(client, BLOCKS_WISH))["vmid"])
    async with world.reconciler():
        await world.wait_until(
            "select code = 'server_not_ready' from steps where owner = $1::text::uuid and name = 'check-ready'",
            str(container.owner),
        )
        world.agents.server_state = "running"
        await world.agents.note_online(container.owner)
        await world.wait_settled(container.owner)


async def test_a_server_that_players_do_not_reach_is_not_ready(world: World, client: Client) -> None:
    """The agent's word is not enough where there is a public port to ask at."""
    world.proxy.silent_games = {25500}
    container = await find(world, (await create(client, BLOCKS_WISH))["vmid"])
    async with world.reconciler():
        await world.wait_until(
            "select code = 'game_not_answering' from steps where owner = $1::text::uuid and name = 'check-ready'",
            str(container.owner),
        )
        world.proxy.silent_games = set()
        await world.wait_settled(container.owner)


async def test_power_is_that_of_the_server_and_the_guest_stays_up(world: World, client: Client) -> None:
    """Stop and start are wishes of the spec; each start is one more, so that one in `error` is tried again."""
    container = await bring_up(world, client, BLOCKS_WISH)
    one = f"{CONTAINERS}/{container.vmid}"
    assert (await call(client, "POST", f"{one}/stop", status=202))["power"] == "off"
    await wait_told(world, container.owner, power="off")
    assert world.driver.guests[container.vmid].is_running
    game = world.agents.specs[container.owner].game
    assert game is not None
    assert (game.process.power, game.process.attempt) == ("off", 0)
    report = await call(client, "GET", one)
    assert (report["lifecycle"], report["ready"], report["degraded"]) == ("stopped", False, [])
    await call(client, "PATCH", one, {"power": "on"})
    await wait_told(world, container.owner, power="on")
    game = world.agents.specs[container.owner].game
    assert game is not None
    assert (game.process.power, game.process.attempt) == ("on", 1)
    assert (await call(client, "GET", one))["lifecycle"] == "running"


async def test_restart_and_kill_are_asked_of_the_agent(world: World, client: Client) -> None:
    """The guest is not touched; a server that is down is started by a restart, and a kill leaves it off."""
    container = await bring_up(world, client, BLOCKS_WISH)
    one = f"{CONTAINERS}/{container.vmid}"
    await call(client, "POST", f"{one}/restart", status=202)
    assert ("POST", "/processes/server/restart") in world.agents.calls
    assert (await call(client, "POST", f"{one}/kill", status=202))["power"] == "off"
    assert ("POST", "/processes/server/kill") in world.agents.calls
    await wait_told(world, container.owner, power="off")
    world.agents.calls.clear()
    assert (await call(client, "POST", f"{one}/restart", status=202))["power"] == "on"
    assert world.agents.calls == []
    found = await find(world, container.vmid)
    assert (found.restart_wanted, found.is_stopped_at_once) == (0, False)
    world.agents.answers["POST /processes/server/kill"] = AgentRefused(
        status=409, agent_code="process_not_running", detail="x"
    )
    await wait_told(world, container.owner, power="on")
    answer = await client.post(f"{one}/kill", headers=OWNER)
    assert (answer.status, (await answer.json())["code"]) == (409, "process_not_running")


async def test_a_suspended_customer_has_no_server_running(world: World, client: Client) -> None:
    """The guest is stopped for it, as any."""
    container = await bring_up(world, client, BLOCKS_WISH)
    await world.fetch(
        "update containers set suspended = true, wake_at = now() where vmid = $1 returning 1", container.vmid
    )
    async with world.reconciler():
        await world.wait_until("select guest = 'stopped' from containers where vmid = $1", container.vmid)


async def test_the_console_is_that_of_the_server(world: World, client: Client) -> None:
    """Whoever opens the console of a game container meets the server's own, and its history."""
    container = await bring_up(world, client, BLOCKS_WISH)
    await client.get(f"{CONTAINERS}/{container.vmid}/console/history", headers=OWNER)
    assert ("GET", "/processes/server/history?") in [
        (method, path.partition("?")[0] + "?") for method, path in world.agents.calls
    ]
    answer = await client.put(f"{CONTAINERS}/{container.vmid}/processes/server", json={"argv": ["true"]}, headers=OWNER)
    assert (await answer.json())["code"] == "process_name_reserved"
    answer = await client.post(
        f"{CONTAINERS}/{container.vmid}/runtimes", json={"name": "node", "version": "24"}, headers=OWNER
    )
    assert (await answer.json())["code"] == "runtimes_of_game"


async def test_variables_change_for_the_next_start(world: World, client: Client) -> None:
    """What is not named stays; what cannot be changes nothing."""
    container = await bring_up(world, client, {**BLOCKS_WISH, "variables": {"world": "one"}})
    path = f"/api/game/{container.vmid}"
    detail = await call(client, "PATCH", path, {"variables": {"motd": "Welcome", "online": False}})
    assert (detail["values"]["motd"], detail["values"]["online"], detail["values"]["world"]) == (
        "Welcome",
        False,
        "one",
    )
    answer = await client.patch(path, json={"variables": {"motd": 1}}, headers=OWNER)
    assert (answer.status, (await answer.json())["code"]) == (422, "variable_invalid")
    await wait_told(world, container.owner, power="on")
    game = world.agents.specs[container.owner].game
    assert game is not None
    assert game.edits[0].set["online-mode"] is False
    logged = await world.fetch("select details::text as d from audit_entries where act = 'game.change' order by 1")
    assert all("Welcome" not in row["d"] for row in logged)


async def test_memory_is_never_less_than_the_server_needs(world: World, client: Client) -> None:
    """Other limits are another heap, which its agent is told; too little is refused."""
    container = await bring_up(world, client, BLOCKS_WISH)
    one = f"{CONTAINERS}/{container.vmid}"
    answer = await client.patch(one, json={"resources": {"memoryMib": 512}}, headers=OWNER)
    assert (answer.status, (await answer.json())["code"]) == (422, "memory_too_small")
    await call(client, "PATCH", one, {"resources": {"memoryMib": 4096}})
    await wait_told(world, container.owner, power="on")
    game = world.agents.specs[container.owner].game
    assert game is not None
    assert game.process.argv[1] == "-Xmx3072M"


async def test_a_later_version_takes_the_template_of_today(world: World, client: Client) -> None:
    """A newer catalog changes nothing until somebody asks; then ports, values and agreement follow."""
    container = await bring_up(world, client, {**BLOCKS_WISH, "variables": {"motd": "Hi"}})
    port = TemplatePort(name="map", protocol="tcp", port=8123)
    eula = msgspec.structs.replace(BLOCKS.eula, url="https://blocks.example.org/eula2") if BLOCKS.eula else None
    newer = msgspec.structs.replace(
        BLOCKS, ports=(*BLOCKS.ports, port), variables=BLOCKS.variables[1:], eula=eula, start=BLOCKS.start,
        edits=(), policy=BLOCKS.policy,
    )  # fmt: skip
    newer = msgspec.structs.replace(newer, start=msgspec.structs.replace(BLOCKS.start, argv=("java", "{port.map}")))
    offer = templates()[0]
    world.use_games(POOL, CatalogTemplate(name="blocks", title="Blocks", template=newer, versions=offer.versions))
    path = f"/api/game/{container.vmid}"
    assert (await call(client, "GET", path))["values"]["motd"] == "Hi"
    answer = await client.post(f"{path}/version", json={"version": "1.20"}, headers=OWNER)
    assert (await answer.json())["code"] == "eula_not_accepted"
    wish = {"version": "1.20", "acceptEula": True, "backup": False}
    detail = await call(client, "POST", f"{path}/version", wish, status=202)
    assert (detail["version"], detail["state"], "motd" in detail["values"]) == ("1.20.1", "changing", False)
    assert detail["eula"]["url"].endswith("eula2")
    await wait_told(world, container.owner, power="on")
    game = world.agents.specs[container.owner].game
    assert game is not None
    assert (game.version, game.backs_up, game.attempt, game.process.argv[-1]) == ("1.20.1", False, 0, "8123")
    held = {each.name: each.public_port for each in (await find(world, container.vmid)).game_ports}
    assert held == {"game": 25500, "query": 25500, "map": 25501}
    assert '"game-tcp-25501"' in world.routes.files[f"game-{container.vmid}.yml"]


async def test_a_version_that_has_failed_is_tried_once_more(world: World, client: Client) -> None:
    """To ask for what is wanted already is another attempt."""
    container = await bring_up(world, client, BLOCKS_WISH)
    await call(client, "POST", f"/api/game/{container.vmid}/version", {"version": "1.21.8"}, status=202)
    await wait_told(world, container.owner, power="on")
    game = world.agents.specs[container.owner].game
    assert game is not None
    assert (game.version, game.attempt, game.backs_up) == ("1.21.8", 1, True)


async def test_a_backup_is_made_of_what_is_in_place(world: World, client: Client) -> None:
    """Each call is one more; until it is there the server is being changed, and another one is refused."""
    container = await bring_up(world, client, BLOCKS_WISH)
    path = f"/api/game/{container.vmid}"
    world.agents.lags = 1
    detail = await call(client, "POST", f"{path}/backups", status=202)
    assert detail["state"] == "changing"
    answer = await client.post(f"{path}/backups", headers=OWNER)
    assert (answer.status, (await answer.json())["code"]) == (409, "game_files_changing")
    world.agents.lags = 0
    await wait_told(world, container.owner, power="on")
    game = world.agents.specs[container.owner].game
    assert game is not None
    assert game.backups_asked == 1


@pytest.mark.parametrize(("answered", "asked"), [(7, 8), (2**63 - 1, MOST_BACKUPS_BELIEVED + 1)])
async def test_a_backup_is_asked_for_above_what_was_answered(
    world: World, client: Client, answered: int, asked: int
) -> None:
    """A database that was restored knows of fewer than the agent has made; and an agent may say any number."""
    container = await bring_up(world, client, BLOCKS_WISH)
    await world.fetch(
        "update containers set "
        "agent_status = jsonb_set(agent_status, '{game,backupsAnswered}', to_jsonb($1::bigint)) returning 1",
        answered,
    )
    await call(client, "POST", f"/api/game/{container.vmid}/backups", status=202)
    game = (await find(world, container.vmid)).game
    assert game is not None
    assert game.backups_asked == asked


async def test_an_agent_that_makes_no_backups_when_asked_is_told(world: World, client: Client) -> None:
    """Nothing is wanted of it that it would never do."""
    world.agents.makes_backups = False
    container = await bring_up(world, client, BLOCKS_WISH)
    answer = await client.post(f"/api/game/{container.vmid}/backups", headers=OWNER)
    assert (answer.status, (await answer.json())["code"]) == (409, "agent_too_old")
    game = (await find(world, container.vmid)).game
    assert game is not None
    assert game.backups_asked == 0


async def test_a_backup_is_gone_back_to_with_its_version(world: World, client: Client) -> None:
    """Only one that the agent has; a later version forgets it again."""
    world.agents.backups = (BACKUP,)
    container = await bring_up(world, client, BLOCKS_WISH)
    path = f"/api/game/{container.vmid}"
    assert (await call(client, "GET", path))["backups"][0]["id"] == BACKUP.id
    answer = await client.post(f"{path}/restore", json={"backupId": "b" * 32}, headers=OWNER)
    assert (answer.status, (await answer.json())["code"]) == (404, "backup_not_found")
    detail = await call(client, "POST", f"{path}/restore", {"backupId": BACKUP.id}, status=202)
    assert detail["version"] == "1.20.1"
    await wait_told(world, container.owner, power="on")
    game = world.agents.specs[container.owner].game
    assert game is not None
    assert (game.restore, game.version, game.attempt) == (BACKUP.id, "1.20.1", 1)
    await call(client, "POST", f"{path}/version", {"version": "1.21.8"}, status=202)
    await wait_told(world, container.owner, power="on")
    game = world.agents.specs[container.owner].game
    assert game is not None
    assert game.restore is None


async def test_a_backup_is_gone_back_to_with_no_other_version(world: World, client: Client) -> None:
    """A version that is not offered any more is told, and not replaced by one that is called nearly so."""
    world.agents.backups = (msgspec.structs.replace(BACKUP, version="1.21"),)
    container = await bring_up(world, client, BLOCKS_WISH)
    answer = await client.post(f"/api/game/{container.vmid}/restore", json={"backupId": BACKUP.id}, headers=OWNER)
    problem = await answer.json()
    assert (answer.status, problem["code"]) == (422, "cannot_install")
    assert problem["problems"][0]["code"] == "version_not_offered"
    game = (await find(world, container.vmid)).game
    assert game is not None
    assert (game.version.version, game.restore) == ("1.21.8", None)


async def test_a_backup_whose_version_cannot_be_started_as_it_is_offered_is_refused(
    world: World, client: Client
) -> None:
    """The catalog has become another one since: what the container's template needs is not there any more."""
    world.agents.backups = (BACKUP,)
    container = await bring_up(world, client, BLOCKS_WISH)
    offer = templates()[0]
    versions = tuple(msgspec.structs.replace(version, facts={}) for version in offer.versions)
    world.use_games(POOL, msgspec.structs.replace(offer, versions=versions))
    answer = await client.post(f"/api/game/{container.vmid}/restore", json={"backupId": BACKUP.id}, headers=OWNER)
    assert (answer.status, (await answer.json())["code"]) == (422, "game_unusable")


async def test_public_ports_are_held_against_a_customers_published_ports(world: World, client: Client) -> None:
    """The proxy has few for all customers: at once or one by one, and also where another version has more of them."""
    customer = (await world.fetch("select id from customers where name = 'customer 0'"))[0][0]
    await world.quotas.set_quota(customer, Quota(exposures=3))
    world.use_games(GamePool(tcp=range(25500, 25520), udp=range(25500, 25520)), *templates())
    answers = await asyncio.gather(*(client.post(CONTAINERS, json=BLOCKS_WISH, headers=OWNER) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [202, 409, 409, 409, 409]
    refused = next(answer for answer in answers if answer.status == 409)
    assert (await refused.json())["quota"] == "exposures"
    made = next(answer for answer in answers if answer.status == 202)
    vmid = (await made.json())["vmid"]
    more = tuple(TemplatePort(name=f"p{number}", protocol="tcp", port=9000 + number) for number in range(4))
    offer = templates()[0]
    wider = msgspec.structs.replace(offer.template, ports=(*offer.template.ports, *more))
    world.use_games(POOL, msgspec.structs.replace(offer, template=wider))
    wish = {"version": "1.20.1", "acceptEula": True}
    answer = await client.post(f"/api/game/{vmid}/version", json=wish, headers=OWNER)
    assert (answer.status, (await answer.json())["code"]) == (409, "quota_exceeded")
    await create(client, NODE)


@pytest.mark.parametrize(
    ("call_of", "body"), [("restore", {"backupId": BACKUP.id}), ("version", {"version": "1.21.8"})]
)
async def test_what_is_sent_again_with_its_key_is_done_once(
    world: World, client: Client, call_of: str, body: dict[str, Any]
) -> None:
    """A client whose answer was lost asks again, and nothing that was played since is replaced for it."""
    world.agents.backups = (BACKUP,)
    container = await bring_up(world, client, BLOCKS_WISH)
    headers = {**OWNER, "Idempotency-Key": "once"}
    for _ in range(2):
        answer = await client.post(f"/api/game/{container.vmid}/{call_of}", json=body, headers=headers)
        assert answer.status == 202, await answer.text()
    game = (await find(world, container.vmid)).game
    assert game is not None
    assert game.attempt == 1


@pytest.mark.parametrize(("code", "status"), [("game_not_running", 409), ("command_not_taken", 502)])
async def test_what_keeps_a_server_from_a_command_is_told_as_such(
    world: World, client: Client, code: str, status: int
) -> None:
    """By its own code, and not as something that an agent has refused."""
    container = await bring_up(world, client, ROOMS_WISH)
    refused = AgentRefused(status=409, agent_code=code, detail="It cannot be said now.")
    world.agents.answers["POST /game/commands"] = refused
    answer = await client.post(f"/api/game/{container.vmid}/commands", json={"command": "list"}, headers=OWNER)
    assert (answer.status, (await answer.json())["code"]) == (status, code)


async def test_what_an_agent_says_of_players_is_parsed_and_bounded(world: World, client: Client) -> None:
    """It is a stranger: too many are cut, what cannot be is not known, and what is no answer is told as such."""
    container = await bring_up(world, client, BLOCKS_WISH)
    path, answers = f"/api/game/{container.vmid}", world.agents.answers
    crowd = tuple(Player(name=f"p{number}", uuid=None, since=NOW) for number in range(1500))
    answers["GET /game/players"] = encode(Players(online=crowd, count=1500, max=20))
    told = await call(client, "GET", f"{path}/players")
    assert (len(told["online"]), told["count"], told["complete"]) == (1000, 1500, False)
    points = tuple(TelemetryPoint(at=NOW, latency_ms=-5.0, ticks_per_s=1e300) for _ in range(3))
    answers["GET /game/telemetry"] = encode(Telemetry(now=points[0], points=points))
    told = await call(client, "GET", f"{path}/telemetry")
    assert (told["now"]["latencyMs"], told["points"][2]["ticksPerS"]) == (None, None)
    answers["GET /game/players/history?limit=2&before=7"] = encode(PlayerSessions(items=(), next="x" * 500))
    assert await call(client, "GET", f"{path}/players/history?limit=2&before=7") == {"items": []}
    answers["POST /game/commands"] = b'{"output":"There are 0 players"}'
    assert (await call(client, "POST", f"{path}/commands", {"command": "list"}))["output"] == "There are 0 players"
    answers["POST /game/verify"] = b'{"template":"blocks","version":"1.21.8","faults":2}'
    assert (await call(client, "POST", f"{path}/verify"))["faults"] == 2
    answers["GET /game/players"] = b'{"online":[{"name":"' + b"x" * 65 + b'"}],"count":1,"max":1}'
    answer = await client.get(f"{path}/players", headers=OWNER)
    assert (answer.status, (await answer.json())["code"]) == (502, "agent_nonsense")


@pytest.mark.parametrize("command", ["a\nb", "", "\x1b[0m", "x" * 1025])
async def test_a_command_is_one_line(world: World, client: Client, command: str) -> None:
    """Nothing else reaches the server's console."""
    container = await bring_up(world, client, ROOMS_WISH)
    answer = await client.post(f"/api/game/{container.vmid}/commands", json={"command": command}, headers=OWNER)
    assert answer.status == 400
    assert ("POST", "/game/commands") not in world.agents.calls


async def test_a_dev_container_has_no_game(client: Client) -> None:
    """It is told so, in the same words everywhere."""
    vmid = (await create(client, NODE))["vmid"]
    for path in ("", "/players", "/players/history", "/telemetry"):
        answer = await client.get(f"/api/game/{vmid}{path}", headers=OWNER)
        assert (answer.status, (await answer.json())["code"]) == (409, "not_a_game")


async def test_the_books_agree_on_a_game_server(world: World, client: Client) -> None:
    """The audit takes the guest of a server that is off, and its route with game ports, for what they must be."""
    container = await bring_up(world, client, BLOCKS_WISH)
    await call(client, "POST", f"{CONTAINERS}/{container.vmid}/stop", status=202)
    await wait_told(world, container.owner, power="off")
    look = await world.auditor().look()
    assert look.differences == []
    assert world.driver.guests[container.vmid].is_running
