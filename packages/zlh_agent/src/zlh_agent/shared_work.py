"""Work that is done once for all who ask for it meanwhile: whoever asks again and again makes no more of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedWork(Generic[T]):
    """One kind of work. It goes on to its end, whoever stops waiting for it."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None

    async def join(self) -> T:
        """Begin it, or wait for the one that is under way; return or raise what comes of it."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
            # Heard of though nobody waits for it any more.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._task)

    async def close(self) -> None:
        """End what is under way."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
