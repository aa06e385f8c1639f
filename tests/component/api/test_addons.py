"""An editor in a container: wished for, published for those who may have a shell, and told once it really opens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from component.api.access_world import Place, make_place
from component.api.people_world import CountedPasswords, browser, by, customer_of
from fakes.api_world import NODE, WAIT_S, World, catalog
from guards.ports import free_port
from zlh_api.agents.addon_door import HttpAddonDoor
from zlh_api.containers.addon_rules import AddonNotOpen
from zlh_api.quotas.store import usage_of
from zlh_common.names import Vmid
from zlh_common.schema.catalog import CatalogAddon
from zlh_common.schema.customers import Quota
from zlh_common.schema.status import AddonState

Client = TestClient[Request, Application]
PORT = 6000
OWNER = by("owner-token")
CODE_SERVER = "code-server"
LATER = datetime(2026, 1, 2, tzinfo=UTC)
NAVIGATED = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "X-Zlh-Port": str(PORT)}
# Whoever has enabled it, as they are called in the world of visitors, is its publisher.
MAY_OPEN = {"publisher", "owner"}


def offer(world: World, *versions: str) -> None:
    """Have the catalog offer the editor in these versions, the first one by default."""
    sample = catalog().runtimes[0].versions[0]
    rows = tuple(
        msgspec.structs.replace(sample, version=version, default=version == versions[0]) for version in versions
    )
    addon = CatalogAddon(name=CODE_SERVER, title="code-server", versions=rows)
    world.catalog._catalog = msgspec.structs.replace(catalog(), addons=(addon,) if rows else ())


@pytest.fixture
async def place(world: World, client: Client) -> Place:
    """A container without an editor, its people, and an editor on offer."""
    world.accounts.sign_in._passwords = CountedPasswords()
    offer(world, "4.1.0", "4.2.0", "4.0.0")
    return await make_place(world, client)


async def call(place: Place, method: str, path: str, body: object = None, who: str = "publisher") -> tuple[int, Any]:
    """Ask for something of the container; return status and answer."""
    url = f"/api/containers/{place.vmid}{path}"
    answer = await place.client.request(method, url, json=body, headers=browser(place.sessions[who]))
    text = await answer.text()
    return answer.status, json.loads(text) if text else None


async def enable(place: Place, who: str = "publisher") -> None:
    """Enable the editor as somebody."""
    status, answer = await call(place, "PATCH", "", {"enableCodeServer": True}, who)
    assert status == 200, answer


async def wanted(world: World) -> list[tuple[str, bool, bool]]:
    """Return which versions the row wants."""
    (row,) = await world.fetch("select spec -> 'addons' as addons from containers")
    return [(each["version"], each.get("default", True), each.get("previous", False)) for each in row["addons"] or []]


async def test_a_container_is_made_with_an_editor(world: World, client: Client) -> None:
    """Wish, port and steps are one transaction; without an offer there is none of them."""
    answer = await client.post("/api/containers", json={**NODE, "enableCodeServer": True}, headers=OWNER)
    assert (answer.status, (await answer.json())["code"]) == (422, "addon_not_offered")
    offer(world, "4.1.0")
    answer = await client.post("/api/containers", json={**NODE, "enableCodeServer": True}, headers=OWNER)
    made = await answer.json()
    assert answer.status == 202, made
    assert [(addon["name"], addon["state"], addon["url"]) for addon in made["addons"]] == [
        (CODE_SERVER, "installing", None)
    ]
    names = [step["name"] for step in made["steps"]]
    assert names.index("open-code-server") == names.index("confirm-route") + 2
    (row,) = await world.fetch("select * from exposures")
    assert (row["port"], row["visibility"], row["addon"], row["expires_at"]) == (PORT, "private", CODE_SERVER, None)
    assert await wanted(world) == [("4.1.0", True, False)]


async def test_an_editor_comes_and_goes_by_a_change_of_its_container(place: Place) -> None:
    """Both ways twice over; its port comes and goes in the same moment, and each changes the spec once."""
    (before,) = await place.world.fetch("select spec_generation from containers")
    for is_wanted, port, generation in ((True, 1, 1), (True, 1, 1), (False, 0, 2), (False, 0, 2)):
        status, told = await call(place, "PATCH", "", {"enableCodeServer": is_wanted})
        assert status == 200
        assert len(told["addons"]) == port
        (row,) = await place.world.fetch("select count(*) as ports from exposures")
        assert row["ports"] == port
        assert told["specGeneration"] == before["spec_generation"] + generation


async def test_a_change_that_cannot_be_made_whole_enables_nothing(place: Place) -> None:
    """Whatever else is in it."""
    status, _ = await call(place, "PUT", "/processes/other", {"argv": ["serve"]})
    assert status == 201
    wish = {"enableCodeServer": True, "resources": {"memoryMib": 999_999}}
    assert (await call(place, "PATCH", "", wish))[1]["code"] == "resources_too_large"
    assert await place.world.fetch("select 1 from exposures") == []
    assert await wanted(place.world) == []


async def test_names_and_ports_of_addons_are_the_platforms(place: Place) -> None:
    """Each refusal says what it is kept for; what an earlier version let through stands in the way and is named."""
    world = place.world
    status, body = await call(place, "PUT", f"/processes/{CODE_SERVER}", {"argv": ["serve"]})
    assert (status, body["code"]) == (422, "process_name_reserved")
    status, body = await call(place, "POST", "/exposures", {"port": PORT, "visibility": "public"})
    assert (status, body["code"]) == (422, "port_reserved")
    assert CODE_SERVER in body["detail"]
    process = {"name": CODE_SERVER, "argv": ["serve"]}
    await world.fetch("update containers set spec = spec || $1 returning 1", {"processes": [process]})
    assert (await call(place, "PATCH", "", {"enableCodeServer": True}))[1]["code"] == "addon_name_taken"
    await world.fetch("update containers set spec = spec - 'processes' returning 1")
    insert = "insert into exposures (id, owner, port, visibility, expires_at) select gen_random_uuid(), owner, 6000, "
    await world.fetch(f"{insert} 'public', null from containers returning 1")
    assert (await call(place, "POST", "/addons", {"name": CODE_SERVER}))[1]["code"] == "addon_port_taken"
    assert await wanted(world) == []
    await world.fetch("update exposures set expires_at = now() returning 1")
    assert (await call(place, "POST", "/addons", {"name": CODE_SERVER}))[0] == 202


async def test_the_port_of_an_addon_is_taken_back_with_it_alone(place: Place) -> None:
    """Nobody changes or unpublishes it by itself, and it counts for no quota."""
    world, customer = place.world, await customer_of(place.world)
    await world.quotas.set_quota(customer, Quota(exposures=1))
    await enable(place)
    async with world.database.connection() as connection:
        assert (await usage_of(connection, customer)).exposures == 0
    await place.publish("private")
    _, listed = await call(place, "GET", "/exposures")
    assert [(each["port"], each["addon"], each["default"]) for each in listed["items"]] == [
        (PORT, CODE_SERVER, True),
        (3000, None, False),
    ]
    status, body = await call(place, "DELETE", f"/exposures/{listed['items'][0]['id']}", who="owner")
    assert (status, body["code"], body["addon"]) == (409, "addon_port", CODE_SERVER)
    assert (await call(place, "POST", "/exposures", {"port": PORT, "visibility": "public"}))[0] == 422
    assert len(await world.fetch("select 1 from exposures")) == 2


async def test_versions_go_up_and_back(place: Place) -> None:
    """By the rules of runtimes: an upgrade keeps the version before, a rollback swaps them, removal takes all."""
    world = place.world
    assert (await call(place, "POST", "/addons/code-server/upgrade"))[1]["code"] == "addon_not_found"
    assert (await call(place, "POST", "/addons", {"name": "code-serve"}))[1]["suggestion"] == CODE_SERVER
    assert (await call(place, "POST", "/addons", {"name": CODE_SERVER, "version": "3"}))[1]["code"] == "cannot_install"
    status, told = await call(place, "POST", "/addons", {"name": CODE_SERVER})
    assert (status, told["upgrades"]) == (202, [{"name": CODE_SERVER, "version": "4.2.0"}])
    assert [each["version"] for each in told["pending"]] == ["4.1.0"]
    world.agents.protocol_version = 7
    async with world.reconciler():
        await world.wait_until("select (agent_status ->> 'observedGeneration')::int = spec_generation from containers")
    assert (await call(place, "POST", "/addons/code-server/upgrade", {"version": "4.0.0"}))[1]["code"] == (
        "runtime_is_older"
    )
    assert (await call(place, "POST", "/addons/code-server/upgrade"))[0] == 202
    assert sorted(await wanted(world)) == [("4.1.0", False, True), ("4.2.0", True, False)]
    assert (await call(place, "POST", "/addons/code-server/upgrade"))[1]["code"] == "runtime_is_newest"
    assert (await call(place, "POST", "/addons/code-server/9.9.9/repair"))[1]["code"] == "addon_not_found"
    assert (await call(place, "POST", "/addons/code-server/rollback"))[0] == 202
    assert ("4.1.0", True, False) in await wanted(world)
    assert (await call(place, "DELETE", "/addons/code-server"))[0] == 202
    assert await wanted(world) == []
    assert await world.fetch("select 1 from exposures") == []
    assert (await call(place, "DELETE", "/addons/code-server"))[1]["code"] == "addon_not_found"


async def test_only_who_may_have_a_shell_opens_an_editor(place: Place) -> None:
    """Who has enabled it and owners, at both of its hosts; to everybody else it looks like nothing."""
    await enable(place)
    for name in ("publisher", "owner", "member", "viewer", "stranger", "operator", None):
        for label in (f"{PORT}-dev-{place.vmid}", f"dev-{place.vmid}"):
            visitor = place.visitor(name, label)
            answer = await visitor.ask({**NAVIGATED, "X-Zlh-Port": str(PORT)})
            assert answer.status == 302, (name, label)
            shown = await opened(visitor)
            assert shown == (200 if name in MAY_OPEN else 401 if name is None else 404), (name, label, shown)


async def opened(visitor: Any) -> int:
    """Open the editor as a browser does, there and back; return the status of what is shown in the end."""
    answer = await visitor.ask(NAVIGATED)
    if answer.status != 302:
        return int(answer.status)
    answer = await visitor.authorize(answer.headers["Location"])
    if answer.status != 302 or "/login" in answer.headers["Location"]:
        return 401 if answer.status == 302 else int(answer.status)
    entered = await visitor.enter(answer.headers["Location"])
    assert entered.status == 302
    return int((await visitor.ask(NAVIGATED)).status)


async def test_the_containers_own_host_means_its_editor(place: Place) -> None:
    """Before the oldest port for as long as it is enabled, and after it again."""
    await place.publish("customer")
    own = f"dev-{place.vmid}"
    assert await place.visitor("viewer", own).open() == 200
    await enable(place, "owner")
    viewer = place.visitor("viewer", own)
    assert await opened(viewer) == 404
    # The route that leads to the editor opens by no right to what it led to before.
    assert (await viewer.ask()).status in {302, 404}
    assert await opened(place.visitor("owner", own)) == 200
    assert await opened(place.visitor("publisher", own)) == 404
    await call(place, "PATCH", "", {"enableCodeServer": False})
    assert await place.visitor("viewer", own).open() == 200


LOSSES = {
    "downgraded": "update memberships set role = 'viewer' where user_id = $1 returning 1",
    "removed": "delete from memberships where user_id = $1 returning 1",
    "signed-out": "delete from sessions where user_id = $1 returning 1",
    "suspended": "update users set suspended_at = now(), suspended_reason = 'x' where id = $1 returning 1",
    "deleted": "delete from users where id = $1 returning 1",
}


@pytest.mark.parametrize("name", sorted(MAY_OPEN))
@pytest.mark.parametrize("loss", LOSSES)
async def test_who_loses_the_right_is_cut_off(place: Place, name: str, loss: str) -> None:
    """In the transaction that takes it: nobody stays connected to a shell by a right that is gone."""
    await enable(place)
    visitor = place.visitor(name, f"{PORT}-dev-{place.vmid}")
    assert await opened(visitor) == 200
    await place.world.fetch("delete from connection_cuts returning 1")
    await place.world.fetch(LOSSES[loss], place.users[name])
    assert [row["port"] for row in await place.world.fetch("select port from connection_cuts")][:1] == [PORT]
    assert (await visitor.ask(NAVIGATED)).status in {302, 404}
    assert await opened(visitor) in {401, 404}


async def test_owners_keep_what_others_have_enabled(place: Place) -> None:
    """Whatever becomes of who did: a new role, a removal, a return."""
    await enable(place)
    owner = place.visitor("owner", f"{PORT}-dev-{place.vmid}")
    assert await opened(owner) == 200
    customer, publisher = await customer_of(place.world), place.users["publisher"]
    for act in (
        "update memberships set role = 'viewer' where user_id = $1 returning 1",
        "delete from memberships where user_id = $1 returning 1",
    ):
        await place.world.fetch(act, publisher)
        assert (await owner.ask(NAVIGATED)).status == 200
    await place.world.fetch("insert into memberships values ($1, $2, 'member') returning 1", customer, publisher)
    assert (await owner.ask(NAVIGATED)).status == 200
    assert await opened(place.visitor("publisher", owner.label)) == 200


async def test_an_editor_that_is_disabled_lets_nobody_in(place: Place) -> None:
    """Grants and connections end with it."""
    await enable(place)
    owner = place.visitor("owner", f"{PORT}-dev-{place.vmid}")
    assert await opened(owner) == 200
    await place.world.fetch("delete from connection_cuts returning 1")
    await call(place, "DELETE", "/addons/code-server")
    assert [row["port"] for row in await place.world.fetch("select distinct port from connection_cuts")] == [PORT]
    assert (await owner.ask(NAVIGATED)).status == 404


@dataclass
class Editor:
    """What answers in the place of code-server, as it is told to."""

    port: int
    status: bytes = b"200 OK"
    headers: bytes = b""
    body: bytes = b'{"status":"expired"}'
    asked: int = 0
    is_silent: bool = False

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request and answer it."""
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            if self.is_silent:
                await reader.read()
                return
            head = b"HTTP/1.1 " + self.status + b"\r\n" + self.headers
            writer.write(head + b"Content-Length: %d\r\n\r\n" % len(self.body) + self.body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def editor(world: World) -> AsyncIterator[Editor]:
    """A server on every loopback address, where the editors of this world listen."""
    made = Editor(free_port())
    world.addon_port = made.port
    world.agents.protocol_version = 7
    server = await asyncio.start_server(made.answer, "0.0.0.0", made.port)
    yield made
    server.close()
    await server.wait_closed()


async def url_of(place: Place) -> str | None:
    """Return where people are told that the editor opens."""
    _, told = await call(place, "GET", "/status", who="owner")
    found: str | None = told["addons"][0]["url"]
    return found


async def wait_url(place: Place, *, is_there: bool) -> str | None:
    """Return once people are told that it opens, or that it does not."""
    async with asyncio.timeout(WAIT_S):
        while ((found := await url_of(place)) is not None) is not is_there:
            await asyncio.sleep(0.02)
    return found


async def test_the_address_comes_with_each_run_and_goes_with_it(place: Place, editor: Editor) -> None:
    """Asked once for each run, behind the route; gone in the moment in which the agent says that it has stopped."""
    world, owner_of = place.world, "select owner::text as owner from containers"
    await enable(place)
    (row,) = await world.fetch(owner_of)
    async with world.reconciler():
        url = await wait_url(place, is_there=True)
        assert url == f"http://{PORT}-dev-{place.vmid}.localhost/"
        assert editor.asked == 1
        await world.wait_settled(row["owner"])
        world.agents.addon_state = AddonState.BACKOFF
        await world.agents.note_online(row["owner"])
        assert await url_of(place) is None
        editor.status = b"503 Not Yet"
        world.agents.addon_state, world.agents.addon_started_at = AddonState.RUNNING, LATER
        await world.agents.note_online(row["owner"])
        await world.wait_until("select code = 'addon_not_open' from steps where name = 'open-code-server'")
        assert await url_of(place) is None
        _, told = await call(place, "GET", "/status")
        assert (told["ready"], told["degraded"]) == (True, ["addon_not_open"])
        editor.status = b"200 OK"
        assert await wait_url(place, is_there=True) == url
        await world.wait_until("select code is null from steps where name = 'open-code-server'")


async def test_a_new_container_is_ready_once_its_editor_opens(world: World, client: Client, editor: Editor) -> None:
    """Until its agent has started it, and while it does not answer, its chain stands there."""
    offer(world, "4.1.0")
    world.agents.addon_state = AddonState.STARTING
    answer = await client.post("/api/containers", json={**NODE, "enableCodeServer": True}, headers=OWNER)
    assert answer.status == 202
    (row,) = await world.fetch("select owner::text as owner from containers")
    async with world.reconciler():
        await world.wait_until("select state = 'running' from steps where name = 'run-code-server'")
        assert editor.asked == 0
        editor.body = b"x" * 1_000_000
        world.agents.addon_state = AddonState.RUNNING
        await world.agents.note_online(row["owner"])
        await world.wait_until("select code = 'addon_not_open' from steps where name = 'open-code-server'")
        assert (await world.fetch("select provisioned_at from containers"))[0]["provisioned_at"] is None
        editor.body = b"{}"
        await world.wait_settled(row["owner"])
    steps = await world.fetch("select name, state from steps where name like '%code-server'")
    assert {step["name"]: step["state"] for step in steps} == {"run-code-server": "done", "open-code-server": "done"}


async def test_an_agent_that_knows_no_addons_is_named(world: World, client: Client) -> None:
    """A new container says why it is not ready; it does not wait in silence."""
    offer(world, "4.1.0")
    await client.post("/api/containers", json={**NODE, "enableCodeServer": True}, headers=OWNER)
    async with world.reconciler():
        await world.wait_until("select code = 'addon_not_open' from steps where name = 'open-code-server'")
    (step,) = await world.fetch("select message from steps where name = 'open-code-server'")
    assert "earlier version" in step["message"]
    (row,) = await world.fetch("select vmid from containers")
    told = await (await client.get(f"/api/containers/{Vmid(row['vmid'])}/status", headers=OWNER)).json()
    assert told["provisioningError"]["step"] == "open-code-server"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"status": b"404 Not Found"}, "status 404"),
        ({"status": b"302 Found", "headers": b"Location: http://127.0.0.1:1/\r\n"}, "status 302"),
        ({"status": b"100 Continue"}, "speaks no HTTP"),
        ({"body": b"x" * 5000}, "something else"),
        ({"headers": b"X: " + b"y" * 100_000 + b"\r\n"}, "speaks no HTTP"),
        ({"status": b"200\x00\xff"}, "speaks no HTTP"),
    ],
    ids=["missing", "redirect", "interim", "long", "long-head", "nonsense"],
)
async def test_a_hostile_answer_is_no_answer(editor: Editor, fields: dict[str, Any], said: str) -> None:
    """Bounded and followed nowhere; only a plain yes counts."""
    for name, value in fields.items():
        setattr(editor, name, value)
    with pytest.raises(AddonNotOpen, match=said):
        await HttpAddonDoor().check_open(CODE_SERVER, "127.0.0.1", editor.port)
    assert editor.asked == 1


