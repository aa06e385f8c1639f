"""What one agent's link brings into the history: checked, in order, each once, at the pace of an honest agent."""

from __future__ import annotations

import asyncio

import asyncpg
import structlog

from zlh_api.history.rules import (
    HAPPENINGS_RATE,
    SAMPLES_RATE,
    JournalPosition,
    find_happenings_problem,
    find_metrics_problem,
)
from zlh_api.history.service import HistoryService
from zlh_common.names import OwnerMark
from zlh_common.pace import Allowance, take
from zlh_common.schema.agent_events import HappeningsEvent
from zlh_common.schema.metrics import Metrics

log = structlog.get_logger()


class HistoryIntake:
    """One for each link that is held; it outlives the streams that are dialled for it, and so does what may be said."""

    def __init__(self, history: HistoryService, owner: OwnerMark, fence: int) -> None:
        self._history = history
        self._owner = owner
        self._fence = fence
        self._last: JournalPosition | None = None
        self._happenings = Allowance(HAPPENINGS_RATE.at_once, _now())
        self._has_refused = False
        self._samples = Allowance(SAMPLES_RATE.at_once, _now())

    async def resume(self) -> dict[str, str]:
        """Return what is asked of a stream: everything after what is kept already."""
        self._last = await self._history.find_newest(self._owner)
        asked = {"take": "happenings,metrics"}
        if self._last is not None:
            asked |= {"journal": self._last.journal, "after": str(self._last.number)}
        return asked

    async def take_happenings(self, event: HappeningsEvent) -> None:
        """Keep entries of its journal. What comes too fast or breaks a rule is lost, and costs the status nothing."""
        last = self._last
        after = last.number if last is not None and last.journal == event.journal else 0
        if problem := find_happenings_problem(event.items, after):
            self._note_refused(problem)
            return
        if not event.items:
            return
        may_take, self._happenings = take(self._happenings, len(event.items), HAPPENINGS_RATE, _now())
        if may_take < len(event.items):
            self._note_refused("it tells more than an agent has reason to")
        try:
            await self._history.take_happenings(self._owner, self._fence, event.journal, event.items[:may_take])
        except asyncpg.DataError as error:
            self._note_refused(str(error))
        self._last = JournalPosition(event.journal, event.items[-1].number)

    def _note_refused(self, problem: str) -> None:
        """Say so once: an agent that talks without end must not fill the log instead of the database."""
        if not self._has_refused:
            self._has_refused = True
            log.warning("history.refused", owner=self._owner, problem=problem)

    def take_sample(self, metrics: Metrics) -> None:
        """Keep a sample. What comes too fast or breaks a rule is left out."""
        if problem := find_metrics_problem(metrics):
            self._note_refused(problem)
            return
        may_take, self._samples = take(self._samples, 1, SAMPLES_RATE, _now())
        if may_take:
            self._history.take_sample(self._owner, self._fence, metrics)


def _now() -> float:
    return asyncio.get_running_loop().time()
