"""The HTTP surface as callers meet it: wishes, reports and refusals."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from component.api.people_world import OWNER, STRANGER, VIEWER, by
from fakes.api_world import AGENT_PORT, LIMITS, NODE, PORTAL, WAIT_S, World
from zlh_api.containers.live import LiveContainers
from zlh_api.containers.model import Container
from zlh_api.containers.service import ContainerService, Hosting
from zlh_api.customers.model import Caller
from zlh_api.web.problems import SECURITY_HEADERS
from zlh_api.web.request_body import MAX_BODY_BYTES
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.structs import encode

Client = TestClient[Request, Application]
CONTAINERS = "/api/containers"


JSON = {**OWNER, "Content-Type": "application/json"}


async def problem(response: ClientResponse, status: int, code: str) -> dict[str, Any]:
    """Return the problem document of an answer that must be this one."""
    body: dict[str, Any] = json.loads(await response.read())
    assert (response.status, body.get("code")) == (status, code), body
    assert response.content_type == "application/problem+json"
    assert {"type", "title", "status", "code", "detail", "requestId"} <= set(body)
    assert body["status"] == status
    assert body["requestId"] == response.headers["X-Request-Id"]
    return body


async def create(client: Client, **wish: Any) -> dict[str, Any]:
    """Create a container as the owner."""
    response = await client.post(CONTAINERS, json={**NODE, **wish}, headers=OWNER)
    body: dict[str, Any] = await response.json()
    assert response.status == 202, body
    return body


async def status_of(client: Client, vmid: int) -> dict[str, Any]:
    """Return the report of a container."""
    body: dict[str, Any] = await (await client.get(f"{CONTAINERS}/{vmid}/status", headers=OWNER)).json()
    return body


async def test_from_the_wish_to_nothing(world: World, client: Client) -> None:
    """A container is asked for, becomes ready, is asked away, and leaves nothing behind."""
    made = await create(client, name="mine")
    assert (made["lifecycle"], made["ready"], made["url"]) == ("provisioning", False, None)
    async with world.reconciler(), asyncio.timeout(WAIT_S):
        while not (seen := await status_of(client, made["vmid"]))["ready"]:
            await asyncio.sleep(0.01)
        assert (seen["lifecycle"], seen["provisioningComplete"]) == ("running", True)
        assert seen["url"] == f"http://dev-{made['vmid']}.localhost/"
        gone = await client.delete(f"{CONTAINERS}/{made['vmid']}", headers=OWNER)
        assert (gone.status, (await gone.json())["lifecycle"]) == (202, "deleting")
        await world.wait_forgotten()
    await problem(await client.get(f"{CONTAINERS}/{made['vmid']}", headers=OWNER), 404, "not_found")
    assert (world.driver.guests, world.routes.files) == ({}, {})


async def test_a_container_on_its_way_out_takes_no_wishes(client: Client) -> None:
    """Asking twice for its end is fine; anything else comes too late."""
    one = f"{CONTAINERS}/{(await create(client))['vmid']}"
    for _ in range(2):
        assert (await client.delete(one, headers=OWNER)).status == 202
    await problem(await client.post(f"{one}/start", headers=OWNER), 409, "being_deleted")
    await problem(await client.patch(one, json={"name": "x"}, headers=OWNER), 409, "being_deleted")


async def test_a_process_that_is_switched_off_takes_no_command(world: World, client: Client) -> None:
    """Whether its agent has heard of that already or not: this one would obey."""
    made = await create(client)
    async with world.reconciler(), asyncio.timeout(WAIT_S):
        while not (await status_of(client, made["vmid"]))["ready"]:
            await asyncio.sleep(0.01)
    web = f"{CONTAINERS}/{made['vmid']}/processes/web"
    assert (await client.put(web, json={"argv": ["serve"]}, headers=OWNER)).status == 201
    assert (await client.post(f"{web}/restart", headers=OWNER)).status == 202
    assert (await client.post(f"{web}/stop", headers=OWNER)).status == 202
    for verb in ("restart", "retry"):
        await problem(await client.post(f"{web}/{verb}", headers=OWNER), 409, "process_switched_off")


async def test_power_is_written_as_a_wish(client: Client) -> None:
    """Stop, start, kill, restart and PATCH write what is wanted and answer with the report."""
    one = f"{CONTAINERS}/{(await create(client))['vmid']}"
    for call, power in (("stop", "off"), ("start", "on"), ("kill", "off"), ("restart", "on")):
        response = await client.post(f"{one}/{call}", headers=OWNER)
        assert (response.status, (await response.json())["power"]) == (202, power)
    response = await client.patch(one, json={"power": "off", "name": "renamed"}, headers=OWNER)
    body = await response.json()
    assert (body["power"], body["name"]) == ("off", "renamed")


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"kind":"dev","kind2":1}', b'{"kind":"pod"}', b"[" * 5000],
)
async def test_a_body_that_is_none_is_refused(client: Client, raw: bytes) -> None:
    """Whatever is sent, the answer is a problem that says what was wrong."""
    await problem(await client.post(CONTAINERS, data=raw, headers=JSON), 400, "invalid_body")


@pytest.mark.parametrize("name", ["", " x", "-x", "x" * 64, "x\ny", "x/y", "é", 5, ["x"], "x\n"])
async def test_a_name_that_cannot_be_one_is_refused(client: Client, name: object) -> None:
    """The field is named."""
    body = await problem(await client.post(CONTAINERS, json={**NODE, "name": name}, headers=OWNER), 400, "invalid_body")
    assert "name" in body["detail"]


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"kind": "dev"}, "runtime_missing"),
        ({"kind": "dev", "runtime": "cobol"}, "cannot_install"),
        ({**NODE, "version": "99"}, "cannot_install"),
        ({**NODE, "enableCodeServer": True}, "addon_not_offered"),
        ({**NODE, "enable_code_server": True}, "addon_not_offered"),
        ({"kind": "game", "template": "minecraft"}, "template_not_offered"),
        ({"kind": "game"}, "template_missing"),
        ({"kind": "game", "template": "x", "runtime": "node"}, "fields_of_other_kind"),
        ({"kind": "game", "template": "x", "enable_code_server": True}, "addon_needs_dev"),
        ({**NODE, "template": "x"}, "fields_of_other_kind"),
        ({**NODE, "accept_eula": True}, "fields_of_other_kind"),
        ({**NODE, "variables": {"motd": "x"}}, "fields_of_other_kind"),
        ({**NODE, "name": "dev-500"}, "name_reserved"),
        ({**NODE, "name": "8080-GAME-500"}, "name_reserved"),
    ],
)
async def test_what_cannot_be_had_is_refused_with_its_reason(
    world: World, client: Client, wish: dict[str, Any], code: str
) -> None:
    """Nothing is written for a wish that cannot come true."""
    await problem(await client.post(CONTAINERS, json=wish, headers=OWNER), 422, code)
    assert await world.fetch("select 1 from containers") == []


async def test_an_unknown_runtime_comes_with_the_nearest_right_one(client: Client) -> None:
    """A typing mistake is answered with what was probably meant."""
    response = await client.post(CONTAINERS, json={"kind": "dev", "runtime": "nodee"}, headers=OWNER)
    body = await problem(response, 422, "cannot_install")
    assert body["problems"][0]["suggestion"] == "node"


async def test_both_spellings_at_once_are_a_contradiction(client: Client) -> None:
    """An alias is another spelling, not another field."""
    wish = {**NODE, "enableCodeServer": False, "enable_code_server": True}
    await problem(await client.post(CONTAINERS, json=wish, headers=OWNER), 400, "invalid_body")


@pytest.mark.parametrize("token", ["wrong", "", "owner-token ", "Owner-token", "\xfc"])
async def test_a_wrong_token_is_refused(client: Client, token: str) -> None:
    """Close is not enough."""
    response = await client.get("/api/me", headers=by(token.strip() + ("x" if token.endswith(" ") else "")))
    await problem(response, 401, "not_signed_in")


async def test_nobody_is_refused_everywhere(client: Client) -> None:
    """Without a token every call that is not public answers alike."""
    for path in ("/api/me", CONTAINERS, f"{CONTAINERS}/101", f"{CONTAINERS}/x", "/api/catalog/runtimes", "/api/events"):
        await problem(await client.get(path), 401, "not_signed_in")


async def test_foreign_and_missing_are_the_same(client: Client) -> None:
    """Every call about a foreign container is answered as if it had never been."""
    vmid = (await create(client))["vmid"]
    calls = [("GET", ""), ("GET", "/status"), ("POST", "/start"), ("DELETE", ""), ("GET", "/terminals")]
    for method, rest in calls:
        told = []
        for number in (vmid, 999_999):
            response = await client.request(method, f"{CONTAINERS}/{number}{rest}", headers=STRANGER)
            body = await problem(response, 404, "not_found")
            headers = {name for name in response.headers if name not in {"Date", "X-Request-Id"}}
            told.append(({key: body[key] for key in body if key != "requestId"}, headers))
        assert told[0] == told[1]
    assert (await status_of(client, vmid))["lifecycle"] == "provisioning"


async def test_the_limits_are_told(client: Client) -> None:
    """What one gets, the most that one may ask for, and which of it is held."""
    body = await (await client.get("/api/limits", headers=VIEWER)).json()
    assert body == json.loads(encode(LIMITS))
    assert set(body) == {"default", "maximum", "enforced", "driver"}
    await problem(await client.get("/api/limits"), 401, "not_signed_in")


async def test_a_container_gets_what_is_asked_for(client: Client) -> None:
    """What is not named is the default; nothing is in force before there is a guest."""
    made = await create(client, resources={"cpu": 0.501, "diskMib": 20480})
    assert made["resources"] == {"cpu": 0.5, "memoryMib": 2048, "diskMib": 20480, "pids": 2048}
    assert (made["resourcesInForce"], made["degraded"]) == (None, [])
    assert (await create(client))["resources"] == json.loads(encode(LIMITS.default))


@pytest.mark.parametrize(
    ("resources", "status", "code"),
    [
        ('{"memoryMib":4097}', 422, "resources_too_large"),
        ("{}", 422, "resources_empty"),
        ('{"cpu":null}', 422, "resources_empty"),
        ('{"cpu":NaN}', 400, "invalid_body"),
        ('{"cpu":1e308}', 400, "invalid_body"),
        ('{"pids":9223372036854775808}', 400, "invalid_body"),
        ('{"diskMib":-1}', 400, "invalid_body"),
        ('{"memoryMib":"2 GiB"}', 400, "invalid_body"),
        ('{"memory":2048}', 400, "invalid_body"),
        ("[]", 400, "invalid_body"),
        ('"large"', 400, "invalid_body"),
    ],
)
async def test_limits_that_cannot_be_had_are_refused(
    world: World, client: Client, resources: str, status: int, code: str
) -> None:
    """At birth and later, with the same reason; nothing is made and nothing changed."""
    vmid = (await create(client))["vmid"]
    json_type = {**OWNER, "Content-Type": "application/json"}
    wish = f'{{"kind":"dev","runtime":"node","version":"24","resources":{resources}}}'
    await problem(await client.post(CONTAINERS, data=wish, headers=json_type), status, code)
    changed = await client.patch(f"{CONTAINERS}/{vmid}", data=f'{{"resources":{resources}}}', headers=json_type)
    await problem(changed, status, code)
    rows = await world.fetch("select resources from containers")
    assert [row["resources"] for row in rows] == [json.loads(encode(LIMITS.default))]


async def test_a_change_of_several_things_is_made_whole_or_not_at_all(client: Client) -> None:
    """Whichever of them cannot be, none of the others is."""
    await create(client, name="taken")
    vmid = (await create(client, name="mine"))["vmid"]
    before = await status_of(client, vmid)
    good: dict[str, Any] = {"name": "other", "power": "off", "resources": {"cpu": 1}}
    bad: tuple[tuple[dict[str, Any], int, str], ...] = (
        ({"name": "taken"}, 409, "name_taken"),
        ({"name": "dev-100"}, 422, "name_reserved"),
        ({"resources": {"cpu": 1, "memoryMib": 999_999}}, 422, "resources_too_large"),
        ({"resources": {}}, 422, "resources_empty"),
        ({"enableCodeServer": True}, 422, "addon_not_offered"),
        ({"enable_code_server": True}, 422, "addon_not_offered"),
        ({"power": "sideways"}, 400, "invalid_body"),
        ({"memoryMib": 1024}, 400, "invalid_body"),
    )
    for part, status, code in bad:
        answer = await client.patch(f"{CONTAINERS}/{vmid}", json={**good, **part}, headers=OWNER)
        await problem(answer, status, code)
        assert await status_of(client, vmid) == before
    answer = await client.patch(f"{CONTAINERS}/{vmid}", json={**good, "enableCodeServer": False}, headers=OWNER)
    after = await answer.json()
    assert answer.status == 200
    assert (after["name"], after["power"], after["resources"]["cpu"]) == ("other", "off", 1)
    assert after["resources"]["memoryMib"] == before["resources"]["memoryMib"]


async def test_a_disk_grows_and_does_not_shrink(world: World, client: Client) -> None:
    """Once there is one; a wish that nobody has begun can be taken back."""
    vmid = (await create(client, resources={"diskMib": 4096}))["vmid"]
    path = f"{CONTAINERS}/{vmid}"
    assert (await client.patch(path, json={"resources": {"diskMib": 2048}}, headers=OWNER)).status == 200
    async with world.reconciler():
        await world.wait_settled((await world.fetch("select owner::text from containers"))[0]["owner"])
    smaller = await client.patch(path, json={"resources": {"diskMib": 2047}}, headers=OWNER)
    (refused,) = (await problem(smaller, 422, "disk_cannot_shrink"))["problems"]
    assert (refused["field"], refused["asked"], refused["allowed"]) == ("resources.diskMib", 2047, 2048)
    larger = await client.patch(path, json={"resources": {"diskMib": 8192}}, headers=OWNER)
    told = await larger.json()
    assert (told["resources"]["diskMib"], told["resourcesInForce"]["diskMib"]) == (8192, 2048)
    assert told["degraded"] == ["resize_pending"]


async def test_a_viewer_looks_and_changes_nothing(client: Client) -> None:
    """Looking is all that a viewer may do."""
    one = f"{CONTAINERS}/{(await create(client))['vmid']}"
    assert (await client.get(one, headers=VIEWER)).status == 200
    await problem(await client.delete(one, headers=VIEWER), 403, "role_missing")
    wish = {"argv": ["serve"], "environment": {"PASSWORD": "s3cret"}}
    declared = await client.put(f"{one}/processes/web", json=wish, headers=OWNER)
    assert (await declared.json())["environment"] == {"PASSWORD": "s3cret"}
    for path in ("", "/status", "/processes", "/processes/web"):
        assert "s3cret" not in await (await client.get(one + path, headers=VIEWER)).text()
    await problem(await client.post(CONTAINERS, json=NODE, headers=VIEWER), 403, "no_customer")


async def test_a_list_shows_ones_own_in_pages(client: Client) -> None:
    """Pages follow each other without a gap, and hold nothing foreign."""
    made = [(await create(client))["vmid"] for _ in range(5)]
    await client.post(CONTAINERS, json=NODE, headers=STRANGER)
    seen: list[int] = []
    after = "0"
    while after:
        response = await client.get(f"{CONTAINERS}?limit=2&after={after}", headers=VIEWER)
        page = await response.json()
        seen += [entry["vmid"] for entry in page["items"]]
        after = page.get("next", "")
    assert seen == made


@pytest.mark.parametrize("value", ["x", "", "-1", "--5", "1.5", "0x1", "%D9%A1", "9" * 30, "201", "0", "+1", "-"])
async def test_a_query_that_is_no_number_is_refused(client: Client, value: str) -> None:
    """The parameter is named, whatever stands there."""
    body = await problem(await client.get(f"{CONTAINERS}?limit={value}", headers=OWNER), 400, "query_invalid")
    assert body["parameter"] == "limit"


async def test_a_foreign_page_is_refused(client: Client) -> None:
    """What a browser sends by itself from another page is not believed."""
    headers = {"Origin": "https://evil.example", "Cookie": "zlh_session=x"}
    await problem(await client.post(CONTAINERS, json=NODE, headers=headers), 403, "origin_refused")
    await problem(await client.post(CONTAINERS, json=NODE, headers={**headers, "Origin": PORTAL}), 401, "not_signed_in")


async def test_a_wrong_method_is_told_which_ones_there_are(client: Client) -> None:
    """A path that exists answers 405, and names exactly its own methods."""
    response = await client.put(CONTAINERS, headers=OWNER)
    await problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == "GET, HEAD, POST"
    response = await client.get("/api/auth/login")
    await problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_unknown_call_is_not_found(client: Client, method: str) -> None:
    """No method makes a call out of a path that is none."""
    await problem(await client.request(method, "/api/nothing", headers=OWNER), 404, "not_found")


async def test_a_body_that_is_too_large_is_refused(client: Client) -> None:
    """The limit is named, with a length and without."""
    raw = b" " * (MAX_BODY_BYTES + 1)
    body = await problem(await client.post(CONTAINERS, data=raw, headers=JSON), 413, "body_too_large")
    assert body["limitBytes"] == MAX_BODY_BYTES


async def test_the_same_key_and_body_make_one_container(world: World, client: Client) -> None:
    """A call that is repeated, at the same moment too, is one wish."""
    headers = {**OWNER, "Idempotency-Key": "k1"}
    responses = await asyncio.gather(*(client.post(CONTAINERS, json=NODE, headers=headers) for _ in range(10)))
    assert {response.status for response in responses} == {202}
    assert len({(await response.json())["vmid"] for response in responses}) == 1
    assert len(await world.fetch("select 1 from containers")) == 1


async def test_the_same_key_with_another_body_is_refused(client: Client) -> None:
    """A key stands for one request."""
    headers = {**OWNER, "Idempotency-Key": "k1"}
    assert (await client.post(CONTAINERS, json=NODE, headers=headers)).status == 202
    for more in ({"name": "other"}, {"resources": {"cpu": 1}}):
        other = await client.post(CONTAINERS, json={**NODE, **more}, headers=headers)
        await problem(other, 422, "idempotency_key_reused")


async def test_a_key_belongs_to_its_user(client: Client) -> None:
    """The key of another user is another key."""
    vmids = set()
    for who in (OWNER, STRANGER):
        response = await client.post(CONTAINERS, json=NODE, headers={**who, "Idempotency-Key": "k1"})
        vmids.add((await response.json())["vmid"])
    assert len(vmids) == 2


async def test_a_key_is_forgotten_after_a_day(world: World, client: Client) -> None:
    """Then it stands for a new request."""
    headers = {**OWNER, "Idempotency-Key": "k1"}
    await client.post(CONTAINERS, json=NODE, headers=headers)
    await world.fetch("update idempotency_keys set created_at = now() - interval '25 hours' returning 1")
    assert (await client.post(CONTAINERS, json={**NODE, "name": "x"}, headers=headers)).status == 202


async def test_a_key_that_cannot_be_used_is_refused(client: Client) -> None:
    """Empty, endless and unprintable keys are no keys."""
    for key in ("", "x" * 256, "a\tb", "a b", "\xe9"):
        response = await client.post(CONTAINERS, json=NODE, headers={**OWNER, "Idempotency-Key": key})
        await problem(response, 400, "idempotency_key_invalid")


async def test_a_failed_wish_leaves_its_key_free(client: Client) -> None:
    """A key is taken by a container, not by an attempt."""
    await create(client, name="mine")
    headers = {**OWNER, "Idempotency-Key": "k1"}
    await problem(await client.post(CONTAINERS, json={**NODE, "name": "mine"}, headers=headers), 409, "name_taken")
    assert (await client.post(CONTAINERS, json={**NODE, "name": "free"}, headers=headers)).status == 202


async def test_one_of_many_gets_the_name(client: Client) -> None:
    """At the same moment and in any case of letters, a name is given once per customer."""
    names = ["Mine" if number % 2 else "mINE" for number in range(20)]
    responses = await asyncio.gather(
        *(client.post(CONTAINERS, json={**NODE, "name": name}, headers=OWNER) for name in names)
    )
    assert Counter(response.status for response in responses) == {202: 1, 409: 19}
    other = await client.post(CONTAINERS, json={**NODE, "name": "mine"}, headers=STRANGER)
    assert other.status == 202


async def test_a_rename_to_a_taken_name_changes_nothing(client: Client) -> None:
    """The refused PATCH is refused whole."""
    await create(client, name="first")
    second = await create(client, name="second")
    one = f"{CONTAINERS}/{second['vmid']}"
    await problem(await client.patch(one, json={"name": "FIRST", "power": "off"}, headers=OWNER), 409, "name_taken")
    seen = await status_of(client, second["vmid"])
    assert (seen["name"], seen["power"]) == ("second", "on")


async def test_a_report_that_has_not_changed_is_not_sent_again(client: Client) -> None:
    """Pages poll; what they have already is answered with 304."""
    one = f"{CONTAINERS}/{(await create(client))['vmid']}/status"
    etag = (await client.get(one, headers=OWNER)).headers["ETag"]
    again = await client.get(one, headers={**OWNER, "If-None-Match": etag})
    assert (again.status, await again.read()) == (304, b"")
    await client.post(one.replace("/status", "/stop"), headers=OWNER)
    assert (await client.get(one, headers={**OWNER, "If-None-Match": etag})).status == 200


async def test_ports_are_published_listed_and_taken_back(client: Client) -> None:
    """An exposure has a URL; the first one answers on the container's own host."""
    vmid = (await create(client))["vmid"]
    path = f"{CONTAINERS}/{vmid}/exposures"
    for port in (3000, 5173):
        response = await client.post(path, json={"port": port, "visibility": "public"}, headers=OWNER)
        made = await response.json()
        assert (response.status, made["url"]) == (201, f"http://{port}-dev-{vmid}.localhost/")
    listed = (await (await client.get(path, headers=OWNER)).json())["items"]
    assert [(entry["port"], entry["default"]) for entry in listed] == [(3000, True), (5173, False)]
    assert (await client.delete(f"{path}/{listed[0]['id']}", headers=OWNER)).status == 204
    for missing in (listed[0]["id"], "x"):
        await problem(await client.delete(f"{path}/{missing}", headers=OWNER), 404, "not_found")
    listed = (await (await client.get(path, headers=OWNER)).json())["items"]
    assert [(entry["port"], entry["default"]) for entry in listed] == [(5173, True)]


