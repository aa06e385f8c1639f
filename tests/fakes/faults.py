"""Misbehaviour to order: the n-th call fails, hangs after its effect, or takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Faults:
    """Shared by the fakes of one world; each call that changes something passes through it once and in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        # name → how the next calls of that name go: an exception to raise before the effect, None for well.
        self.orders: dict[str, list[Exception | None]] = {}
        self.delay_s = 0.0
        # The call with this number (from 1) takes effect and never answers.
        self.hang_at: int | None = None
        self.hanging = asyncio.Event()

    def fail(self, name: str, *orders: Exception | None) -> None:
        """Let the next calls of `name` go as ordered, one after the other, and all later ones well."""
        self.orders.setdefault(name, []).extend(orders)

    @asynccontextmanager
    async def call(self, name: str) -> AsyncIterator[None]:
        """Surround the effect of one call."""
        self.calls.append(name)
        number = len(self.calls)
        waiting = self.orders.get(name)
        if waiting and (order := waiting.pop(0)) is not None:
            raise order
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        yield
        if number == self.hang_at:
            self.hanging.set()
            await asyncio.Event().wait()
