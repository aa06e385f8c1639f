"""The route file of one container and the one that all share: what the proxy is told, and nothing else can be."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.edge.model import PLATFORM_OWNER, ExposedPort, GamePort, ProxySetting, RouteFile, RouteWish, TlsSetting
from zlh_api.edge.traefik_file import MARK_PREFIX, parse_mark, render_route_file
from zlh_api.edge.traefik_hosts import (
    BLANK,
    GUARD,
    HOME,
    LEAST_PRIORITY,
    NOWHERE,
    OPEN,
    PAGES,
    PRIORITY,
    ROUTER,
    SILENT,
    render_hosts_file,
)
from zlh_api.edge.traefik_http import router_names
from zlh_api.edge.traefik_text import RouteUnsafe
from zlh_common.names import HOST_LABEL, MAX_VMID, MIN_VMID, HostName, OwnerMark, Vmid, is_label, render_host

GOLDEN = Path(__file__).parent / "golden_routes"
OWNER = OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")
SETTING = ProxySetting("example.org", "web", "http://127.0.0.1:8400")
WILDCARD = replace(SETTING, entry_point="websecure", tls=TlsSetting("acme"))
EACH_HOST = replace(SETTING, entry_point="websecure", tls=TlsSetting("acme", is_wildcard=False))
DEFAULT_CERTIFICATE = replace(SETTING, entry_point="websecure", tls=TlsSetting())
DEV, GAME = HostName("dev", Vmid(101)), HostName("game", Vmid(102))
WISH = RouteWish(OWNER, DEV, "127.77.0.9", (ExposedPort(3000), ExposedPort(5173)))
GUARDED = replace(WISH, exposed=(ExposedPort(3000, is_guarded=True), ExposedPort(5173)))
GAMES = RouteWish(OWNER, GAME, "127.77.0.10", (), (GamePort("tcp", 25565, 25565), GamePort("udp", 25566, 19132)))
# What the proxy is told in each case, as it stands in the repository: `ZLH_WRITE_GOLDEN=1` writes it anew.
CASES = {
    "dev_plain": (WISH, SETTING),
    "dev_wildcard": (WISH, WILDCARD),
    "dev_certificate_each": (WISH, EACH_HOST),
    "dev_default_certificate": (WISH, DEFAULT_CERTIFICATE),
    "dev_guarded": (GUARDED, WILDCARD),
    "dev_https": (
        replace(WISH, exposed=(ExposedPort(3000), ExposedPort(8443, is_guarded=True, kind="https"))),
        WILDCARD,
    ),
    "dev_nothing": (replace(WISH, exposed=()), SETTING),
    "game": (GAMES, WILDCARD),
}

EXPOSED = st.builds(ExposedPort, st.integers(1, 65535), st.booleans(), st.sampled_from(("http", "https")))
PORT = st.integers(1, 65535)
GAME_PORTS = st.builds(GamePort, st.sampled_from(("tcp", "udp")), PORT, PORT)
WISHES = st.builds(
    RouteWish,
    st.just(OWNER),
    st.builds(HostName, st.sampled_from(("dev", "game")), st.integers(MIN_VMID, MAX_VMID).map(Vmid)),
    st.sampled_from(("127.77.0.9", "10.0.0.4", "fd00::9")),
    st.lists(EXPOSED, unique_by=lambda exposed: exposed.port, max_size=5).map(tuple),
    st.lists(GAME_PORTS, unique_by=lambda game: (game.protocol, game.public_port), max_size=4).map(tuple),
)
SETTINGS = st.sampled_from((SETTING, WILDCARD, EACH_HOST, DEFAULT_CERTIFICATE))


def document(file: RouteFile) -> dict[str, Any]:
    """Return what the proxy reads: a comment line, and JSON, which is YAML."""
    comment, _, text = file.text.partition("\n")
    assert comment.startswith("#")
    found: dict[str, Any] = json.loads(text)
    return found


def body(file: RouteFile) -> dict[str, Any]:
    """Return its web side."""
    http: dict[str, Any] = document(file)["http"]
    return http


@pytest.mark.parametrize("case", CASES)
def test_the_file_is_the_one_that_was_agreed(case: str) -> None:
    """Byte for byte: whatever changes what the proxy is told is seen in a review."""
    _hold(case, render_route_file(*CASES[case]).text)


@pytest.mark.parametrize(
    ("case", "setting"),
    [("hosts_plain", SETTING), ("hosts_wildcard", WILDCARD), ("hosts_certificate_each", EACH_HOST)],
)
def test_what_all_share_is_the_file_that_was_agreed(case: str, setting: ProxySetting) -> None:
    """Byte for byte as well."""
    _hold(case, render_hosts_file(setting).text)


def _hold(case: str, text: str) -> None:
    path = GOLDEN / f"{case}.yml"
    if os.environ.get("ZLH_WRITE_GOLDEN") == "1":
        path.write_text(text)
    assert path.read_text() == text


@given(wish=WISHES, setting=SETTINGS)
def test_everything_that_is_named_is_there(wish: RouteWish, setting: ProxySetting) -> None:
    """A router whose service, middleware or transport is missing would be an error in the proxy; so is an empty map."""
    file = render_route_file(wish, setting)
    whole = document(file)
    http = whole["http"]
    shared = set(body(render_hosts_file(setting))["middlewares"])
    for router in http["routers"].values():
        assert router["service"] in http["services"]
        assert set(router["middlewares"]) <= shared | set(http.get("middlewares", {}))
        assert router["entryPoints"] == [setting.entry_point]
    assert set(http) <= {"routers", "services", "middlewares", "serversTransports"}
    used = {name for router in http["routers"].values() for name in router["middlewares"]}
    assert used - shared == set(http.get("middlewares", {}))
    transports = {service["loadBalancer"].get("serversTransport") for service in http["services"].values()} - {None}
    assert transports == set(http.get("serversTransports", {}))
    assert dict(file.routers) == {name: router["service"] for name, router in http["routers"].items()}
    assert {("http", name, service) for name, service in file.routers} | set(file.game_routers) == {
        (protocol, name, router["service"])
        for protocol, section in whole.items()
        for name, router in section["routers"].items()
    }
    assert set(dict(file.routers)) <= set(router_names(wish.host, [exposed.port for exposed in wish.exposed]))
    assert {} not in [value for section in whole.values() for value in section.values()]


@given(setting=SETTINGS)
def test_everything_that_is_shared_is_there(setting: ProxySetting) -> None:
    """The file names nothing outside of itself, and its version can be told from the proxy's list."""
    file = render_hosts_file(setting)
    http = body(file)
    service = f"zlh-api-{file.digest}"
    assert set(http["middlewares"]) == {GUARD, OPEN, SILENT, HOME, BLANK, PAGES}
    assert {service} == set(http["services"]) == {http["middlewares"][SILENT]["errors"]["service"]}
    assert http["services"][service]["loadBalancer"]["servers"] == [{"url": setting.api_url}]
    assert {name: router["service"] for name, router in http["routers"].items()} == {ROUTER: service, NOWHERE: service}
    assert set(file.routers) == {(ROUTER, service), (NOWHERE, service)}
    assert parse_mark(file.text) == PLATFORM_OWNER


