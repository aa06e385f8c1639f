"""The ports of `make dev`: fixed, so that links stay good, and each can be moved by a variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from zlh_api.config.edge_tables import parse_ports
from zlh_api.listening import check_port_free
from zlh_common.errors import ConfigInvalid

DEFAULTS = {"ZLH_API_PORT": 8400, "ZLH_HTTP_PORT": 8080, "ZLH_TRAEFIK_API_PORT": 8401, "ZLH_ARTIFACTS_PORT": 8480}

# The pool of game servers, of TCP and UDP alike; `none` for no pool.
GAMES, DEFAULT_GAMES, NO_GAMES, MOST_GAMES = "ZLH_GAME_PORTS", "25500-25519", "none", 200


@dataclass(frozen=True, slots=True)
class DevPorts:
    """Where each part listens on 127.0.0.1."""

    api: int
    web: int
    traefik_api: int
    artifacts: int
    games: range = range(0)


def read_ports(environment: Mapping[str, str]) -> DevPorts:
    """Return the ports that the environment asks for; raise ConfigInvalid."""
    problems, found = [], {}
    for variable, default in DEFAULTS.items():
        text = environment.get(variable) or str(default)
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
            problems.append(f"{variable}={text!r} is no port from 1 to 65535")
        else:
            found[variable] = int(text)
    games = _read_games(environment, problems)
    problems += [f"{name}={port} lies within {GAMES}" for name, port in found.items() if port in games]
    if not problems and len(set(found.values())) < len(found):
        problems.append(f"{', '.join(found)} must differ from each other")
    if problems:
        raise ConfigInvalid(source="the environment", problems=problems)
    return DevPorts(
        api=found["ZLH_API_PORT"],
        web=found["ZLH_HTTP_PORT"],
        traefik_api=found["ZLH_TRAEFIK_API_PORT"],
        artifacts=found["ZLH_ARTIFACTS_PORT"],
        games=games,
    )


def _read_games(environment: Mapping[str, str], problems: list[str]) -> range:
    text = environment.get(GAMES) or DEFAULT_GAMES
    low, dash, high = text.partition("-")
    is_range = bool(dash) and all(end.isascii() and end.isdigit() and len(end) <= 5 for end in (low, high))
    games = parse_ports(text) if is_range else range(0)
    if text != NO_GAMES and not 1 <= len(games) <= MOST_GAMES:
        problems.append(f"{GAMES}={text!r} is neither `none` nor a range of {MOST_GAMES} ports at most, as 25500-25519")
    return games


def check_ports_free(ports: DevPorts) -> None:
    """Raise PortInUse for the first port that somebody else has."""
    for variable, port in zip(DEFAULTS, (ports.api, ports.web, ports.traefik_api, ports.artifacts), strict=True):
        check_port_free("127.0.0.1", port, variable)
    for port in ports.games:
        check_port_free("127.0.0.1", port, GAMES)


def environment_ports() -> DevPorts:
    """Return the ports of this process's environment."""
    return read_ports(os.environ)
