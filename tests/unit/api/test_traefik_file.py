"""The route file of one container: what the proxy is told, and that it can be told nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.edge.model import ExposedPort, ProxySetting, RouteFile, RouteWish
from zlh_api.edge.traefik_file import MARK_PREFIX, parse_mark, render_route_file
from zlh_common.names import MAX_VMID, MIN_VMID, HostName, OwnerMark, Vmid, render_host

OWNER = OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")
SETTING = ProxySetting("example.org", "web", "http://127.0.0.1:8400")
WISH = RouteWish(OWNER, HostName("dev", Vmid(101)), "127.77.0.9", (ExposedPort(3000), ExposedPort(5173)))

PORTS = st.lists(st.integers(1, 65535), unique=True, max_size=8).map(tuple)
VMIDS = st.integers(MIN_VMID, MAX_VMID).map(Vmid)
KINDS = st.sampled_from(("dev", "game"))
WISHES = st.builds(
    lambda kind, vmid, ports: RouteWish(OWNER, HostName(kind, vmid), "127.77.0.9", tuple(map(ExposedPort, ports))),
    KINDS,
    VMIDS,
    PORTS,
)


def body(file: RouteFile) -> dict[str, Any]:
    """Return what the proxy reads: a comment line, and JSON, which is YAML."""
    comment, _, text = file.text.partition("\n")
    assert comment.startswith("#")
    http: dict[str, Any] = json.loads(text)["http"]
    return http


@given(wish=WISHES)
def test_every_router_leads_to_a_service_of_the_file(wish: RouteWish) -> None:
    """A router whose service or middleware is missing would be an error in the proxy."""
    file = render_route_file(wish, SETTING)
    http = body(file)
    for router in http["routers"].values():
        assert router["service"] in http["services"]
        assert set(router.get("middlewares", [])) <= set(http["middlewares"])
    assert http["middlewares"][f"{wish.host.label}-silent"]["errors"]["service"] in http["services"]
    assert dict(file.routers) == {name: router["service"] for name, router in http["routers"].items()}


@given(wish=WISHES)
def test_each_host_has_one_router(wish: RouteWish) -> None:
    """The container's own host, the platform's paths below it, and one host per port; nothing else."""
    rules = sorted(router["rule"] for router in body(render_route_file(wish, SETTING))["routers"].values())
    own = f"Host(`{render_host(wish.host, SETTING.domain)}`)"
    hosts = [replace(wish.host, port=port) for port in (exposed.port for exposed in wish.exposed)]
    expected = [own, f"{own} && PathPrefix(`/.zlh/`)", *(f"Host(`{render_host(h, SETTING.domain)}`)" for h in hosts)]
    assert rules == sorted(expected)


@given(wish=WISHES)
def test_services_lead_to_the_container_or_to_us(wish: RouteWish) -> None:
    """No file leads anywhere but to its own address and to the API."""
    services = body(render_route_file(wish, SETTING))["services"].values()
    urls = {server["url"] for service in services for server in service["loadBalancer"]["servers"]}
    assert urls == {
        SETTING.api_url,
        *(f"http://{wish.address}:{port}" for port in (exposed.port for exposed in wish.exposed)),
    }


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
    ],
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
    assert alone["routers"]["dev-101"]["middlewares"] == ["dev-101-home"]


def test_the_platforms_paths_win_over_the_containers() -> None:
    """`/.zlh/` of a container's host is ours, whatever the container publishes."""
    routers = body(render_route_file(WISH, SETTING))["routers"]
    assert routers["dev-101-platform"]["service"].startswith("api-")
    assert routers["dev-101-platform"]["priority"] > max(len(router["rule"]) for router in routers.values())
    assert not [name for name, router in routers.items() if name != "dev-101-platform" and "priority" in router]


@pytest.mark.parametrize(
    ("wish", "setting"),
    [
        (replace(WISH, address="{{ env `HOME` }}"), SETTING),
        (WISH, replace(SETTING, api_url="http://{{.}}")),
        (WISH, replace(SETTING, domain="x`) || Host(`y")),
    ],
)
def test_templates_and_rules_cannot_be_put_in(wish: RouteWish, setting: ProxySetting) -> None:
    """The proxy runs its files through templates first, so what looks like one is refused."""
    with pytest.raises(ValueError, match="template"):
        render_route_file(wish, setting)


@pytest.mark.parametrize("text", ["", "http: {}", f"{MARK_PREFIX}nobody", f"x {MARK_PREFIX}{OWNER}"])
def test_a_file_without_our_mark_is_nobodys(text: str) -> None:
    """Only a whole line with a whole mark counts."""
    assert parse_mark(text) is None