@given(wish=WISHES, setting=SETTINGS)
def test_each_host_has_one_router(wish: RouteWish, setting: ProxySetting) -> None:
    """The container's own host shares that of its default port, and nothing else has a rule."""
    rules = [router["rule"] for router in body(render_route_file(wish, setting))["routers"].values()]
    own, *ports = [wish.host, *(replace(wish.host, port=port.port) for port in wish.exposed)]
    found = [rule for joined in rules for rule in joined.split(" || ")]
    assert sorted(found) == sorted(f"Host(`{render_host(host, setting.domain)}`)" for host in (own, *ports))
    assert len(rules) == max(1, len(ports))


@given(wish=WISHES, setting=SETTINGS)
def test_the_platforms_paths_are_ours_at_every_host(wish: RouteWish, setting: ProxySetting) -> None:
    """`/.zlh/` wins over whatever a container has there, at its own host and at each port, in each spelling.

    And what shows the page of a name at which there is nothing wins over nothing.
    """
    routers = body(render_hosts_file(setting))["routers"]
    ours, nowhere = routers[ROUTER], routers[NOWHERE]
    rules = [router["rule"] for router in body(render_route_file(wish, setting))["routers"].values()]
    # The proxy's own priority of a rule is its length.
    assert ours["priority"] == PRIORITY > max(map(len, rules))
    assert nowhere["priority"] == LEAST_PRIORITY < min(map(len, rules))
    path, _, name = ours["rule"].partition(" && ")
    assert path == "PathPrefix(`/.zlh/`)"
    assert nowhere["rule"] == f"Method(`GET`) && {name}"
    pattern = re.fullmatch(r"HostRegexp\(`(.*)`\)", name)
    assert pattern is not None
    for host in (wish.host, *(replace(wish.host, port=port.port) for port in wish.exposed)):
        full = render_host(host, setting.domain)
        assert re.search(pattern[1], full)
        assert re.search(pattern[1], f"{full}.")
        assert not re.search(pattern[1], f"{full}x")
        assert not re.search(pattern[1], f"x{full}")
        assert not re.search(pattern[1], full.replace(".", "x"))


