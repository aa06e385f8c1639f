"""Who may open what: everybody against every visibility, the way there and back, and what hostile pages try."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from multidict import CIMultiDict

from component.api.access_world import NAVIGATION, PEOPLE, PORT, Place, Visitor, make_place, query_of, relative
from component.api.people_world import CountedPasswords, browser, by, customer_of
from fakes.api_world import ANY_RATES, PORTAL, World
from fakes.clock import FakeClock
from zlh_api.access.question_limits import QuestionRates
from zlh_api.due import DueWork
from zlh_api.edge.routes import SILENT
from zlh_api.web.client_address import parse_proxies
from zlh_api.web.rate_limits import Rates, RateSettings
from zlh_api.web.token_buckets import Rate
from zlh_common.schema.spec import Visibility

MAY_OPEN: dict[Visibility, set[str | None]] = {
    "private": {"publisher"},
    "customer": {"publisher", "owner", "member", "viewer"},
    "public": {*PEOPLE, None},
}
OWN = "http://3000-dev-{vmid}.localhost"


@pytest.fixture
async def place(world: World, client: TestClient[Request, Application]) -> Place:
    """A container, its people, and nothing published."""
    world.accounts.sign_in._passwords = CountedPasswords()
    return await make_place(world, client)


async def test_everybody_opens_what_is_theirs_and_nothing_else(place: Place) -> None:
    """By every visibility, at the port's own host and at the container's; what one may not see looks like nothing."""
    for visibility, allowed in MAY_OPEN.items():
        await place.publish(visibility)
        for name in (*PEOPLE, None):
            for label in (place.label, f"dev-{place.vmid}"):
                shown = await place.visitor(name, label).open("/page?x=1")
                wanted = 200 if name in allowed else (401 if name is None else 404)
                assert shown == wanted, (visibility, name, label, shown)


async def test_what_a_publisher_has_left_behind_opens_for_owners(place: Place) -> None:
    """Only once they are gone; who comes back has it back, and the owner has it no more."""
    await place.publish("private")
    customer = await customer_of(place.world)
    assert await place.visitor("owner").open() == 404
    await place.world.fetch("delete from memberships where user_id = $1 returning 1", place.users["publisher"])
    owner = place.visitor("owner")
    assert (await owner.open(), await place.visitor("member").open()) == (200, 404)
    assert await place.visitor("publisher").open() == 404
    await place.world.fetch(
        "insert into memberships values ($1, $2, 'viewer') returning 1", customer, place.users["publisher"]
    )
    assert await place.visitor("publisher").open() == 200
    assert (await owner.ask()).status == 302
    await place.world.fetch("delete from users where id = $1 returning 1", place.users["publisher"])
    assert await owner.open() == 200


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", NAVIGATION, 302),
        ("GET", {"Accept": "text/html"}, 302),
        ("HEAD", NAVIGATION, 401),
        ("POST", NAVIGATION, 401),
        ("GET", {"Sec-Fetch-Mode": "cors", "Accept": "text/html"}, 401),
        ("GET", {**NAVIGATION, "Sec-Fetch-Dest": "iframe"}, 401),
        ("GET", {**NAVIGATION, "X-Forwarded-Proto": "ws"}, 401),
        ("GET", {}, 401),
    ],
    ids=["page", "old-browser", "head", "post", "fetch", "frame", "websocket", "program"],
)
async def test_only_a_page_is_sent_to_sign_in(place: Place, method: str, headers: dict[str, str], status: int) -> None:
    """Whatever else is not signed in is refused at once, a WebSocket before it is one."""
    await place.publish("private")
    answer = await place.visitor(None).ask(headers, method=method)
    assert answer.status == status
    assert answer.headers["Cache-Control"] == "no-store"
    if status == 302:
        assert answer.headers["Location"].startswith(f"{PORTAL}/api/access/{place.label}?")
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    elif method != "HEAD":
        assert (await answer.json())["code"] == "access_not_signed_in"


async def test_the_container_sees_neither_of_our_cookies(place: Place) -> None:
    """What else the browser has is handed on, wherever ours stand; where nothing is left there is no header at all."""
    await place.publish("private")
    visitor = place.visitor("publisher")
    assert await visitor.open() == 200
    ours = visitor.cookies["zlh_access"]
    assert "Cookie" not in (await visitor.ask()).headers
    visitor.cookies = {"a": "1", "zlh_access": ours, "b": "x=y", "zlh_enter": "z" * 43}
    answer = await visitor.ask()
    assert answer.headers.getall("Cookie") == ["a=1; b=x=y"]
    assert answer.headers["X-Zlh-User"] == str(place.users["publisher"])
    kept = await place.world.fetch("select token_sha256 from access_grants")
    assert ours.encode() not in b"".join(row[0] for row in kept)


async def test_tossed_cookies_neither_break_in_nor_lock_out(place: Place) -> None:
    """Another host of the domain may set more cookies of our names than there is room for, before ours or behind it."""
    await place.publish("private")
    visitor = place.visitor("publisher")
    assert await visitor.open() == 200
    ours = visitor.cookies["zlh_access"]
    tossed = [f"zlh_access={chr(97 + n) * 43}" for n in range(3)] + ["zlh_access=", "zlh_access", "zlh_access==="]
    for jar in ([f"zlh_access={ours}", *tossed], [*tossed, f"zlh_access={ours}"]):
        answer = await visitor.ask({**NAVIGATION, "Cookie": "; ".join(jar)})
        assert answer.status == 200
        assert "Cookie" not in answer.headers
    assert (await visitor.ask({**NAVIGATION, "Cookie": "; ".join(tossed)})).status == 302
    visitor.cookies["zlh_access"] = ours
    assert (
        await place.visitor(None, f"dev-{place.vmid}").ask({**NAVIGATION, "Cookie": f"zlh_access={ours}"})
    ).status == 302


@pytest.mark.parametrize(
    ("method", "headers", "is_let_in"),
    [
        ("GET", {}, True),
        ("GET", {"Origin": OWN}, True),
        ("POST", {"Origin": OWN}, True),
        ("POST", {"Origin": "http://dev-{vmid}.localhost"}, True),
        ("POST", {"Origin": "http://dev-{vmid}.localhost:81"}, False),
        ("POST", {"Origin": "https://3000-dev-{vmid}.localhost"}, False),
        ("POST", {"Origin": "http://3000-dev-999.localhost"}, False),
        ("POST", {"Origin": "http://3000-game-{vmid}.localhost"}, False),
        ("GET", {"Origin": "http://3000-dev-999.localhost"}, False),
        ("GET", {"Origin": PORTAL}, False),
        ("POST", {"Origin": "null"}, False),
        ("POST", {"Origin": "null", "Sec-Fetch-Site": "same-origin"}, True),
        ("POST", {}, False),
        ("DELETE", {"Sec-Fetch-Site": "same-site"}, False),
        ("GET", {"X-Forwarded-Proto": "wss"}, False),
        ("GET", {"X-Forwarded-Proto": "wss", "Origin": OWN}, True),
        ("GET", {"X-Forwarded-Proto": "ws", "Origin": "http://dev-999.localhost"}, False),
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}, False),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, False),
        (
            "GET",
            {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Referer": "http://5173-dev-{vmid}.localhost/x"},
            True,
        ),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Referer": "http://dev-9.x"}, False),
        ("GET", {**NAVIGATION, "Sec-Fetch-Site": "cross-site"}, True),
        ("GET", {**NAVIGATION, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "iframe"}, False),
    ],
)  # fmt: skip
async def test_pages_of_others_act_for_nobody(
    place: Place, method: str, headers: dict[str, str], is_let_in: bool
) -> None:
    """Other hosts of the domain are the same site, so a browser sends our cookie along for their pages."""
    await place.publish("private")
    visitor = place.visitor("publisher")
    assert await visitor.open() == 200
    sent = {name: value.format(vmid=place.vmid) for name, value in headers.items()}
    answer = await visitor.ask(sent, method=method)
    assert answer.status == (200 if is_let_in else 403)
    if not is_let_in:
        assert (await answer.json())["code"] == "access_origin_refused"


async def test_a_code_works_once_for_the_browser_and_host_that_it_was_made_for(place: Place) -> None:
    """Replayed, elsewhere, in another browser, without the cookie, or over: it opens nothing, and tells nothing."""
    await place.publish("private")

    async def fresh() -> tuple[Visitor, str]:
        visitor = place.visitor("publisher")
        sent = await visitor.ask()
        return visitor, (await visitor.authorize(sent.headers["Location"])).headers["Location"]

    visitor, way = await fresh()
    assert (await visitor.enter(way)).status == 302
    visitor.cookies["zlh_enter"] = "x" * 43
    assert (await visitor.enter(way)).status == 403
    other, way = await fresh()
    assert (await place.visitor("owner").enter(way)).status == 403
    stranger = Visitor(place.client, f"dev-{place.vmid}", None, dict(other.cookies))
    assert (await stranger.enter(way)).status == 403
    assert (await other.enter(way)).status == 302
    late, way = await fresh()
    await place.world.fetch("update access_codes set expires_at = now() returning 1")
    assert (await late.enter(way)).status == 403
    ended, way = await fresh()
    await place.world.fetch("delete from sessions where user_id = $1 returning 1", place.users["publisher"])
    assert (await ended.enter(way)).status == 403
    assert (await other.ask()).status == 302


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "/%0d%0aX: y\r\n",
        "https://evil.example/",
        "/.zlh/enter?code=x",
        "",
        "/x/../.zlh/enter?code=x",
        "/%2ezl%68/enter?code=x",
        "/%2e/.zlh/enter",
        "/./.zlh/enter",
    ],
)
async def test_nobody_is_sent_elsewhere(place: Place, path: str) -> None:
    """Where it goes on to is a path of that same host, whoever has written the address of the portal."""
    await place.publish("private")
    visitor = place.visitor("publisher")
    sent = await visitor.ask()
    state = query_of(sent.headers["Location"])["state"]
    answer = await place.client.get(
        f"/api/access/{place.label}", params={"state": state, "path": path.replace("\r\n", "")},
        headers={"Cookie": f"zlh_session={visitor.session}"}, allow_redirects=False,
    )  # fmt: skip
    entered = await visitor.enter(answer.headers["Location"])
    assert entered.status == 302
    assert entered.headers["Location"].startswith(f"http://{place.label}.localhost/")
    assert relative(entered.headers["Location"])[:2] in {"/", "/%"}


async def test_signing_in_first_leads_back(place: Place) -> None:
    """The portal asks who one is and goes on, at its own origin; what was asked for is not lost."""
    await place.publish("private")
    visitor = place.visitor(None)
    sent = await visitor.ask(path="/deep?x=1&y=2")
    asked = await visitor.authorize(sent.headers["Location"])
    assert asked.headers["Location"].startswith(f"{PORTAL}/login?next=%2Fapi%2Faccess%2F")
    visitor.session = place.sessions["publisher"]
    following = await visitor.authorize(query_of(asked.headers["Location"])["next"])
    entered = await visitor.enter(following.headers["Location"])
    assert entered.headers["Location"] == f"http://{place.label}.localhost/deep?x=1&y=2"


async def test_hostile_headers_of_the_proxy_lead_nowhere(place: Place) -> None:
    """A host that is none of ours, twice, in pieces, or asked through a container's own name."""
    await place.publish("public")
    good = f"{place.label}.localhost"
    asked = "/.zlh/access"
    for host in ("evil.example", "", f"x{good}", f"{good}.evil.example", f"{good}:x", f"{good}/", "\u00e4.localhost"):
        answer = await place.client.get(asked, headers={"X-Forwarded-Host": host})
        assert answer.status == 404, host
    for host in (good.upper(), f"{good}.", f"{good}:8080", f"{good.upper()}.:80"):
        assert (await place.client.get(asked, headers={"X-Forwarded-Host": host})).status == 200, host
    own = {"X-Forwarded-Host": f"dev-{place.vmid}.localhost"}
    for port in ("", "0", "03000", "3001", "70000", "x", "3000, 3001", "\u0663"):
        assert (await place.client.get(asked, headers={**own, "X-Zlh-Port": port})).status == 404, port
    assert (await place.client.get(asked, headers=own)).status == 404
    twice = [*own.items(), ("X-Zlh-Port", "3000"), ("X-Zlh-Port", "3000")]
    assert (await place.client.get(asked, headers=CIMultiDict(twice))).status == 404
    assert (await place.client.get(asked, headers={**own, "X-Zlh-Port": "3000"})).status == 200
    # Asked by a page of the container or of the portal, through whichever proxy believes its headers.
    portal = urlsplit(PORTAL).netloc
    for name in (
        good,
        f"dev-{place.vmid}.localhost:1",
        portal,
        portal.upper(),
        "portal.localhost.:1",
        "portal.localhost",
    ):
        through = {"Host": name, "X-Forwarded-Host": good, "Cookie": "secret=of-the-browser"}
        answer = await place.client.get(asked, headers=through)
        assert (answer.status, "Cookie" in answer.headers) == (404, False), name


