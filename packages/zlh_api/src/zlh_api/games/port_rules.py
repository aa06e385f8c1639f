"""Which ports of a game server players reach, at which ports of the proxy: pure."""

from __future__ import annotations

from collections.abc import Sequence

from zlh_api.dns.model import ServicePort
from zlh_api.games.model import GamePool, HeldPort
from zlh_common.schema.game import GamePortStatus
from zlh_common.schema.template import GameTemplate, TemplatePort


def wanted_ports(template: GameTemplate, pool: GamePool) -> tuple[TemplatePort, ...]:
    """Return the ports that need one of the proxy's; those for whose protocol the proxy has none are left out."""
    return tuple(port for port in template.ports if port.is_public and pool.of(port.protocol))


def count_public_ports(template: GameTemplate) -> int:
    """Return how many ports players reach: so many of a customer's published ports it is."""
    return sum(port.is_public for port in template.ports)


def find_missing(wanted: Sequence[TemplatePort], held: Sequence[HeldPort]) -> tuple[TemplatePort, ...]:
    """Return the ports to which none of the proxy's leads yet."""
    has = {(each.name, each.protocol, each.port) for each in held}
    return tuple(port for port in wanted if (port.name, port.protocol, port.port) not in has)


def render_ports(
    template: GameTemplate, held: Sequence[HeldPort], host: str, *, has_services: bool = False
) -> tuple[GamePortStatus, ...]:
    """Return every port of a game server with the address that players type, where there is one.

    That is the name alone where DNS tells the port of its service.
    """
    public = {(each.name, each.protocol): each.public_port for each in held}
    return tuple(
        _render_port(port, public.get((port.name, port.protocol)), host, is_told=has_services and bool(port.service))
        for port in template.ports
    )


def _render_port(port: TemplatePort, public_port: int | None, host: str, *, is_told: bool) -> GamePortStatus:
    return GamePortStatus(
        name=port.name,
        protocol=port.protocol,
        port=port.port,
        public_port=public_port,
        address=None if public_port is None else host if is_told else f"{host}:{public_port}",
    )


def find_services(template: GameTemplate, held: Sequence[HeldPort]) -> tuple[ServicePort, ...]:
    """Return the services by which players' programs find the public port of a name, in order."""
    public = {(each.name, each.protocol): each.public_port for each in held}
    told = [(port.service, public.get((port.name, port.protocol))) for port in template.ports]
    return tuple(sorted(ServicePort(service, port) for service, port in told if service and port))


def find_ping(template: GameTemplate, held: Sequence[HeldPort]) -> HeldPort | None:
    """Return the port through which players' own question reaches the server, where it takes one."""
    name = template.presence.ping if template.presence else None
    return next((each for each in held if each.name == name and each.protocol == "tcp"), None)
