"""Everybody at every door: each served endpoint, as every kind of caller, about their own and about others' things.

The endpoints come from the very list that an API process serves, so a new one is asked without being named here. What
each policy means stands below, written by hand and not taken from the code. A new policy belongs into RULES, a new kind
of thing in a path into `MatrixWorld.ids`.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

import pytest
from yarl import URL

from component.api.matrix_bodies import minimal_body
from component.api.matrix_world import PEOPLE, SCOPES, Client, Ids, MatrixWorld, Pass
from fakes.api_world import PORTAL, World
from zlh_api.web.endpoint import Endpoint, Policy, Subject
from zlh_common.names import Vmid
from zlh_common.schema.console_wire import SUBPROTOCOL

# Thousands of requests: a machine that is busy takes its time.
pytestmark = pytest.mark.timeout(300)
PARAMETER = re.compile(r"{(\w+)(?::[^}]*)?}")
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
SAFE = {"GET", "HEAD"}
# What differs from one answer to the next, whatever is asked.
VARYING = {"date", "x-request-id"}


@dataclass(frozen=True)
class Rule:
    """What a policy asks for."""

    permission: str | None = None
    # Whose role with the customer in question is enough; operators need none.
    roles: frozenset[str] = frozenset()
    while_suspended: bool = False
    is_for_operators: bool = False
    # Of one's own account, whoever one works for.
    is_for_everybody: bool = False


ALL, WORKERS, OWNERS = frozenset({"owner", "member", "viewer"}), frozenset({"owner", "member"}), frozenset({"owner"})
RULES = {
    "public": Rule(),
    "signed-in": Rule(is_for_everybody=True),
    "manage-account": Rule("account:manage", is_for_everybody=True),
    "list-customers": Rule("customer:view", ALL, while_suspended=True),
    "list-containers": Rule("containers:view", ALL, while_suspended=True),
    "create-container": Rule("containers:change", WORKERS),
    "view-container": Rule("containers:view", ALL, while_suspended=True),
    "power-container": Rule("containers:power", WORKERS),
    "change-container": Rule("containers:change", WORKERS),
    "use-console": Rule("consoles:use", WORKERS),
    "read-files": Rule("files:read", WORKERS),
    "write-files": Rule("files:write", WORKERS),
    "view-customer": Rule("customer:view", ALL, while_suspended=True),
    "manage-customer": Rule("customer:manage", OWNERS),
    "leave-customer": Rule("account:manage", ALL, while_suspended=True),
    "view-audit-log": Rule("audit-log:view", OWNERS, while_suspended=True),
    "govern-customer": Rule("platform:manage"),
    "govern-container": Rule("platform:manage"),
    "view-platform": Rule("platform:view", is_for_operators=True),
    "manage-platform": Rule("platform:manage", is_for_operators=True),
}
# The words of the gate; a handler that is reached says none of them of the caller's own things.
REFUSALS = {
    "not_signed_in": 401,
    "ticket_invalid": 401,
    "scope_missing": 403,
    "customer_suspended": 403,
    "role_missing": 403,
    "origin_refused": 403,
}
# Answers that come from behind the agent, which is a fake that knows little, or of a container that nobody brings up.
OF_AGENTS = {"agent_unreachable", "agent_nonsense", "agent_refused", "container_not_up"}


def rule_of(endpoint: Endpoint) -> Rule:
    """Return what the policy of an endpoint asks for."""
    assert str(endpoint.policy) in RULES, f"{endpoint.policy} is no policy that the matrix knows: add it to RULES"
    return RULES[str(endpoint.policy)]


def expected(endpoint: Endpoint, shown: Pass, target: str) -> str | None:
    """Return the code with which somebody is refused, of a thing that is this customer's; None where he is not."""
    rule = rule_of(endpoint)
    if endpoint.policy is Policy.PUBLIC:
        return None
    if not shown.is_valid:
        return "not_signed_in"
    is_operator = shown.person == "operator" and shown.bound_to is None
    has_target = "{vmid}" in endpoint.path or "{customer}" in endpoint.path
    customer, role = PEOPLE[shown.person or ""] or (None, "")
    is_theirs = customer == target and shown.bound_to in {None, target}
    if not is_operator and (rule.is_for_operators or (has_target and not is_theirs)):
        return "not_found"
    if rule.permission is not None and shown.scope not in {None, rule.permission}:
        return "scope_missing"
    if is_operator or not has_target:
        return None
    return _of_role(rule, role, is_suspended=target == "suspended")