async def test_a_packed_answer_is_not_unpacked(editor: Editor) -> None:
    """What counts is that it comes; some bytes could stand for gigabytes."""
    editor.headers, editor.body = b"Content-Encoding: gzip\r\n", b"not what it says"
    await HttpAddonDoor().check_open(CODE_SERVER, "127.0.0.1", editor.port)


async def test_silence_and_nobody_are_told_apart(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is waited for no longer than it may take."""
    with pytest.raises(AddonNotOpen, match="nobody listens"):
        await HttpAddonDoor().check_open(CODE_SERVER, "127.0.0.1", free_port())
    monkeypatch.setattr("zlh_api.agents.addon_door.TIMEOUT_S", 0.2)
    editor.is_silent = True
    with pytest.raises(AddonNotOpen, match=r"no answer .* within 0\.2 s"):
        await HttpAddonDoor().check_open(CODE_SERVER, "127.0.0.1", editor.port)


async def test_a_run_that_was_seen_for_another_wish_counts_for_none(place: Place, editor: Editor) -> None:
    """Disabled and enabled again within one run, it has to open again behind its new route."""
    await enable(place)
    (row,) = await place.world.fetch("select owner::text as owner from containers")
    async with place.world.reconciler():
        await wait_url(place, is_there=True)
        await place.world.wait_settled(row["owner"])
    await call(place, "PATCH", "", {"enableCodeServer": False})
    await enable(place)
    assert await url_of(place) is None
    assert (await place.world.fetch("select addons_opened from containers"))[0]["addons_opened"] == {}
