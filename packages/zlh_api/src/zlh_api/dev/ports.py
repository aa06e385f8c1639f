"""The ports of `make dev`: fixed, so that links stay good, and each can be moved by a variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from zlh_api.listening import check_port_free
from zlh_common.errors import ConfigInvalid

DEFAULTS = {"ZLH_API_PORT": 8400, "ZLH_HTTP_PORT": 8080, "ZLH_TRAEFIK_API_PORT": 8401, "ZLH_ARTIFACTS_PORT": 8480}


@dataclass(frozen=True, slots=True)
class DevPorts:
    """Where each part listens on 127.0.0.1."""

    api: int
    web: int
    traefik_api: int
    artifacts: int


def read_ports(environment: Mapping[str, str]) -> DevPorts:
    """Return the ports that the environment asks for; raise ConfigInvalid."""
    problems, found = [], {}
    for variable, default in DEFAULTS.items():
        text = environment.get(variable) or str(default)
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
            problems.append(f"{variable}={text!r} is no port from 1 to 65535")
        else:
            found[variable] = int(text)
    if not problems and len(set(found.values())) < len(found):
        problems.append(f"{', '.join(found)} must differ from each other")
    if problems:
        raise ConfigInvalid(source="the environment", problems=problems)
    return DevPorts(
        api=found["ZLH_API_PORT"],
        web=found["ZLH_HTTP_PORT"],
        traefik_api=found["ZLH_TRAEFIK_API_PORT"],
        artifacts=found["ZLH_ARTIFACTS_PORT"],
    )


def check_ports_free(ports: DevPorts) -> None:
    """Raise PortInUse for the first port that somebody else has."""
    for variable, port in zip(DEFAULTS, (ports.api, ports.web, ports.traefik_api, ports.artifacts), strict=True):
        check_port_free("127.0.0.1", port, variable)


def environment_ports() -> DevPorts:
    """Return the ports of this process's environment."""
    return read_ports(os.environ)
