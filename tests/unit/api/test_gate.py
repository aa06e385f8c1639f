"""The gate: who may call what, from where, and what the refused are told."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from uuid import UUID

import pytest
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Request

from fakes.people import CUSTOMER, STRANGER, FakeCallers, FakeContainers, FakeCustomers, FakeStandings
from zlh_api.app.parts import make_endpoints, open_parts
from zlh_api.audit_log.rules import WORD, closing_word
from zlh_api.config.driver_tables import ProcessDriverSection
from zlh_api.config.edge_tables import TraefikSection
from zlh_api.config.model import ApiConfig
from zlh_api.config.tables import ArtifactsSection, DatabaseSection
from zlh_api.containers.model import Container, Guest, Power
from zlh_api.customers.model import Caller, Customer, Membership
from zlh_api.customers.refusals import CustomerSuspended, NotSignedIn, RoleMissing, ScopeMissing, TicketInvalid
from zlh_api.web.endpoint import Call, Endpoint, Policy, Subject
from zlh_api.web.gate import Gate, OriginRefused, Renewed
from zlh_api.web.openapi import render_openapi
from zlh_api.web.path_parameters import parse_vmid, plain
from zlh_api.web.request_credentials import SAFE_METHODS
from zlh_api.web.session_cookie import SessionCookie
from zlh_common.errors import NotFound, ZlhError
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.customers import Quota
from zlh_common.schema.permissions import Permission, Role
from zlh_common.schema.status import Connection

PORTAL = "https://portal.example"
COOKIE = SessionCookie(has_tls=True)
NOWHERE = "http://127.0.0.1:1"
# What may be called without signing in; a new one belongs here only after somebody has thought about it.
# What a browser does by following a link.
ACTS_BY_GET = {("GET", "/api/access/{label}")}
PUBLIC = {
    ("POST", "/api/auth/login"),
    ("POST", "/api/auth/logout"),
    ("POST", "/api/invitations/look"),
    ("POST", "/api/invitations/accept"),
    ("POST", "/api/password-resets/accept"),
    ("GET", "/api/healthz"),
    ("GET", "/api/version"),
    ("GET", "/api/openapi.json"),
    ("GET", "/api/docs"),
    ("GET", "/artifacts/{path:.*}"),
    ("HEAD", "/artifacts/{path:.*}"),
    ("GET", "/.zlh/ready"),
    ("GET", "/.zlh/access"),
    ("GET", "/.zlh/enter"),
    ("GET", "/api/access/{label}"),
    ("GET", "/.zlh/home"),
    ("GET", "/.zlh/nowhere"),
    ("GET", "/.zlh/silent"),
    ("GET", "/assets/{path}"),
    ("GET", "/{path:(?!api/).*}"),
}
# What only looks, and takes a body to say at what; a new one belongs here only after somebody has thought about it.
LOOKS_BY_POST = {
    ("POST", "/api/catalog/validate"),
    ("POST", "/api/invitations/look"),
    ("POST", "/api/game/{vmid}/mods/plan"),
    ("POST", "/api/containers/{vmid}/files/checksum"),
    ("POST", "/api/containers/{vmid}/files/measure"),
}
# What is told below these is told of all customers.
# What programs call.
DESCRIBED = ("/api/", "/artifacts/", "/metrics")
PLATFORM_PATHS = ("/api/audit", "/api/users", "/api/platform/", "/metrics")
# Whoever belongs to a customer may list it, and an operator alone makes one.
PLATFORM_CALLS = {("POST", "/api/customers")}
LOOKING = {Permission.VIEW_CONTAINERS, Permission.VIEW_CUSTOMER, Permission.VIEW_AUDIT_LOG, Permission.VIEW_PLATFORM}


def caller(
    role: Role | None,
    *,
    customer: UUID = CUSTOMER,
    is_operator: bool = False,
    is_suspended: bool = False,
    scope: frozenset[Permission] = frozenset(Permission),
) -> Caller:
    """Return somebody with a role with one customer, or with none."""
    memberships = (Membership(customer, "theirs", role, is_suspended),) if role else ()
    return Caller(UUID(int=9), "a@example.org", is_operator, memberships, by_cookie=True, scope=scope)


PEOPLE = {
    "owner": caller(Role.OWNER),
    "member": caller(Role.MEMBER),
    "viewer": caller(Role.VIEWER),
    "stranger": caller(Role.OWNER, customer=STRANGER),
    "lonely": caller(None),
    "operator": caller(None, is_operator=True),
    "suspended": caller(Role.OWNER, is_suspended=True),
    "narrow": caller(Role.OWNER, scope=frozenset({Permission.VIEW_CONTAINERS})),
    "narrow-operator": caller(None, is_operator=True, scope=frozenset({Permission.USE_CONSOLES})),
}
# Who may know of CUSTOMER, and which of those may do what. Written by hand and not taken from the tables of the code.
KNOW = {"owner", "member", "viewer", "operator", "suspended", "narrow", "narrow-operator"}
MAY = {
    Policy.VIEW_CONTAINER: {"owner", "member", "viewer", "operator", "suspended", "narrow"},
    Policy.POWER_CONTAINER: {"owner", "member", "operator"},
    Policy.CHANGE_CONTAINER: {"owner", "member", "operator"},
    Policy.USE_CONSOLE: {"owner", "member", "operator", "narrow-operator"},
    Policy.READ_FILES: {"owner", "member", "operator"},
    Policy.WRITE_FILES: {"owner", "member", "operator"},
    Policy.VIEW_CUSTOMER: {"owner", "member", "viewer", "operator", "suspended"},
    Policy.MANAGE_CUSTOMER: {"owner", "operator"},
    Policy.LEAVE_CUSTOMER: KNOW - {"narrow", "narrow-operator"},
    Policy.VIEW_AUDIT_LOG: {"owner", "operator", "suspended"},
    Policy.GOVERN_CONTAINER: {"operator"},
    Policy.GOVERN_CUSTOMER: {"operator"},
    Policy.VIEW_PLATFORM: {"operator"},
    Policy.MANAGE_PLATFORM: {"operator"},
    Policy.SIGNED_IN: set(PEOPLE),
    Policy.MANAGE_ACCOUNT: set(PEOPLE) - {"narrow", "narrow-operator"},
    Policy.LIST_CUSTOMERS: set(PEOPLE) - {"narrow", "narrow-operator"},
    Policy.LIST_CONTAINERS: set(PEOPLE) - {"narrow-operator"},
    Policy.CREATE_CONTAINER: set(PEOPLE) - {"narrow", "narrow-operator"},
}


def container(vmid: int = 101) -> Container:
    """Return a container of CUSTOMER."""
    return Container(
        owner=OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11"),
        vmid=Vmid(vmid),
        customer_id=CUSTOMER,
        kind="dev",
        name="mine",
        created_at=None,  # type: ignore[arg-type] # the gate never looks
        runtimes=(),
        processes=(),
        spec_generation=1,
        power=Power.ON,
        restart_wanted=0,
        deleting_at=None,
        address=None,
        guest=Guest.ABSENT,
        identity_expires_at=None,
        connection=Connection.CONNECTING,
        agent=None,
        observed_at=None,
        restart_done=0,
        route_confirmed=None,
        provisioned_at=None,
        attempts=0,
    )


CALLERS = FakeCallers(bearers=PEOPLE, cookies=PEOPLE)
CUSTOMERS = FakeCustomers(Customer(CUSTOMER, "theirs", datetime(2026, 1, 1, tzinfo=UTC), None, None, Quota()))
CONTAINERS = FakeContainers(container())
STANDINGS = FakeStandings(CALLERS, CONTAINERS, CUSTOMERS)
GATE = Gate(CALLERS, CUSTOMERS, CONTAINERS, STANDINGS, COOKIE, frozenset({PORTAL}))


async def nothing(_call: Call) -> None:
    """Answer nothing."""


def endpoint(method: str, policy: Policy, *, is_websocket: bool = False) -> Endpoint:
    """Return an endpoint with nothing behind it."""
    return Endpoint(method, "/api/x/{vmid}", policy, nothing, "x", is_websocket=is_websocket)


def request(
    method: str = "GET",
    *,
    vmid: str = "101",
    customer: str = str(CUSTOMER),
    host: str = "portal.example",
    path: str = "/api/x/101",
    bearer: str | None = None,
    cookie: str | None = None,
    origin: str | None = None,
    ticket: str | None = None,
    fetched: tuple[str, str] | None = None,
) -> Request:
    """Return a request as it reaches the gate; `fetched` is what a browser says of who asks, and for what."""
    headers = {"Host": host}
    if fetched is not None:
        headers["Sec-Fetch-Site"], headers["Sec-Fetch-Dest"] = fetched
    if ticket is not None:
        headers["Sec-WebSocket-Protocol"] = f"zlh.console.v1, zlh.ticket.{ticket}"
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    if cookie is not None:
        headers["Cookie"] = f"{COOKIE.name}={cookie}"
    if origin is not None:
        headers["Origin"] = origin
    return make_mocked_request(method, path, headers=headers, match_info={"vmid": vmid, "customer": customer})


async def outcome(endpoint: Endpoint, request: Request) -> type[ZlhError] | None:
    """Return how the gate refuses, or None where it lets the request in."""
    try:
        await GATE.pass_through(endpoint, request)
    except ZlhError as error:
        return type(error)
    return None


@pytest.fixture
async def served_endpoints() -> AsyncIterator[list[Endpoint]]:
    """All that an API process answers; nothing is dialled while its parts are made."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = ApiConfig(
            portal_url=PORTAL,
            container_domain="localhost",
            keys_dir=folder / "keys",
            state_dir=folder / "state",
            database=DatabaseSection(dsn=""),
            artifacts=ArtifactsSection(url=NOWHERE, trusted_root=folder / "root.json"),
            process=ProcessDriverSection(root=folder / "containers"),
            traefik=TraefikSection(directory=folder / "routes", api_url=NOWHERE, web_url=NOWHERE),
        )
        async with open_parts(config) as made:
            yield make_endpoints(made, config)