async def test_what_is_listened_on_is_listed_with_how_it_is_published(world: World, client: Client) -> None:
    """Programs find the first address and the family of each port, and the exposure of one that is published."""
    vmid = (await create(client))["vmid"]
    owner = OwnerMark((await world.fetch("select owner::text from containers"))[0]["owner"])
    told = {"reach": "loopback", "kind": "http", "pid": 7, "process": "node", "command": "node", "directory": None}
    bound = {3000: ["127.0.0.1", "::1"], 5173: ["::1"], 8000: ["0.0.0.0"]}
    seen = [{"port": port, "addresses": on, "since": "2026-01-01T00:00:00Z", **told} for port, on in bound.items()]
    report = json.loads(encode(world.agents.report(owner))) | {"ports": seen}
    async with world.database.connection() as connection:
        await connection.execute(
            "update containers set connection = 'online', agent_status = $2, observed_at = now() where owner = $1",
            UUID(owner),
            report,
        )
    path = f"{CONTAINERS}/{vmid}"
    await client.post(f"{path}/exposures", json={"port": 5173, "visibility": "public"}, headers=OWNER)
    listed = (await (await client.get(f"{path}/ports", headers=OWNER)).json())["ports"]
    assert [(port["port"], port["family"], port["address"]) for port in listed] == [
        (3000, "both", "127.0.0.1"), (5173, "ipv6", "::1"), (8000, "ipv4", "0.0.0.0"),
    ]  # fmt: skip
    assert [port["exposure"] and port["exposure"]["visibility"] for port in listed] == [None, "public", None]


