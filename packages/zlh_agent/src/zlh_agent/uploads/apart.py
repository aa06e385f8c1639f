"""Work that goes on to a sound end when its connection goes: in a task of its own, which `close` alone waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from zlh_agent.uploads.receiving import BodyCut
from zlh_common.errors import ZlhError

log = structlog.get_logger()
T = TypeVar("T")


class Apart:
    """The tasks of one service."""

    def __init__(self) -> None:
        self._works: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work comes to, or raise what it raises; whoever is cancelled here leaves it going on."""
        task = asyncio.create_task(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        task.add_done_callback(_look_at_result)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._works:
            await asyncio.wait(self._works)


def _look_at_result(task: asyncio.Task[Any]) -> None:
    """Hear what became of it, where the connection is gone that would have been told."""
    if task.cancelled():
        return
    error = task.exception()
    if error is not None and not isinstance(error, ZlhError | BodyCut):
        log.error("upload.broke", exc_info=error)
