"""Which DNS providers there are, and what the configuration tells them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zlh_api.app.settings import has_services
from zlh_api.circuit import Circuits
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
from zlh_common.clock import Clock


@asynccontextmanager
async def open_dns(config: ApiConfig, circuits: Circuits, clock: Clock) -> AsyncIterator[DnsService]:
    """Give all providers that the configuration names, and let go of their connections at the end."""
    domain = config.container_domain
    providers = [make_provider(section, domain, circuits, clock) for section in config.dns]
    servers = NameServers(circuits.make)
    dns = DnsService(providers, domain=domain, clock=clock, servers=servers, has_services=has_services(config))
    try:
        yield dns
    finally:
        await dns.close()


def make_provider(section: DnsSection, domain: str, circuits: Circuits, clock: Clock) -> DnsProvider:
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