async def test_the_platforms_ports_are_never_published_and_any_other_may_be(client: Client) -> None:
    """Whatever the visibility; what browsers refuse in URLs is fine, since an exposure is opened at another port."""
    path = f"{CONTAINERS}/{(await create(client))['vmid']}/exposures"
    for visibility in ("public", "private"):
        for port in (AGENT_PORT, 6000):
            body = {"port": port, "visibility": visibility}
            await problem(await client.post(path, json=body, headers=OWNER), 422, "port_reserved")
    for port in (6001, 6666, 22):
        body = {"port": port, "visibility": "public"}
        assert (await client.post(path, json=body, headers=OWNER)).status == 201


async def test_a_container_that_is_off_has_no_terminals(client: Client) -> None:
    """The agent of a guest that does not run is not dialled."""
    vmid = (await create(client))["vmid"]
    response = await client.get(f"{CONTAINERS}/{vmid}/terminals", headers=OWNER)
    await problem(response, 503, "agent_unreachable")
    assert response.headers["Retry-After"]


async def test_every_answer_carries_its_id_and_the_security_headers(client: Client) -> None:
    """A sane id of the caller is kept, any other is replaced."""
    for path in ("/api/version", "/api/nothing", "/api/me", "/"):
        response = await client.get(path, headers={"X-Request-Id": "from-the-caller"})
        assert response.headers["X-Request-Id"] == "from-the-caller"
        assert SECURITY_HEADERS.items() <= dict(response.headers).items()
    response = await client.get("/api/version", headers={"X-Request-Id": "<script>"})
    assert response.headers["X-Request-Id"] != "<script>"


