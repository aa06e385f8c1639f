"""Waiting for what must not be left half done, since a thread is at it that nothing can end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Return what work comes to; whoever cancels meanwhile is obeyed once it is over."""
    task, cancelled = asyncio.create_task(work), None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        # What it failed with is heard, so that nobody misses it in the log.
        _ = task.cancelled() or task.exception()
        raise cancelled
    return task.result()