def _of_role(rule: Rule, role: str, *, is_suspended: bool) -> str | None:
    if role not in rule.roles:
        return "role_missing"
    return "customer_suspended" if is_suspended and not rule.while_suspended else None


@dataclass(frozen=True)
class Answered:
    """What came back, without what differs each time."""

    status: int
    code: str | None
    headers: frozenset[tuple[str, str]]
    body: str

    @property
    def is_bare(self) -> bool:
        """Whether it is a refusal without a reason, as an answer to HEAD is: its status says all."""
        return self.status >= 400 and not self.body

    def is_refusal(self, code: str) -> bool:
        """Whether it refuses with this code, as far as it can tell one."""
        return self.status == REFUSALS.get(code, 404) and (self.is_bare or self.code == code)

    @property
    def has_broken(self) -> bool:
        """Whether the API is at fault, and not an agent that is away."""
        return self.status >= 500 and not (self.status in {502, 503} if self.is_bare else self.code in OF_AGENTS)


@dataclass
class Doors:
    """Every endpoint of a served API."""

    world: MatrixWorld
    client: Client
    endpoints: list[Endpoint]

    async def ask(
        self, endpoint: Endpoint, headers: Mapping[str, str], path: str, body: bytes | None = None
    ) -> Answered:
        """Send one request, with a body that the endpoint takes unless told otherwise."""
        if body is None and endpoint.request is not None:
            body = minimal_body(endpoint.request)
        sent = {
            "Content-Type": endpoint.raw or "application/json",
            **headers,
            **(UPGRADE | {"Sec-WebSocket-Protocol": SUBPROTOCOL} if endpoint.is_websocket else {}),
        }
        if endpoint.is_websocket and "Sec-WebSocket-Protocol" in headers:
            sent["Sec-WebSocket-Protocol"] = headers["Sec-WebSocket-Protocol"]
        url = URL(str(self.client.make_url("/"))[:-1] + path, encoded=True)
        async with self.client.session.request(
            endpoint.method, url, headers=sent, data=body, allow_redirects=False
        ) as got:
            is_open = got.status == 101 or got.content_type == "text/event-stream"
            text = "" if is_open else await got.text(errors="replace")
            if is_open:
                got.close()
            assert not [name for name in got.headers if name.lower().startswith("access-control")], path
            for cookie in got.headers.getall("Set-Cookie", []):
                assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; ")), path
                assert "domain" not in cookie.lower(), path
            return _cut(got.status, text, got.headers)

    def path(self, endpoint: Endpoint, target: str = "mine", **others: str) -> str:
        """Return the path of an endpoint with all ids filled in: of a customer's things, but for those named."""

        def fill(match: re.Match[str]) -> str:
            name = match[1]
            ids = self.world.ids(name, endpoint.path)
            places = {"vmid": self.world.vmids.get(target), "customer": self.world.customers.get(target)}
            return others.get(name) or str(places.get(name) or ids.own)

        return PARAMETER.sub(fill, endpoint.path)

    def parameters(self, endpoint: Endpoint) -> dict[str, Ids]:
        """Return what stands in the path of an endpoint."""
        return {name: self.world.ids(name, endpoint.path) for name in PARAMETER.findall(endpoint.path)}


