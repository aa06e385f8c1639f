"""What can be wished of the ports of a container, and that they end in time."""

from __future__ import annotations

from uuid import UUID, uuid4

import msgspec
import structlog

from zlh_api.containers import store as containers
from zlh_api.containers.model import Container, Published
from zlh_api.containers.service import ContainerService, Hosting
from zlh_api.containers.status import listening_ports
from zlh_api.database.pool import Database
from zlh_api.exposures import store
from zlh_api.history import store as history
from zlh_api.quotas.rules import Usage
from zlh_api.quotas.service import QuotaService
from zlh_common.errors import NotFound, ZlhError
from zlh_common.names import HostName
from zlh_common.schema.ports import SeenPort, SeenPorts, family_of
from zlh_common.schema.spec import CreateExposure, Exposure

log = structlog.get_logger()
# So many containers are seen to in one go.
MOST_EXPIRED = 100


class PortReserved(ZlhError):
    """The port is the platform's own."""

    code, status = "port_reserved", 422

    def __init__(self, port: int, kept_for: str) -> None:
        super().__init__(
            f"Port {port} is kept for {kept_for}, so nobody publishes it. "
            "Let your server listen on another port and publish that.",
            port=port,
        )


class AddonPort(ZlhError):
    """A port is published as that of an addon, for as long as the container has that."""

    code, status = "addon_port", 409

    def __init__(self, addon: str, port: int) -> None:
        super().__init__(
            f"Port {port} is that of {addon}, and published for as long as the container has it. "
            "Remove the addon to take it back.",
            addon=addon,
            port=port,
        )


class ExposureService:
    """Reads and writes wishes about ports."""

    def __init__(
        self, database: Database, containers: ContainerService, quotas: QuotaService, hosting: Hosting
    ) -> None:
        self._database = database
        self._containers = containers
        self._quotas = quotas
        self._hosting = hosting

    async def publish(
        self, container: Container, wish: CreateExposure, *, published_by: UUID | None = None
    ) -> Exposure:
        """Publish a port in the name of a user, or change how it is published.

        Raise PortReserved, NotFound, BeingDeleted, CustomerSuspended, QuotaExceeded.
        """
        if (kept_for := self._hosting.reserved_ports.get(wish.port)) is not None:
            raise PortReserved(wish.port, kept_for)
        async with self._containers.adding(container) as (connection, held):
            if not await store.is_published(connection, container.owner, wish.port):
                await self._quotas.ensure_room(connection, held, Usage(exposures=1))
            exposure_id = await store.insert_exposure(
                connection,
                exposure_id=uuid4(),
                owner=container.owner,
                port=wish.port,
                visibility=wish.visibility,
                expires_at=await store.time_in(connection, wish.expires_in_s),
                kind=wish.kind,
                published_by=published_by,
            )
            current = await containers.find_by_owner(connection, container.owner)
        assert current is not None
        return next(entry for entry in self._render_all(current) if entry.id == str(exposure_id))

    async def fetch_all(self, container: Container) -> list[Exposure]:
        """Return the published ports; the first one also answers on the container's own host."""
        return self._render_all(await self._containers.find(container.vmid))

    async def fetch_ports(self, container: Container) -> SeenPorts:
        """Return what the container's programs listen on, each with its exposure where it is published."""
        current = await self._containers.find(container.vmid)
        published = {exposure.port: exposure for exposure in self._render_all(current)}
        return SeenPorts(
            ports=tuple(
                SeenPort(
                    **msgspec.structs.asdict(port),
                    family=family_of(port.addresses),
                    address=next(iter(port.addresses), ""),
                    exposure=published.get(port.port),
                )
                for port in listening_ports(current)
            )
        )

    async def unpublish(self, container: Container, exposure_id: UUID) -> int:
        """Take a port back and return its number; raise NotFound where there is no such exposure, or AddonPort."""
        async with self._database.transaction() as connection:
            await store.hold(connection, container.owner)
            if (found := await store.find_addon(connection, container.owner, exposure_id)) is not None:
                raise AddonPort(*found)
            port = await store.delete_exposure(connection, container.owner, exposure_id)
            if port is None:
                raise NotFound("exposure")
            return port

    async def seconds_to_expiry(self) -> float | None:
        """Return in how long the next port ends by itself; None where none does."""
        async with self._database.connection() as connection:
            return await store.seconds_to_expiry(connection)

    async def end_expired(self) -> None:
        """Take back what has reached its end, which wakes those who take it out of the proxy."""
        async with self._database.connection() as connection:
            owners = await store.find_expired(connection, limit=MOST_EXPIRED)
        for owner in owners:
            async with self._database.transaction() as connection:
                ports = await store.delete_expired(connection, owner)
                for port in ports:
                    # It is nobody's act, so no log has it, and somebody misses the port.
                    await history.insert_own(
                        connection,
                        owner,
                        kind="port.expired",
                        subject=f"port:{port}",
                        message=f"Port {port} was published until now. Publish it again if it is still needed.",
                        data={"port": port},
                    )
            if ports:
                log.info("ports.expired", owner=owner, ports=ports)

    def _render_all(self, container: Container) -> list[Exposure]:
        return [self._render(container, entry, index == 0) for index, entry in enumerate(container.exposures)]

    def _render(self, container: Container, entry: Published, is_default: bool) -> Exposure:
        host = HostName(container.kind, container.vmid, entry.port)
        return Exposure(
            id=str(entry.id),
            port=entry.port,
            visibility=entry.visibility,
            kind=entry.kind,
            url=self._hosting.url(host),
            expires_at=entry.expires_at,
            published_by=str(entry.published_by) if entry.published_by is not None else None,
            default=is_default,
            addon=entry.addon,
        )
