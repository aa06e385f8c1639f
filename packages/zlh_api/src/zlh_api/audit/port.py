"""What the audit asks of whoever holds DNS records."""

from __future__ import annotations

from typing import Protocol

from zlh_api.dns.model import FoundRecord, ProviderSetting


class RecordInventory(Protocol):
    """Whatever can list the records of our zone: one DNS provider."""

    @property
    def setting(self) -> ProviderSetting:
        """By whose name it is told of."""
        ...

    @property
    def survey_every_s(self) -> float:
        """How often at most it may be asked for everything, by what that costs it."""
        ...

    async def survey(self) -> list[FoundRecord]:
        """Return every record below our domain, strangers included, in few calls; raise SystemAway."""
        ...
