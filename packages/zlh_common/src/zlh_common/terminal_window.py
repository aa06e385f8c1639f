"""Whose window a terminal has: that of whoever typed last. One that only looks never sets its size.

Both sides keep this rule, each among its own viewers: the agent among the clients that it has, the API among the
viewers that share one connection to the agent.
"""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")
Size = tuple[int, int]


class TerminalWindow(Generic[V]):
    """The size of one terminal and the viewer who sets it. What a method returns is to be applied, None is nothing."""

    def __init__(self, size: Size | None = None) -> None:
        self.size = size
        self._owner: V | None = None

    def type(self, viewer: V, size: Size | None) -> Size | None:
        """This viewer types, in a window of `size` where that is known: it is his from now on."""
        if self._owner is viewer:
            return None
        self._owner = viewer
        if size is None or size == self.size:
            return None
        self.size = size
        return size

    def resize(self, viewer: V, size: Size, *, may_write: bool) -> Size | None:
        """The window of this viewer has a size now, or another one; whoever comes first to one that is free gets it."""
        if not may_write or (self._owner is not None and self._owner is not viewer):
            return None
        self._owner = viewer
        self.size = size
        return size

    def leave(self, viewer: V) -> None:
        """This viewer has gone; the window is free, and keeps its size."""
        if self._owner is viewer:
            self._owner = None
