"""What people ask of roll-outs, and of the agents that there are: over HTTP and on the command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import structlog
from msgspec import UNSET

from zlh_api.catalog.service import CatalogNotLoaded
from zlh_api.database.pool import Connection, Database
from zlh_api.rollouts import store
from zlh_api.rollouts.exposition import render_rollout_metrics
from zlh_api.rollouts.model import Candidate, RolloutRow
from zlh_api.rollouts.refusals import (
    AgentNotOffered,
    CanaryUnsuitable,
    RolloutGoesBack,
    RolloutNotSoFar,
    RolloutSharesWrong,
)
from zlh_api.rollouts.wave_rules import (
    are_shares_rising,
    first_state,
    is_below,
    may_be_told,
    next_wave_at,
    plan_waves,
)
from zlh_common.errors import NotFound
from zlh_common.schema.agent_update import UPDATES_ITSELF
from zlh_common.schema.catalog import Offer
from zlh_common.schema.rollouts import (
    AgentVersionCount,
    ContainerAgent,
    FleetAgents,
    MemberState,
    OfferedAgent,
    Rollout,
    RolloutDetail,
    RolloutMember,
    RolloutState,
    RolloutWave,
    StartRollout,
)
from zlh_common.version_order import version_order

log = structlog.get_logger()
# More versions than people read: an agent calls itself whatever it likes.
MAX_VERSIONS = 50
OTHER = "other"
ENDED = frozenset({RolloutState.CANCELLED, RolloutState.SUPERSEDED})
_START = (0, -1, -1, 0)
Offers = Callable[[], Sequence[Offer]]


class RolloutService:
    """Answers from the database alone; `offers` are those of the agent's bundle in the catalog."""

    def __init__(self, database: Database, offers: Offers) -> None:
        self._database = database
        self._offers = offers

    @property
    def database(self) -> Database:
        """Where all of it stands."""
        return self._database

    async def fetch_agents(self, *, after: int, limit: int) -> FleetAgents:
        """Return which versions there are, what is offered, and who has which."""
        offered = self._known_offers()
        async with self._database.connection() as connection:
            fleet = await store.fetch_fleet(connection)
        page = [each for each in fleet if each.vmid > after]
        return FleetAgents(
            versions=_count_versions(fleet, {each.version for each in offered}),
            offers=offered,
            protocol_needed=UPDATES_ITSELF,
            containers=tuple(_render_agent(each) for each in page[:limit]),
            next=str(page[limit - 1].vmid) if len(page) > limit else UNSET,
        )

    async def start(self, wish: StartRollout, *, started_by: str) -> Rollout:
        """Begin one; raise AgentNotOffered, RolloutGoesBack, CanaryUnsuitable, RolloutSharesWrong."""
        if not are_shares_rising(wish.shares):
            raise RolloutSharesWrong
        rollout = uuid4()
        async with self._database.transaction() as connection:
            await store.take_turn(connection)
            before = await store.fetch_newest(connection)
            fleet = await store.fetch_fleet(connection)
            self._check_version(wish.version, before)
            members = [each for each in fleet if is_below(each.version, wish.version)]
            _check_canaries(wish, members)
            await store.insert(connection, rollout=rollout, wish=wish, started_by=started_by)
            waves = plan_waves(members, wish, seed=rollout)
            await store.insert_members(
                connection,
                rollout,
                [(each, number, first_state(each)) for number, wave in enumerate(waves) for each in wave],
            )
            log.info("rollout.started", rollout=str(rollout), version=wish.version, members=len(members), by=started_by)
            return await self._fetch_one(connection, rollout)

    async def fetch_page(self, *, before: int | None, limit: int) -> tuple[list[Rollout], int | None]:
        """Return the newest ones before a number, and the number to go on with."""
        async with self._database.connection() as connection:
            found = await store.fetch_all(connection, before=before, limit=limit + 1)
            shown = [await self._render(connection, going) for _, going in found[:limit]]
        return shown, found[limit - 1][0] if len(found) > limit else None

    async def fetch_detail(self, rollout: UUID, *, state: str | None, after: str, limit: int) -> RolloutDetail:
        """Return one with a page of its members; raise NotFound."""
        async with self._database.connection() as connection:
            shown = await self._fetch_one(connection, rollout)
            rows = await store.fetch_members(
                connection, rollout, state=state, after=_parse_place(after), limit=limit + 1
            )
        following = _render_place(rows[limit - 1]) if len(rows) > limit else UNSET
        return RolloutDetail(rollout=shown, members=tuple(_render_member(row) for row in rows[:limit]), next=following)

    async def pause(self, rollout: UUID) -> Rollout:
        """Tell nobody more once this has returned; raise NotFound, RolloutNotSoFar."""
        return await self._move(rollout, "paused", {RolloutState.RUNNING, RolloutState.DONE}, RolloutState.PAUSED)

    async def resume(self, rollout: UUID) -> Rollout:
        """Go on; who has failed so far counts no more. Raise NotFound, RolloutNotSoFar."""
        return await self._move(rollout, "resumed", {RolloutState.PAUSED, RolloutState.HALTED}, RolloutState.RUNNING)

    async def cancel(self, rollout: UUID) -> Rollout:
        """End it; who has been updated stays so. Raise NotFound, RolloutNotSoFar."""
        return await self._move(rollout, "cancelled", set(RolloutState) - ENDED, RolloutState.CANCELLED)

    async def retry(self, rollout: UUID) -> Rollout:
        """Have those that failed told once more, and go on; raise NotFound, RolloutNotSoFar."""
        return await self._move(rollout, "retried", set(RolloutState) - ENDED, RolloutState.RUNNING, is_retry=True)

    async def render_metrics(self) -> str:
        """Return the figures for Prometheus."""
        async with self._database.connection() as connection:
            fleet = await store.fetch_fleet(connection)
            found = await store.fetch_all(connection, limit=1)
            states = await store.fetch_states(connection, found[0][1].id) if found else {}
        known = {each.version for each in self._known_offers()}
        # What an agent calls itself is a stranger's word, and no name of a series.
        named = [replace(each, version=each.version if each.version in known else OTHER) for each in fleet]
        versions = _count_versions(named, known)
        members: Counter[str] = Counter()
        for counts in states.values():
            members.update(counts)
        return render_rollout_metrics(versions, found[0][1].state if found else None, members)

    async def _move(
        self,
        rollout: UUID,
        wish: str,
        allowed: set[RolloutState],
        state: RolloutState,
        *,
        is_retry: bool = False,
    ) -> Rollout:
        async with self._database.transaction() as connection:
            going = await store.find(connection, rollout, for_update=True)
            if going is None:
                raise NotFound("roll-out")
            if going.state not in allowed:
                raise RolloutNotSoFar(wish, going.state)
            if is_retry:
                await store.try_failed_again(connection, rollout)
            elif state is RolloutState.RUNNING:
                await store.accept_failures(connection, rollout)
            if state is RolloutState.RUNNING:
                await store.count_times_anew(connection, rollout)
            if state is RolloutState.CANCELLED:
                await store.take_back(connection, rollout)
            await store.set_state(connection, going, state)
            log.info("rollout.moved", rollout=str(rollout), to=state)
            return await self._fetch_one(connection, rollout)

    async def _fetch_one(self, connection: Connection, rollout: UUID) -> Rollout:
        going = await store.find(connection, rollout)
        if going is None:
            raise NotFound("roll-out")
        return await self._render(connection, going)

    async def _render(self, connection: Connection, going: RolloutRow) -> Rollout:
        return render_rollout(going, await store.fetch_states(connection, going.id))

    def _offered(self) -> tuple[OfferedAgent, ...]:
        return tuple(
            OfferedAgent(version=entry.version, channel=entry.channel, default=entry.default)
            for offer in self._offers()
            for entry in offer.versions
            if entry.size is not None
        )

    def _known_offers(self) -> tuple[OfferedAgent, ...]:
        """Return what is offered as far as that is known: who has which agent is told without a catalog too."""
        try:
            return self._offered()
        except CatalogNotLoaded:
            return ()

    def _check_version(self, version: str, before: RolloutRow | None) -> None:
        """Raise AgentNotOffered, or RolloutGoesBack."""
        offered = [each.version for each in self._offered()]
        if version not in offered:
            raise AgentNotOffered(version, offered)
        # What agents call themselves bars nothing: it may be untrue.
        if before is not None and before.state is RolloutState.DONE and is_below(version, before.version):
            raise RolloutGoesBack(version, before.version)


