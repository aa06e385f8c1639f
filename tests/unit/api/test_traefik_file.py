"""The route file of one container: what the proxy is told, and that it can be told nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.edge.model import ExposedPort, GamePort, ProxySetting, RouteFile, RouteWish, TlsSetting
from zlh_api.edge.traefik_file import MARK_PREFIX, parse_mark, render_route_file
from zlh_api.edge.traefik_http import router_names
from zlh_api.edge.traefik_text import RouteUnsafe
from zlh_common.names import MAX_VMID, MIN_VMID, HostName, OwnerMark, Vmid, render_host

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
    text, path = render_route_file(*CASES[case]).text, GOLDEN / f"{case}.yml"
    if os.environ.get("ZLH_WRITE_GOLDEN") == "1":
        path.write_text(text)
    assert path.read_text() == text


@given(wish=WISHES, setting=SETTINGS)
def test_everything_that_is_named_is_there(wish: RouteWish, setting: ProxySetting) -> None:
    """A router whose service, middleware or transport is missing would be an error in the proxy; so is an empty map."""
    file = render_route_file(wish, setting)
    whole = document(file)
    http = whole["http"]
    for router in http["routers"].values():
        assert router["service"] in http["services"]
        assert set(router.get("middlewares", [])) <= set(http["middlewares"])
        assert router["entryPoints"] == [setting.entry_point]
    used = {name for router in http["routers"].values() for name in router.get("middlewares", [])}
    assert used == set(http["middlewares"])
    transports = {service["loadBalancer"].get("serversTransport") for service in http["services"].values()} - {None}
    assert transports == set(http.get("serversTransports", {}))
    for name, middleware in http["middlewares"].items():
        if name.endswith("-silent"):
            assert middleware["errors"]["service"] in http["services"]
    assert dict(file.routers) == {name: router["service"] for name, router in http["routers"].items()}
    assert {("http", name, service) for name, service in file.routers} | set(file.game_routers) == {
        (protocol, name, router["service"])
        for protocol, section in whole.items()
        for name, router in section["routers"].items()
    }
    assert set(dict(file.routers)) <= set(router_names(wish.host, [exposed.port for exposed in wish.exposed]))
    assert {} not in [value for section in whole.values() for value in section.values()]


@given(wish=WISHES, setting=SETTINGS)
def test_each_host_has_one_router_and_the_platforms_paths_another(wish: RouteWish, setting: ProxySetting) -> None:
    """`/.zlh/` is ours on the container's own host and wherever somebody must sign in; nothing else has a rule."""
    rules = sorted(router["rule"] for router in body(render_route_file(wish, setting))["routers"].values())
    hosts = [(wish.host, True), *((replace(wish.host, port=port.port), port.is_guarded) for port in wish.exposed)]
    own = [f"Host(`{render_host(host, setting.domain)}`)" for host, _ in hosts]
    ours = [f"{rule} && PathPrefix(`/.zlh/`)" for rule, (_, has_ours) in zip(own, hosts, strict=True) if has_ours]
    assert rules == sorted(own + ours)


@given(wish=WISHES, setting=SETTINGS)
def test_services_lead_to_the_container_or_to_us(wish: RouteWish, setting: ProxySetting) -> None:
    """No file leads anywhere but to its own address and to the API, and only there is no certificate checked."""
    whole = document(render_route_file(wish, setting))
    address = f"[{wish.address}]" if ":" in wish.address else wish.address
    servers = [
        (service["loadBalancer"]["servers"], service["loadBalancer"].get("serversTransport"))
        for service in whole["http"]["services"].values()
    ]
    assert all(len(each) == 1 for each, _ in servers)
    assert {(each[0]["url"], transport is not None) for each, transport in servers} == {
        (setting.api_url, False),
        *((f"{port.kind}://{address}:{port.port}", port.kind == "https") for port in wish.exposed),
    }
    sockets = [
        (protocol, *(server["address"] for server in service["loadBalancer"]["servers"]))
        for protocol in ("tcp", "udp")
        for service in whole.get(protocol, {"services": {}})["services"].values()
    ]
    assert sorted(sockets) == sorted((game.protocol, f"{address}:{game.port}") for game in wish.games)