def _cut(status: int, text: str, headers: Mapping[str, str]) -> Answered:
    code = None
    if text and headers.get("Content-Type", "").startswith("application/problem+json"):
        document: dict[str, Any] = json.loads(text)
        code = document["code"]
        text = text.replace(document.pop("requestId"), "")
    kept = frozenset((name, value) for name, value in headers.items() if name.lower() not in VARYING)
    return Answered(status, code, kept, text)


@pytest.fixture
async def doors(world: World) -> AsyncIterator[Doors]:
    """A served API with people of every kind."""
    async with world.client() as client:
        made = MatrixWorld(world, client)
        await made.add()
        yield Doors(made, client, world.endpoints)


def verdict(answer: Answered, wanted: str | None) -> str | None:
    """Return what is wrong with an answer, or None."""
    said = f"{answer.status} {answer.code}"
    if answer.has_broken:
        return said
    if wanted is not None:
        return None if answer.is_refusal(wanted) else said
    is_refused = answer.status in {401, 403} if answer.is_bare else answer.code in REFUSALS
    return said if is_refused else None


def cells(doors: Doors, endpoint: Endpoint) -> Iterable[tuple[Pass, str]]:
    """Yield who asks, and about whose things."""
    world = doors.world
    nobody = Pass("nothing", None, {}, is_valid=False)
    usual = chain([nobody], world.passes_of(*PEOPLE))
    has_target = "{vmid}" in endpoint.path or "{customer}" in endpoint.path
    targets = ("mine", "other", "suspended") if has_target else ("mine",)
    yield from product(usual, targets)
    scoped = world.passes_of("owner", "operator", "holder", names=tuple(f"token for {scope}" for scope in SCOPES))
    for shown in scoped:
        yield shown, "suspended" if shown.person == "holder" else "mine"
    bound = world.passes_of("owner", "operator", names=tuple(f"token of {customer}" for customer in targets))
    yield from product(bound, targets)
    over = world.passes_of("owner", "operator", names=("session that is over", "token that is over"))
    yield from product(over, ("mine",))


async def test_everybody_at_every_door(doors: Doors) -> None:
    """Who is refused is refused with the right word, whatever else is wrong, and has changed nothing."""
    wrong: list[str] = []
    count = 0
    for endpoint in doors.endpoints:
        before = await doors.world.digest()
        refused = [(shown, target) for shown, target in cells(doors, endpoint) if expected(endpoint, shown, target)]
        for number, (shown, target) in enumerate(refused):
            body = b'{"x":' if endpoint.request is not None and number % 2 else None
            answer = await doors.ask(endpoint, shown.headers, doors.path(endpoint, target), body)
            wanted = expected(endpoint, shown, target)
            if problem := verdict(answer, wanted):
                wrong.append(f"{endpoint.method} {endpoint.path}: {shown} of {target}: {problem}, not {wanted}")
            count += 1
        if await doors.world.digest() != before:
            wrong.append(f"{endpoint.method} {endpoint.path}: somebody who was refused has changed something")
            await doors.world.put_back()
    assert not wrong, "\n".join(wrong[:50])
    assert count > 40 * len(doors.endpoints) / 2


async def test_whoever_may_is_let_in(doors: Doors) -> None:
    """None of the gate's words for who has the right; what such a call has changed is put back for the next one."""
    wrong: list[str] = []
    kept = await doors.world.digest()
    for endpoint in doors.endpoints:
        for shown, target in cells(doors, endpoint):
            if expected(endpoint, shown, target) is not None or endpoint.policy is Policy.PUBLIC:
                continue
            if _is_left_to_the_handler(endpoint, shown):
                continue
            answer = await doors.ask(endpoint, shown.headers, doors.path(endpoint, target))
            if problem := verdict(answer, None):
                wrong.append(f"{endpoint.method} {endpoint.path}: {shown} of {target}: {problem}")
            if endpoint.method not in SAFE and await doors.world.digest() != kept:
                await doors.world.put_back()
    assert not wrong, "\n".join(wrong[:50])


