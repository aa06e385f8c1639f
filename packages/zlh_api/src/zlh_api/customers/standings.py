"""How callers stand at this moment, many at a time: what is open is judged again by this."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from zlh_api.customers import standings_store as store
from zlh_api.customers.last_use import LastUse
from zlh_api.customers.model import Caller, Credential
from zlh_api.customers.user_store import to_caller
from zlh_api.database.pool import Database
from zlh_common.names import Vmid


@dataclass(frozen=True, slots=True)
class Known:
    """Whose a credential is."""

    caller: Caller
    # How long it is still good for; None where it has no end.
    lasts_s: float | None


@dataclass(frozen=True, slots=True)
class Standings:
    """What there was of all that was asked for; a credential that opens nothing any more is not in it."""

    people: Mapping[Credential, Known]
    containers: frozenset[Vmid]
    customers: frozenset[UUID]


class StandingsService:
    """Looks at the database through a pool of its own, so that no crowd of requests is waited for."""

    def __init__(self, database: Database, last_use: LastUse) -> None:
        self._database = database
        self._last_use = last_use

    async def look(
        self, credentials: Collection[Credential], vmids: Collection[Vmid], customers: Collection[UUID]
    ) -> Standings:
        """Return how these stand; however many they are, it costs two queries at most."""
        async with self._database.connection() as connection:
            rows = await store.find_users_by_credentials(connection, credentials)
            there: frozenset[int] = frozenset()
            existing: frozenset[UUID] = frozenset()
            if vmids or customers:
                there, existing = await store.find_existing(connection, vmids=vmids, customers=customers)
        people = {
            Credential(row["digest"], row["by_cookie"]): Known(
                to_caller(row, by_cookie=row["by_cookie"]), row["lasts_s"]
            )
            for row in rows
        }
        for known in people.values():
            # Whoever has a console open is using it.
            self._last_use.note(known.caller)
        return Standings(people, frozenset(map(Vmid, there)), existing)