async def test_a_containers_host_answers_for_itself_alone(client: Client) -> None:
    """Its platform paths speak of it, the API and the portal are not there, and a missing one is missing."""
    vmid = (await create(client))["vmid"]
    host = {"Host": f"dev-{vmid}.localhost:8080"}
    assert await (await client.get("/.zlh/ready", headers=host)).json() == {"vmid": vmid}
    for same in (f"DEV-{vmid}.LocalHost", f"dev-{vmid}.localhost.:80"):
        assert await (await client.get("/.zlh/ready", headers={"Host": same})).json() == {"vmid": vmid}
    for portal in ("/.zlh/", "/.zlh/x", "/"):
        await problem(await client.get(portal, headers=host), 404, "not_found")
    await problem(await client.get("/api/version", headers=host), 404, "not_found")
    for other in (f"dev-{vmid}.example.org", "dev-999999.localhost", "portal.localhost"):
        await problem(await client.get("/.zlh/ready", headers={"Host": other}), 404, "not_found")


async def test_a_page_in_a_servers_place_says_what_comes_first(world: World, client: Client) -> None:
    """Whoever is to start a server in a container that is off is told to start the container."""
    vmid = (await create(client))["vmid"]
    wish = {"port": 3000, "visibility": "public"}
    assert (await client.post(f"{CONTAINERS}/{vmid}/exposures", json=wish, headers=OWNER)).status == 201
    for state, title in (
        ("absent", "is being made"),
        ("half-made", "is being made"),
        ("running", "Nothing listens on port 3000"),
        ("stopped", "is switched off"),
        ("foreign", "cannot run"),
    ):
        await world.fetch("update containers set guest = $1 returning 1", state)
        page = await (await client.get("/.zlh/silent", headers={"Host": f"3000-dev-{vmid}.localhost"})).text()
        assert title in page
        assert ("your server" in page) == (state == "running")


