"""How many containers are how, in the very words of their reports: counted for all customers together.

What a container counts as follows from its row and its steps, so it is looked at again only where those have changed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import structlog

from zlh_api.containers import store
from zlh_api.containers.model import Container, Guest
from zlh_api.containers.status import decide_lifecycle, find_degradations, find_error, is_ready
from zlh_api.database.pool import Database
from zlh_common.clock import Clock
from zlh_common.errors import InvalidBody
from zlh_common.names import Kind, OwnerMark
from zlh_common.schema.status import Connection, Lifecycle, StepState

log = structlog.get_logger()
# Whoever asks within this time is told what was counted for the one before.
GOOD_FOR_S = 10.0
# Everything is read anew this often: a database that was restored counts its versions again from where the copy was.
ANEW_S = 600.0
# So many rows are read in one go, between which others have their turn.
BATCH = 50
# More than there are.
MOST_CONTAINERS = 1_000_000
# Reasons and codes are words of ours; more of them than this would be a fault of ours.
MOST_WORDS, OTHER = 64, "other"


@dataclass(frozen=True, slots=True)
class Census:
    """All containers, counted."""

    # Of each kind, every lifecycle, also those that no container has.
    lifecycles: Mapping[tuple[Kind, Lifecycle], int]
    ready: int
    # By reason; one container may have several.
    degraded: Mapping[str, int]
    # By the code of a step of ours that has failed and is tried again.
    failing: Mapping[str, int]
    # Whose agent should be connected, and of these, whose is.
    agents_expected: int
    agents_connected: int
    # When the certificate of an agent that runs ends first.
    identity_ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Counted:
    kind: Kind
    lifecycle: Lifecycle
    is_ready: bool
    degraded: tuple[str, ...]
    failing: frozenset[str]
    is_agent_expected: bool
    is_agent_connected: bool
    identity_ends_at: datetime | None


class CensusService:
    """Counts on demand, at most so often."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._counting = asyncio.Lock()
        # By the version of its row that grows with what a person could see: who merely works on it makes no other.
        self._known: dict[OwnerMark, tuple[int, _Counted]] = {}
        self._known_since = clock.monotonic()
        self._last: tuple[float, Census] | None = None

    async def count(self) -> Census:
        """Return how it stands, as of a few seconds ago at most; raise DatabaseUnavailable."""
        async with self._counting:
            now = self._clock.monotonic()
            if self._last is None or now - self._last[0] > GOOD_FOR_S:
                await self._look()
                self._last = (now, _add_up(counted for _version, counted in self._known.values()))
            return self._last[1]

    async def _look(self) -> None:
        if self._clock.monotonic() - self._known_since > ANEW_S:
            self._known, self._known_since = {}, self._clock.monotonic()
        async with self._database.connection() as connection:
            rows = await store.fetch_page(connection, customers=None, after=0, limit=MOST_CONTAINERS)
        versions = {owner: version >> 32 for owner, _vmid, version in rows}
        for gone in self._known.keys() - versions.keys():
            del self._known[gone]
        changed = [owner for owner, version in versions.items() if self._known.get(owner, (None,))[0] != version]
        for start in range(0, len(changed), BATCH):
            for each in await self._read(changed[start : start + BATCH]):
                self._known[each.owner] = (each.row_version, _count(each))
            await asyncio.sleep(0)

    async def _read(self, owners: Sequence[OwnerMark]) -> list[Container]:
        """Return containers; a row that another version wrote, and that cannot be read, costs no other its place."""
        try:
            async with self._database.connection() as connection:
                return await store.find_by_owners(connection, owners)
        except (InvalidBody, msgspec.MsgspecError) as exc:
            if len(owners) == 1:
                log.warning("census.row_unreadable", owner=owners[0], error=str(exc))
                return []
        return [container for owner in owners for container in await self._read([owner])]


def _count(container: Container) -> _Counted:
    error = find_error(container)
    runs = container.guest is Guest.RUNNING
    is_expected = runs and container.is_meant_to_run and not container.is_deleting
    failed = (step.code for step in container.steps if step.state is StepState.FAILED)
    return _Counted(
        kind=container.kind,
        lifecycle=decide_lifecycle(container, error),
        is_ready=is_ready(container, error),
        degraded=find_degradations(container),
        failing=frozenset(code for code in failed if code is not None),
        is_agent_expected=is_expected,
        is_agent_connected=is_expected and container.connection is Connection.ONLINE,
        identity_ends_at=container.identity_expires_at if runs else None,
    )


def _add_up(all_counted: Iterable[_Counted]) -> Census:
    everybody = list(all_counted)
    kinds: tuple[Kind, ...] = ("dev", "game")
    none = {(kind, lifecycle): 0 for kind in kinds for lifecycle in Lifecycle}
    ends = (each.identity_ends_at for each in everybody)
    return Census(
        lifecycles=none | Counter((each.kind, each.lifecycle) for each in everybody),
        ready=sum(each.is_ready for each in everybody),
        degraded=_bounded(Counter(reason for each in everybody for reason in set(each.degraded))),
        failing=_bounded(Counter(code for each in everybody for code in each.failing)),
        agents_expected=sum(each.is_agent_expected for each in everybody),
        agents_connected=sum(each.is_agent_connected for each in everybody),
        identity_ends_at=min((end for end in ends if end is not None), default=None),
    )


def _bounded(counts: Counter[str]) -> dict[str, int]:
    """Return the most frequent words, with all others as one."""
    shown = dict(counts.most_common(MOST_WORDS))
    rest = counts.total() - sum(shown.values())
    return {**shown, OTHER: rest} if rest else shown
