"""What is recorded of calls: each act once, in the right log, whoever asks and whatever they send."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from component.api.people_world import browser, by, customer_of
from component.api.real_console import Place, open_place
from component.console.harness import PATIENCE_S, eventually
from fakes.api_world import NODE, PASSWORD, World
from zlh_api.app.parts import make_endpoints
from zlh_api.audit_log import refusals
from zlh_api.audit_log.model import PLATFORM
from zlh_api.audit_log.refusals import Refusals
from zlh_api.audit_log.service import AuditLog
from zlh_api.console.service import ConsoleService
from zlh_api.customers.model import Caller
from zlh_api.customers.secret import Secret
from zlh_api.database.pool import DatabaseUnavailable
from zlh_api.web.endpoint import Endpoint, Subject
from zlh_common.logs import configure_logs
from zlh_common.pace import Rate

Client = TestClient[Request, Application]
CONTAINERS = "/api/containers"
OWNER, VIEWER, STRANGER, OPERATOR = (by(f"{who}-token") for who in ("owner", "viewer", "stranger", "operator"))
Shown = dict[str, Any]


@pytest.fixture
async def place(world: World, tmp_path: Path) -> AsyncIterator[Place]:
    """A container whose console is a real agent's."""
    async with open_place(world, tmp_path) as made:
        yield made


async def entries(client: Client, **query: str) -> list[Shown]:
    """Return what an operator sees of all logs, oldest first."""
    answer = await client.get("/api/audit-log", headers=OPERATOR, params={"limit": "200", **query})
    body = await answer.json()
    assert answer.status == 200, body
    return list(reversed(body["items"]))


async def only(client: Client, **query: str) -> Shown:
    """Return the one entry that there is."""
    (entry,) = await entries(client, **query)
    return entry


async def add_container(client: Client, **headers: str) -> int:
    """Create a container as the owner."""
    answer = await client.post(CONTAINERS, json={**NODE, "name": "mine"}, headers=OWNER | headers)
    assert answer.status == 202
    return int((await answer.json())["vmid"])


async def is_whole(world: World) -> bool:
    """Tell whether nothing begun is left, and every chain fits."""
    _, flaws = await world.audit_log.verify()
    return not flaws and not await world.fetch("select 1 from acts_begun")


async def test_an_act_is_an_entry_with_all_that_is_known_of_it(world: World, client: Client) -> None:
    """Who, what, for whom, from where, how it went, and the id under which all logs have it."""
    answer = await client.post(
        CONTAINERS, json={**NODE, "name": "mine", "resources": {"cpu": 1.5}}, headers=OWNER | {"X-Request-Id": "a" * 12}
    )
    vmid = (await answer.json())["vmid"]
    entry = await only(client)
    token = await world.fetch("select id, user_id from api_tokens where name = 't' order by user_id")
    owner = (await world.fetch("select id from users where email = 'owner@example.org'"))[0]["id"]
    credential = next(row["id"] for row in token if row["user_id"] == owner)
    assert entry.pop("at") <= (await only(client))["at"]
    assert len(entry.pop("hash")) == 64
    assert entry == {
        "number": 1,
        "act": "container.create",
        "outcome": "done",
        "actor": {
            "userId": str(owner),
            "email": "owner@example.org",
            "credentialId": str(credential),
            "byToken": True,
        },
        "customerId": str(await customer_of(world)),
        "subject": f"container {vmid}",
        "status": 202,
        "code": None,
        "requestId": answer.headers["X-Request-Id"],
        "address": "127.0.0.1",
        "details": {"kind": "dev", "name": "mine", "runtime": "node", "version": "24", "cpu": "1.5"}
        | {"enableCodeServer": "false", "sudo": "false"},
    }
    assert answer.headers["X-Request-Id"] == "a" * 12
    assert await is_whole(world)


