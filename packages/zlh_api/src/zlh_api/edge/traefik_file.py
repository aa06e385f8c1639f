"""One container's Traefik file as text: pure, and the same text for the same container.

    <label>.yml   http   traefik_http.py    its own host and its ports
                  tcp    traefik_games.py   its game ports, from the pool of the proxy's entry points
                  udp    traefik_games.py

Every name that it gives holds the container's label, so no two files name the same thing. Names of services
end in a digest, so that the proxy's own list tells which version of the file it uses.
"""

from __future__ import annotations

import ipaddress
from dataclasses import asdict

from zlh_api.edge.model import ProxySetting, RouteFile, RouteWish
from zlh_api.edge.traefik_games import render_games
from zlh_api.edge.traefik_http import render_http
from zlh_api.edge.traefik_text import (
    MARK_PREFIX,
    RouteUnsafe,
    check_names,
    check_values,
    compute_digest,
    parse_mark,
    render_text,
)
from zlh_common.names import HostName, container_label

__all__ = ["MARK_PREFIX", "file_name", "parse_mark", "render_route_file"]


def file_name(host: HostName) -> str:
    """Return the name of a container's file."""
    return f"{container_label(host.kind, host.vmid)}.yml"


def render_route_file(wish: RouteWish, setting: ProxySetting) -> RouteFile:
    """Return the file that makes `wish` true; raise RouteUnsafe."""
    check_values(asdict(wish), asdict(setting))
    _check_address(wish.address)
    games = render_games(wish)
    # Of what is written besides what it is made of: a later version of us may write another file for the same wish.
    digest = compute_digest(asdict(wish), asdict(setting), render_http(wish, setting, ""), games.sections)
    http = render_http(wish, setting, digest)
    document = {"http": http, **games.sections}
    check_names(name for section in document.values() for kind in section.values() for name in kind)
    return RouteFile(
        name=file_name(wish.host),
        text=render_text(wish.owner, document),
        digest=digest,
        routers=tuple((name, router["service"]) for name, router in sorted(http["routers"].items())),
        game_routers=games.routers,
    )


def _check_address(address: str) -> None:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise RouteUnsafe(f"{address!r} is no address of a container") from None
