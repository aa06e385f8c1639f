"""Writes what agents report into the rows of their containers, many of them in one statement.

A report that may change the next step is written at once. Any other one waits for a moment, in which a newer one may
take its place; of one that says nothing new only the time is written, and that not each time. Every write names the
fence of the link that it came through.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg
import structlog

from zlh_api.agents.client import AgentNonsense
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_common.names import OwnerMark
from zlh_common.schema.status import AgentStatus
from zlh_common.schema.structs import encode

log = structlog.get_logger()
FLUSH_S = 0.2
FLUSH_ROWS = 500

_REPORT = """
update containers set agent_status = $3::text::jsonb, observed_at = now(), connection = 'online',
    wake_at = least(wake_at, now() + $4::interval)
where owner = $1 and link_fence = $2
"""
_REPORTS = """
update containers c set agent_status = coalesce(r.status::jsonb, c.agent_status),
    observed_at = greatest(c.observed_at, now() - make_interval(secs => r.age_s))
from unnest($1::uuid[], $2::bigint[], $3::text[], $4::float8[]) as r(owner, fence, status, age_s)
where c.owner = r.owner and c.link_fence = r.fence
"""

# JSON may hold this character and jsonb may not; what merely looks like it has another backslash before.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What waits to be written of one agent; without a status only that it was heard."""

    fence: int
    status: str | None
    heard_at: float


class ReportWriter:
    """One for each API process; `run` writes what waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[OwnerMark, _Waiting] = {}
        self._in_flight: Mapping[OwnerMark, _Waiting] = {}
        self._flushing = asyncio.Lock()

    async def write(self, owner: OwnerMark, fence: int, report: AgentStatus, *, wake_in: timedelta) -> None:
        """Write a report now, and have its container looked at in time; raise AgentNonsense."""
        self._waiting.pop(owner, None)
        if owner in self._in_flight:
            # An older one is on its way, and must not come after this one.
            async with self._flushing:
                pass
        try:
            async with self._database.connection() as connection:
                await connection.execute(_REPORT, UUID(owner), fence, encode(report).decode(), wake_in)
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
        while self._waiting:
            owners = list(self._waiting)[:FLUSH_ROWS]
            batch = {owner: self._waiting.pop(owner) for owner in owners}
            async with self._flushing:
                self._in_flight = batch
                try:
                    await self._write(list(batch.items()))
                except DatabaseUnavailable:
                    self._waiting = {**batch, **self._waiting}
                    raise
                finally:
                    self._in_flight = {}

    async def _write(self, batch: Sequence[tuple[OwnerMark, _Waiting]]) -> None:
        now = _now()
        try:
            async with self._database.connection() as connection:
                await connection.execute(
                    _REPORTS,
                    [UUID(owner) for owner, _ in batch],
                    [entry.fence for _, entry in batch],
                    [entry.status for _, entry in batch],
                    [now - entry.heard_at for _, entry in batch],
                )
        except asyncpg.DataError:
            # One that no rule has foreseen must not keep out the others.
            if len(batch) == 1:
                log.exception("agent.report_refused", owner=batch[0][0])
                return
            for one in batch:
                await self._write([one])


def _unspeakable() -> AgentNonsense:
    return AgentNonsense("its report holds what no text may hold")


def _now() -> float:
    return asyncio.get_running_loop().time()
