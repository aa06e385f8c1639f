"""Where each start of a process waits for as long as something else holds it up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from zlh_common.schema.process import ProcessReason

log = structlog.get_logger()


class StartGate:
    """`wait` before a start; `reason` says why it waits, while it does."""

    def __init__(self, name: str, hold: Callable[[str], ProcessReason | None], on_change: Callable[[], None]) -> None:
        self.reason: ProcessReason | None = None
        self._name = name
        self._hold = hold
        self._on_change = on_change
        self._asked_anew = asyncio.Event()

    async def wait(self) -> None:
        """Return once nothing holds the start up. Whoever is held up is told of by `on_change`, and so is their end."""
        while (reason := self._hold(self._name)) is not None:
            self._asked_anew.clear()
            if reason != self.reason:
                log.info("process.held", process=self._name, reason=reason.code)
                self._show(reason)
            await self._asked_anew.wait()
        if self.reason is not None:
            self._show(None)

    def look_again(self) -> None:
        """Have it asked anew whether the start may go on."""
        self._asked_anew.set()

    def forget(self) -> None:
        """A start that waited is called off."""
        self.reason = None

    def _show(self, reason: ProcessReason | None) -> None:
        self.reason = reason
        self._on_change()