async def test_the_catalog_is_the_same_for_everybody(client: Client) -> None:
    """A viewer sees what can be installed, and whether a version means anything."""
    response = await client.get("/api/catalog/runtimes", headers=VIEWER)
    assert (await response.json())["runtimes"][0]["versions"][0]["version"] == "24.19.0"
    answer = await client.post("/api/catalog/validate", json={"runtime": "node", "version": "24"}, headers=VIEWER)
    assert await answer.json() == {"ok": True, "problems": [], "version": "24.19.0"}


@pytest.mark.parametrize("what", ["api_tokens", "memberships"])
async def test_the_live_stream_ends_with_the_right_to_see_it(world: World, client: Client, what: str) -> None:
    """A token that is taken away ends the stream, and a role that is taken away empties it."""
    async with asyncio.timeout(WAIT_S), client.get("/api/events", headers=VIEWER) as stream:
        assert await stream.content.readuntil(b"\n\n") == b": connected\n\n"
        await create(client)
        assert (await stream.content.readuntil(b"\n\n")).startswith(b"event: container\n")
        viewer = "select id from users where email like 'viewer%'"
        assert await world.fetch(f"delete from {what} where user_id in ({viewer}) returning 1")
        await create(client)
        if what == "api_tokens":
            assert await stream.content.read() == b""
        else:
            assert await stream.content.readuntil(b"\n\n") == b"event: rights\ndata: {}\n\n"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await stream.content.readany()