def expected(policy: Policy, who: str | None) -> type[ZlhError] | None:
    """Return what the rules say about somebody and a policy; None for who is not signed in."""
    if policy is Policy.PUBLIC:
        return None
    if who is None:
        return NotSignedIn
    is_hidden = {
        Subject.PLATFORM: not PEOPLE[who].is_operator,
        Subject.CONTAINER: who not in KNOW,
        Subject.CUSTOMER: who not in KNOW,
    }
    if is_hidden.get(policy.subject):
        return NotFound
    if who in MAY[policy]:
        return None
    if who in {"narrow", "narrow-operator"}:
        return ScopeMissing
    return CustomerSuspended if who == "suspended" and "owner" in MAY[policy] else RoleMissing


@pytest.mark.parametrize(("policy", "who"), list(product(Policy, [*PEOPLE, None])))
async def test_policy_matrix(policy: Policy, who: str | None) -> None:
    """Each kind of caller meets each policy as the rules say, by token and by cookie alike."""
    assert await outcome(endpoint("POST", policy), request("POST", bearer=who)) is expected(policy, who)
    by_cookie = request("POST", cookie=who, origin=PORTAL)
    assert await outcome(endpoint("POST", policy), by_cookie) is expected(policy, who)


@pytest.mark.parametrize("who", [*PEOPLE, None])
async def test_every_endpoint_refuses_as_its_policy_says(served_endpoints: list[Endpoint], who: str | None) -> None:
    """The rules hold for the endpoints that are really served, generated from their own list."""
    for served in served_endpoints:
        asked = request(served.method, path="/api/x", bearer=who)
        assert await outcome(served, asked) is expected(served.policy, who), (served.method, served.path)