@given(label=st.from_regex(r"[0-9]{0,6}-?(dev|game|Dev)-?[0-9]{0,10}", fullmatch=True))
def test_the_pattern_of_labels_is_the_parsers(label: str) -> None:
    """The proxy, which has a pattern only, knows the very names that we know."""
    assert (re.fullmatch(HOST_LABEL, label) is not None) == is_label(label)


@given(wish=WISHES, setting=SETTINGS)
def test_services_lead_to_the_container_or_to_us(wish: RouteWish, setting: ProxySetting) -> None:
    """Nowhere but to its own address, where no certificate is checked; to the API where nothing is published."""
    whole = document(render_route_file(wish, setting))
    address = f"[{wish.address}]" if ":" in wish.address else wish.address
    servers = [
        (service["loadBalancer"]["servers"], service["loadBalancer"].get("serversTransport"))
        for service in whole["http"]["services"].values()
    ]
    assert all(len(each) == 1 for each, _ in servers)
    led = {(f"{port.kind}://{address}:{port.port}", port.kind == "https") for port in wish.exposed}
    assert {(each[0]["url"], transport is not None) for each, transport in servers} == (
        led or {(setting.api_url, False)}
    )
    sockets = [
        (protocol, *(server["address"] for server in service["loadBalancer"]["servers"]))
        for protocol in ("tcp", "udp")
        for service in whole.get(protocol, {"services": {}})["services"].values()
    ]
    assert sorted(sockets) == sorted((game.protocol, f"{address}:{game.port}") for game in wish.games)


@given(wish=WISHES, setting=SETTINGS)
def test_nobody_passes_a_guarded_port_unasked(wish: RouteWish, setting: ProxySetting) -> None:
    """Whatever leads to it asks first, by its own host and by the container's; nothing else asks anybody."""
    http = body(render_route_file(wish, setting))
    guarded = {f"{port.port}-{wish.host.label}": port.is_guarded for port in wish.exposed}
    for name, router in http["routers"].items():
        if wish.exposed:
            is_default = name == f"{wish.exposed[0].port}-{wish.host.label}"
            told = [f"{wish.host.label}-port"] if guarded[name] and is_default else []
            assert router["middlewares"] == [*told, GUARD if guarded[name] else OPEN, SILENT]
            assert router["service"].startswith(f"{name}-")
        else:
            assert router["middlewares"] == [HOME, PAGES]
    if wish.exposed and wish.exposed[0].is_guarded:
        # Whatever a client writes, and before the guard is asked.
        header = {"X-Zlh-Port": str(wish.exposed[0].port)}
        assert http["middlewares"] == {f"{wish.host.label}-port": {"headers": {"customRequestHeaders": header}}}
    else:
        assert "middlewares" not in http
    shared = body(render_hosts_file(setting))["middlewares"]
    assert [name for name, middleware in shared.items() if "forwardAuth" in middleware] == [GUARD]