async def session_ended(place: Place) -> None:
    """The browser signs out."""
    headers = browser(place.sessions["publisher"])
    assert (await place.client.post("/api/auth/logout", headers=headers)).status == 204


async def password_changed(place: Place) -> None:
    """Somebody else's sessions end where the password is changed."""
    await place.world.fetch("delete from sessions where user_id = $1 returning 1", place.users["publisher"])


async def membership_ended(place: Place) -> None:
    """The user is removed."""
    await place.world.fetch("delete from memberships where user_id = $1 returning 1", place.users["publisher"])


async def role_changed(place: Place) -> None:
    """The user gets another role, and signs in at the host anew."""
    await place.world.fetch(
        "update memberships set role = 'viewer' where user_id = $1 returning 1", place.users["publisher"]
    )


async def user_suspended(place: Place) -> None:
    """The platform holds the user back."""
    await place.world.fetch("update users set suspended_at = now() where id = $1 returning 1", place.users["publisher"])


async def user_deleted(place: Place) -> None:
    """The user is gone."""
    await place.world.fetch("delete from users where id = $1 returning 1", place.users["publisher"])


async def customer_suspended(place: Place) -> None:
    """The platform holds the customer back."""
    await place.world.fetch(
        "update customers set suspended_at = now() where id = $1 returning 1", await customer_of(place.world)
    )


