"""All DNS providers of this installation, as the reconciler and the patrol use them.

Each is written, asked and looked at by itself: one that is away keeps nothing from the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zlh_api.dns.diff import diff_records
from zlh_api.dns.model import FoundRecord, Record, ServicePort, Whose
from zlh_api.dns.name_servers import NameServers
from zlh_api.dns.port import Check, DnsNotAnswering, DnsProvider, RecordForeign, RecordsChanged, RecordsNotWritten
from zlh_api.dns.rules import Wanted, render_records, whose_records
from zlh_common.clock import Clock
from zlh_common.names import HostName, OwnerMark, parse_record_name

# How often it is looked anew where what was found is not so any more, or is not yet what was written.
MOST_LOOKS = 4
# A secondary may be behind its primary for a moment.
PATIENCE_S = 10.0
ASK_AGAIN_S = 0.5


class DnsService:
    """Makes records so, and tells whether they are."""

    def __init__(
        self,
        providers: Sequence[DnsProvider] = (),
        *,
        domain: str = "localhost",
        clock: Clock | None = None,
        servers: NameServers | None = None,
        patience_s: float = PATIENCE_S,
        has_services: bool = True,
    ) -> None:
        self._providers = {provider.setting.name: provider for provider in providers}
        self._domain = domain
        self._clock = clock
        self._servers = servers
        self._patience_s = patience_s
        # Whether the ports of services are told.
        self._has_services = has_services

    @property
    def providers(self) -> tuple[DnsProvider, ...]:
        """Every one that is configured."""
        return tuple(self._providers.values())

    async def close(self) -> None:
        """Close every connection."""
        for provider in self.providers:
            await provider.close()

    def want(self, host: HostName, ports: Iterable[int], services: Iterable[ServicePort] = ()) -> Wanted:
        """Return which records a container should have at each provider."""
        published, told = tuple(ports), tuple(services) if self._has_services else ()
        return {
            provider.setting.name: render_records(host, published, provider.setting, domain=self._domain, services=told)
            for provider in self.providers
        }

    def know(self, owner: OwnerMark, host: HostName, names: Iterable[str]) -> Whose:
        """Return a container as providers know it, with all names that it may have records at."""
        return whose_records(owner, host, domain=self._domain, names=names)

    def parse(self, name: str) -> HostName | None:
        """Return whose name this is, or None where it is no container's."""
        return parse_record_name(name, self._domain)

    async def write(self, provider: str, whose: Whose, wanted: Sequence[Record], check: Check) -> None:
        """Make these the records of a container, all of them and no others, and read them back.

        What somebody else's record does not bar is written; then RecordForeign is raised. So are SystemAway,
        RecordsNotWritten, and what the provider refuses.
        """
        held, reason = self._providers[provider], "they are not there"
        for _look in range(MOST_LOOKS):
            changes = diff_records(whose, wanted, await held.find(whose))
            if changes.is_empty:
                if changes.conflicts:
                    raise _foreign(provider, changes.conflicts[0])
                return
            try:
                await held.apply(whose, changes, check)
            except RecordsChanged as exc:
                reason = str(exc)
        raise RecordsNotWritten(provider=provider, reason=reason)

    async def withdraw(self, provider: str, whose: Whose, check: Check) -> None:
        """Take away what is ours at the names of a container, and see that it is gone."""
        await self.write(provider, whose, (), check)

    async def wait_answered(self, whose: Whose, wanted: Wanted) -> None:
        """Return once every provider's names are answered as they are wanted; raise DnsNotAnswering, SystemAway."""
        assert self._clock is not None
        give_up_at = self._clock.monotonic() + self._patience_s
        for name, records in wanted.items():
            while (wrong := await self._find_wrong(name, whose, records)) is not None:
                if self._clock.monotonic() >= give_up_at:
                    raise wrong
                await self._clock.sleep(ASK_AGAIN_S)

    async def _find_wrong(self, provider: str, whose: Whose, wanted: Sequence[Record]) -> DnsNotAnswering | None:
        held = self._providers[provider]
        if not held.setting.ask or self._servers is None:
            changes = diff_records(whose, wanted, await held.find(whose))
            found = changes.conflicts or changes.deleted or tuple(each for each, _ in changes.changed)
            names = sorted(changes.touched | {record.host for record in found})
            reason = "its records are not those that were written"
            return DnsNotAnswering(provider=provider, name=names[0], reason=reason) if names else None
        return await self.find_unanswered(provider, wanted)

    async def find_unanswered(self, provider: str, wanted: Sequence[Record]) -> DnsNotAnswering | None:
        """Return what one of a provider's name servers does not answer as it should, or None; raise SystemAway."""
        assert self._servers is not None
        for server in self._providers[provider].setting.ask:
            wrong = await self._servers.find_wrong(server, wanted)
            if wrong is not None:
                return wrong
        return None


def _foreign(provider: str, record: FoundRecord) -> RecordForeign:
    what = f"{record.type} {record.content}".strip()
    return RecordForeign(provider=provider, name=record.name, what=what[:200])