def test_what_the_api_is_asked_with_and_what_reaches_the_container() -> None:
    """Our cookie is taken out by the answer, others' credentials are not shown to us, nobody claims to be somebody."""
    shared = body(render_hosts_file(WILDCARD))["middlewares"]
    guard = shared[GUARD]["forwardAuth"]
    assert guard["address"] == "http://127.0.0.1:8400/.zlh/access"
    assert guard["authResponseHeaders"] == ["Cookie", "X-Zlh-User"]
    assert not {"Authorization", "X-Forwarded-For"} & set(guard["authRequestHeaders"])
    assert guard["trustForwardHeader"] is False
    assert shared[OPEN]["headers"]["customRequestHeaders"] == {"X-Zlh-User": "", "X-Zlh-Port": ""}
    assert shared[PAGES]["headers"]["customRequestHeaders"] == {"X-Zlh-User": ""}


@given(wish=WISHES, setting=SETTINGS)
def test_every_router_speaks_tls_or_none(wish: RouteWish, setting: ProxySetting) -> None:
    """A router without it would not answer at an entry point that does, and the other way round."""
    routers = body(render_route_file(wish, setting))["routers"]
    for name, router in (routers | body(render_hosts_file(setting))["routers"]).items():
        hosts = re.findall(r"Host\(`(.*?)`\)", router["rule"])
        wanted: dict[str, Any] = {}
        if setting is WILDCARD:
            wanted = {"certResolver": "acme", "domains": [{"main": "*.example.org"}]}
        elif setting is EACH_HOST and name not in {ROUTER, NOWHERE}:
            # Each of its own, so that a default port which changes costs no new certificate.
            wanted = {"certResolver": "acme", "domains": [{"main": host} for host in hosts]}
        assert router.get("tls") == (None if setting.tls is None else wanted)


@given(wish=WISHES, setting=SETTINGS)
def test_names_are_of_this_file_alone_and_short(wish: RouteWish, setting: ProxySetting) -> None:
    """Two files never name the same thing: each name holds the label as a whole."""
    for section in document(render_route_file(wish, setting)).values():
        for names in section.values():
            for name in names:
                assert len(name) <= 63
                assert f"-{wish.host.label}-" in f"-{name}-"


@given(wish=WISHES, setting=SETTINGS, other=SETTINGS)
def test_players_are_led_the_same_way_whatever_the_web_does(
    wish: RouteWish, setting: ProxySetting, other: ProxySetting
) -> None:
    """Game routes are the same bytes with and without dev hosts, certificates and guards."""
    bare = replace(wish, exposed=())
    sections = [document(render_route_file(*case)) for case in ((wish, setting), (bare, other))]
    for section in sections:
        del section["http"]
    assert json.dumps(sections[0]) == json.dumps(sections[1])
    assert render_route_file(wish, setting).game_routers == render_route_file(bare, other).game_routers


@given(wish=WISHES)
def test_the_mark_is_found_again(wish: RouteWish) -> None:
    """A file says whose it is, and its name is the container's label."""
    file = render_route_file(wish, SETTING)
    assert parse_mark(file.text) == OWNER
    assert file.name == f"{wish.host.label}.yml"


@given(wish=WISHES, other=WISHES)
def test_the_digest_tells_versions_apart(wish: RouteWish, other: RouteWish) -> None:
    """The same wish gives the same text; another wish another digest, in every service name."""
    file, second = render_route_file(wish, SETTING), render_route_file(other, SETTING)
    assert render_route_file(wish, SETTING) == file
    assert (file.digest == second.digest) == (wish == other)
    assert all(service.endswith(file.digest) for _, service in file.routers)