async def unpublished(place: Place) -> None:
    """The port is taken back."""
    path = f"/api/containers/{place.vmid}/exposures"
    headers = by("owner-token")
    (found,) = (await (await place.client.get(path, headers=headers)).json())["items"]
    assert (await place.client.delete(f"{path}/{found['id']}", headers=headers)).status == 204


async def published_by_another(place: Place) -> None:
    """Somebody else publishes the same port for themselves."""
    await place.publish("private", "owner")


async def visibility_changed(place: Place) -> None:
    """It is for all of the customer now, and everybody signs in anew."""
    await place.publish("customer")


async def expired(place: Place) -> None:
    """Its time is over, to the moment, and nobody looks."""
    await place.world.fetch("update exposures set expires_at = now() returning 1")
    await place.world.exposures.end_expired()


async def grant_expired(place: Place) -> None:
    """The sign-in was not used for too long."""
    await place.world.fetch("update access_grants set expires_at = now() returning 1")
    await place.world.access.end_expired()


async def container_deleted(place: Place) -> None:
    """The container is on its way out."""
    answer = await place.client.delete(f"/api/containers/{place.vmid}", headers=by("owner-token"))
    assert answer.status == 202


LOSSES = (
    session_ended, password_changed, membership_ended, role_changed, user_suspended, user_deleted, customer_suspended,
    unpublished, published_by_another, visibility_changed, expired, grant_expired, container_deleted,
)  # fmt: skip


@pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.__name__)
async def test_whatever_takes_the_right_takes_the_sign_in_and_wishes_a_cut(
    place: Place, lose: Callable[[Place], Awaitable[None]]
) -> None:
    """In the same transaction, so that no crash leaves one without the other."""
    await place.publish("private")
    visitor = place.visitor("publisher")
    assert await visitor.open() == 200
    assert not await place.world.fetch("select from connection_cuts where port <> $1 or rounds > 2", PORT)
    await place.world.fetch("delete from connection_cuts returning 1")
    await lose(place)
    assert not await place.world.fetch("select from access_grants")
    wished = await place.world.fetch("select distinct port from connection_cuts")
    assert [row["port"] for row in wished] == [PORT]
    assert (await visitor.ask()).status in {302, 404}
    assert (await visitor.ask({"Origin": f"http://{place.label}.localhost"})).status in {401, 404}


async def test_a_port_ends_to_the_moment(place: Place) -> None:
    """By the clock of the database, woken by what was written: route, quota and list follow in one transaction."""
    await place.publish("public")
    exposures = place.world.exposures
    work = DueWork(exposures.seconds_to_expiry, exposures.end_expired)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        loops = [
            group.create_task(work.run()),
            group.create_task(place.world.database.listen({"port_expiry_due": work.wake}, on_connect=work.wake)),
        ]
        await place.world.fetch("update exposures set expires_at = now() + interval '0.3 s' returning 1")
        await place.world.wait_until("select count(*) = 0 from exposures")
        late = await place.world.fetch("select wake_at <= now() as woken from containers")
        told = await place.world.fetch("select kind, subject from happenings")
        for loop in loops:
            loop.cancel()
    assert [row["woken"] for row in late] == [True]
    assert [tuple(row) for row in told] == [("port.expired", f"port:{PORT}")]


