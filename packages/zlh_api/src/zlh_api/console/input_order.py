"""Whose input an agent speaks of: all viewers of a console type through one connection, which it confirms in order.

Pure: it holds who has sent how much, and never the input itself.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from zlh_common.schema.console_wire import InputDone

V = TypeVar("V")
# So many turns of viewers may be under way: an agent that takes all and confirms nothing fills no memory.
MAX_TURNS = 4096


class InputOrder(Generic[V]):
    """The input that was sent and has come to nothing yet, oldest first."""

    def __init__(self) -> None:
        self._turns: deque[tuple[V, int]] = deque()
        self._done = InputDone(taken=0, refused=0)

    @property
    def is_empty(self) -> bool:
        """Whether all input has come to something."""
        return not self._turns

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be sent before something has come to something."""
        return len(self._turns) >= MAX_TURNS

    def note_sent(self, viewer: V, size: int) -> None:
        """Input of a viewer was sent."""
        if self._turns and self._turns[-1][0] is viewer:
            size += self._turns.pop()[1]
        if size:
            self._turns.append((viewer, size))

    def settle(self, done: InputDone) -> list[tuple[V, InputDone]]:
        """Return how much more of whose input was taken or refused; `done` says no more than was sent."""
        is_taken = done.taken > self._done.taken
        left = done.total - self._done.total
        self._done = done
        settled = []
        while left:
            viewer, size = self._turns.popleft()
            part = min(size, left)
            if part < size:
                self._turns.appendleft((viewer, size - part))
            settled.append((viewer, InputDone(taken=part if is_taken else 0, refused=0 if is_taken else part)))
            left -= part
        return settled