async def test_the_live_stream_shows_ones_own_changes_alone(world: World, client: Client) -> None:
    """A watcher is told of a container that changes and of its end, and of nothing foreign."""
    async with asyncio.timeout(WAIT_S), client.get("/api/events", headers=OWNER) as stream:
        assert await stream.content.readuntil(b"\n\n") == b": connected\n\n"
        foreign = await (await client.post(CONTAINERS, json=NODE, headers=STRANGER)).json()
        vmid = (await create(client))["vmid"]
        event, _, data = (await stream.content.readuntil(b"\n\n")).partition(b"\n")
        assert event == b"event: container"
        assert json.loads(data.removeprefix(b"data: "))["vmid"] == vmid
        await world.fetch("delete from containers returning 1")
        told = await stream.content.readuntil(b"\n\n")
        assert told == b'event: container-deleted\ndata: {"vmid":%d}\n\n' % vmid
        assert foreign["vmid"] != vmid


class _Looked(ContainerService):
    """Counts how often a container was looked at."""

    looks = 0

    async def find(self, vmid: Vmid) -> Container:
        """Look."""
        self.looks += 1
        return await super().find(vmid)

    async def find_visible(self, caller: Caller, vmid: Vmid) -> Container:
        """Look as somebody."""
        self.looks += 1
        return await super().find_visible(caller, vmid)


