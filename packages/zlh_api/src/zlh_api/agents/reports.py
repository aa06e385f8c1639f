"""Writes what agents report into the rows of their containers, many of them in one statement.

A report that may change the next step is written at once. Any other one waits for a moment, in which a newer one may
take its place; of one that says nothing new only the time is written, and that not each time. Every write names the
fence of the link that it came through.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg
import structlog

from zlh_api.agents.client import AgentNonsense
from zlh_api.agents.pins import SHOWS_ANOTHER
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_common.names import OwnerMark
from zlh_common.schema.status import AgentStatus
from zlh_common.schema.structs import encode

log = structlog.get_logger()
FLUSH_S = 0.2
# What is written in one statement: a crowd of agents with reports of the greatest length would make one of 128 MB.
FLUSH_ROWS, FLUSH_CHARS = 500, 4 * 2**20

_REPORT = """
update containers set agent_status = $3::text::jsonb, observed_at = now(), connection = 'online',
    wake_at = least(wake_at, now() + $4::interval), agent_faults = array_remove(agent_faults, $5::text)
where owner = $1 and link_fence = $2
"""
# Rows that somebody else is at are left for the next time, and returned: who waits for several rows at once may wait
# for one who waits for him.
_REPORTS = """
with reports as (
    select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::float8[]) as r(owner, fence, status, age_s)),
held as (
    select c.owner from containers c join reports r on r.owner = c.owner and r.fence = c.link_fence
    for no key update of c skip locked),
written as (
    update containers c set agent_status = coalesce(r.status::jsonb, c.agent_status),
        observed_at = greatest(c.observed_at, now() - make_interval(secs => r.age_s))
    from reports r where c.owner = r.owner and c.owner in (select owner from held))
select r.owner from reports r join containers c on c.owner = r.owner and c.link_fence = r.fence
where r.owner not in (select owner from held)
"""
# JSON may hold this character and jsonb may not; what merely looks like it has another backslash before.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What waits to be written of one agent; without a status only that it was heard."""

    fence: int
    status: str | None
    heard_at: float

    @property
    def chars(self) -> int:
        """How long it is."""
        return len(self.status or "")


class ReportWriter:
    """One for each API process; `run` writes what waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[OwnerMark, _Waiting] = {}
        self._in_flight: Mapping[OwnerMark, _Waiting] = {}
        self._flushing = asyncio.Lock()

    async def write(self, owner: OwnerMark, fence: int, report: AgentStatus, *, wake_in: timedelta) -> None:
        """Write a report now, and have its container looked at in time; raise AgentNonsense."""
        if owner in self._in_flight:
            # An older one is on its way, and must not come after this one.
            async with self._flushing:
                pass
        self._waiting.pop(owner, None)
        try:
            async with self._database.connection() as connection:
                await connection.execute(_REPORT, UUID(owner), fence, encode(report).decode(), wake_in, SHOWS_ANOTHER)
        except asyncpg.DataError as exc:
            # JSON may hold a NUL character and jsonb may not; a stranger's report must not end all links.
            raise _unspeakable() from exc

    def write_soon(self, owner: OwnerMark, fence: int, report: AgentStatus) -> None:
        """Write a report in a moment, unless a newer one comes; raise AgentNonsense."""
        document = encode(report).decode()
        if _NUL.search(document):
            raise _unspeakable()
        self._waiting[owner] = _Waiting(fence, document, _now())

    def note_heard(self, owner: OwnerMark, fence: int) -> None:
        """Write in a moment that the agent was heard, and has said nothing new."""
        waiting = self._waiting.get(owner)
        status = waiting.status if waiting is not None and waiting.fence == fence else None
        self._waiting[owner] = _Waiting(fence, status, _now())

    async def run(self) -> None:
        """Write what waits, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except DatabaseUnavailable as error:
                log.warning("agent.reports_wait", error=error.detail)

    async def flush(self) -> None:
        """Write what waits now; what cannot be written waits on."""
        for owners in _share_out({owner: entry.chars for owner, entry in self._waiting.items()}):
            batch = {owner: self._waiting.pop(owner) for owner in owners if owner in self._waiting}
            async with self._flushing:
                self._in_flight, left = batch, set(batch)
                try:
                    left = await self._write(list(batch.items()))
                finally:
                    self._in_flight = {}
                    for owner in left:
                        self._put_back(owner, batch[owner])

    def _put_back(self, owner: OwnerMark, entry: _Waiting) -> None:
        """Let what was not written wait on, behind what has come meanwhile."""
        newer = self._waiting.get(owner)
        if newer is None:
            self._waiting[owner] = entry
        elif newer.status is None and newer.fence == entry.fence:
            self._waiting[owner] = _Waiting(entry.fence, entry.status, newer.heard_at)

    async def _write(self, batch: Sequence[tuple[OwnerMark, _Waiting]]) -> set[OwnerMark]:
        """Write a batch; return those that somebody else was at."""
        now = _now()
        try:
            async with self._database.connection() as connection:
                rows = await connection.fetch(
                    _REPORTS,
                    [UUID(owner) for owner, _ in batch],
                    [entry.fence for _, entry in batch],
                    [entry.status for _, entry in batch],
                    [now - entry.heard_at for _, entry in batch],
                )
        except DatabaseUnavailable:
            raise
        except Exception:
            # One that no rule has foreseen must not keep out the others.
            if len(batch) == 1:
                log.exception("agent.report_refused", owner=batch[0][0])
                return set()
            return set().union(*[await self._write([one]) for one in batch])
        return {OwnerMark(str(row["owner"])) for row in rows}


def _share_out(chars: Mapping[OwnerMark, int]) -> Iterator[list[OwnerMark]]:
    """Yield whose reports are written together, the shortest first: who says much makes nobody else wait."""
    some: list[OwnerMark] = []
    size = 0
    for owner in sorted(chars, key=lambda owner: chars[owner]):
        if some and (len(some) == FLUSH_ROWS or size + chars[owner] > FLUSH_CHARS):
            yield some
            some, size = [], 0
        some.append(owner)
        size += chars[owner]
    if some:
        yield some


def _unspeakable() -> AgentNonsense:
    return AgentNonsense("its report holds what no text may hold")


def _now() -> float:
    return asyncio.get_running_loop().time()
