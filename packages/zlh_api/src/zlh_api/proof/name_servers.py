"""The links that stand for DNS: whether the name servers of each provider still answer with a container's records."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from zlh_api.containers import store as containers
from zlh_api.containers.model import Container
from zlh_api.containers.wanted_records import want_records
from zlh_api.database.pool import Database
from zlh_api.dns.service import DnsService
from zlh_api.drivers.port import SystemAway
from zlh_api.proof.model import DNS, LinkSeen, Provable
from zlh_api.proof.rules import RECORDS_FAULT
from zlh_common.names import OwnerMark

# Of how many containers the names are asked for at a time.
AT_ONCE = 8


class NameServerLinks:
    """One link for each provider whose name servers are known; of the others the patrol reads the records."""

    def __init__(self, database: Database, dns: DnsService) -> None:
        self._database = database
        self._dns = dns
        self._names = tuple(each.setting.name for each in dns.providers if each.setting.ask)

    @property
    def links(self) -> tuple[str, ...]:
        """`dns:<provider>` of each."""
        return tuple(f"{DNS}{name}" for name in self._names)

    async def look(self, rows: Sequence[Provable], /) -> Mapping[OwnerMark, tuple[LinkSeen, ...]]:
        """Return what is seen of each container that is not being worked on; raise DatabaseUnavailable.

        Of a provider whose name servers do not answer at all nothing is told: that is no fault of a container.
        """
        settled = [row.owner for row in rows if not row.is_in_work]
        if not self._names or not settled:
            return {}
        async with self._database.connection() as connection:
            found = await containers.find_by_owners(connection, settled)
        places = asyncio.Semaphore(AT_ONCE)

        async def look_at(container: Container) -> tuple[LinkSeen, ...]:
            async with places:
                return await self._look_at(container)

        # Until they were seen to be answered once, it is the reconciler who waits for them.
        answered = [container for container in found if container.records_answered is not None]
        seen = await asyncio.gather(*map(look_at, answered))
        return {container.owner: links for container, links in zip(answered, seen, strict=True)}

    async def _look_at(self, container: Container) -> tuple[LinkSeen, ...]:
        wanted = want_records(self._dns, container)
        seen = []
        for name in self._names:
            try:
                wrong = await self._dns.find_unanswered(name, wanted[name])
            except SystemAway:
                continue
            message = wrong.detail if wrong is not None else None
            seen.append(LinkSeen(f"{DNS}{name}", wrong is None, RECORDS_FAULT if wrong is not None else None, message))
        return tuple(seen)
