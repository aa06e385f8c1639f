"""Threads that read and write customers' files through descriptors, apart from those of the rest of the agent.

A disk that hangs holds up file work alone. A descriptor is closed only when no thread is at it any more: its number
would otherwise mean another file by then.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
MAX_THREADS = 16


def open_threads() -> ThreadPoolExecutor:
    """Return the threads; whoever makes them shuts them down."""
    return ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="files")


class HeldFile:
    """A descriptor on which one thread at a time works; `close` ends it, once that thread is done."""

    def __init__(self, threads: ThreadPoolExecutor, fd: int) -> None:
        self._threads = threads
        self._fd = fd
        self._work: Future[Any] | None = None

    def begin(self, work: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """Start `work(fd, *arguments)` in a thread; the one before must be over."""
        future = self._threads.submit(work, self._fd, *arguments)
        self._work = future
        return asyncio.wrap_future(future)

    async def settled(self) -> None:
        """Return once no thread is at it."""
        if self._work is not None and not self._work.done():
            await asyncio.wait([asyncio.wrap_future(self._work)])

    def close(self) -> None:
        """Let go of the descriptor."""
        fd = self._fd
        if self._work is None:
            os.close(fd)
        else:
            self._work.add_done_callback(lambda _: os.close(fd))
