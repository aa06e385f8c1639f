"""Those who wait for something to change: each has an event of its own, so none takes the word from another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Watchers:
    """Any number of them, each for as long as it watches."""

    def __init__(self) -> None:
        self._events: set[asyncio.Event] = set()

    def wake(self) -> None:
        """Tell everybody; changes before one looks are one."""
        for event in self._events:
            event.set()

    @contextmanager
    def watch(self) -> Iterator[asyncio.Event]:
        """Lend an event that is set on every change from now on; whoever waits on it clears it."""
        event = asyncio.Event()
        self._events.add(event)
        try:
            yield event
        finally:
            self._events.discard(event)
