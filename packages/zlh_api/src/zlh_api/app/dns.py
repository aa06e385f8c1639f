"""Which DNS providers there are, and what the configuration tells them."""

from __future__ import annotations

from collections.abc import Callable

from zlh_api.circuit import Circuit
from zlh_api.config.edge_tables import CloudflareSection, DnsSection, Rfc2136Section, TechnitiumSection
from zlh_api.config.model import ApiConfig
from zlh_api.dns.cloudflare import Cloudflare
from zlh_api.dns.model import ProviderSetting
from zlh_api.dns.name_servers import NameServers
from zlh_api.dns.port import DnsProvider
from zlh_api.dns.rfc2136 import Rfc2136
from zlh_api.dns.service import DnsService
from zlh_api.dns.technitium import Technitium
from zlh_api.dns.tsig_connection import Address
from zlh_common.clock import Clock, SystemClock


class DnsCircuits:
    """Makes the circuit of each system that DNS depends on, and hands on when one is back."""

    def __init__(self, clock: Clock) -> None:
        self.on_closed: Callable[[str], None] | None = None
        self._clock = clock

    def make(self, system: str) -> Circuit:
        """Return what keeps calls from a system while it is away."""
        circuit = Circuit(system, clock=self._clock)
        circuit.on_closed = self._tell
        return circuit

    def _tell(self, system: str) -> None:
        if self.on_closed is not None:
            self.on_closed(system)


def make_dns(config: ApiConfig, circuits: DnsCircuits, clock: Clock | None = None) -> DnsService:
    """Return all providers that the configuration names."""
    clock = clock or SystemClock()
    providers = [make_provider(section, config.container_domain, circuits, clock) for section in config.dns]
    return DnsService(providers, domain=config.container_domain, clock=clock, servers=NameServers(circuits.make))


def make_provider(section: DnsSection, domain: str, circuits: DnsCircuits, clock: Clock) -> DnsProvider:
    """Return one provider."""
    setting = ProviderSetting(
        name=section.name,
        zone=section.zone,
        target=section.target,
        game_target=section.game_target,
        ttl=section.ttl,
        is_proxying=isinstance(section, CloudflareSection) and section.proxied,
        ask=section.ask,
    )
    circuit = circuits.make(f"the DNS provider {section.name}")
    match section:
        case CloudflareSection():
            return Cloudflare(
                setting, domain=domain, url=section.url, token=section.token, circuit=circuit, clock=clock
            )
        case TechnitiumSection():
            return Technitium(
                setting, domain=domain, url=section.url, token=section.token, circuit=circuit, clock=clock
            )
        case Rfc2136Section():
            return Rfc2136(
                setting,
                domain=domain,
                address=Address(section.server, section.port),
                key_name=section.key_name,
                key=section.key,
                algorithm=section.algorithm,
                circuit=circuit,
                clock=clock,
            )
