"""The portal's own route: one file that leads to the API, put right whenever it is not as it should be."""

from __future__ import annotations

import asyncio
import json

import pytest

from fakes.edge import FakeRoutes
from fakes.faults import Faults
from zlh_api.edge import portal_route
from zlh_api.edge.model import ProxySetting, TlsSetting
from zlh_api.edge.port import RouteWriteFailed
from zlh_api.edge.portal_route import PLATFORM_OWNER, PortalRoute, render_portal_file
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
    ("host", "is_wildcard", "domains"),
    [
        ("portal.example.org", True, [{"main": "*.example.org"}]),
        ("portal.example.org", False, None),
        ("example.org", True, None),
        ("portal.example.com", True, None),
    ],
    ids=["below", "each", "apex", "elsewhere"],
)
def test_the_portal_has_a_certificate_that_covers_its_name(
    host: str, is_wildcard: bool, domains: list[dict[str, str]] | None
) -> None:
    """The wildcard of the containers where that does, else one of its own; and browsers come back by TLS alone."""
    tls = TlsSetting("acme", is_wildcard=is_wildcard)
    file = render_portal_file(f"https://{host}", ProxySetting("example.org", "websecure", "http://127.0.0.1:8400", tls))
    http = json.loads(file.text.partition("\n")[2])["http"]
    assert http["routers"]["portal"]["tls"] == {"certResolver": "acme"} | ({"domains": domains} if domains else {})
    assert http["middlewares"]["portal-strict"]["headers"] == {"stsSeconds": portal_route.STRICT_S}
    assert http["routers"]["portal"]["middlewares"] == ["portal-strict"]


async def test_the_file_is_put_right_and_failures_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that cannot be written, a file that is lost, and one that was edited."""
    monkeypatch.setattr(portal_route, "LOOK_S", 0.01)
    faults = Faults()
    routes = FakeRoutes(faults)
    faults.fail("publish", RouteWriteFailed(name=FILE.name, reason="the disk is full"))
    keeping = asyncio.create_task(PortalRoute(routes, FILE).run())
    async with asyncio.timeout(5):
        for spoiled in (None, "", FILE.text.replace("8400", "8401")):
            if spoiled is None:
                routes.files.pop(FILE.name, None)
            else:
                routes.files[FILE.name] = f"{FILE.text.splitlines()[0]}\n{spoiled}"
            while routes.files.get(FILE.name) != FILE.text:
                await asyncio.sleep(0.005)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
