"""Where the proxy's directory lies, and what the configuration tells the parts that look after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zlh_api.circuit import Circuit
from zlh_api.config.model import ApiConfig
from zlh_api.edge.kept_directory import KeptDirectory
from zlh_api.edge.local_directory import LocalRouteDirectory
from zlh_api.edge.sftp_connection import SftpAccess, SftpConnection
from zlh_api.edge.sftp_directory import SftpRouteDirectory
from zlh_common.clock import Clock, SystemClock


def make_proxy_circuit(clock: Clock | None = None) -> Circuit:
    """Return what keeps calls from the proxy's machine while that is away; a directory of this one never is."""
    return Circuit("the proxy's machine", clock=clock or SystemClock())


@asynccontextmanager
async def open_directory(config: ApiConfig, circuit: Circuit) -> AsyncIterator[KeptDirectory]:
    """Give the directory that the configuration names, and let go of its connection at the end."""
    section = config.traefik
    if section.sftp is None:
        yield LocalRouteDirectory(section.directory, section.quarantine_folder)
        return
    sftp = section.sftp
    connection = SftpConnection(SftpAccess(sftp.host, sftp.port, sftp.user, sftp.key, sftp.known_hosts), circuit)
    try:
        yield SftpRouteDirectory(connection, section.directory, section.quarantine_folder)
    finally:
        await connection.close()
