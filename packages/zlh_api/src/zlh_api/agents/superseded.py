"""Closes what is open with an identity that its agent has no more, the moment that the database tells of it.

What was said while nobody listened is made up for by looking at all; and so it is once in a while.
"""

from __future__ import annotations

import asyncio
from collections import deque

from zlh_api.agents.client import AgentClient
from zlh_api.database.pool import DatabaseUnavailable
from zlh_common.names import OwnerMark

LOOK_S = 30.0
RETRY_S = 1.0


class SupersededSockets:
    """One for each API process; `run` does the work."""

    def __init__(self, client: AgentClient) -> None:
        self._client = client
        self._told: deque[str] = deque()
        self._wake = asyncio.Event()

    def note(self, owner: str = "") -> None:
        """Look at what is open to one agent, or to all."""
        self._told.append(owner)
        self._wake.set()

    async def run(self) -> None:
        """Look whenever something is told, for ever."""
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                self._told.append("")
            self._wake.clear()
            try:
                await self._look()
            except DatabaseUnavailable:
                # Nothing that was told may be lost; all is looked at as soon as it can be.
                await asyncio.sleep(RETRY_S)
                self.note()

    async def _look(self) -> None:
        told, self._told = set(self._told), deque()
        if "" in told:
            await self._client.end_superseded()
            return
        for owner in told:
            await self._client.end_superseded(OwnerMark(owner))
