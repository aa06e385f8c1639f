"""What is asked of a DNS provider, and what can be wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from zlh_api.dns.model import Changes, FoundRecord, ProviderSetting, Whose
from zlh_common.errors import ZlhError


class RecordForeign(ZlhError):
    """A record that is not ours is at a name that we need."""

    code, status = "record_foreign", 409

    def __init__(self, *, provider: str, name: str, what: str) -> None:
        super().__init__(
            f"The DNS provider {provider} has a record {name} {what} without our mark; it is left alone. Remove it.",
            provider=provider,
            name=name,
        )


class RecordsNotWritten(ZlhError):
    """A provider takes changes and does not have them."""

    code, status, retryable = "records_not_written", 502, True

    def __init__(self, *, provider: str, reason: str) -> None:
        super().__init__(f"The DNS provider {provider} does not have the records that it was given: {reason}.")


class DnsRefused(ZlhError):
    """A provider refuses what it is asked."""

    code, status, retryable = "dns_refused", 502, True

    def __init__(self, *, provider: str, reason: str) -> None:
        super().__init__(f"The DNS provider {provider} refuses: {reason}.")


class DnsCredentialsRefused(ZlhError):
    """A provider does not take our token or key."""

    code, status, retryable = "dns_credentials_refused", 502, True

    def __init__(self, *, provider: str, reason: str) -> None:
        super().__init__(
            f"The DNS provider {provider} does not take the platform's token or key ({reason}). "
            "Whoever runs the platform must make another one, or give it the rights that it lacks.",
            provider=provider,
        )


class DnsSecretUnusable(ZlhError):
    """The file with the token or key of a provider cannot be used."""

    code, status, retryable = "dns_secret_unusable", 500, True

    def __init__(self, *, provider: str, reason: str) -> None:
        super().__init__(f"The token or key of the DNS provider {provider} cannot be used: {reason}.")


class DnsNotAnswering(ZlhError):
    """A name is not answered as it should be."""

    code, status, retryable = "dns_not_answering", 502, True

    def __init__(self, *, provider: str, name: str, reason: str) -> None:
        super().__init__(f"The name {name} is not answered as it should be by {provider}: {reason}.", name=name)


class RecordsChanged(Exception):
    """What was found is not there any more: somebody was faster, so it has to be looked at again."""


# Raises where whoever asked may do it no more.
Check = Callable[[], None]


class DnsProvider(Protocol):
    """A place that holds records of one zone. No call changes a record without our mark."""

    @property
    def setting(self) -> ProviderSetting:
        """What it is told to lead where."""
        ...

    @property
    def survey_every_s(self) -> float:
        """How often at most it may be asked for everything, by what that costs it."""
        ...

    async def close(self) -> None:
        """Let go of what it keeps open."""
        ...

    async def find(self, whose: Whose) -> list[FoundRecord]:
        """Return every record at the names of a container, strangers included; raise SystemAway or what it refuses."""
        ...

    async def apply(self, whose: Whose, changes: Changes, check: Check) -> None:
        """Make these changes, each write directly preceded by `check`; raise RecordsChanged to be told anew."""
        ...

    async def survey(self) -> list[FoundRecord]:
        """Return every record of the zone that says where a name leads or carries a mark of ours; raise SystemAway."""
        ...