async def test_a_sign_in_is_an_act_and_no_code_is_written_down(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """The customer reads who has opened what; codes stand neither there nor in the log."""
    await place.publish("customer")
    visitor = place.visitor("viewer")
    sent = await visitor.ask()
    way = (await visitor.authorize(sent.headers["Location"])).headers["Location"]
    await visitor.enter(way)
    rows = await place.world.fetch(
        "select subject, chain, details::text, email from audit_entries where act = 'access.open'"
    )
    (entry,) = rows
    assert (entry["subject"], entry["chain"]) == (f"container {place.vmid}", await customer_of(place.world))
    assert entry["email"] == "viewer@visitors.example"
    code = query_of(way)["code"]
    told = str(await place.world.fetch("select details::text from audit_entries")) + "".join(capsys.readouterr())
    assert code not in told
    assert visitor.cookies["zlh_access"] not in told


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {**NAVIGATION, "Sec-Purpose": "prefetch;prerender"},
    ],
    ids=["image", "fetch", "frame", "prefetch"],
)
async def test_a_page_signs_nobody_in_behind_their_back(place: Place, headers: dict[str, str]) -> None:
    """Hosts of containers are the portal's own site, so their pages send its session along.

    There is no code, and no entry of the customer; the platform's log has one of nobody.
    """
    await place.publish("customer")
    visitor = place.visitor("viewer")
    location = (await visitor.ask()).headers["Location"]
    session = {"Cookie": f"zlh_session={visitor.session}"}
    answer = await place.client.get(relative(location), headers={**session, **headers}, allow_redirects=False)
    assert answer.status == 403
    assert not await place.world.fetch("select from access_codes")
    customer = await customer_of(place.world)
    said = "select from audit_entries where act = 'access.open' and (chain = $1 or email is not null)"
    assert not await place.world.fetch(said, customer)
    answer = await place.client.get(relative(location), headers={**session, **NAVIGATION}, allow_redirects=False)
    assert answer.status == 302


async def test_signing_in_at_hosts_is_counted_like_what_changes_something(world: World) -> None:
    """Each is an entry in the customer's log, which grows for ever."""
    world.accounts.sign_in._passwords = CountedPasswords()
    clock = world.rates_clock = FakeClock()
    few = Rates(Rate(1e6, 10**6), Rate(0.1, 3))
    async with world.client() as client:
        place = await make_place(world, client)
    world.rates = RateSettings(few, ANY_RATES, ANY_RATES, refusal_wait_s=0.0)
    async with world.client() as client:
        place.client = client
        await place.publish("customer")
        visitor = place.visitor("viewer")
        assert (await client.get("/api/me", headers={"Cookie": f"zlh_session={visitor.session}"})).status == 200
        location = (await visitor.ask()).headers["Location"]
        assert [(await visitor.authorize(location)).status for _ in range(4)] == [302, 302, 302, 429]
        clock.advance(10)
        assert (await visitor.authorize(location)).status == 302


async def test_who_may_not_open_a_port_learns_nothing_of_it(place: Place) -> None:
    """Neither where the container's own host leads to nor whether it runs, by the pages that stand in for it."""
    await place.run()
    own = {"Host": f"dev-{place.vmid}.localhost"}
    port = {"Host": f"{place.label}.localhost"}
    home = await (await place.client.get("/.zlh/home", headers=own)).text()
    assert "is here" in home
    assert not [word for word in ("switched", "runs", "made") if word in home]
    assert (await place.client.get("/.zlh/silent", headers=own)).status == 404
    await place.publish("private")
    for host in (own, port):
        answer = await place.client.get("/.zlh/silent", headers=host)
        assert (answer.status, str(PORT) in await answer.text()) == (404, False)
        told = await place.client.get("/.zlh/silent", headers={**host, "X-Zlh-User": "of the guard"})
        assert f"Nothing listens on port {PORT}" in await told.text()
    assert (await place.client.get("/.zlh/home", headers=port)).status == 404
    assert str(PORT) not in await (await place.client.get("/.zlh/home", headers=own)).text()
    await place.publish("public")
    assert f"Nothing listens on port {PORT}" in await (await place.client.get("/.zlh/silent", headers=own)).text()


