"""By which certificate each agent is known, and what agents were caught at: both stand in their containers' rows.

A certificate of the right name is not enough: whoever has copied an agent's key has one, until the agent has another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from zlh_api.database.pool import Database
from zlh_common.names import OwnerMark

# What an agent can be caught at, as people are shown it.
REDIRECTS, SHOWS_ANOTHER = "agent_redirects", "agent_identity_unknown"

_FIND = "select identity_known, identity_wanted from containers where owner = $1"
_FIND_ALL = "select owner, identity_known, identity_wanted from containers where owner = any($1)"
_NOTE = """
update containers set agent_faults = array_append(agent_faults, $2::text)
where owner = $1 and not agent_faults @> array[$2::text]
"""
# SHA-256 of certificates; None for all that carry the name.
Pins = frozenset[bytes] | None


class PinBook(Protocol):
    """Where it is written down."""

    async def fetch(self, owner: OwnerMark) -> Pins:
        """Return what one agent may show; raise DatabaseUnavailable."""
        ...

    async def fetch_all(self, owners: Sequence[OwnerMark]) -> dict[OwnerMark, Pins]:
        """Return the same of many; raise DatabaseUnavailable."""
        ...

    async def note_fault(self, owner: OwnerMark, fault: str) -> None:
        """Write down what an agent was caught at; raise DatabaseUnavailable."""
        ...


class RowPins:
    """The rows of the containers; one that is gone has no agent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch(self, owner: OwnerMark) -> Pins:
        """Return what one agent may show; raise DatabaseUnavailable."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_FIND, UUID(owner))
        return frozenset() if row is None else _pins(row["identity_known"], row["identity_wanted"])

    async def fetch_all(self, owners: Sequence[OwnerMark]) -> dict[OwnerMark, Pins]:
        """Return the same of many; raise DatabaseUnavailable."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_FIND_ALL, [UUID(owner) for owner in owners])
        found = {OwnerMark(str(row["owner"])): _pins(row["identity_known"], row["identity_wanted"]) for row in rows}
        return {owner: found.get(owner, frozenset()) for owner in owners}

    async def note_fault(self, owner: OwnerMark, fault: str) -> None:
        """Write down what an agent was caught at; raise DatabaseUnavailable."""
        async with self._database.connection() as connection:
            await connection.execute(_NOTE, UUID(owner), fault)


def _pins(known: bytes | None, wanted: Sequence[bytes]) -> Pins:
    return None if known is None else frozenset({known, *wanted} - {b""})


class NoPins:
    """Every certificate of the right name will do, and nothing is written down: for tools that have no database."""

    async def fetch(self, _owner: OwnerMark) -> Pins:
        """Return what one agent may show."""
        return None

    async def fetch_all(self, owners: Sequence[OwnerMark]) -> dict[OwnerMark, Pins]:
        """Return the same of many."""
        return dict.fromkeys(owners)

    async def note_fault(self, owner: OwnerMark, fault: str) -> None:
        """Do nothing."""
