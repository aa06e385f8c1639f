"""What is wrong with the tables of the edge whose types are right: pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from zlh_api.config.edge_tables import GamePortsSection, parse_ports
from zlh_api.config.model import ApiConfig

# Each is a listener of the proxy from its start.
MAX_GAME_PORTS = 2000


def find_public_problems(config: ApiConfig) -> list[str]:
    """Return what does not fit together of the scheme, certificates and ports by which the public comes in."""
    problems, traefik = [], config.traefik
    web_scheme = urlsplit(traefik.web_url).scheme
    if config.container_scheme == "http" and (traefik.tls is not None or web_scheme == "https"):
        problems.append(
            "container_scheme is http, and the proxy speaks TLS ([traefik.tls], traefik.web_url): make it https"
        )
    if config.container_scheme == "https" and web_scheme == "http":
        problems.append(
            f"container_scheme is https, and traefik.web_url {traefik.web_url!r} is not, so no certificate would ever "
            "be checked: name the HTTPS side of the proxy, or of what stands in front of it"
        )
    if traefik.tls is not None and traefik.tls.ca is not None and not traefik.tls.ca.is_absolute():
        problems.append(f"traefik.tls.ca {traefik.tls.ca} is no absolute path")
    return problems + _find_pool_problems(traefik.games or GamePortsSection(), web_port=urlsplit(traefik.web_url).port)


def _find_pool_problems(games: GamePortsSection, *, web_port: int | None) -> list[str]:
    problems = []
    for name, text in (("tcp", games.tcp), ("udp", games.udp)):
        ports = parse_ports(text)
        if text is not None and not ports:
            problems.append(f"traefik.games.{name} {text!r} is no range of ports, lowest first, such as 25500-25599")
        if len(ports) > MAX_GAME_PORTS:
            problems.append(f"traefik.games.{name} has {len(ports)} ports; {MAX_GAME_PORTS} is the most")
        if name == "tcp" and (web_port or 443) in ports:
            problems.append(f"traefik.games.tcp {text!r} has the port of traefik.web_url in it")
    return problems