async def test_what_is_public_is_on_the_list(served_endpoints: list[Endpoint]) -> None:
    """An endpoint becomes public only by being named here too."""
    found = {(served.method, served.path) for served in served_endpoints if served.policy is Policy.PUBLIC}
    assert {(method, path.split(":")[0]) for method, path in found} == {(m, p.split(":")[0]) for m, p in PUBLIC}


async def test_what_the_path_names_is_what_the_policy_is_about(served_endpoints: list[Endpoint]) -> None:
    """No endpoint with a VMID or a customer leaves it to its handler who may call."""
    for served in served_endpoints:
        assert (served.policy.subject is Subject.CONTAINER) == ("{vmid}" in served.path), served.path
        assert (served.policy.subject is Subject.CUSTOMER) == ("{customer}" in served.path), served.path


async def test_what_is_told_of_all_customers_is_for_operators(served_endpoints: list[Endpoint]) -> None:
    """Whatever lies below these paths speaks of everybody's containers."""
    for served in served_endpoints:
        is_told = served.path.startswith(PLATFORM_PATHS) or (served.method, served.path) in PLATFORM_CALLS
        assert (served.policy.subject is Subject.PLATFORM) == is_told, served.path


async def test_what_only_looks_is_a_get(served_endpoints: list[Endpoint]) -> None:
    """A viewer's calls are GETs, and reading a console is no viewer's business."""
    for served in served_endpoints:
        if served.policy.permission in LOOKING:
            assert served.method == "GET", served.path
        if "console" in served.path or "terminal" in served.path:
            assert served.policy is Policy.USE_CONSOLE, served.path
        if served.method != "GET" and served.policy.subject is Subject.CONTAINER:
            assert served.policy.permission not in LOOKING, served.path