async def test_owners_see_what_was_done_for_their_customer_and_by_whom(world: World, client: Client) -> None:
    """Operators' acts too; other customers' owners, and members without the right, see nothing of it."""
    vmid = await add_container(client)
    assert (await client.post(f"{CONTAINERS}/{vmid}/stop", headers=OPERATOR)).status == 202
    path = f"/api/customers/{await customer_of(world)}/audit-log"
    body = await (await client.get(path, headers=OWNER)).json()
    told = [(entry["act"], entry["actor"]["email"], entry["address"]) for entry in body["items"]]
    assert told == [
        # Where the platform's people sit is their own affair.
        ("container.stop", "operator@example.org", None),
        ("container.create", "owner@example.org", "127.0.0.1"),
    ]
    assert (await client.get(path, headers=VIEWER)).status == 403
    assert (await client.get(path, headers=STRANGER)).status == 404
    assert (await client.get("/api/audit-log", headers=OWNER)).status == 404


@pytest.mark.parametrize(
    ("who", "status", "code", "of_platform"),
    [("viewer", 403, "role_missing", False), ("stranger", 404, "not_found", True)],
)
async def test_a_refused_act_is_one_entry_in_the_right_log(
    world: World, client: Client, who: str, status: int, code: str, *, of_platform: bool
) -> None:
    """Of what a caller may know in the log of whose it is; of what one may not know, in the platform's alone."""
    vmid = await add_container(client)
    answer = await client.delete(f"{CONTAINERS}/{vmid}", headers=by(f"{who}-token"))
    assert answer.status == status
    entry = await only(client, act="container.delete")
    assert (entry["outcome"], entry["status"], entry["code"]) == ("refused", status, code)
    assert entry["subject"] == f"container {vmid}"
    assert entry["actor"]["email"] == f"{who}@example.org"
    assert entry["customerId"] == (None if of_platform else str(await customer_of(world)))


async def test_a_refused_act_on_what_does_not_exist_looks_the_same(world: World, client: Client) -> None:
    """To the caller, and in the log."""
    vmid, told = await add_container(client), []
    for number in (vmid, 999_999):
        assert (await client.post(f"{CONTAINERS}/{number}/kill", headers=STRANGER)).status == 404
        entry = (await entries(client, act="container.kill"))[-1]
        assert entry["subject"] == f"container {number}"
        hidden = ("number", "at", "requestId", "subject", "hash")
        told.append({name: value for name, value in entry.items() if name not in hidden})
    assert told[0] == told[1]
    assert await is_whole(world)


async def test_a_foreign_page_is_recorded_in_the_name_that_it_used(
    world: World, client: Client, tmp_path: Path
) -> None:
    """Whose cookie was abused, and never what the page wanted to be answered."""
    vmid = await add_container(client)
    session = await Place(world, client, vmid, None).sign_in("owner@example.org")  # type: ignore[arg-type]
    headers = browser(session) | {"Origin": "https://evil.example"}
    assert (await client.delete(f"{CONTAINERS}/{vmid}", headers=headers)).status == 403
    entry = await only(client, act="container.delete")
    assert (entry["outcome"], entry["code"], entry["customerId"]) == ("refused", "origin_refused", None)
    assert (entry["actor"]["email"], entry["actor"]["byToken"]) == ("owner@example.org", False)


async def test_a_token_without_the_scope_is_recorded(world: World, client: Client) -> None:
    """As whose it is."""
    vmid = await add_container(client)
    await world.fetch("update api_tokens set scopes = '{containers:view}' returning 1")
    assert (await client.post(f"{CONTAINERS}/{vmid}/start", headers=OWNER)).status == 403
    await world.fetch("update api_tokens set scopes = null returning 1")
    entry = await only(client, act="container.start")
    assert (entry["code"], entry["customerId"]) == ("scope_missing", str(await customer_of(world)))


