"""What the audit asks of a provider of DNS records; none is configured yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from zlh_common.names import OwnerMark


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """One record of a survey; without an owner it carries no mark of ours."""

    # The full name, without a trailing dot.
    name: str
    owner: OwnerMark | None
    # Where it is, for people: a provider, a zone.
    where: str


class RecordInventory(Protocol):
    """Whatever can list the records of our zone."""

    async def survey(self) -> list[FoundRecord]:
        """Return every record below our domain, strangers included, in few calls; raise SystemAway."""
        ...
