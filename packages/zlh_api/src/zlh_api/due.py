"""Work that is due at a time of the database: one sleeps until the next of it, or until another is due sooner."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from zlh_api.database.pool import DatabaseUnavailable

log = structlog.get_logger()
# What was said while nobody listened is made up for by looking at all.
LOOK_S = 30.0
RETRY_S = 1.0
# What is still due after it was done is another's work, or more than one go takes.
AGAIN_S = 0.05
# A time that is told by the database's clock has come once it is over.
MARGIN_S = 0.005


class DueWork:
    """One loop of an API process; `wake` looks anew. All processes may have the same, so `act` bears company."""

    def __init__(self, next_in_s: Callable[[], Awaitable[float | None]], act: Callable[[], Awaitable[None]]) -> None:
        self._next_in_s = next_in_s
        self._act = act
        self._wake = asyncio.Event()

    def wake(self, _payload: str = "") -> None:
        """Ask what is due next, since that may have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Do what is due, for ever."""
        while True:
            self._wake.clear()
            try:
                pause_s = await self._do_due()
            except DatabaseUnavailable as error:
                log.warning("due.put_off", error=error.detail)
                await asyncio.sleep(RETRY_S)
                continue
            except Exception:
                # One row that nobody has foreseen must not end the process, which all others are served by.
                log.exception("due.broke")
                await asyncio.sleep(LOOK_S)
                continue
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _do_due(self) -> float:
        """Do what is due now; return how long there is nothing to do."""
        left_s = await self._next_in_s()
        if left_s is not None and left_s <= 0:
            await self._act()
            left_s = await self._next_in_s()
            if left_s is not None and left_s <= 0:
                return AGAIN_S * (1 + random.random())  # noqa: S311 - processes that meet again part
        return LOOK_S if left_s is None else min(LOOK_S, left_s + MARGIN_S)