async def test_a_container_that_changes_without_end_costs_the_streams_of_others_one_look(world: World) -> None:
    """A hostile agent reports something else twenty times a second, to whoever watches."""
    looked = _Looked(
        world.database,
        world.catalog,
        Hosting("localhost", "http", 80),
        limits=LIMITS,
        customers=world.accounts.customers,
        quotas=world.quotas,
    )
    world.live = LiveContainers(looked, world.history)
    async with asyncio.timeout(WAIT_S), world.client() as client:
        vmid = str((await create(client))["vmid"])
        async with (
            client.get("/api/events", headers=STRANGER) as foreign,
            client.get("/api/events", headers=OWNER) as own,
        ):
            before = looked.looks
            for _ in range(10):
                world.live.note_change(vmid)
                world.live.note_happening(f"{vmid} 1")
                assert b"event: container\n" in await own.content.readuntil(b"}\n\n")
            assert looked.looks - before <= 10 * 2 + 2
            assert await foreign.content.readany() == b": connected\n\n"


async def test_a_list_shows_every_change_and_renders_what_is_new_alone(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes a change, be it of a step, the next list has it, and nobody else's report is made anew."""
    one, other = (await create(client))["vmid"], (await create(client))["vmid"]
    rendered: list[int] = []
    report = ContainerService.report

    def count(service: ContainerService, container: Container) -> Any:
        rendered.append(container.vmid)
        return report(service, container)

    monkeypatch.setattr(ContainerService, "report", count)

    async def look() -> dict[int, Any]:
        items = (await (await client.get(CONTAINERS, headers=OWNER)).json())["items"]
        return {item["vmid"]: item for item in items}

    assert list(await look()) == [one, other]
    first = await look()
    assert rendered == [one, other]
    assert first[one] == await (await client.get(f"{CONTAINERS}/{one}", headers=OWNER)).json()
    rendered.clear()
    await world.fetch(
        "update steps set message = 'now' where name = 'create-guest' "
        "and owner = (select owner from containers where vmid = $1) returning 1",
        one,
    )
    assert "now" in [step["message"] for step in (await look())[one]["steps"]]
    await world.fetch("update containers set connection = 'offline' where vmid = $1 returning 1", one)
    assert (await look())[one]["connection"] == "offline"
    assert rendered == [one, one]
    # What nobody sees of a row is no change, though its report is made anew: a row that was restored looks just so.
    await world.fetch("update containers set lease_until = now(), link_fence = 9 where vmid = $1 returning 1", other)
    assert (await look())[other] == first[other]