def render_rollout(going: RolloutRow, states: dict[int, dict[str, int]]) -> Rollout:
    """Return one as people see it."""
    shares: tuple[int | None, ...] = (None, *going.wish.shares)
    return Rollout(
        id=str(going.id),
        version=going.version,
        state=going.state,
        reason=going.reason,
        wave=going.wave,
        waves=tuple(
            RolloutWave(share=share, containers=sum(states.get(number, {}).values()), counts=states.get(number, {}))
            for number, share in enumerate(shares)
        ),
        soak_minutes=going.wish.soak_minutes,
        at_once=going.wish.at_once,
        failures_allowed=going.wish.failures_allowed,
        failure_percent_allowed=going.wish.failure_percent_allowed,
        started_by=going.started_by,
        created_at=going.created_at,
        finished_at=going.finished_at,
        next_wave_at=next_wave_at(going),
    )


def _check_canaries(wish: StartRollout, members: Sequence[Candidate]) -> None:
    able = {each.vmid for each in members if may_be_told(each)}
    if wrong := sorted(set(wish.canaries) - able):
        raise CanaryUnsuitable(wrong, wish.version)


def _count_versions(fleet: Sequence[Candidate], offered: set[str]) -> tuple[AgentVersionCount, ...]:
    """Return the versions that most have, the newest first; the rest counts as `other`."""
    by_version: dict[str, list[Candidate]] = {}
    for each in fleet:
        by_version.setdefault(each.version, []).append(each)
    common = sorted(by_version, key=lambda version: (version not in offered, -len(by_version[version])))
    for version in common[MAX_VERSIONS - 1 :] if len(common) > MAX_VERSIONS else ():
        by_version.setdefault(OTHER, []).extend(by_version.pop(version))
    return tuple(
        AgentVersionCount(
            version=version,
            containers=len(those),
            online=sum(each.is_online for each in those),
            too_old=sum(each.protocol < UPDATES_ITSELF for each in those),
            fixed=sum(each.fixed_because is not None for each in those),
            is_offered=version in offered,
        )
        for version, those in sorted(by_version.items(), key=lambda entry: version_order(entry[0]), reverse=True)
    )


def _render_agent(candidate: Candidate) -> ContainerAgent:
    return ContainerAgent(
        vmid=candidate.vmid,
        name=candidate.name,
        version=candidate.version,
        protocol_version=candidate.protocol,
        is_online=candidate.is_online,
        fixed_because=candidate.fixed_because,
    )


def _render_member(row: Any) -> RolloutMember:
    return RolloutMember(
        vmid=row["vmid"],
        name=row["name"],
        wave=row["wave"],
        state=MemberState(row["state"]),
        attempt=row["attempt"] % store.TRIES,
        before=row["before"],
        changed_at=row["changed_at"],
        told_at=row["told_at"],
        code=row["code"],
        message=row["message"],
        exit_code=row["exit_code"],
        output=row["output"],
    )


def _render_place(row: Any) -> str:
    return f"{row['rank']}.{row['wave']}.{row['place']}.{row['vmid']}"


def _parse_place(text: str) -> tuple[int, int, int, int]:
    """Return where a page begins; what is no place is the beginning."""
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        return _START
    rank, wave, place, vmid = map(int, parts)
    return rank, wave, place, vmid
