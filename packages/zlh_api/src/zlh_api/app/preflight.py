"""What the look at a cluster is made of; it runs beside the API, or before there is one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zlh_api.app.driver import proxmox_settings
from zlh_api.circuit import Circuit
from zlh_api.config.driver_tables import ProxmoxDriverSection
from zlh_api.config.model import ApiConfig
from zlh_api.drivers.proxmox.client import ProxmoxClient
from zlh_api.drivers.proxmox.guest_files import NodeShell
from zlh_api.drivers.proxmox.preflight import Preflight
from zlh_api.drivers.proxmox.preflight_rules import Wish
from zlh_common.clock import SystemClock
from zlh_common.errors import ConfigInvalid


@asynccontextmanager
async def open_preflight(config: ApiConfig) -> AsyncIterator[Preflight]:
    """Make it; raise ConfigInvalid where another driver is configured."""
    section = config.driver_section
    if not isinstance(section, ProxmoxDriverSection):
        raise ConfigInvalid(source="driver", problems=[f"it is {config.driver!r}, and there is no cluster to look at"])
    settings = proxmox_settings(section, config.artifacts)
    client = ProxmoxClient(settings.access, Circuit("Proxmox", clock=SystemClock()))
    try:
        yield Preflight(client, NodeShell(settings.shell), make_wish(section), url=section.url)
    finally:
        await client.close()


def make_wish(section: ProxmoxDriverSection) -> Wish:
    """Return what the configuration asks of the cluster."""
    return Wish(
        token_id=section.token_id,
        template=section.template,
        storage=section.storage,
        bridge=section.bridge,
        vlan=section.vlan,
        pool=section.pool,
        nodes=section.nodes,
        address_block=section.address_block,
    )
