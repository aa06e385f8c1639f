"""How many refusals of one caller become entries: nobody fills the disk by being refused."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from zlh_api.audit_log.model import Act, Ending
from zlh_common.pace import Allowance, Rate, take
from zlh_common.schema.audit_log import Outcome

# Of one user, or of one address that nobody is signed in at.
OF_ONE = Rate(60, 0.2)
# Of all who are not signed in, wherever they come from: some 70 MB a day at most.
OF_STRANGERS = Rate(600, 1.0)
# So many sources are remembered; what was left out of others is told in one sum.
MAX_SOURCES = 10_000
# How many refusals have no entry of their own.
LEFT_OUT = "leftOut"


@dataclass(slots=True)
class _Source:
    allowance: Allowance
    left_out: int = 0
    # What was left out last: by whom, and in which log it would stand.
    last: Act | None = None


class Refusals:
    """Holds what each source of refusals has left."""

    def __init__(self) -> None:
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._strangers = Allowance(OF_STRANGERS.at_once, 0.0)
        self._forgotten: tuple[int, Act] | None = None

    def admit(self, source: str, act: Act, now: float) -> int | None:
        """Return how many were left out before this one, or None where this one is left out as well."""
        known = self._sources.get(source)
        if known is None:
            known = self._sources[source] = _Source(Allowance(OF_ONE.at_once, now))
            self._forget_oldest()
        self._sources.move_to_end(source)
        if not self._take(known, act, now):
            known.left_out += 1
            known.last = act
            return None
        left_out, known.left_out = known.left_out, 0
        return left_out

    def collect(self, now: float) -> list[tuple[Act, Ending]]:
        """Return what tells of those that were left out, each once, as far as their sources may be heard again."""
        told = []
        for known in self._sources.values():
            if known.left_out and known.last is not None and self._take(known, known.last, now):
                told.append(_tell(known.last, known.left_out))
                known.left_out = 0
        if self._forgotten is not None:
            count, last = self._forgotten
            self._forgotten = None
            told.append(_tell(Act(last.word), count))
        return told

    def _take(self, known: _Source, act: Act, now: float) -> bool:
        taken, known.allowance = take(known.allowance, 1, OF_ONE, now)
        if taken and act.who.user_id is None:
            taken, self._strangers = take(self._strangers, 1, OF_STRANGERS, now)
        return bool(taken)

    def _forget_oldest(self) -> None:
        if len(self._sources) <= MAX_SOURCES:
            return
        _, oldest = self._sources.popitem(last=False)
        if oldest.left_out and oldest.last is not None:
            before = self._forgotten[0] if self._forgotten is not None else 0
            self._forgotten = (before + oldest.left_out, oldest.last)


def _tell(last: Act, count: int) -> tuple[Act, Ending]:
    details = {LEFT_OUT: str(count)}
    act = Act(last.word, who=last.who, chain=last.chain, address=last.address, details=details)
    return act, Ending(Outcome.REFUSED)