async def test_every_call_that_changes_something_has_a_word(served_endpoints: list[Endpoint]) -> None:
    """What has no word is not recorded, so only what is a plain look may have none."""
    for served in served_endpoints:
        is_look = served.method in SAFE_METHODS or (served.method, served.path) in LOOKS_BY_POST
        is_act = served.is_websocket or not is_look or (served.method, served.path) in ACTS_BY_GET
        assert (served.act is not None) == is_act, (served.method, served.path)
        assert served.act is None or WORD.fullmatch(served.act), served.act


async def test_a_word_of_the_audit_log_means_one_thing(served_endpoints: list[Endpoint]) -> None:
    """No two calls share a word; only consoles of every kind are opened alike, and each of them has an end."""
    sockets = [served.act for served in served_endpoints if served.is_websocket]
    assert set(sockets) == {"console.open"}
    others = [served.act for served in served_endpoints if served.act is not None and not served.is_websocket]
    assert len(others) == len(set(others))
    assert not {*others} & {"console.open", closing_word("console.open")}


async def test_every_served_route_is_described(served_endpoints: list[Endpoint]) -> None:
    """The document and the router are made of the same list."""
    document = render_openapi(served_endpoints, version="0")
    for served in served_endpoints:
        if served.path.startswith(DESCRIBED):
            operation = document["paths"][plain(served.path)][served.method.lower()]
            assert operation["x-policy"]["name"] == str(served.policy)
    described = sum(len(methods) for methods in document["paths"].values())
    assert described == sum(served.path.startswith(DESCRIBED) for served in served_endpoints)


async def test_no_two_endpoints_are_the_same(served_endpoints: list[Endpoint]) -> None:
    """The second of two would never be reached."""
    keys = [(served.method, served.path) for served in served_endpoints]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", f"{PORTAL}.evil.example", f"{PORTAL}/", None])
@pytest.mark.parametrize("policy", list(Policy))
async def test_a_cookie_is_believed_from_our_own_pages_alone(policy: Policy, origin: str | None) -> None:
    """An unsafe call that a browser could have been talked into is refused before anybody is looked up."""
    asked = request("POST", cookie="owner", origin=origin)
    assert await outcome(endpoint("POST", policy), asked) is OriginRefused


async def test_a_socket_is_as_unsafe_as_a_post() -> None:
    """Browsers open WebSockets to anywhere, cookie and all."""
    socket = endpoint("GET", Policy.CHANGE_CONTAINER, is_websocket=True)
    assert await outcome(socket, request(cookie="owner", origin="https://evil.example")) is OriginRefused
    assert await outcome(socket, request(cookie="owner")) is OriginRefused
    assert await outcome(socket, request(cookie="owner", origin=PORTAL)) is None
    assert await outcome(socket, request(bearer="owner")) is None


async def test_a_ticket_opens_one_socket_of_one_container() -> None:
    """Once, from any page, with the rights of whoever made it; what is open is judged again without it."""
    socket = endpoint("GET", Policy.CHANGE_CONTAINER, is_websocket=True)
    asked = request(ticket="owner-101", origin="https://elsewhere.example")
    passed = await GATE.pass_through(socket, asked)
    assert await GATE.pass_again([(socket.policy, passed)]) == [Renewed(passed, None)]
    assert await outcome(socket, asked) is TicketInvalid
    assert await outcome(socket, request(ticket="owner-101")) is TicketInvalid
    assert await outcome(socket, request(ticket="owner-102")) is TicketInvalid
    assert await outcome(socket, request(ticket="viewer-101")) is RoleMissing
    assert await outcome(socket, request(ticket="stranger-101")) is NotFound
    assert await outcome(socket, request(ticket="")) is TicketInvalid
    assert await outcome(socket, request(path="/api/x/101?ticket=member-101")) is None


async def test_a_ticket_counts_for_sockets_alone() -> None:
    """For anything else it is nothing, and beside a bearer token neither."""
    assert await outcome(endpoint("GET", Policy.VIEW_CONTAINER), request(ticket="member-101")) is NotSignedIn
    assert await outcome(endpoint("POST", Policy.CHANGE_CONTAINER), request("POST", ticket="member-101")) is NotSignedIn
    socket = endpoint("GET", Policy.CHANGE_CONTAINER, is_websocket=True)
    assert await outcome(socket, request(ticket="operator-101", bearer="wrong")) is NotSignedIn
    assert await outcome(socket, request(ticket="wrong-101", cookie="owner", origin=PORTAL)) is NotSignedIn


