"""How the proxy is reached: its directory of route files, and its own API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from zlh_api.circuit import Circuits
from zlh_api.config.model import ApiConfig
from zlh_api.edge.kept_directory import KeptDirectory
from zlh_api.edge.local_directory import LocalRouteDirectory
from zlh_api.edge.sftp_connection import SftpAccess, SftpConnection
from zlh_api.edge.sftp_directory import SftpRouteDirectory
from zlh_api.edge.traefik import Traefik, read_api_trust


@asynccontextmanager
async def open_directory(config: ApiConfig, circuits: Circuits) -> AsyncIterator[KeptDirectory]:
    """Give the directory that the configuration names, and let go of its connection at the end."""
    section = config.traefik
    if section.sftp is None:
        yield LocalRouteDirectory(section.directory, section.quarantine_folder)
        return
    sftp = section.sftp
    access = SftpAccess(sftp.host, sftp.port, sftp.user, sftp.key, sftp.known_hosts)
    # A directory of this machine is never away.
    connection = SftpConnection(access, circuits.make("the proxy's machine"))
    try:
        yield SftpRouteDirectory(connection, section.directory, section.quarantine_folder)
    finally:
        await connection.close()


@asynccontextmanager
async def open_traefik(config: ApiConfig) -> AsyncIterator[Traefik]:
    """Give the proxy itself; raise ConfigInvalid where its certificates or credentials cannot be read."""
    section = config.traefik
    trust = await asyncio.to_thread(read_api_trust, section.api_ca, section.api_credentials)
    traefik = Traefik(api_url=section.api_url, web_url=section.web_url, ca=_public_ca(config), trust=trust)
    async with traefik:
        yield traefik


def _public_ca(config: ApiConfig) -> Path | None:
    """Return what public certificates are checked by, where that is not what this system trusts."""
    return config.traefik.tls.ca if config.traefik.tls is not None else None