def _is_left_to_the_handler(endpoint: Endpoint, shown: Pass) -> bool:
    """Tell whether the gate cannot know what somebody without the role is to be told."""
    rule = rule_of(endpoint)
    customer, role = PEOPLE[shown.person or ""] or ("", "")
    if endpoint.policy.subject is not Subject.CALLER or shown.person == "operator" or rule.is_for_everybody:
        return False
    return role not in rule.roles or (customer == "suspended" and not rule.while_suspended)


async def test_what_the_handler_decides_it_decides_like_the_gate(doors: Doors) -> None:
    """Where the customer stands in no path, nobody acts for one of whom he has no role that allows it."""
    wrong: list[str] = []
    before = await doors.world.digest()
    for endpoint in doors.endpoints:
        if endpoint.policy.subject is not Subject.CALLER or endpoint.method in SAFE:
            continue
        for shown in doors.world.passes_of(*PEOPLE):
            if expected(endpoint, shown, "mine") is None and _is_left_to_the_handler(endpoint, shown):
                answer = await doors.ask(endpoint, shown.headers, doors.path(endpoint))
                if not 400 <= answer.status < 500 or await doors.world.digest() != before:
                    wrong.append(f"{endpoint.method} {endpoint.path}: {shown}: {answer.status} {answer.code}")
    assert not wrong, "\n".join(wrong)


async def test_foreign_missing_and_malformed_are_the_same(doors: Doors) -> None:
    """To the byte, but for the id of the request: of containers and customers, for whoever may not know of them."""
    wrong: list[str] = []
    for endpoint in doors.endpoints:
        name = next((each for each in ("vmid", "customer") if f"{{{each}}}" in endpoint.path), None)
        if name is None:
            continue
        ids = doors.parameters(endpoint)[name]
        for shown in doors.world.passes_of("owner", "lonely"):
            texts = [ids.foreign, ids.missing, *ids.malformed]
            answers = {
                text: await doors.ask(endpoint, shown.headers, doors.path(endpoint, **{name: text})) for text in texts
            }
            for text, answer in answers.items():
                if not answer.is_refusal("not_found") or answer != answers[ids.missing]:
                    wrong.append(f"{endpoint.method} {endpoint.path}: {shown} with {text}: {answer}")
    assert not wrong, "\n".join(wrong[:20])


async def test_what_belongs_to_others_is_not_reached_through_ones_own(doors: Doors) -> None:
    """One's own container or customer with somebody else's thing below it: as if that had never been."""
    wrong: list[str] = []
    kept = await doors.world.digest()
    for endpoint in doors.endpoints:
        if endpoint.policy is Policy.PUBLIC:
            continue
        who = "operator" if rule_of(endpoint).is_for_operators else "owner"
        (shown,) = doors.world.passes_of(who, names=("token",))
        for name, ids in doors.parameters(endpoint).items():
            if name in {"vmid", "customer"}:
                continue
            answers = {}
            for text in (ids.foreign, ids.missing, *ids.malformed):
                answers[text] = await doors.ask(endpoint, shown.headers, doors.path(endpoint, **{name: text}))
                if answers[text].has_broken:
                    wrong.append(f"{endpoint.method} {endpoint.path} with {text}: {answers[text]}")
            # What is named by whoever makes it is made, and all users are an operator's own.
            is_made = endpoint.method == "PUT"
            foreign, missing = (_without(answers[text], text) for text in (ids.foreign, ids.missing))
            if not is_made and who != "operator" and foreign != missing:
                wrong.append(f"{endpoint.method} {endpoint.path}: {answers[ids.foreign]} is not {answers[ids.missing]}")
            if await doors.world.digest() != kept:
                await doors.world.put_back()
                if not is_made and who != "operator":
                    wrong.append(f"{endpoint.method} {endpoint.path}: something has changed by another's {name}")
    assert not wrong, "\n".join(wrong[:20])