async def test_what_cannot_be_done_is_refused_and_recorded(world: World, client: Client) -> None:
    """A body that is none, and a wish that cannot come true."""
    as_json = OWNER | {"Content-Type": "application/json"}
    assert (await client.post(CONTAINERS, data=b"{", headers=as_json)).status == 400
    assert (await client.post(CONTAINERS, json={"kind": "dev", "runtime": "cobol"}, headers=OWNER)).status == 422
    told = [(entry["outcome"], entry["code"], entry["customerId"]) for entry in await entries(client)]
    assert told == [
        ("refused", "invalid_body", None),
        ("refused", "cannot_install", str(await customer_of(world))),
    ]


async def test_what_breaks_has_failed(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the code of the answer, whatever it was."""
    vmid = await add_container(client)

    async def broken(*_arguments: object) -> None:
        raise RuntimeError("nobody foresaw it")

    monkeypatch.setattr(world.containers, "restart", broken)
    assert (await client.post(f"{CONTAINERS}/{vmid}/restart", headers=OWNER)).status == 500
    entry = await only(client, act="container.restart")
    assert (entry["outcome"], entry["status"], entry["code"]) == ("failed", 500, "internal")


async def test_a_call_that_is_repeated_with_its_key_is_recorded_as_such(client: Client) -> None:
    """It is asked again, and nothing is done again."""
    first = await add_container(client, **{"Idempotency-Key": "one"})
    assert await add_container(client, **{"Idempotency-Key": "one"}) == first
    told = [(entry["subject"], entry["details"].get("replayed")) for entry in await entries(client)]
    assert told == [(f"container {first}", None), (f"container {first}", "true")]


async def test_what_is_done_with_people_says_what(world: World, client: Client) -> None:
    """The role, the quota, the reason: what an owner wants to know of it, in the log of whose it is."""
    customer, made = await customer_of(world), []
    (viewer,) = await world.fetch("select id from users where email = 'viewer@example.org'")
    calls = [
        ("PATCH", f"/members/{viewer['id']}", {"role": "member"}, OWNER),
        ("POST", "/invitations", {"email": "new@example.org", "role": "viewer"}, OWNER),
        ("PUT", "/quota", {"containers": 7}, OPERATOR),
        ("POST", "/suspend", {"reason": "unpaid"}, OPERATOR),
    ]
    for method, path, body, headers in calls:
        answer = await client.request(method, f"/api/customers/{customer}{path}", json=body, headers=headers)
        assert answer.status < 300, await answer.text()
    for entry in await entries(client):
        assert (entry["customerId"], entry["subject"]) == (str(customer), f"customer {customer}")
        made.append((entry["act"], entry["details"]))
    assert made[0] == ("member.change", {"user": str(viewer["id"]), "role": "member"})
    assert made[1] == ("invitation.create", {"email": "new@example.org", "role": "viewer"})
    assert made[2][0] == "customer.quota"
    assert (made[2][1]["containers"], made[2][1]["members"]) == ("7", "default")
    assert made[3] == ("customer.suspend", {"reason": "unpaid"})


async def test_looks_are_not_recorded(client: Client) -> None:
    """Also those that are refused."""
    vmid = await add_container(client)
    for headers in (OWNER, STRANGER):
        await client.get(f"{CONTAINERS}/{vmid}", headers=headers)
        await client.get(CONTAINERS, headers=headers)
    await client.post("/api/catalog/validate", json={"runtime": "node"}, headers=OWNER)
    assert [entry["act"] for entry in await entries(client)] == ["container.create"]


# Every act that there is


async def acts_of(world: World) -> list[Endpoint]:
    """Return all that is recorded."""
    async with ConsoleService(world.agents) as consoles:
        return [endpoint for endpoint in make_endpoints(world.parts(consoles), world.config()) if endpoint.act]


def path_of(endpoint: Endpoint, vmid: int, customer: UUID) -> str:
    """Return a path of an endpoint, with something in the place of every parameter."""
    named = {"vmid": str(vmid), "customer": str(customer)}
    return re.sub(r"{(\w+)(?::[^{}]*)?}", lambda match: named.get(match[1], "web"), endpoint.path)


async def ask(client: Client, endpoint: Endpoint, path: str, headers: dict[str, str]) -> ClientResponse:
    """Send a body that no call takes."""
    body = b"no body" if endpoint.request is not None else None
    answer = await client.request(endpoint.method, path, data=body, headers=headers, allow_redirects=False)
    await answer.read()
    return answer


_BELONGS = """
insert into memberships (customer_id, user_id, role)
select $1, id, 'viewer' from users where email = 'viewer@example.org' on conflict do nothing
"""


async def test_every_act_is_recorded_where_it_belongs(world: World, client: Client) -> None:
    """By its word, once for each call; of those who may not know of the container in the platform's log."""
    vmid, customer = await add_container(client), await customer_of(world)
    for endpoint in await acts_of(world):
        if endpoint.policy.subject is Subject.ANYBODY:
            continue
        path = path_of(endpoint, vmid, customer)
        is_of_customer = endpoint.policy.subject in {Subject.CONTAINER, Subject.CUSTOMER}
        # How many refusals of one caller have an entry is another matter.
        world.audit_log._refusals = Refusals()
        for who in ("viewer", "stranger", "operator"):
            # One of these calls is to leave.
            await world.fetch(_BELONGS, customer)
            before = len(await entries(client, act=str(endpoint.act)))
            answer = await ask(client, endpoint, path, by(f"{who}-token"))
            told = await entries(client, act=str(endpoint.act))
            assert len(told) == before + 1, (endpoint.path, who)
            entry = told[-1]
            assert entry["status"] == answer.status, (endpoint.path, who)
            assert entry["requestId"] == answer.headers["X-Request-Id"]
            assert entry["actor"]["email"] == f"{who}@example.org"
            assert entry["outcome"] == (
                "done" if answer.status < 400 else "refused" if answer.status < 500 else "failed"
            )
            expected = str(customer) if is_of_customer and who != "stranger" else None
            assert entry["customerId"] == expected, (endpoint.path, who)
    assert await is_whole(world)


async def test_who_is_not_signed_in_is_not_recorded(world: World, client: Client) -> None:
    """Whatever is asked: nobody fills the log from outside."""
    for endpoint in await acts_of(world):
        path = path_of(endpoint, 101, PLATFORM)
        for headers in ({}, by("wrong"), {"Cookie": "zlh_session=wrong", "Origin": "https://evil.example"}):
            assert (await ask(client, endpoint, path, headers)).status >= 200
    assert await entries(client) == []
    assert await world.fetch("select 1 from acts_begun") == []


# Signing in and out


async def add_operator(world: World) -> None:
    """Make sure that somebody can sign in."""
    await world.accounts.users.ensure_operator(
        email="ops@example.org", password=Secret(PASSWORD), customer_name="ops", api_token=Secret("ops-token-of-tests")
    )


async def test_signing_in_and_out_is_recorded(world: World, client: Client) -> None:
    """With who it is; a logout of nobody is none."""
    await add_operator(world)
    login = {"email": "ops@example.org", "password": PASSWORD}
    answer = await client.post("/api/auth/login", json=login)
    assert answer.status == 200
    cookie = answer.cookies["zlh_session"].value
    client.session.cookie_jar.clear()
    headers = browser(cookie)
    for _ in range(2):
        assert (await client.post("/api/auth/logout", headers=headers)).status == 204
    session = (await entries(client))[0]["details"]["session"]
    told = [(e["act"], e["outcome"], e["actor"]["email"], e["customerId"]) for e in await entries(client)]
    assert told == [
        ("session.open", "done", "ops@example.org", None),
        ("session.close", "done", "ops@example.org", None),
    ]
    assert (await entries(client))[1]["actor"]["credentialId"] == session


async def test_a_failed_sign_in_names_no_more_than_a_user_that_there_is(world: World, client: Client) -> None:
    """An address that nobody has may be a password that was typed into the wrong field."""
    await add_operator(world)
    for email in ("ops@example.org", "hunter2-my-password"):
        answer = await client.post("/api/auth/login", json={"email": email, "password": "wrong"})
        assert answer.status == 401
    (user,) = await world.fetch("select id from users where email = 'ops@example.org'")
    told = [(e["code"], e["subject"], e["actor"]["userId"], e["customerId"]) for e in await entries(client)]
    assert told == [
        ("login_refused", f"user {user['id']}", None, None),
        ("login_refused", None, None, None),
    ]
    assert "hunter2" not in json.dumps(await entries(client))


async def test_failed_sign_ins_are_bounded(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond the allowance of an address is counted, and told with the next that is not."""
    monkeypatch.setattr(refusals, "OF_ONE", Rate(2, 1e-9))
    login = {"email": "nobody@example.org", "password": "wrong"}
    for _ in range(5):
        # Who tries too often is told so, and is refused all the same.
        assert (await client.post("/api/auth/login", json=login)).status in {401, 429}
    assert len(await entries(client)) == 2
    monkeypatch.setattr(refusals, "OF_ONE", Rate(2, 1e9))
    assert (await client.post("/api/auth/login", json=login)).status in {401, 429}
    # By whoever came first: the next refusal, or the look at what is left over.
    assert sum(int(entry["details"].get("leftOut", 0)) for entry in await entries(client)) == 3


async def test_what_a_handler_refuses_is_bounded_and_what_is_done_is_not(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alike by a member, and by a stranger who is invited and comes again and again."""
    monkeypatch.setattr(refusals, "OF_ONE", Rate(2, 1e-9))
    own = str(await customer_of(world))
    for _ in range(5):
        wish = {**NODE, "runtime": "nonsense"}
        assert (await client.post(CONTAINERS, json=wish, headers=OWNER)).status == 422
    for _ in range(3):
        assert (await client.post(CONTAINERS, json=NODE, headers=OWNER)).status == 202
    told = [entry["outcome"] for entry in await entries(client, act="container.create", customer=own)]
    assert told == ["refused", "refused", "done", "done", "done"]
    await world.fetch("update customers set suspended_at = now() where id = $1 returning 1", UUID(own))
    code = await invite(client, own)
    for _ in range(5):
        body = {"code": code, "password": PASSWORD}
        assert (await client.post("/api/invitations/accept", json=body)).status == 403
    assert len(await entries(client, act="invitation.accept", customer=own)) == 2
    assert await world.fetch("select 1 from acts_begun") == []


async def test_a_customer_reads_the_address_of_who_has_joined_alone(world: World, client: Client) -> None:
    """Whoever was invited and did not come in, such as an operator, is none of its people."""
    own = str(await customer_of(world))
    body = {"code": await invite(client, own), "password": PASSWORD}
    for sql, status in (("now()", 403), ("null", 200)):
        await world.fetch(f"update customers set suspended_at = {sql} where id = $1 returning 1", UUID(own))
        assert (await client.post("/api/invitations/accept", json=body)).status == status
    told = [(e["outcome"], e["address"]) for e in await entries(client, act="invitation.accept", customer=own)]
    assert told == [("refused", None), ("done", "127.0.0.1")]


async def invite(client: Client, customer: str) -> str:
    """Invite somebody new as an operator; return the code."""
    body = {"email": "guest@example.org", "role": "viewer"}
    answer = await client.post(f"/api/customers/{customer}/invitations", json=body, headers=OPERATOR)
    made = await answer.json()
    assert answer.status == 201, made
    code: str = made["code"]
    return code


# The record comes first


async def test_nothing_is_done_that_cannot_be_recorded(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is told to come again, and the handler was never asked."""
    vmid, asked = await add_container(client), []

    async def stop(*arguments: object) -> None:
        asked.append(arguments)

    async def away(*_arguments: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(world.containers, "set_power", stop)
    monkeypatch.setattr("zlh_api.audit_log.store.insert_begun", away)
    answer = await client.post(f"{CONTAINERS}/{vmid}/stop", headers=OWNER)
    assert (answer.status, (await answer.json())["code"]) == (503, "database_unavailable")
    assert asked == []


async def test_while_an_act_is_under_way_it_is_written_down(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its handler does anything."""
    vmid, begun, go_on = await add_container(client), asyncio.Event(), asyncio.Event()
    real = world.containers.restart

    async def restart(container: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await real(container)

    monkeypatch.setattr(world.containers, "restart", restart)
    asking = asyncio.create_task(client.post(f"{CONTAINERS}/{vmid}/restart", headers=OWNER))
    await begun.wait()
    (row,) = await world.fetch("select * from acts_begun")
    assert (row["act"], row["subject"], row["chain"]) == (
        "container.restart",
        f"container {vmid}",
        await customer_of(world),
    )
    go_on.set()
    assert (await asking).status == 202
    assert await is_whole(world)
    assert (await only(client, act="container.restart"))["outcome"] == "done"


async def test_a_handler_cannot_write_into_the_log_of_strangers(world: World, client: Client) -> None:
    """That is a mistake of ours, and it comes before anything is done."""
    stranger = await customer_of(world, "stranger")

    async def choose(_caller: Caller, _named: str | None) -> UUID:
        return stranger

    world.containers.choose_customer = choose  # type: ignore[method-assign,assignment]
    assert (await client.post(CONTAINERS, json=NODE, headers=OWNER)).status == 500
    assert await world.fetch("select 1 from containers") == []
    assert (await only(client))["customerId"] is None


# Whatever is sent


HOSTILE = [
    "\r\nX: 1",
    "\x1b[2J\x07",
    "%s%n%x",
    "<script>alert(1)</script>",
    "\u202eexe.gpj",
    "a" * 7000,
    "'; drop table",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_is_kept_harmless(world: World, client: Client, text: str) -> None:
    """In a path, a header, a name of the database: one short line that prints, and the chain fits."""
    vmid = await add_container(client)
    await world.fetch("update users set email = $1 where email = 'owner@example.org' returning 1", text)
    headers = OWNER | {"X-Request-Id": "".join(filter(str.isprintable, text)).encode("ascii", "ignore").decode()}
    headers |= {"X-Forwarded-For": "evil", "User-Agent": "x", "Idempotency-Key": "k"}
    url = client.make_url(f"{CONTAINERS}/{vmid}/runtimes/").joinpath(text.replace("/", "_"))
    answer = await client.session.delete(url.joinpath("1"), headers=headers)
    assert answer.status >= 400
    rows = await world.fetch("select * from audit_entries where act = 'runtime.remove'")
    assert len(rows) == 1
    told = [rows[0][name] for name in ("subject", "email", "request_id", "address", "code")]
    told += [part for pair in rows[0]["details"].items() for part in pair]
    assert all(part is None or (part.isprintable() and len(part) < 3000) for part in told), told
    assert await is_whole(world)


async def test_ten_megabytes_are_refused_and_recorded(world: World, client: Client) -> None:
    """A name of that size is no name, and no part of it is kept."""
    vmid = await add_container(client)
    body = io.BytesIO(json.dumps({"name": "x" * 10_000_000}).encode())
    answer = await client.patch(f"{CONTAINERS}/{vmid}", data=body, headers=OWNER)
    assert answer.status == 413
    entry = await only(client, act="container.change")
    assert (entry["outcome"], entry["code"]) == ("refused", "body_too_large")
    assert len(json.dumps(entry)) < 1000


async def test_no_secret_is_kept(world: World, client: Client) -> None:
    """Neither what signs a call, nor an environment, nor a ticket, nor a password."""
    vmid = await add_container(client)
    declared = {"argv": ["serve", "--key=s3cr3t"], "environment": {"TOKEN": "s3cr3t"}}
    answer = await client.put(f"{CONTAINERS}/{vmid}/processes/web", json=declared, headers=OWNER)
    assert answer.status == 201
    ticket = (await (await client.post(f"{CONTAINERS}/{vmid}/tickets", headers=OWNER)).json())["ticket"]
    await client.post("/api/auth/login", json={"email": "owner@example.org", "password": "s3cr3t"})
    kept = str([dict(row) for row in await world.fetch("select * from audit_entries")])
    assert "process.declare" in kept
    for secret in ("s3cr3t", ticket, "owner-token"):
        assert secret not in kept


# What stays open


async def test_a_console_is_recorded_when_it_opens_and_when_it_ends(place: Place) -> None:
    """Under one request, in the customer's log, with why it ended."""
    console = await place.look(OWNER)
    await console.run("echo he''re")
    await console.until(b"here\r\n")
    opened = await only(place.client, act="console.open")
    assert (opened["outcome"], opened["status"], opened["subject"]) == ("done", 101, f"container {place.vmid}")
    (begun,) = await place.world.fetch("select act from acts_begun")
    assert begun["act"] == "console.close"
    await console.socket.close()
    await eventually_told(place, 1)
    closed = await only(place.client, act="console.close")
    assert (closed["outcome"], closed["details"]["reason"]) == ("done", "left")
    assert (closed["requestId"], closed["customerId"]) == (opened["requestId"], opened["customerId"])
    assert await is_whole(place.world)


async def eventually_told(place: Place, count: int) -> None:
    """Return once so many consoles are known to have ended."""
    async with asyncio.timeout(PATIENCE_S):
        while len(await entries(place.client, act="console.close")) < count:
            await asyncio.sleep(0.01)


async def test_a_console_that_is_taken_away_says_so(place: Place) -> None:
    """With the code that its viewer was told."""
    console = await place.look(OPERATOR)
    await place.world.fetch("update users set is_operator = false where email like 'operator%' returning 1")
    assert (await console.to_end())[0] == 1008
    async with asyncio.timeout(PATIENCE_S):
        while not (rows := await place.world.fetch("select * from audit_entries where act = 'console.close'")):
            await asyncio.sleep(0.01)
    assert (rows[0]["outcome"], rows[0]["details"]["reason"], rows[0]["code"]) == ("done", "revoked", "not_found")


async def test_a_console_whose_line_is_cut_is_broken(place: Place) -> None:
    """Nobody has said goodbye."""
    console = await place.look(OWNER)
    transport = console.socket._response.connection
    assert transport is not None
    assert transport.transport is not None
    transport.transport.abort()
    await eventually_told(place, 1)
    closed = await only(place.client, act="console.close")
    assert closed["details"]["reason"] == "broken"
    await console.socket.close()


async def test_a_console_whose_shell_ends_has_ended(place: Place) -> None:
    """By itself, for everybody."""
    console = await place.look(OWNER)
    await console.run("exit")
    await console.to_end()
    await eventually_told(place, 1)
    assert (await only(place.client, act="console.close"))["details"]["reason"] == "ended"


async def test_an_entry_leads_to_the_lines_of_api_and_agent(place: Place, logged: io.StringIO) -> None:
    """One id: of the answer, of the entry, of what the API has logged of the call, and of what its agent has."""
    path, asked = f"/api/containers/{place.vmid}/terminals", "follow-the-terminal"
    answer = await place.client.post(path, json={}, headers=OWNER | {"X-Request-Id": asked})
    assert (answer.status, answer.headers["X-Request-Id"]) == (201, asked)
    terminal = (await answer.json())["id"]
    entry = await only(place.client, act="terminal.start")
    assert (entry["requestId"], entry["details"]) == (asked, {"terminal": terminal})
    assert paths_of(logged, asked) >= {path, "/terminals"}
    assert (await place.client.delete(f"{path}/{terminal}", headers=OWNER)).status == 204


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What API and agent, which share a process here, have logged."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level, processors = list(root.handlers), root.level, structlog.get_config()
    configure_logs(stream=stream)
    yield stream
    structlog.configure(**processors)
    root.handlers[:] = handlers
    root.setLevel(level)


def paths_of(logged: io.StringIO, request_id: str) -> set[str]:
    """Return the paths that were served on behalf of a request."""
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    return {line.get("path", "") for line in lines if line.get("request_id") == request_id}


async def test_the_end_of_a_console_whose_process_died_is_unknown(place: Place) -> None:
    """It was open, and nobody can say until when; a process that lives after all says why it ended."""
    console = await place.look(OWNER)
    await place.world.fetch("update acts_begun set holder = gen_random_uuid() returning 1")
    await AuditLog(place.world.another_pool(), place.world.clock).renew()
    assert [entry["outcome"] for entry in await entries(place.client, act="console.close")] == ["unknown"]
    await console.socket.close()
    await eventually_told(place, 2)
    late = (await entries(place.client, act="console.close"))[-1]
    assert (late["outcome"], late["details"]["late"], late["details"]["reason"]) == ("done", "true", "left")
    assert await is_whole(place.world)


async def test_a_console_that_never_opens_is_refused_and_has_no_end(place: Place) -> None:
    """One entry, by the gate or by the handler."""
    assert await place.refusal(VIEWER) == 403
    plain = await place.client.get(place.path, headers=OWNER)
    assert plain.status == 426
    told = [(entry["outcome"], entry["code"]) for entry in await entries(place.client, act="console.open")]
    assert told == [("refused", "role_missing"), ("refused", (await plain.json())["code"])]
    assert await entries(place.client, act="console.close") == []
    assert await is_whole(place.world)


async def test_a_console_that_cannot_be_recorded_does_not_open(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a byte of it is shown."""

    async def away(*_arguments: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr("zlh_api.audit_log.store.update_begun", away)
    assert await place.refusal(OWNER) == 503
    await eventually(lambda: not place.world.audit_log._unsaid)
    entry = await only(place.client, act="console.open")
    assert (entry["outcome"], entry["code"]) == ("failed", "database_unavailable")


async def test_pages_and_filters(world: World, client: Client) -> None:
    """Newest first, each entry once, however many pages; a filter that is none is refused by name."""
    vmid = await add_container(client)
    for number in range(7):
        await client.post(f"{CONTAINERS}/{vmid}/{('start', 'stop')[number % 2]}", headers=OWNER)
        await client.post(f"{CONTAINERS}/{vmid}/start", headers=STRANGER)
    for path, headers, count in (
        ("/api/audit-log", OPERATOR, 15),
        (f"/api/customers/{await customer_of(world)}/audit-log", OWNER, 8),
    ):
        seen: list[Shown] = []
        query = {"limit": "3"}
        while True:
            body = await (await client.get(path, headers=headers, params=query)).json()
            assert len(body["items"]) <= 3
            seen += body["items"]
            if "next" not in body:
                break
            query["before"] = body["next"]
        assert len(seen) == len({entry["hash"] for entry in seen}) == count
        assert [entry["at"] for entry in seen] == sorted((entry["at"] for entry in seen), reverse=True)
    stranger = (await world.fetch("select id from users where email = 'stranger@example.org'"))[0]["id"]
    assert len(await entries(client, user=str(stranger))) == 7
    assert len(await entries(client, subject=f"container {vmid}", act="container.stop")) == 3
    assert len(await entries(client, customer="platform")) == 7
    assert len(await entries(client, customer=str(await customer_of(world)))) == 8
    assert await entries(client, customer=str(uuid4())) == []


@pytest.mark.parametrize(
    "query",
    [
        *("before=x", "before=0", "before=" + "9" * 40, "before=99999999999999999-" + "0" * 32 + "-1x"),
        *("limit=0", "limit=201", "act=x", "act=%00", "user=x", "user=%7B%7D", "customer=x"),
        *("subject=%0A", "subject=" + "a" * 500),
    ],
)
async def test_a_query_that_is_none_is_refused(client: Client, query: str) -> None:
    """By the name of its parameter."""
    answer = await client.get(f"/api/audit-log?{query}", headers=OPERATOR)
    body = await answer.json()
    assert (answer.status, body["code"]) == (400, "query_invalid")
    assert body["parameter"] == query.split("=", maxsplit=1)[0]
