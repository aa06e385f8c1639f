"""What Modrinth has answered, for a while and of a bounded size; old answers serve while it is away."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from zlh_common.clock import Clock

# Projects gain versions; a version that is published hardly changes.
FRESH_S = 300.0
# For how long an answer serves while there is no newer one.
STALE_S = 86_400.0
# Of projects, versions and results of searches: 40 MB in all.
UNIT_BYTES, MOST_WEIGHT = 2048, 20_000


@dataclass(frozen=True, slots=True)
class _Kept:
    value: Any
    at: float
    weight: int


class AnswerCache:
    """Answers by what was asked; what was used least lately goes first."""

    def __init__(self, clock: Clock, *, most_weight: int = MOST_WEIGHT) -> None:
        self._clock = clock
        self._most_weight = most_weight
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._weight = 0

    @property
    def weight(self) -> int:
        """How much is kept."""
        return self._weight

    def find(self, key: Hashable, *, within_s: float = FRESH_S) -> tuple[Any] | None:
        """Return an answer that is no older, in a tuple, since None is an answer too; else None."""
        kept = self._kept.get(key)
        if kept is None or self._clock.monotonic() - kept.at > within_s:
            return None
        self._kept.move_to_end(key)
        return (kept.value,)

    def keep(self, key: Hashable, value: Any, *, weight: int = 1) -> None:
        """Keep an answer; one that is larger than all that may be kept is not."""
        self._drop(key)
        if weight > self._most_weight:
            return
        while self._weight + weight > self._most_weight:
            self._drop(next(iter(self._kept)))
        self._kept[key] = _Kept(value, self._clock.monotonic(), weight)
        self._weight += weight

    def _drop(self, key: Hashable) -> None:
        if (kept := self._kept.pop(key, None)) is not None:
            self._weight -= kept.weight
