"""The platform's own files: what they tell the proxy, and that each is put right when it is not as it should be."""

from __future__ import annotations

import asyncio
import json

import pytest

from fakes.edge import FakeRoutes
from fakes.faults import Faults
from zlh_api.edge import platform_routes
from zlh_api.edge.model import PLATFORM_OWNER, ProxySetting, TlsSetting
from zlh_api.edge.platform_routes import FILE_NAMES, PlatformRoutes, render_platform_files, render_portal_file
from zlh_api.edge.port import RouteWriteFailed
from zlh_api.edge.traefik_file import parse_mark
from zlh_api.edge.traefik_text import RouteUnsafe

SETTING = ProxySetting("localhost", "web", "http://127.0.0.1:8400")
FILE = render_portal_file("http://portal.localhost:8080", SETTING)


def test_the_file_leads_the_portals_name_to_the_api() -> None:
    """One router, one service, and the mark that no container can have."""
    http = json.loads(FILE.text.partition("\n")[2])["http"]
    (router,) = http["routers"].values()
    assert router["rule"] == "Host(`portal.localhost`)"
    assert http["services"][router["service"]]["loadBalancer"]["servers"] == [{"url": "http://127.0.0.1:8400"}]
    assert parse_mark(FILE.text) == PLATFORM_OWNER


@pytest.mark.parametrize(
    "url", ["http://`x`.localhost", "http://{{x}}.localhost", "http://a\u2028b.localhost", "nothing"]
)
def test_a_name_that_would_end_the_rule_is_refused(url: str) -> None:
    """Traefik reads its files as templates, and rules up to a back quote."""
    with pytest.raises(RouteUnsafe, match="no host"):
        render_portal_file(url, SETTING)


@pytest.mark.parametrize(
    ("host", "is_wildcard", "name"),
    [
        ("portal.example.org", True, "*.example.org"),
        ("portal.example.org", False, "portal.example.org"),
        ("example.org", True, "example.org"),
        ("portal.example.com", True, "portal.example.com"),
    ],
    ids=["below", "each", "apex", "elsewhere"],
)
def test_the_portal_has_a_certificate_that_covers_its_name(host: str, is_wildcard: bool, name: str) -> None:
    """The wildcard of the containers where that does, else one of its own; and browsers come back by TLS alone."""
    tls = TlsSetting("acme", is_wildcard=is_wildcard)
    file = render_portal_file(f"https://{host}", ProxySetting("example.org", "websecure", "http://127.0.0.1:8400", tls))
    http = json.loads(file.text.partition("\n")[2])["http"]
    assert http["routers"]["portal"]["tls"] == {"certResolver": "acme", "domains": [{"main": name}]}
    assert http["middlewares"]["portal-strict"]["headers"] == {"stsSeconds": platform_routes.STRICT_S}
    assert http["routers"]["portal"]["middlewares"] == ["portal-strict"]


async def test_each_file_is_put_right_and_failures_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that cannot be written, a file that is lost, and one that was edited."""
    monkeypatch.setattr(platform_routes, "LOOK_S", 0.01)
    faults = Faults()
    routes = FakeRoutes(faults)
    files = render_platform_files("http://portal.localhost:8080", SETTING)
    assert {file.name for file in files} == FILE_NAMES
    faults.fail("publish", RouteWriteFailed(name=files[0].name, reason="the disk is full"))
    keeping = asyncio.create_task(PlatformRoutes(routes, files).run())
    async with asyncio.timeout(5):
        for file in files:
            for spoiled in (None, "", file.text.replace("8400", "8401")):
                if spoiled is None:
                    routes.files.pop(file.name, None)
                else:
                    routes.files[file.name] = f"{file.text.splitlines()[0]}\n{spoiled}"
                while routes.files.get(file.name) != file.text:
                    await asyncio.sleep(0.005)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