@given(wish=WISHES, setting=SETTINGS)
def test_nobody_passes_a_guarded_port_unasked(wish: RouteWish, setting: ProxySetting) -> None:
    """Whatever leads to it asks first, about the very port that it leads to; nothing else asks anybody."""
    http = body(render_route_file(wish, setting))
    guarded = {port.port for port in wish.exposed if port.is_guarded}
    for router in http["routers"].values():
        port, _, rest = router["service"].partition("-")
        asked = {
            middleware["forwardAuth"]["address"]
            for name in router["middlewares"]
            if "forwardAuth" in (middleware := http["middlewares"][name])
        }
        if port.isdigit() and int(port) in guarded and rest.startswith(wish.host.label):
            assert asked == {f"{setting.api_url}/.zlh/access?port={port}"}
            assert "forwardAuth" in http["middlewares"][router["middlewares"][0]]
        else:
            assert not asked


def test_what_the_api_is_asked_with_and_what_reaches_the_container() -> None:
    """Our cookie is taken out by the answer, others' credentials are not shown to us, nobody claims to be somebody."""
    http = body(render_route_file(GUARDED, WILDCARD))
    guard = http["middlewares"]["3000-dev-101-guard"]["forwardAuth"]
    assert guard["address"] == "http://127.0.0.1:8400/.zlh/access?port=3000"
    assert guard["authResponseHeaders"] == ["Cookie", "X-Zlh-User"]
    assert not {"Authorization", "X-Forwarded-For"} & set(guard["authRequestHeaders"])
    assert guard["trustForwardHeader"] is False
    for name in ("dev-101-open", "dev-101-headers"):
        assert http["middlewares"][name]["headers"]["customRequestHeaders"] == {"X-Zlh-User": ""}


@given(wish=WISHES, setting=SETTINGS)
def test_every_router_speaks_tls_or_none(wish: RouteWish, setting: ProxySetting) -> None:
    """A router without it would not answer at an entry point that does, and the other way round."""
    for router in body(render_route_file(wish, setting))["routers"].values():
        assert ("tls" in router) == (setting.tls is not None)
        if setting.tls is not None:
            wanted: dict[str, Any] = {"certResolver": setting.tls.resolver} if setting.tls.resolver else {}
            if setting is WILDCARD:
                wanted["domains"] = [{"main": "*.example.org"}]
            assert router["tls"] == wanted


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
    http = body(render_route_file(WISH, SETTING))
    assert http["routers"]["dev-101"]["service"].startswith("3000-dev-101-")
    alone = body(render_route_file(replace(WISH, exposed=()), SETTING))
    assert alone["routers"]["dev-101"]["service"].startswith("api-dev-101-")
    assert alone["routers"]["dev-101"]["middlewares"][0] == "dev-101-home"


def test_the_platforms_paths_win_over_the_containers() -> None:
    """`/.zlh/` of a container's host is ours, whatever the container publishes."""
    routers = body(render_route_file(GUARDED, SETTING))["routers"]
    ours = {"dev-101-platform", "3000-dev-101-platform"}
    for name in ours:
        assert routers[name]["service"].startswith("api-")
        assert routers[name]["priority"] > max(len(router["rule"]) for router in routers.values())
    assert {name for name, router in routers.items() if "priority" in router} == ours


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


@pytest.mark.parametrize("text", ["", "http: {}", f"{MARK_PREFIX}nobody", f"x {MARK_PREFIX}{OWNER}"])
def test_a_file_without_our_mark_is_nobodys(text: str) -> None:
    """Only a whole line with a whole mark counts."""
    assert parse_mark(text) is None