QUESTIONS = QuestionRates(sign_in=Rate(1, 3), container=Rate(1, 5), strangers=Rate(1, 4), address=Rate(1, 2))


async def test_a_flood_at_one_host_holds_up_nobody_elsewhere(world: World) -> None:
    """Strangers leave those alone who are signed in; one browser leaves the others their share, and all other hosts."""
    world.accounts.sign_in._passwords = CountedPasswords()
    clock = FakeClock()
    world.access = world.access_at(world.hosting, portal_url=PORTAL, rates=QUESTIONS, clock=clock)
    async with world.client() as client:
        place = await make_place(world, client)
        await place.publish("customer")
        member, viewer, nobody = (place.visitor(name) for name in ("member", "viewer", None))
        assert [await member.open(), await viewer.open()] == [200, 200]
        assert [(await nobody.ask()).status for _ in range(3)] == [429] * 3
        refused = await nobody.ask()
        assert ((await refused.json())["by"], refused.headers["Retry-After"]) == ("container", "1")
        assert [(await member.ask()).status for _ in range(4)] == [200, 200, 200, 429]
        assert [(await viewer.ask()).status for _ in range(3)] == [200, 200, 429]
        elsewhere = Visitor(client, "3000-dev-999", None)
        assert (await elsewhere.ask()).status == 404
        clock.advance(1)
        assert [(await viewer.ask()).status, (await nobody.ask()).status] == [200, 302]
        await world.fetch("delete from access_grants returning 1")
        clock.advance(100)
        # What is good no more is a stranger's, whoever has it.
        assert [(await viewer.ask()).status for _ in range(6)] == [302] * 5 + [429]


async def test_an_address_that_the_proxy_can_tell_is_counted_by_itself(world: World) -> None:
    """Of a proxy in front, all clients have one address: that tells nobody apart, and locks nobody out."""
    world.accounts.sign_in._passwords = CountedPasswords()
    world.trusted_proxies = parse_proxies(("127.0.0.1", "192.0.2.0/24"))
    world.access = world.access_at(world.hosting, portal_url=PORTAL, rates=QUESTIONS, clock=FakeClock())
    async with world.client() as client:
        place = await make_place(world, client)
        await place.publish("private")

        async def ask(address: str) -> int:
            return (await place.visitor(None).ask({**NAVIGATION, "X-Forwarded-For": address})).status

        assert [await ask("203.0.113.5") for _ in range(3)] == [302, 302, 429]
        assert [await ask("192.0.2.7") for _ in range(3)] == [302, 302, 429]


async def test_a_port_that_fails_on_purpose_costs_little(world: World) -> None:
    """The proxy asks in its own name for all who meet it: each port has its own share, and others keep theirs."""
    world.accounts.sign_in._passwords = CountedPasswords()
    clock = world.clock = FakeClock()
    world.rates = RateSettings(ANY_RATES, ANY_RATES, Rates(Rate(1, 5), Rate(1, 100)), refusal_wait_s=0.0)
    async with world.client() as client:
        place = await make_place(world, client)
        await place.run()
        await place.publish("public")

        async def ask(label: str) -> str:
            return await (await client.get("/.zlh/silent", headers={"Host": f"{label}.localhost"})).text()

        pages = [await ask(place.label) for _ in range(SILENT.burst + 3)]
        assert [f"port {PORT}" in page for page in pages] == [True] * SILENT.burst + [False] * 3
        assert f"port {PORT}" in await ask(f"dev-{place.vmid}")
        clock.advance(1 / SILENT.per_s)
        assert f"port {PORT}" in await ask(place.label)
        for path in ("ready", "home", "silent"):
            answer = await client.get(f"/.zlh/{path}", headers={"Host": f"game-{place.vmid}.localhost"})
            assert answer.status == 404, path
