"""Which records a container should have, whoever asks: the reconciler who writes them, and the proof."""

from __future__ import annotations

from zlh_api.containers.model import Container
from zlh_api.dns.rules import Wanted
from zlh_api.dns.service import DnsService
from zlh_api.games.port_rules import find_services


def want_records(dns: DnsService, container: Container) -> Wanted:
    """Return what is wanted at each provider: its host, its published ports, and the services of its game."""
    services = find_services(container.game.definition, container.game_ports) if container.game is not None else ()
    return dns.want(container.host, (exposure.port for exposure in container.exposures), services)