def _without(answer: Answered, text: str) -> tuple[int, str | None, str]:
    """Return an answer without the name that was asked for, which it may repeat."""
    return answer.status, answer.code, answer.body.replace(text, "")


async def test_a_ticket_is_worth_what_it_was_made_with(doors: Doors) -> None:
    """On every socket, from any page; and no more than once."""
    world = doors.world
    sockets = [endpoint for endpoint in doors.endpoints if endpoint.is_websocket]
    assert sockets
    wrong: list[str] = []
    for endpoint, shown in product(sockets, world.passes_of(*PEOPLE, names=("cookie", "token", "token of other"))):
        cookie = shown.headers.get("Cookie", "").partition("=")[2] or None
        bearer = shown.headers.get("Authorization", "").removeprefix("Bearer ") or None
        for target in ("mine", "other", "suspended"):
            ticket, _ = await world.world.accounts.callers.issue_ticket(
                Vmid(world.vmids[target]), bearer=bearer, cookie=cookie
            )
            headers = {
                "Origin": "https://elsewhere.example",
                "Sec-WebSocket-Protocol": f"{SUBPROTOCOL}, zlh.ticket.{ticket.value}",
            }
            for wanted in (expected(endpoint, shown, target), "ticket_invalid"):
                answer = await doors.ask(endpoint, headers, doors.path(endpoint, target))
                if problem := verdict(answer, wanted):
                    wrong.append(f"{endpoint.path}: {shown} of {target}: {problem}, not {wanted}")
    assert not wrong, "\n".join(wrong[:20])


async def test_the_router_has_the_list_and_nothing_else(doors: Doors) -> None:
    """No route is served past the list, so none is without a policy."""
    application = doors.client.server.app  # type: ignore[attr-defined]
    served = sorted((route.method, route.resource.canonical) for route in application.router.routes())
    listed = {(endpoint.method, _canonical(endpoint.path)) for endpoint in doors.endpoints}
    # Whatever can be read can be asked about, by whoever may read it.
    heads = {("HEAD", _canonical(each.path)) for each in doors.endpoints if each.method == "GET" and not _goes_on(each)}
    assert served == sorted(listed | heads)
    assert all(isinstance(endpoint.policy, Policy) for endpoint in doors.endpoints)


def _goes_on(endpoint: Endpoint) -> bool:
    return endpoint.is_websocket or endpoint.is_stream or endpoint.is_transfer


async def test_who_may_not_read_may_not_ask_about_it(doors: Doors) -> None:
    """A HEAD is judged like the GET of the same path: the same answer, without its body."""
    wrong: list[str] = []
    shown = [Pass("nothing", None, {}, is_valid=False), *doors.world.passes_of("viewer", "lonely", names=("token",))]
    for endpoint, each in product(doors.endpoints, shown):
        if endpoint.method != "GET" or _goes_on(endpoint) or expected(endpoint, each, "mine") is None:
            continue
        path = doors.path(endpoint)
        async with (
            doors.client.get(path, headers=each.headers) as got,
            doors.client.head(path, headers=each.headers) as head,
        ):
            if head.status != got.status or head.status < 400:
                wrong.append(f"{endpoint.path}: {each}: {head.status}, not {got.status}")
    assert not wrong, "\n".join(wrong[:20])


def _canonical(path: str) -> str:
    return PARAMETER.sub(lambda match: f"{{{match[1]}}}", path)


