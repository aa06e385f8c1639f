"""How many may look at once, at one console and at all of an agent: each costs the agent a connection's buffers."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from zlh_common.schema.terminal import MAX_VIEWERS, MAX_VIEWERS_OF_ONE, ViewerLimit


class Seats:
    """Counts the viewers of all consoles of an agent."""

    def __init__(self, *, of_one: int = MAX_VIEWERS_OF_ONE, of_all: int = MAX_VIEWERS) -> None:
        self._of_one = of_one
        self._of_all = of_all
        self._taken: Counter[str] = Counter()

    @contextlib.contextmanager
    def taken(self, console: str) -> Iterator[None]:
        """Hold a seat at a console; raise ViewerLimit where none is free."""
        if self._taken[console] >= self._of_one:
            raise ViewerLimit(limit=self._of_one, where="at this console")
        if self._taken.total() >= self._of_all:
            raise ViewerLimit(limit=self._of_all, where="at the consoles of this container")
        self._taken[console] += 1
        try:
            yield
        finally:
            self._taken[console] -= 1
            if not self._taken[console]:
                del self._taken[console]
