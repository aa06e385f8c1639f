"""Which driver there is, and what the configuration tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from zlh_api.circuit import Circuits
from zlh_api.config.driver_tables import LxcDriverSection, ProcessDriverSection, ProxmoxDriverSection
from zlh_api.config.model import ApiConfig
from zlh_api.config.tables import ArtifactsSection
from zlh_api.drivers.agent_config import AgentSettings
from zlh_api.drivers.lxc.driver import LxcDriver
from zlh_api.drivers.lxc.model import LxcSettings
from zlh_api.drivers.port import ContainerDriver
from zlh_api.drivers.process import ProcessDriver
from zlh_api.drivers.proxmox.client import Access
from zlh_api.drivers.proxmox.driver import ProxmoxDriver, ProxmoxSettings
from zlh_api.drivers.proxmox.guest_files import ShellAccess
from zlh_api.drivers.proxmox.making import Recipe
from zlh_api.drivers.proxmox.network_rule import Surroundings


@asynccontextmanager
async def open_driver(config: ApiConfig, circuits: Circuits) -> AsyncIterator[ContainerDriver]:
    """Give the driver that the configuration names, and let go of its connections at the end."""
    driver = await asyncio.to_thread(make_driver, config, circuits)
    try:
        yield driver
    finally:
        await driver.close()


def make_driver(config: ApiConfig, circuits: Circuits) -> ContainerDriver:
    """Return the driver that the configuration names; nothing is dialled. Files are read."""
    settings = agent_settings(config)
    section = config.driver_section
    match section:
        case ProcessDriverSection():
            return ProcessDriver(root=section.root, settings=settings)
        case LxcDriverSection():
            return LxcDriver(_lxc_settings(section, config.artifacts), settings)
        case ProxmoxDriverSection():
            # The only one with a system behind it that may be away.
            circuit = circuits.make("Proxmox")
            return ProxmoxDriver(proxmox_settings(section, config.artifacts), settings, circuit)


def agent_settings(config: ApiConfig) -> AgentSettings:
    """Return what every driver writes for its agents."""
    return AgentSettings(
        artifacts_url=config.artifacts.url,
        port=config.agent_port,
        channels=config.channels,
        log_level=config.log_level,
        artifacts_mirrors=config.artifacts.mirrors,
        private_origins=config.artifacts.private_origins,
    )


def proxmox_settings(section: ProxmoxDriverSection, artifacts: ArtifactsSection) -> ProxmoxSettings:
    """Return what the configuration tells of the cluster."""
    shell = section.ssh
    return ProxmoxSettings(
        access=Access(
            section.url, section.token_id, section.token_file, ca=section.ca, fingerprint=section.fingerprint
        ),
        shell=ShellAccess(shell.user, shell.key, shell.known_hosts, shell.port, shell.hosts),
        recipe=Recipe(section.template, section.storage, section.nodes, section.pool, section.tags),
        surroundings=Surroundings(
            bridge=section.bridge,
            prefix=section.prefix or int(section.address_block.rpartition("/")[2]),
            gateway=section.gateway,
            allowed_from=section.allowed_from,
            artifact_servers=section.artifact_servers,
            artifact_port=_port_of(artifacts.url),
            private_places=private_places(artifacts),
            name_servers=section.name_servers,
            egress=section.egress,
            vlan=section.vlan,
        ),
    )


def _lxc_settings(section: LxcDriverSection, artifacts: ArtifactsSection) -> LxcSettings:
    is_here = urlsplit(artifacts.url).hostname == section.gateway
    return LxcSettings(
        root=section.root,
        template=section.template,
        bridge=section.bridge,
        block=section.block,
        storage=section.storage,
        disk=section.disk,
        egress=section.egress,
        nameservers=section.nameservers,
        artifacts_port=_port_of(artifacts.url) if is_here else None,
        private_places=private_places(artifacts),
        apparmor=section.apparmor,
        first_id=section.first_id,
    )


def private_places(artifacts: ArtifactsSection) -> tuple[tuple[str, int], ...]:
    """Return addresses and ports of a private network that containers may reach for files."""
    origins = artifacts.private_origins
    return tuple(sorted({(urlsplit(origin).hostname or "", _port_of(origin)) for origin in origins}))


def _port_of(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)