def _origins() -> list[list[str]]:
    scheme, _, host = PORTAL.partition("://")
    name, _, port = host.partition(":")
    return [
        [],
        ["null"],
        [""],
        ["https://evil.example"],
        [f"{PORTAL}.evil.example"],
        [f"{scheme}://evil{host}"],
        [f"{scheme}://{name}.evil.example:{port}"],
        [f"{scheme}://evil.{host}"],
        [f"https://{host}"],
        [f"{scheme}://{name}"],
        [f"{scheme}://{name}:1{port}"],
        [PORTAL.upper()],
        [f"{PORTAL}/"],
        [f"{PORTAL} "[:-1] + "%20"],
        [PORTAL, PORTAL],
        [PORTAL, "https://evil.example"],
        ["https://evil.example", PORTAL],
        [f"{PORTAL}, https://evil.example"],
        [f"{scheme}://dev-101.localhost:{port}"],
        [f"{scheme}://3000-dev-101.localhost:{port}"],
        [f"{scheme}://localhost:{port}"],
    ]


async def test_no_other_page_acts_with_our_cookie(doors: Doors) -> None:
    """Every call that changes something, and every socket, from every kind of other origin; programs need none."""
    (cookie,) = doors.world.passes_of("owner", names=("cookie",))
    (program,) = doors.world.passes_of("owner", names=(f"token for {SCOPES[-1]}",))
    wrong: list[str] = []
    before = await doors.world.digest()
    for endpoint in doors.endpoints:
        # OPTIONS tells of a protocol, and whoever's page asks may not read that.
        if endpoint.method in {*SAFE, "OPTIONS"} and not endpoint.is_websocket:
            continue
        for origins in _origins():
            for headers, is_cookie in ((cookie.headers, True), (program.headers, False)):
                answer = await _ask_from(doors, endpoint, headers, origins)
                if is_cookie is not (answer == (403, "origin_refused")):
                    wrong.append(f"{endpoint.method} {endpoint.path} from {origins}: {answer}")
    assert not wrong, "\n".join(wrong[:20])
    assert await doors.world.digest() == before


async def _ask_from(
    doors: Doors, endpoint: Endpoint, headers: Mapping[str, str], origins: list[str]
) -> tuple[int, Any]:
    sent = [(name, value) for name, value in headers.items() if name != "Origin"]
    sent += [("Content-Type", "application/json"), *(("Origin", origin) for origin in origins)]
    sent += [*UPGRADE.items(), ("Sec-WebSocket-Protocol", SUBPROTOCOL)] if endpoint.is_websocket else []
    async with doors.client.request(endpoint.method, doors.path(endpoint), headers=sent, data=b"{}") as got:
        document = await got.json() if got.content_type.endswith("json") else {}
        return got.status, document.get("code")


async def test_nobody_is_invited_by_a_preflight(doors: Doors) -> None:
    """Other pages may not even ask: no path answers OPTIONS with what a browser would take for a yes."""
    told = {doors.path(endpoint) for endpoint in doors.endpoints if endpoint.method == "OPTIONS"}
    for path in sorted({doors.path(endpoint) for endpoint in doors.endpoints if endpoint.path.startswith("/api/")}):
        headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        async with doors.client.options(path, headers=headers) as got:
            # Where OPTIONS tells of a protocol, that is for who is signed in.
            assert got.status == (401 if path in told else 405)
            assert not [name for name in got.headers if name.lower().startswith("access-control")]


async def test_a_method_is_what_the_request_line_says(doors: Doors) -> None:
    """Headers and parameters that other servers take for another method are nothing here."""
    (shown,) = doors.world.passes_of("owner", names=("token",))
    before = await doors.world.digest()
    path = f"/api/containers/{doors.world.vmids['mine']}"
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        for verb in ("DELETE", "PATCH"):
            async with doors.client.get(path, headers={**shown.headers, name: verb}) as got:
                assert got.status == 200
            async with doors.client.get(f"{path}?_method={verb}", headers=shown.headers) as got:
                assert (got.status, (await got.json())["code"]) == (400, "query_unknown")
            async with doors.client.post(path, headers={**shown.headers, name: verb}) as got:
                assert got.status == 405
    assert await doors.world.digest() == before
