"""All consoles that are looked at through this process: one upstream for each, and how many may look."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self
from uuid import UUID

from zlh_api.agents.client import AgentAddress, AgentClient
from zlh_api.console.shared import CONFIRM_S, SharedConsole
from zlh_api.console.upstream import open_upstream
from zlh_api.console.viewer import ConsoleViewer
from zlh_common.schema.terminal import ViewerLimit


@dataclass(frozen=True, slots=True)
class ConsoleLimits:
    """How many viewers there may be; one that never reads costs a descriptor or two, and 200 KB of unsent output."""

    of_one_console: int = 100
    # An agent may have any number of consoles, and a customer of agents: nobody may take the places of all the others.
    of_one_customer: int = 200
    of_this_process: int = 1000


@dataclass(slots=True)
class _Open:
    shared: SharedConsole
    task: asyncio.Task[None]


class ConsoleService:
    """Lends viewers. Closing it ends all of them."""

    def __init__(self, client: AgentClient, limits: ConsoleLimits | None = None) -> None:
        self._client = client
        self._limits = limits or ConsoleLimits()
        self._consoles: dict[tuple[AgentAddress, str], _Open] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._viewers: Counter[UUID | None] = Counter()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @asynccontextmanager
    async def attach(
        self,
        agent: AgentAddress,
        path: str,
        asked: int | None,
        *,
        customer: UUID | None = None,
        may_write: bool = True,
        confirms: bool = False,
    ) -> AsyncIterator[ConsoleViewer]:
        """Lend a viewer of the console at `path` that goes on at `asked`; raise what the agent refuses with.

        It counts for `customer`, whose container that is. One that `confirms` is told what becomes of its input.
        """
        key = (agent, path)
        opened = self._consoles.get(key)
        self._check_room(opened, customer)
        is_first = opened is None or opened.shared.is_over
        if opened is None or opened.shared.is_over:
            opened = self._open(key, asked)
        viewer = ConsoleViewer(opened.shared, may_write=may_write, confirms=confirms)
        opened.shared.viewers.add(viewer)
        self._viewers[customer] += 1
        try:
            await viewer.begin(asked, is_first=is_first)
            yield viewer
        finally:
            self._viewers -= Counter({customer: 1})
            opened.shared.leave(viewer)
            try:
                await viewer.close()
            finally:
                await self._end_unseen(key, opened)

    def _check_room(self, opened: _Open | None, customer: UUID | None) -> None:
        here = len(opened.shared.viewers) if opened is not None and not opened.shared.is_over else 0
        if here >= self._limits.of_one_console:
            raise ViewerLimit(limit=self._limits.of_one_console, where="at this console")
        if self._viewers[customer] >= self._limits.of_one_customer:
            raise ViewerLimit(limit=self._limits.of_one_customer, where="at the consoles of this customer")
        if self._viewers.total() >= self._limits.of_this_process:
            raise ViewerLimit(limit=self._limits.of_this_process, where="in all")

    def _open(self, key: tuple[AgentAddress, str], asked: int | None) -> _Open:
        shared = SharedConsole(partial(open_upstream, self._client, *key))
        opened = self._consoles[key] = _Open(shared, asyncio.create_task(shared.run(asked)))
        self._tasks.add(opened.task)
        opened.task.add_done_callback(self._tasks.discard)
        return opened

    async def _end_unseen(self, key: tuple[AgentAddress, str], opened: _Open) -> None:
        """Close the upstream of a console at which nobody looks any more, once what was typed there is known to be."""
        if opened.shared.viewers:
            return
        if self._consoles.get(key) is opened:
            del self._consoles[key]
        try:
            if opened.shared.finish():
                await asyncio.wait({opened.task}, timeout=CONFIRM_S)
        finally:
            opened.task.cancel()
            # Called off, this leaves the task to end by itself; it is ours until then.
            await asyncio.wait({opened.task})