async def test_a_safe_call_needs_no_origin() -> None:
    """Browsers send none with a plain GET."""
    assert await outcome(endpoint("GET", Policy.VIEW_CONTAINER), request(cookie="owner")) is None


@pytest.mark.parametrize("site", ["same-site", "cross-site", "anything"])
@pytest.mark.parametrize("purpose", ["empty", "image", "script", "iframe", ""])
@pytest.mark.parametrize("policy", [policy for policy in Policy if policy is not Policy.PUBLIC])
async def test_a_page_elsewhere_reads_nothing_with_a_cookie(policy: Policy, site: str, purpose: str) -> None:
    """The page of a container may be below the domain of the portal, and browsers send the cookie then."""
    asked = request(cookie="owner", fetched=(site, purpose))
    assert await outcome(endpoint("GET", policy), asked) is OriginRefused


@pytest.mark.parametrize("fetched", [("none", "document"), ("same-origin", "empty"), ("cross-site", "document")])
async def test_our_own_pages_and_links_are_followed(fetched: tuple[str, str]) -> None:
    """A link in a mail leads to a tab of its own; what a program sends is none of a browser's."""
    assert await outcome(endpoint("GET", Policy.VIEW_CONTAINER), request(cookie="owner", fetched=fetched)) is None
    assert await outcome(endpoint("GET", Policy.VIEW_CONTAINER), request(bearer="owner", fetched=fetched)) is None


async def test_a_foreign_page_cannot_sign_somebody_in() -> None:
    """A login from elsewhere would put the visitor into another's account."""
    login = endpoint("POST", Policy.PUBLIC)
    assert await outcome(login, request("POST", origin="https://evil.example")) is OriginRefused
    assert await outcome(login, request("POST", origin=PORTAL)) is None
    assert await outcome(login, request("POST")) is None


async def test_a_bearer_token_counts_alone() -> None:
    """A wrong token is not mended by a good cookie, and a right one needs no origin."""
    view = endpoint("POST", Policy.CHANGE_CONTAINER)
    assert await outcome(view, request("POST", bearer="wrong", cookie="owner", origin=PORTAL)) is NotSignedIn
    assert await outcome(view, request("POST", bearer="", cookie="owner", origin=PORTAL)) is NotSignedIn
    assert await outcome(view, request("POST", bearer="viewer", cookie="owner", origin=PORTAL)) is RoleMissing
    assert await outcome(view, request("POST", bearer="owner", cookie="viewer", origin="null")) is None


@pytest.mark.parametrize("host", ["dev-101.example.org", "DEV-101.localhost:8400", "3000-game-101.x", "dev-101"])
async def test_a_containers_host_serves_nothing_of_ours(host: str) -> None:
    """Below the customer's own name the portal and the API do not exist, but for what stands below /.zlh/."""
    for path, wanted in {
        "/api/version": NotFound,
        "/{path:.*}": NotFound,
        "/.zlhx": NotFound,
        "/.zlh/ready": None,
    }.items():
        served = Endpoint("GET", path, Policy.PUBLIC, nothing, "x")
        assert await outcome(served, request(host=host, path="/.zlh/ready")) is wanted


@pytest.mark.parametrize("host", ["portal.example", "devil-101.example", "127.0.0.1:8400", "dev-01.example", ""])
async def test_other_hosts_are_ours(host: str) -> None:
    """What only looks like a container's host is not one."""
    assert await outcome(endpoint("GET", Policy.PUBLIC), request(host=host)) is None


@pytest.mark.parametrize("policy", [e for e in Policy if e.subject in {Subject.CONTAINER, Subject.CUSTOMER}])
async def test_foreign_and_missing_look_the_same(policy: Policy) -> None:
    """Whoever may not see a container or a customer cannot tell it from one that never was."""
    told = []
    for vmid, customer in (("101", str(CUSTOMER)), ("999", str(UUID(int=77))), ("x", "x")):
        asked = request("POST", vmid=vmid, customer=customer, bearer="stranger")
        with pytest.raises(NotFound) as caught:
            await GATE.pass_through(endpoint("POST", policy), asked)
        told.append((caught.value.code, caught.value.status, caught.value.detail, caught.value.data))
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize("text", ["", "0", "0101", "-1", "1e3", "\u0661\u0660\u0661", "101 ", "1" * 10, "x", "%31"])
def test_what_could_be_no_vmid_is_not_found(text: str) -> None:
    """The number of a path is never an error of its own."""
    with pytest.raises(NotFound):
        parse_vmid(text)
