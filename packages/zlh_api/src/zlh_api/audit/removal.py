"""Takes away what carries the mark of a deleted container, one mark at a time and under a claim."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from zlh_api.audit import tombstones
from zlh_api.audit.warrant import DepartedWarrant
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.dns.model import FoundRecord
from zlh_api.dns.service import DnsService
from zlh_api.drivers.port import ContainerDriver, FoundGuest, GuestPlan
from zlh_api.edge.port import FoundRoute, RouteDirectory
from zlh_api.reconcile.model import LeaseLost
from zlh_api.reconcile.pace import LEASE_S
from zlh_api.reconcile.warrant import boottime
from zlh_common.names import HostName, OwnerMark
from zlh_common.schema.resources import Resources

log = structlog.get_logger()
RENEW_S = LEASE_S / 3
# Volumes are wiped, and others wait for the same disks.
LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Remains:
    """What was seen of one mark."""

    owner: OwnerMark
    guests: tuple[FoundGuest, ...]
    routes: tuple[FoundRoute, ...]
    # Each with the name of its provider.
    records: tuple[tuple[str, FoundRecord], ...] = ()


def collect(
    owner: OwnerMark,
    guests: Iterable[FoundGuest],
    routes: Iterable[FoundRoute],
    records: Iterable[tuple[str, FoundRecord]] = (),
) -> Remains:
    """Return what carries exactly this mark."""
    return Remains(
        owner,
        tuple(guest for guest in guests if guest.owner == owner),
        tuple(file for file in routes if file.owner == owner),
        tuple((provider, record) for provider, record in records if record.owner == owner),
    )


@dataclass(frozen=True, slots=True)
class Remover:
    """Removes through driver, directory and DNS providers, which all look at the mark once more."""

    database: Database
    driver: ContainerDriver
    routes: RouteDirectory
    dns: DnsService = field(default_factory=DnsService)

    async def remove(self, remains: Remains) -> bool:
        """Take all of it away; False where another does. Raises LeaseLost, or the error of whoever refuses."""
        asked_at = boottime()
        async with self.database.connection() as connection:
            tombstone = await tombstones.claim(connection, remains.owner)
        if tombstone is None:
            return False
        warrant = DepartedWarrant(self.database, tombstone.claim, asked_at=asked_at)
        try:
            await self._remove_renewed(remains, tombstone, warrant)
        finally:
            await asyncio.shield(self._give_back(warrant))
        return True

    async def _remove_renewed(
        self, remains: Remains, tombstone: tombstones.Tombstone, warrant: DepartedWarrant
    ) -> None:
        renewal = asyncio.create_task(_renew_for_ever(warrant))
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._remove_routes(remains.routes, warrant)
                await self._remove_guests(remains.guests, tombstone, warrant)
                await self._remove_records(remains.records, warrant)
        finally:
            renewal.cancel()
            # Its own failure is found by the next check of the warrant.
            await asyncio.gather(renewal, return_exceptions=True)

    async def _remove_routes(self, files: Sequence[FoundRoute], warrant: DepartedWarrant) -> None:
        for file in files:
            warrant.check()
            await self.routes.withdraw(file.name, warrant.claim.owner, check=warrant.check)
            log.info("audit.route_removed", owner=warrant.claim.owner, file=file.name)

    async def _remove_guests(
        self, guests: Sequence[FoundGuest], tombstone: tombstones.Tombstone, warrant: DepartedWarrant
    ) -> None:
        for guest in guests:
            plan = GuestPlan(
                owner=tombstone.claim.owner,
                # What is half-made has no number yet, and is known by its mark.
                vmid=guest.vmid if guest.vmid is not None else tombstone.claim.vmid,
                kind=tombstone.kind,
                address=None,
                resources=Resources(),
                notes=tombstone.notes,
            )
            await self.driver.ensure_destroyed(plan, warrant)
            log.info("audit.guest_removed", owner=plan.owner, vmid=plan.vmid, where=guest.where)

    async def _remove_records(self, records: Sequence[tuple[str, FoundRecord]], warrant: DepartedWarrant) -> None:
        """Take away what is at names of containers; whatever else carries the mark stays."""
        owner, names = warrant.claim.owner, defaultdict[tuple[str, HostName], set[str]](set)
        for provider, record in records:
            host = self.dns.parse(record.host)
            if host is not None:
                names[provider, replace(host, port=None)].add(record.host)
        for (provider, host), seen in names.items():
            await self.dns.withdraw(provider, self.dns.know(owner, host, seen), warrant.check)
            log.info("audit.records_removed", owner=owner, provider=provider, names=sorted(seen))

    async def _give_back(self, warrant: DepartedWarrant) -> None:
        try:
            async with self.database.connection() as connection:
                await tombstones.release(connection, warrant.claim)
        except (LeaseLost, DatabaseUnavailable):
            # Lost, or left to run out.
            return


async def _renew_for_ever(warrant: DepartedWarrant) -> None:
    while True:
        await asyncio.sleep(RENEW_S)
        await warrant.renew()
