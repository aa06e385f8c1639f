"""The game ports of a container as Traefik's TCP and UDP sections: pure.

    <label>-tcp-25565    entry point game-tcp-25565    →  <address>:<port of the container>

One entry point leads to one container: plain TCP has no name by which Traefik could choose. The services end in a
digest of these sections alone, so nothing that concerns web pages changes how players are led.
"""

from __future__ import annotations

import ipaddress
from dataclasses import asdict, dataclass
from typing import Any

from zlh_api.edge.model import GamePort, RouteWish
from zlh_api.edge.traefik_text import RouteUnsafe, compute_digest
from zlh_common.names import HostName, Protocol, game_entry_point


@dataclass(frozen=True, slots=True)
class GameSections:
    """What a file says of TCP and UDP, and which routers the proxy must list then."""

    sections: dict[str, Any]
    routers: tuple[tuple[Protocol, str, str], ...]


def render_games(wish: RouteWish) -> GameSections:
    """Return the sections for all game ports; empty ones where there are none."""
    taken = [(game.protocol, game.public_port) for game in wish.games]
    if len(set(taken)) < len(taken):
        raise RouteUnsafe("two game ports would have one port of the proxy")
    digest = compute_digest(wish.owner, wish.address, [asdict(game) for game in wish.games])
    sections: dict[str, Any] = {}
    routers = []
    for game in wish.games:
        name = game_router(wish.host, game)
        service = f"{name}-{digest}"
        section = sections.setdefault(game.protocol, {"routers": {}, "services": {}})
        section["routers"][name] = _router(game, service)
        section["services"][service] = {"loadBalancer": {"servers": [{"address": _socket(wish.address, game.port)}]}}
        routers.append((game.protocol, name, service))
    return GameSections(sections, tuple(sorted(routers)))


def game_router(host: HostName, game: GamePort) -> str:
    """Return the name of the router of a game port."""
    return f"{host.label}-{game.protocol}-{game.public_port}"


def _router(game: GamePort, service: str) -> dict[str, Any]:
    router: dict[str, Any] = {
        "entryPoints": [game_entry_point(game.protocol, game.public_port)],
        "service": service,
    }
    if game.protocol == "tcp":
        router["rule"] = "HostSNI(`*`)"
    return router


def _socket(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ipaddress.ip_address(address).version == 6 else f"{address}:{port}"