@pytest.mark.parametrize(
    "changed",
    [
        (replace(WISH, exposed=WISH.exposed[::-1]), SETTING),
        (replace(WISH, exposed=()), SETTING),
        (replace(WISH, address="127.77.0.10"), SETTING),
        (replace(WISH, owner=OwnerMark("00000000-4a0f-4f5c-9d53-0a2b7d3c9c11")), SETTING),
        (WISH, replace(SETTING, domain="example.com")),
        (WISH, replace(SETTING, entry_point="websecure")),
        (WISH, replace(SETTING, api_url="http://127.0.0.1:8401")),
        (WISH, replace(SETTING, tls=TlsSetting())),
        (GUARDED, SETTING),
    ],
    ids=["order", "none", "address", "owner", "domain", "entry", "api", "tls", "guard"],
)
def test_the_digest_covers_everything(changed: tuple[RouteWish, ProxySetting]) -> None:
    """Whatever changes the file changes its digest, so the proxy's list shows which version it uses."""
    assert render_route_file(*changed).digest != render_route_file(WISH, SETTING).digest


def test_the_first_port_answers_on_the_own_host() -> None:
    """The default exposure is the first; without one the platform answers."""
    routers = body(render_route_file(WISH, SETTING))["routers"]
    assert "Host(`dev-101.example.org`)" in routers["3000-dev-101"]["rule"].split(" || ")
    alone = body(render_route_file(replace(WISH, exposed=()), SETTING))
    assert alone["routers"]["dev-101"]["middlewares"] == [HOME, PAGES]


def _spoiled() -> Iterator[tuple[str, RouteWish, ProxySetting]]:
    for what, text in {
        "template": "{{ env `HOME` }}",
        "opening": "a{{b",
        "closing": "a}}b",
        "backtick": "x`) || Host(`y",
        "line": "a\nb",
        "null": "a\0b",
        "c1": "a\x9bb",
        "separator": "a\u2028b",
        "surrogate": "a\ud800b",
    }.items():
        yield f"address-{what}", replace(WISH, address=text), SETTING
        yield f"owner-{what}", replace(WISH, owner=OwnerMark(text)), SETTING
        yield f"domain-{what}", WISH, replace(SETTING, domain=text)
        yield f"entry-{what}", WISH, replace(SETTING, entry_point=text)
        yield f"api-{what}", WISH, replace(SETTING, api_url=f"http://{text}")
        yield f"resolver-{what}", WISH, replace(SETTING, tls=TlsSetting(text))
    yield "address-name", replace(WISH, address="metadata.internal"), SETTING
    yield "address-more", replace(WISH, address="127.0.0.1:80/"), SETTING
    yield "long", replace(WISH, host=HostName("dev", Vmid(10**60))), SETTING
    yield "twice", replace(GAMES, games=GAMES.games + GAMES.games), SETTING


@pytest.mark.parametrize(("wish", "setting"), [pytest.param(wish, s, id=name) for name, wish, s in _spoiled()])
def test_nothing_but_what_is_meant_can_be_said(wish: RouteWish, setting: ProxySetting) -> None:
    """Templates, ends of rules, further lines, other addresses, names that are too long: no file at all."""
    with pytest.raises(RouteUnsafe):
        render_route_file(wish, setting)


@pytest.mark.parametrize("setting", [pytest.param(s, id=n) for n, _, s in _spoiled() if s is not SETTING])
def test_nor_can_it_in_what_all_share(setting: ProxySetting) -> None:
    """The same values, without a container."""
    with pytest.raises(RouteUnsafe):
        render_hosts_file(setting)


@pytest.mark.parametrize("text", ["", "http: {}", f"{MARK_PREFIX}nobody", f"x {MARK_PREFIX}{OWNER}"])
def test_a_file_without_our_mark_is_nobodys(text: str) -> None:
    """Only a whole line with a whole mark counts."""
    assert parse_mark(text) is None
